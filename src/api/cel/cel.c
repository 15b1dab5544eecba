/* SPDX-License-Identifier: Apache-2.0 */
/* Compilation from end to end, the texts of its errors, and questions about programs. */
#include "cel.h"

#include <stdarg.h>
#include <stdlib.h>

#include "cel_private.h"
#include "codec/utf8.h"

void cel_issue(struct cel_compiler *c, uint32_t pos, const char *fmt, ...)
{
    va_list ap;
    if (c->n_issues == ARRAY_SIZE(c->issues)) {
        return;
    }
    va_start(ap, fmt);
    const char *text = arena_vprintf(&c->a, fmt, ap);
    va_end(ap);
    c->issues[c->n_issues++] = (struct cel_issue){pos, text ? text : "out of memory"};
}

/* ---- texts of errors ---- */

/* Where a byte of the source stands: its line from 1, the line's text, the column in code points
 * from 0. */
struct place {
    unsigned line, column;
    struct str text;
    size_t offset; /* of the byte in the line */
};

static struct place place_of(struct str source, uint32_t pos)
{
    struct place at = {.line = 1};
    size_t start = 0, end;
    pos = (uint32_t)MIN_OF((size_t)pos, source.n);
    for (size_t i = 0; i < pos; i++) {
        if (source.p[i] == '\n') {
            at.line++;
            start = i + 1;
        }
    }
    for (end = start; end < source.n && source.p[end] != '\n'; end++) {
    }
    at.text = str_n(source.p + start, end - start);
    at.offset = pos - start;
    at.column = (unsigned)cel_runes(str_n(at.text.p, at.offset));
    return at;
}

/* "ERROR: <input>:1:5: text\n | the line\n | ....^"; wide characters get wide dots. */
static void print_issue(struct buf *out, const char *source, struct str text,
                        const struct cel_issue *issue)
{
    struct place at = place_of(text, issue->pos);
    (void)buf_printf(out, "ERROR: %s:%u:%u: %s\n | ", source, at.line, at.column + 1, issue->text);
    for (size_t i = 0; i < at.text.n; i++) {
        (void)buf_putc(out, at.text.p[i] == '\t' ? ' ' : at.text.p[i]);
    }
    (void)buf_puts(out, "\n | ");
    for (size_t i = 0; i < at.offset; i++) {
        unsigned char c = (unsigned char)at.text.p[i];
        if ((c & 0xC0) != 0x80) {
            (void)buf_puts(out, c < 0x80 ? "." : "．");
        }
    }
    bool wide = at.offset < at.text.n && (unsigned char)at.text.p[at.offset] >= 0x80;
    (void)buf_puts(out, wide ? "＾" : "^");
}

static int issue_cmp(const void *a, const void *b)
{
    const struct cel_issue *x = a, *y = b;
    return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static int report(struct cel_compiler *c, struct err *err)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    const char *source = c->opts->source ? c->opts->source : "<input>";
    qsort(c->issues, c->n_issues, sizeof(*c->issues), issue_cmp);
    for (uint32_t i = 0; i < c->n_issues; i++) {
        (void)buf_puts(&out, i ? "\n" : "");
        print_issue(&out, source, c->source, &c->issues[i]);
    }
    if (buf_failed(&out)) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    if (c->opts->issues) {
        (void)buf_append_str(c->opts->issues, buf_str(&out));
    }
    return err_set(err, -E_INVAL, STR_FMT, STR_ARG(buf_str(&out)));
}

/* ---- compilation ---- */

static int compile(struct cel_compiler *c, struct cel_program **ret, struct err *err)
{
    struct ast *root = cel_parse(c);
    if (root && cel_check(c, root)) {
        uint64_t cost = c->opts->flags & CEL_F_CHECKED ? cel_estimate(c, root) : UINT64_MAX;
        int rc = cel_emit(c, root, ret, err);
        if (rc == 0) {
            (*ret)->cost = cost;
        }
        if (rc == 0 && c->opts->types) {
            *c->opts->ret_type = cel_type_copy(c->opts->types, root->type);
        }
        if (rc == 0 || c->n_issues == 0) {
            return rc;
        }
    }
    if (c->n_issues > 0 && !arena_failed(&c->a)) {
        return report(c, err);
    }
    return err_set(err, -E_NOMEM, "out of memory");
}

int cel_compile(struct str source, const struct cel_compile_opts *opts, struct cel_program **ret,
                struct err *err)
{
    struct cel_compiler c = {.source = source, .opts = opts};
    if (source.n > LIMIT_CEL_SOURCE) {
        return err_set(err, -E_LIMIT,
                       "expression code point size exceeds limit: size: %zu, limit %d", source.n,
                       LIMIT_CEL_SOURCE);
    }
    arena_init(&c.a, 0);
    int rc = compile(&c, ret, err);
    arena_fini(&c.a);
    return rc;
}

void cel_program_free(struct cel_program *p)
{
    for (uint32_t i = 0; p && i < p->n_consts; i++) {
        regex_free(p->regexes[i]);
    }
    mem_free(p);
}

void cel_program_freep(struct cel_program **p)
{
    cel_program_free(*p);
}

enum cel_kind cel_program_kind(const struct cel_program *p)
{
    return p->kind;
}

const char *cel_program_type(const struct cel_program *p)
{
    return p->type_text;
}

bool cel_program_reads(const struct cel_program *p, uint32_t var)
{
    return p->vars_read >> MIN_OF(var, 63u) & 1;
}

uint64_t cel_program_cost(const struct cel_program *p)
{
    return p->cost;
}

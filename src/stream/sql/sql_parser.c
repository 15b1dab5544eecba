/* SPDX-License-Identifier: Apache-2.0 */
/* The parser's tools: tokens, errors, nodes, lists. */
#include <stdio.h>

#include "sql_private.h"

int sql_fail(struct parser *p, int code, const char *fmt, ...)
{
    char text[sizeof(p->err->text)];
    va_list ap;
    if (p->rc == 0) {
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap); /* a long text may be cut */
        va_end(ap);
        p->rc = arena_failed(p->a) ? -ENOMEM : code;
        (void)err_set(p->err, p->rc, "%s", p->rc == -ENOMEM ? err_text(-ENOMEM) : text);
    }
    return p->rc;
}

const char *sql_quoted(struct parser *p, struct str s)
{
    static const char escapes[] = "\a\b\f\n\r\t\v\\\"", letters[] = "abfnrtv\\\"";
    char *text = arena_alloc(p->a, 4 * s.n + 3), *out = text;
    if (!text) {
        return "";
    }
    *out++ = '"';
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(escapes, s.p[i]) : NULL;
        if (at) {
            *out++ = '\\';
            *out++ = letters[at - escapes];
        } else if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
            out += snprintf(out, 5, "\\x%02x", (unsigned char)s.p[i]);
        } else {
            *out++ = s.p[i];
        }
    }
    *out++ = '"';
    *out = 0;
    return text;
}

int sql_fail_at(struct parser *p, const char *before, const struct token *t, const char *after)
{
    return sql_fail(p, -E_PARSE, "%s %s%s", before, sql_quoted(p, t->text), after);
}

/* ---- tokens ---- */

void sql_advance(struct parser *p)
{
    lexer_next(&p->lex, &p->tok);
}

struct token sql_peek(struct parser *p)
{
    struct lexer l = p->lex;
    struct token t;
    lexer_next(&l, &t);
    return t;
}

bool sql_accept(struct parser *p, enum token_kind kind)
{
    bool here = p->tok.kind == kind;
    if (here) {
        sql_advance(p);
    }
    return here;
}

bool sql_at_word(const struct parser *p, const char *word)
{
    return p->tok.kind == TOKEN_NAME && str_iis(p->tok.text, word);
}

bool sql_accept_word(struct parser *p, const char *word)
{
    bool here = sql_at_word(p, word);
    if (here) {
        sql_advance(p);
    }
    return here;
}

bool sql_word_then(struct parser *p, const char *word, enum token_kind next)
{
    return sql_at_word(p, word) && sql_peek(p).kind == next;
}

bool sql_is_name(const struct token *t)
{
    return t->kind == TOKEN_NAME || t->kind == TOKEN_QUOTED;
}

int sql_name(struct parser *p, const char *expected, struct str *ret)
{
    if (!sql_is_name(&p->tok)) {
        return sql_fail(p, -E_PARSE, "found %s, %s", sql_quoted(p, p->tok.text), expected);
    }
    *ret = p->tok.text;
    sql_advance(p);
    return 0;
}

/* ---- depth and nodes ---- */

int sql_enter(struct parser *p)
{
    if (p->depth >= LIMIT_SQL_DEPTH) {
        return sql_fail(p, -E_LIMIT, "the statement is nested more than %d deep", LIMIT_SQL_DEPTH);
    }
    p->depth++;
    return 0;
}

void sql_leave(struct parser *p)
{
    p->depth--;
}

struct ast_expr *sql_node(struct parser *p, enum ast_kind kind, uint32_t at)
{
    if (++p->nodes > LIMIT_SQL_NODES) {
        (void)sql_fail(p, -E_LIMIT, "the statement has more than %d expressions", LIMIT_SQL_NODES);
        return NULL;
    }
    struct ast_expr *e = arena_zalloc(p->a, sizeof(*e));
    if (!e) {
        (void)sql_fail(p, -ENOMEM, "%s", err_text(-ENOMEM));
        return NULL;
    }
    e->kind = kind;
    e->at = at;
    e->height = 1;
    return e;
}

struct measure {
    const struct ast_expr *of;
    uint32_t height;
};

static bool measure_child(void *arg, struct ast_expr *e)
{
    struct measure *m = arg;
    if (e == m->of) {
        return true;
    }
    m->height = MAX_OF(m->height, e->height);
    return false;
}

struct ast_expr *sql_done(struct parser *p, struct ast_expr *e)
{
    struct measure m = {.of = e};
    sql_walk(e, measure_child, &m);
    if (e->kind == AST_SUBQUERY || e->kind == AST_EXISTS) {
        m.height = MAX_OF(m.height, p->height);
    }
    e->height = m.height + 1;
    if (e->height > LIMIT_SQL_DEPTH) {
        (void)sql_fail(p, -E_LIMIT, "the statement is nested more than %d deep", LIMIT_SQL_DEPTH);
        return NULL;
    }
    return p->rc < 0 ? NULL : e;
}

void *sql_list_add(struct parser *p, struct list *l, size_t item_size)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 4;
        void *grown = arena_grow(p->a, l->items, l->cap * item_size, cap * item_size);
        if (!grown) {
            (void)sql_fail(p, -ENOMEM, "%s", err_text(-ENOMEM));
            return NULL;
        }
        l->items = grown;
        l->cap = cap;
    }
    void *item = (char *)l->items + (size_t)l->n++ * item_size;
    memset(item, 0, item_size);
    return item;
}

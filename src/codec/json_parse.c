/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing of JSON texts into trees; see json.h. RFC 8259, strict: UTF-8 only, no comments, no
 * trailing commas, no lone surrogates, no leading zeros.
 *
 * The parser does not recurse: open containers stand on an explicit stack of bounded depth, so
 * hostile nesting costs an error, never the C stack. Items of an open container are gathered in its
 * own doubling slots.
 */
#include "json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "utf8.h"

struct frame {
    struct json *container;
    struct str key; /* of the member whose value comes next; in the arena */
};

struct parser {
    struct arena *a;
    const char *start, *at, *end;
    const struct json_parse_opts *opts;
    struct err *err;
    size_t values;
    int depth;
    struct frame stack[LIMIT_JSON_DEPTH];
};

static int fail(struct parser *p, const char *what)
{
    size_t line = 1, column = 1;
    for (const char *c = p->start; c < p->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    return err_set(p->err, -E_PARSE, "invalid JSON: %s at line %zu column %zu", what, line, column);
}

static int no_memory(struct parser *p)
{
    return err_set(p->err, -E_NOMEM, "the JSON text needs more memory than a request may use");
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end &&
           (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t')) {
        p->at++;
    }
}

static int hex4(struct parser *p, const char *at, uint32_t *ret)
{
    uint32_t v = 0;
    if (p->end - at < 4) {
        return fail(p, "unfinished \\u escape");
    }
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t d = c >= '0' && c <= '9'                 ? (uint32_t)(c - '0')
                     : (c | 32) >= 'a' && (c | 32) <= 'f' ? (uint32_t)((c | 32) - 'a' + 10)
                                                          : 16;
        if (d > 15) {
            return fail(p, "bad \\u escape");
        }
        v = v << 4 | d;
    }
    *ret = v;
    return 0;
}

/* p->at stands behind "\u". Writes the rune to out and returns its bytes. */
static int parse_unicode(struct parser *p, char *out)
{
    uint32_t r, low;
    if (hex4(p, p->at, &r) < 0) {
        return -E_PARSE;
    }
    p->at += 4;
    if (r >= 0xdc00 && r <= 0xdfff) {
        return fail(p, "lone surrogate");
    }
    if (r >= 0xd800 && r <= 0xdbff) {
        if (p->end - p->at < 6 || p->at[0] != '\\' || p->at[1] != 'u') {
            return fail(p, "lone surrogate");
        }
        if (hex4(p, p->at + 2, &low) < 0) {
            return -E_PARSE;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return fail(p, "lone surrogate");
        }
        p->at += 6;
        r = 0x10000 + ((r - 0xd800) << 10) + (low - 0xdc00);
    }
    return (int)utf8_put(out, r);
}

/* p->at stands behind the backslash. Writes at most 4 bytes to out and returns their number. */
static int parse_escape(struct parser *p, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (p->at == p->end) {
        return fail(p, "unfinished string");
    }
    char c = *p->at++;
    if (c == 'u') {
        return parse_unicode(p, out);
    }
    const char *hit = c ? strchr(from, c) : NULL;
    if (!hit) {
        return fail(p, "bad escape");
    }
    *out = to[hit - from];
    return 1;
}

/* Runs over bytes that stand for themselves; stops at a quote, a backslash, a bad byte or the end.
 */
static const char *plain_run(const char *at, const char *end)
{
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20) {
        size_t len = utf8_len(at, (size_t)(end - at));
        if (!len) {
            break;
        }
        at += len;
    }
    return at;
}

/* p->at stands behind the opening quote. The text is 0-terminated in the arena. */
static int parse_string(struct parser *p, struct str *ret)
{
    const char *stop = plain_run(p->at, p->end);
    if (stop < p->end && *stop == '"') {
        *ret = str_n(arena_strndup(p->a, p->at, (size_t)(stop - p->at)), (size_t)(stop - p->at));
        p->at = stop + 1;
        return ret->p ? 0 : no_memory(p);
    }
    const char *close = stop;
    while (close < p->end && *close != '"') {
        close += *close == '\\' && close + 1 < p->end ? 2 : 1;
    }
    char *out = arena_alloc(p->a, (size_t)(close - p->at) + 1); /* escapes only shrink */
    size_t n = 0;
    if (!out) {
        return no_memory(p);
    }
    for (;;) {
        stop = plain_run(p->at, p->end);
        memcpy(out + n, p->at, (size_t)(stop - p->at));
        n += (size_t)(stop - p->at);
        p->at = stop;
        if (p->at == p->end) {
            return fail(p, "unfinished string");
        }
        char c = *p->at;
        if (c != '"' && c != '\\') {
            return fail(p, (unsigned char)c < 0x20 ? "control character in a string" : "bad UTF-8");
        }
        p->at++;
        if (c == '"') {
            break;
        }
        int len = parse_escape(p, out + n);
        if (len < 0) {
            return len;
        }
        n += (size_t)len;
    }
    out[n] = '\0';
    *ret = str_n(out, n);
    return 0;
}

static int parse_number(struct parser *p, struct json *j)
{
    const char *from = p->at;
    bool integral = true;
    for (; p->at < p->end; p->at++) {
        char c = *p->at;
        if (c == '.' || c == 'e' || c == 'E') {
            integral = false;
        } else if (!((c >= '0' && c <= '9') || c == '-' || c == '+')) {
            break;
        }
    }
    struct str text = str_n(from, (size_t)(p->at - from));
    struct str digits = text.n && text.p[0] == '-' ? str_n(text.p + 1, text.n - 1) : text;
    bool leading_zero = digits.n > 1 && digits.p[0] == '0';
    if (integral && !leading_zero && !str_is(text, "-0") && str_i64(text, &j->i) == 0) {
        j->type = JSON_INT;
        return 0;
    }
    double d;
    if (text.n >= 512 || str_double(text, &d) < 0 || isinf(d)) {
        p->at = from;
        return fail(p, "bad number");
    }
    j->type = JSON_REAL;
    j->d = d;
    j->n = (uint32_t)text.n;
    j->s = arena_str(p->a, text);
    return j->s ? 0 : no_memory(p);
}

static int parse_word(struct parser *p, struct json *j)
{
    struct str left = str_n(p->at, (size_t)(p->end - p->at));
    if (str_starts(left, "true")) {
        j->type = JSON_BOOL;
        j->b = true;
        p->at += 4;
    } else if (str_starts(left, "false")) {
        j->type = JSON_BOOL;
        j->b = false;
        p->at += 5;
    } else if (str_starts(left, "null")) {
        j->type = JSON_NULL;
        p->at += 4;
    } else {
        return fail(p, left.n ? "unexpected character" : "unexpected end");
    }
    return 0;
}

/* Parses a scalar, or opens a container: then *ret_open is true. */
static int parse_value(struct parser *p, struct json **ret, bool *ret_open)
{
    struct json *j = arena_zalloc(p->a, sizeof(*j));
    if (!j) {
        return no_memory(p);
    }
    if (++p->values > LIMIT_JSON_VALUES) {
        return err_set(p->err, -E_LIMIT, "the JSON text has more than %d values",
                       LIMIT_JSON_VALUES);
    }
    j->arena = p->a;
    *ret = j;
    *ret_open = false;
    char c = p->at < p->end ? *p->at : '\0';
    if (c == '{' || c == '[') {
        j->type = c == '{' ? JSON_OBJECT : JSON_ARRAY;
        p->at++;
        *ret_open = true;
        return 0;
    }
    if (c == '"') {
        struct str s;
        p->at++;
        int rc = parse_string(p, &s);
        j->type = JSON_STRING;
        j->s = s.p;
        j->n = rc < 0 ? 0 : (uint32_t)s.n;
        return rc;
    }
    return c == '-' || (c >= '0' && c <= '9') ? parse_number(p, j) : parse_word(p, j);
}

static void report_duplicate(struct parser *p, struct str key)
{
    struct buf path = BUF_INIT;
    for (int i = 0; i < p->depth - 1; i++) {
        struct frame *f = &p->stack[i];
        if (f->container->type == JSON_OBJECT) {
            (void)buf_printf(&path, "%s" STR_FMT, buf_len(&path) ? "." : "", STR_ARG(f->key));
        } else {
            (void)buf_printf(&path, "[%u]", f->container->n);
        }
    }
    (void)buf_printf(&path, "%s" STR_FMT, buf_len(&path) ? "." : "", STR_ARG(key));
    (void)buf_putc(&path, '\0');
    if (!buf_failed(&path)) { /* without memory the warning is lost, the parse is not */
        p->opts->on_duplicate(p->opts->arg, buf_data(&path));
    }
    buf_fini(&path);
}

/* Reads `"key" :` of the innermost object. */
static int parse_key(struct parser *p)
{
    struct frame *f = &p->stack[p->depth - 1];
    skip_space(p);
    if (p->at == p->end || *p->at != '"') {
        return fail(p, "a member name is missing");
    }
    p->at++;
    int rc = parse_string(p, &f->key);
    if (rc < 0) {
        return rc;
    }
    skip_space(p);
    if (p->at == p->end || *p->at != ':') {
        return fail(p, "':' is missing");
    }
    p->at++;
    if (p->opts && p->opts->on_duplicate && json_get_n(f->container, f->key)) {
        report_duplicate(p, f->key);
    }
    return 0;
}

static void attach(struct parser *p, struct json *value)
{
    struct frame *f = &p->stack[p->depth - 1];
    if (f->container->type == JSON_ARRAY) {
        json_push(f->container, value);
    } else {
        json_set_n(f->container, f->key, value);
    }
}

/* After a value: commas, closing brackets, the next key. *ret_done when the outermost container is
 * closed. */
static int next_value(struct parser *p, bool opened, bool *ret_done)
{
    for (;;) {
        *ret_done = p->depth == 0;
        if (p->depth == 0) {
            return 0;
        }
        struct frame *f = &p->stack[p->depth - 1];
        bool object = f->container->type == JSON_OBJECT;
        skip_space(p);
        char c = p->at < p->end ? *p->at : '\0';
        if (c == (object ? '}' : ']')) {
            p->at++;
            p->depth--;
            opened = false;
            if (p->depth) {
                attach(p, f->container);
            }
            continue;
        }
        if (!opened) {
            if (c != ',') {
                return fail(p, p->at == p->end ? "unexpected end"
                                               : "',' or a closing bracket is missing");
            }
            p->at++;
        }
        return object ? parse_key(p) : 0;
    }
}

static int parse_all(struct parser *p, struct json **ret)
{
    struct json *root = NULL, *j = NULL;
    bool open = false, done = false;
    while (!done) {
        skip_space(p);
        int rc = parse_value(p, &j, &open);
        if (rc < 0) {
            return rc;
        }
        root = root ? root : j;
        if (open) {
            if (p->depth == LIMIT_JSON_DEPTH) {
                return err_set(p->err, -E_LIMIT, "the JSON text is nested deeper than %d",
                               LIMIT_JSON_DEPTH);
            }
            p->stack[p->depth++] = (struct frame){.container = j};
        } else if (p->depth) {
            attach(p, j);
        }
        rc = next_value(p, open, &done);
        if (rc < 0) {
            return rc;
        }
    }
    skip_space(p);
    if (p->at != p->end) {
        return fail(p, "text after the value");
    }
    if (arena_failed(p->a)) {
        return no_memory(p);
    }
    *ret = root;
    return 0;
}

int json_parse(struct arena *a, struct str text, const struct json_parse_opts *opts,
               struct json **ret, struct err *err)
{
    struct parser p;
    p.a = a;
    p.start = p.at = text.p ? text.p : "";
    p.end = p.start + text.n;
    p.opts = opts;
    p.err = err;
    p.values = 0;
    p.depth = 0; /* the stack needs no initial value */
    return parse_all(&p, ret);
}

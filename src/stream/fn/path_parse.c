/* SPDX-License-Identifier: Apache-2.0 */
/* JSON paths: from text to a list of segments. */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "path_private.h"

struct parser {
    struct arena *arena;
    struct err *err;
    struct str text;
    size_t at;
    unsigned depth;
};

static int fail(struct parser *p, const char *what)
{
    return arena_failed(p->arena)
               ? err_sys(p->err, -E_NOMEM, "json path")
               : err_set(p->err, -E_INVAL, "json path " STR_FMT ": %s at byte %zu",
                         STR_ARG(p->text), what, p->at + 1);
}

static char peek(const struct parser *p, size_t ahead)
{
    return p->at + ahead < p->text.n ? p->text.p[p->at + ahead] : 0;
}

static void blanks(struct parser *p)
{
    while (peek(p, 0) == ' ' || peek(p, 0) == '\t' || peek(p, 0) == '\n') {
        p->at++;
    }
}

static bool take(struct parser *p, const char *token)
{
    size_t n = strlen(token);
    blanks(p);
    if (p->text.n - p->at < n || memcmp(p->text.p + p->at, token, n) != 0) {
        return false;
    }
    p->at += n;
    return true;
}

/* ---- pieces ---- */

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* In a dotted name a hyphen is part of it; filters need it for subtraction. */
static int parse_name(struct parser *p, bool hyphens, struct str *ret)
{
    size_t start = p->at;
    while (is_name(peek(p, 0)) || (hyphens && peek(p, 0) == '-')) {
        p->at++;
    }
    *ret = str_n(p->text.p + start, p->at - start);
    return p->at > start ? 0 : fail(p, "a name is missing");
}

static char unescaped(char c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
}

static int parse_quoted(struct parser *p, struct str *ret)
{
    char quote = peek(p, 0);
    char *out = arena_alloc(p->arena, p->text.n - p->at + 1);
    size_t n = 0;
    for (p->at++; out && p->at < p->text.n && peek(p, 0) != quote; p->at++) {
        if (peek(p, 0) == '\\' && p->at + 1 < p->text.n) {
            p->at++;
            out[n++] = unescaped(peek(p, 0));
        } else {
            out[n++] = peek(p, 0);
        }
    }
    if (!out || p->at >= p->text.n) {
        return fail(p, "the text does not end");
    }
    p->at++;
    *ret = str_n(out, n);
    return 0;
}

static bool parse_int(struct parser *p, int64_t *ret)
{
    size_t start = p->at;
    p->at += peek(p, 0) == '-';
    while (peek(p, 0) >= '0' && peek(p, 0) <= '9') {
        p->at++;
    }
    bool ok = str_i64(str_n(p->text.p + start, p->at - start), ret) == 0;
    p->at = ok ? p->at : start;
    return ok;
}

/* ---- filters ---- */

static const struct filter *parse_or(struct parser *p);

static struct filter *new_filter(struct parser *p, enum filter_kind kind)
{
    struct filter *f = arena_zalloc(p->arena, sizeof(*f));
    if (f) {
        f->kind = kind;
    } else {
        (void)fail(p, ""); /* the text is that of -E_NOMEM */
    }
    return f;
}

static int parse_segments(struct parser *p, struct path *path);

static const struct filter *parse_inner_path(struct parser *p)
{
    struct filter *f = new_filter(p, FILTER_PATH);
    struct path *path = f ? arena_zalloc(p->arena, sizeof(*path)) : NULL;
    if (!path) {
        return NULL;
    }
    path->root = peek(p, 0) == '$';
    p->at++;
    f->path = path;
    return parse_segments(p, path) == 0 ? f : NULL;
}

static const struct filter *parse_number(struct parser *p)
{
    size_t start = p->at;
    double d;
    int64_t i;
    while (peek(p, 0) &&
           (strchr("0123456789.eE", peek(p, 0)) ||
            (strchr("+-", peek(p, 0)) && p->at > start && strchr("eE", p->text.p[p->at - 1])))) {
        p->at++;
    }
    struct str text = str_n(p->text.p + start, p->at - start);
    struct filter *f = new_filter(p, FILTER_VALUE);
    if (!f) {
        return NULL;
    }
    if (str_i64(text, &i) == 0) {
        f->value = value_int(i);
    } else if (str_double(text, &d) == 0) {
        f->value = value_float(d);
    } else {
        (void)fail(p, "a number is malformed"); /* told */
        return NULL;
    }
    return f;
}

static const struct filter *parse_word(struct parser *p)
{
    static const struct {
        const char *word;
        struct value value;
    } words[] = {{"true", {.type = VALUE_BOOL, .b = true}},
                 {"false", {.type = VALUE_BOOL}},
                 {"null", {.type = VALUE_NULL}},
                 {"nil", {.type = VALUE_NULL}}};
    struct str name;
    struct filter *f = new_filter(p, FILTER_VALUE);
    if (!f || parse_name(p, false, &name) < 0) {
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (str_is(name, words[i].word)) {
            f->value = words[i].value;
            return f;
        }
    }
    (void)fail(p, "a value is missing"); /* told */
    return NULL;
}

static const struct filter *parse_primary(struct parser *p)
{
    blanks(p);
    char c = peek(p, 0);
    if (c == '@' || c == '$') {
        return parse_inner_path(p);
    }
    if (c == '"' || c == '\'') {
        struct filter *f = new_filter(p, FILTER_VALUE);
        struct str text;
        if (!f || parse_quoted(p, &text) < 0) {
            return NULL;
        }
        f->value = value_string(text);
        return f;
    }
    if (c >= '0' && c <= '9') {
        return parse_number(p);
    }
    if (take(p, "(")) {
        const struct filter *f = parse_or(p);
        if (f && !take(p, ")")) {
            (void)fail(p, "a closing parenthesis is missing"); /* told */
            return NULL;
        }
        return f;
    }
    return parse_word(p);
}

static const struct filter *parse_unary(struct parser *p)
{
    blanks(p);
    bool not = peek(p, 0) == '!' && peek(p, 1) != '=', minus = peek(p, 0) == '-';
    if (!not &&!minus) {
        return parse_primary(p);
    }
    if (++p->depth > LIMIT_SQL_DEPTH) {
        (void)fail(p, "nested too deep"); /* told */
        return NULL;
    }
    p->at++;
    struct filter *f = new_filter(p, not ? FILTER_NOT : FILTER_MINUS);
    if (f && !(f->a = parse_unary(p))) {
        return NULL;
    }
    p->depth--;
    return f;
}

struct level {
    struct {
        const char *token;
        enum value_op op;
    } ops[6];
};

/* Weakest first; of tokens that begin alike the longer stands first. */
static const struct level levels[] = {
    {{{"||", VALUE_OR}}},
    {{{"&&", VALUE_AND}}},
    {{{"==", VALUE_EQ},
      {"!=", VALUE_NE},
      {"<=", VALUE_LE},
      {">=", VALUE_GE},
      {"<", VALUE_LT},
      {">", VALUE_GT}}},
    {{{"+", VALUE_ADD}, {"-", VALUE_SUB}}},
    {{{"*", VALUE_MUL}, {"/", VALUE_DIV}, {"%", VALUE_MOD}}},
};

static bool take_op(struct parser *p, const struct level *l, enum value_op *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(l->ops) && l->ops[i].token; i++) {
        if (take(p, l->ops[i].token)) {
            *ret = l->ops[i].op;
            return true;
        }
    }
    return false;
}

static const struct filter *parse_level(struct parser *p, size_t level)
{
    enum value_op op;
    if (level == ARRAY_SIZE(levels)) {
        return parse_unary(p);
    }
    const struct filter *left = parse_level(p, level + 1);
    while (left && take_op(p, &levels[level], &op)) {
        struct filter *f = new_filter(p, FILTER_OP);
        if (!f || ++p->depth > LIMIT_SQL_DEPTH) {
            (void)fail(p, "nested too deep"); /* told */
            return NULL;
        }
        f->op = op;
        f->a = left;
        f->b = parse_level(p, level + 1);
        if (!f->b) {
            return NULL;
        }
        left = f;
    }
    return left;
}

static const struct filter *parse_or(struct parser *p)
{
    if (++p->depth > LIMIT_SQL_DEPTH) {
        (void)fail(p, "nested too deep"); /* told */
        return NULL;
    }
    const struct filter *f = parse_level(p, 0);
    p->depth--;
    return f;
}

/* ---- segments ---- */

static int parse_range(struct parser *p, struct path_selector *s)
{
    s->has_from = parse_int(p, &s->from);
    blanks(p);
    if (!take(p, ":")) {
        s->kind = SELECT_INDEX;
        return s->has_from ? 0 : fail(p, "a selector is missing");
    }
    s->kind = SELECT_SLICE;
    s->step = 1;
    blanks(p);
    s->has_to = parse_int(p, &s->to);
    if (take(p, ":")) {
        blanks(p);
        (void)parse_int(p, &s->step); /* may be missing: 1 */
    }
    return s->step == 0 ? fail(p, "the step of a slice is 0") : 0;
}

static int parse_selector(struct parser *p, struct path_selector *s)
{
    blanks(p);
    char c = peek(p, 0);
    if (c == '*') {
        p->at++;
        s->kind = SELECT_ALL;
        return 0;
    }
    if (c == '?') {
        p->at++;
        s->kind = SELECT_FILTER;
        s->filter = parse_or(p);
        return s->filter ? 0 : -E_INVAL;
    }
    if (c == '"' || c == '\'') {
        s->kind = SELECT_NAME;
        return parse_quoted(p, &s->name);
    }
    if (c == '-' || c == ':' || (c >= '0' && c <= '9')) {
        return parse_range(p, s);
    }
    s->kind = SELECT_NAME;
    return parse_name(p, true, &s->name);
}

static struct path_selector *new_selector(struct parser *p, struct path_selector **tail)
{
    struct path_selector *s = arena_zalloc(p->arena, sizeof(*s));
    *tail = s;
    return s;
}

static int parse_brackets(struct parser *p, struct path_segment *seg)
{
    struct path_selector **tail = &seg->selectors;
    do {
        struct path_selector *s = new_selector(p, tail);
        int rc = s ? parse_selector(p, s) : fail(p, "");
        if (rc < 0) {
            return rc;
        }
        tail = &s->next;
    } while (take(p, ","));
    return take(p, "]") ? 0 : fail(p, "a closing bracket is missing");
}

static int parse_dotted(struct parser *p, struct path_segment *seg)
{
    struct path_selector *s = new_selector(p, &seg->selectors);
    if (!s) {
        return fail(p, "");
    }
    if (peek(p, 0) == '*') {
        p->at++;
        s->kind = SELECT_ALL;
        return 0;
    }
    s->kind = SELECT_NAME;
    return peek(p, 0) == '"' ? parse_quoted(p, &s->name) : parse_name(p, !p->depth, &s->name);
}

static int parse_segments(struct parser *p, struct path *path)
{
    struct path_segment **tail = &path->segments;
    unsigned n = 0;
    path->definite = true;
    while (peek(p, 0) == '.' || peek(p, 0) == '[') {
        struct path_segment *seg = arena_zalloc(p->arena, sizeof(*seg));
        if (!seg || ++n > LIMIT_SQL_DEPTH) {
            return fail(p, "too many segments");
        }
        seg->deep = peek(p, 0) == '.' && peek(p, 1) == '.';
        p->at += seg->deep ? 2 : peek(p, 0) == '.' ? 1 : 0;
        bool bracket = peek(p, 0) == '[';
        p->at += bracket;
        int rc = bracket ? parse_brackets(p, seg) : parse_dotted(p, seg);
        if (rc < 0) {
            return rc;
        }
        *tail = seg;
        tail = &seg->next;
        if (seg->deep || seg->selectors->next || seg->selectors->kind > SELECT_INDEX) {
            path->definite = false;
        }
    }
    return 0;
}

int path_parse(struct arena *a, struct str text, const struct path **ret, struct err *err)
{
    struct parser p = {.arena = a, .err = err, .text = text};
    struct path *path = arena_zalloc(a, sizeof(*path));
    if (!path) {
        return err_sys(err, -E_NOMEM, "json path");
    }
    if (!take(&p, "$")) {
        return fail(&p, "it does not begin with $");
    }
    int rc = parse_segments(&p, path);
    blanks(&p);
    if (rc == 0 && p.at < text.n) {
        rc = fail(&p, "a segment begins with . or [");
    }
    *ret = path;
    return rc < 0 && arena_failed(a) ? -E_NOMEM : rc;
}

bool path_definite(const struct path *p)
{
    return p->definite;
}

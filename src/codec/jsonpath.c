/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSONPath: see jsonpath.h. A path is a list of steps; each step turns a list of values into the
 * next list. Every list is bounded by JSONPATH_FOUND_MAX, so that "..*" of a large document costs
 * little.
 */
#include "codec/jsonpath.h"

#include "base/limits.h"
#include "base/mem.h"

#define TEXT_MAX 4096
#define STEPS_MAX 64
#define DEPTH_MAX 8 /* of filters within filters */
#define WORK_MAX 100000

enum step_type { STEP_NAME, STEP_ALL, STEP_DEEP, STEP_SLICE, STEP_UNION, STEP_FILTER };
enum filter_op { OP_EXISTS, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };

struct operand {
    const struct jsonpath *path; /* NULL: the literal */
    const struct json *literal;
};

struct step {
    enum step_type type;
    struct str name;
    int64_t from, to, by; /* STEP_SLICE; INT64_MAX = not said */
    struct jsonpath *any; /* STEP_UNION: its alternatives, each a path */
    size_t n_any;
    enum filter_op op;
    struct operand left, right;
};

struct jsonpath {
    struct step *steps;
    size_t n;
};

/* ---- parsing ---- */

struct parser {
    struct arena *a;
    struct str rest;
    struct err *err;
    int depth;
};

static int parse_path(struct parser *p, struct jsonpath *out, bool in_filter);

static int bad(struct parser *p, const char *what)
{
    return err_set(p->err, -E_INVAL, "%s", what);
}

static char peek(const struct parser *p)
{
    return p->rest.n ? p->rest.p[0] : '\0';
}

static void skip(struct parser *p, size_t n)
{
    p->rest = str_n(p->rest.p + n, p->rest.n - n);
}

static void spaces(struct parser *p)
{
    while (peek(p) == ' ') {
        skip(p, 1);
    }
}

static bool take(struct parser *p, const char *text)
{
    if (!str_starts(p->rest, text)) {
        return false;
    }
    skip(p, strlen(text));
    return true;
}

static bool ends_name(char c, bool in_filter)
{
    return c == '.' || c == '[' || c == ']' || c == '\0' ||
           (in_filter && (c == ' ' || c == ')' || c == '=' || c == '!' || c == '<' || c == '>'));
}

/* A name up to the next step; a backslash takes the character behind it as it is. */
static int parse_name(struct parser *p, bool in_filter, struct step *s)
{
    char *name = arena_alloc(p->a, p->rest.n + 1);
    size_t n = 0;
    if (!name) {
        return -E_NOMEM;
    }
    while (p->rest.n && !ends_name(peek(p), in_filter)) {
        if (peek(p) == '\\' && p->rest.n > 1) {
            skip(p, 1);
        }
        name[n++] = peek(p);
        skip(p, 1);
    }
    if (n == 0) {
        return bad(p, "a name is missing");
    }
    name[n] = '\0';
    s->type = n == 1 && name[0] == '*' ? STEP_ALL : STEP_NAME;
    s->name = str_n(name, n);
    return 0;
}

static int parse_quoted(struct parser *p, struct str *ret)
{
    char quote = peek(p);
    char *text = arena_alloc(p->a, p->rest.n + 1);
    size_t n = 0;
    if (!text) {
        return -E_NOMEM;
    }
    skip(p, 1);
    while (p->rest.n && peek(p) != quote) {
        if (peek(p) == '\\' && p->rest.n > 1) {
            skip(p, 1);
        }
        text[n++] = peek(p);
        skip(p, 1);
    }
    if (!p->rest.n) {
        return bad(p, "unterminated quoted string");
    }
    skip(p, 1);
    text[n] = '\0';
    *ret = str_n(text, n);
    return 0;
}

static int parse_number(struct parser *p, int64_t *ret)
{
    size_t n = peek(p) == '-' ? 1 : 0;
    while (n < p->rest.n && p->rest.p[n] >= '0' && p->rest.p[n] <= '9') {
        n++;
    }
    if (str_i64(str_n(p->rest.p, n), ret) < 0) {
        return bad(p, "invalid array index");
    }
    skip(p, n);
    return 0;
}

/* "1", "1:3", ":2", "1:9:2" */
static int parse_slice(struct parser *p, struct step *s)
{
    int64_t part[3] = {INT64_MAX, INT64_MAX, 1};
    size_t n = 0;
    for (;; n++) {
        bool digit = peek(p) == '-' || (peek(p) >= '0' && peek(p) <= '9');
        int code = digit ? parse_number(p, &part[n]) : 0;
        if (code < 0) {
            return code;
        }
        if (n == 2 || !take(p, ":")) {
            break;
        }
    }
    if (part[2] < 1 || (n == 0 && part[0] == INT64_MAX)) {
        return bad(p, "invalid array index");
    }
    *s = (struct step){.type = STEP_SLICE, .from = part[0], .to = part[1], .by = part[2]};
    if (n == 0) { /* one item */
        s->to = part[0] == -1 ? INT64_MAX : part[0] + 1;
    } else if (s->from == INT64_MAX) {
        s->from = 0;
    }
    return 0;
}

static int parse_operand(struct parser *p, struct operand *o)
{
    struct str text;
    char c = peek(p);
    if (c == '@' || c == '$' || c == '.') {
        struct jsonpath *path = arena_zalloc(p->a, sizeof(*path));
        o->path = path;
        return path ? parse_path(p, path, true) : -E_NOMEM;
    }
    if (c == '"' || c == '\'') {
        int code = parse_quoted(p, &text);
        o->literal = code == 0 ? json_string_n(p->a, text) : NULL;
        return code < 0 ? code : o->literal ? 0 : -E_NOMEM;
    }
    size_t n = 0;
    while (n < p->rest.n && !strchr(" )=!<>", p->rest.p[n])) {
        n++;
    }
    struct json *value;
    if (json_parse(p->a, str_n(p->rest.p, n), NULL, &value, NULL) < 0) {
        return bad(p, "unrecognized operand of a filter");
    }
    o->literal = value;
    skip(p, n);
    return 0;
}

static int parse_filter(struct parser *p, struct step *s)
{
    static const struct {
        const char *text;
        enum filter_op op;
    } ops[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE},
               {">=", OP_GE}, {"<", OP_LT},  {">", OP_GT}};
    *s = (struct step){.type = STEP_FILTER, .op = OP_EXISTS};
    spaces(p);
    int code = parse_operand(p, &s->left);
    spaces(p);
    for (size_t i = 0; code == 0 && i < ARRAY_SIZE(ops); i++) {
        if (take(p, ops[i].text)) {
            s->op = ops[i].op;
            spaces(p);
            code = parse_operand(p, &s->right);
            spaces(p);
            break;
        }
    }
    if (code == 0 && !take(p, ")")) {
        return bad(p, "unterminated filter");
    }
    return code;
}

/* One of a comma-separated list in brackets. */
static int parse_one(struct parser *p, struct step *s)
{
    spaces(p);
    char c = peek(p);
    int code;
    *s = (struct step){.type = STEP_NAME};
    if (c == '\'' || c == '"') {
        code = parse_quoted(p, &s->name);
    } else if (take(p, "?(")) {
        code = parse_filter(p, s);
    } else if (take(p, "*")) {
        s->type = STEP_ALL;
        code = 0;
    } else {
        code = parse_slice(p, s);
    }
    spaces(p);
    return code;
}

static int parse_brackets(struct parser *p, struct step *s)
{
    struct jsonpath *any = NULL;
    size_t n = 0;
    if (++p->depth > DEPTH_MAX) {
        return err_set(p->err, -E_LIMIT, "the path is nested too deeply");
    }
    do {
        struct step *one = arena_zalloc(p->a, sizeof(*one));
        any = arena_grow(p->a, any, n * sizeof(*any), (n + 1) * sizeof(*any));
        if (!one || !any || n == STEPS_MAX) {
            return n == STEPS_MAX ? bad(p, "the path is too long") : -E_NOMEM;
        }
        int code = parse_one(p, one);
        if (code < 0) {
            return code;
        }
        any[n] = (struct jsonpath){.steps = one, .n = 1};
        n++;
    } while (take(p, ","));
    if (!take(p, "]")) {
        return bad(p, "unterminated array");
    }
    p->depth--;
    *s = n == 1 ? *any[0].steps : (struct step){.type = STEP_UNION, .any = any, .n_any = n};
    return 0;
}

static int parse_step(struct parser *p, bool in_filter, bool first, struct step *s)
{
    *s = (struct step){.type = STEP_DEEP};
    if (take(p, "..")) {
        return 0; /* the name comes as the next step, which needs no dot */
    }
    if (take(p, "[")) {
        return parse_brackets(p, s);
    }
    if (!take(p, ".") && !first) {
        return bad(p, "unrecognized character in the path");
    }
    return peek(p) == '[' ? parse_step(p, in_filter, true, s) : parse_name(p, in_filter, s);
}

static int parse_path(struct parser *p, struct jsonpath *out, bool in_filter)
{
    bool first = true;
    if (peek(p) == '$' || peek(p) == '@') {
        skip(p, 1);
        first = false;
    }
    while (p->rest.n && !(in_filter && peek(p) != '.' && peek(p) != '[' && !first)) {
        out->steps = arena_grow(p->a, out->steps, out->n * sizeof(*out->steps),
                                (out->n + 1) * sizeof(*out->steps));
        if (!out->steps || out->n == STEPS_MAX) {
            return out->n == STEPS_MAX ? bad(p, "the path is too long") : -E_NOMEM;
        }
        struct step *s = &out->steps[out->n++];
        int code = parse_step(p, in_filter, first, s);
        if (code < 0) {
            return code;
        }
        first = s->type == STEP_DEEP;
    }
    return first && out->n ? bad(p, "a name is missing") : 0;
}

int jsonpath_compile(struct arena *a, struct str text, const struct jsonpath **ret, struct err *err)
{
    struct parser p = {.a = a, .rest = text, .err = err};
    struct jsonpath *path = arena_zalloc(a, sizeof(*path));
    if (text.n > TEXT_MAX) {
        return err_set(err, -E_LIMIT, "the path is too long");
    }
    int code = path ? parse_path(&p, path, false) : -E_NOMEM;
    if (code == 0) {
        *ret = path;
    }
    return code == -E_NOMEM ? err_set(err, code, "out of memory") : code;
}

bool jsonpath_is_simple(const struct jsonpath *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->steps[i].type != STEP_NAME) {
            return false;
        }
    }
    return p->n > 0;
}

/* ---- finding ---- */

struct found {
    struct arena *a;
    size_t *left; /* steps that may still be made: nested filters multiply */
    const struct json **items;
    size_t n, cap;
};

static void find(struct found *out, const struct jsonpath *p, const struct json *root, int depth);

static void add(struct found *f, const struct json *j)
{
    if (!j || f->n == JSONPATH_FOUND_MAX || *f->left == 0) {
        return;
    }
    --*f->left;
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 4 : 4;
        const struct json **items =
            arena_grow(f->a, f->items, f->cap * sizeof(struct json *), cap * sizeof(struct json *));
        if (!items) {
            return;
        }
        f->items = items;
        f->cap = cap;
    }
    f->items[f->n++] = j;
}

static void each_below(struct found *out, const struct json *j)
{
    JSON_FOR_EACH (item, j) {
        add(out, item);
    }
    JSON_FOR_EACH_MEMBER (m, j) {
        add(out, m->value);
    }
}

/* j and everything below it. The list grows while it is walked. */
static void deep(struct found *out, const struct json *j)
{
    size_t at = out->n;
    add(out, j);
    while (at < out->n) {
        each_below(out, out->items[at++]);
    }
}

static void slice(struct found *out, const struct step *s, const struct json *j)
{
    int64_t n = (int64_t)json_len(j);
    if (!json_is(j, JSON_ARRAY)) {
        return;
    }
    int64_t from = s->from < 0 ? s->from + n : s->from;
    int64_t to = s->to == INT64_MAX ? n : s->to < 0 ? s->to + n : s->to;
    if (s->from < 0 && s->to == s->from + 1 && s->to != 0) {
        to = from + 1;
    }
    to = MIN_OF(to, n);
    for (int64_t i = from < 0 ? n : from; i < to; i += s->by) {
        add(out, json_at(j, (size_t)i));
        if (s->by > n) {
            break; /* and i would overflow */
        }
    }
}

static const struct json *operand(struct found *out, const struct operand *o, const struct json *at,
                                  int depth)
{
    if (!o->path) {
        return o->literal;
    }
    struct found f = {.a = out->a, .left = out->left};
    find(&f, o->path, at, depth + 1);
    return f.n ? f.items[0] : NULL;
}

static bool compare(enum filter_op op, const struct json *l, const struct json *r)
{
    if (!l || !r) {
        return false;
    }
    if (op == OP_EQ || op == OP_NE) {
        return json_equal(l, r) == (op == OP_EQ);
    }
    int c;
    if (json_is(l, JSON_STRING) && json_is(r, JSON_STRING)) {
        c = str_cmp(json_text(l), json_text(r));
    } else {
        double a = json_double(l, 0), b = json_double(r, 0);
        c = a < b ? -1 : a > b;
    }
    return op == OP_LT ? c < 0 : op == OP_LE ? c <= 0 : op == OP_GT ? c > 0 : c >= 0;
}

static void filter(struct found *out, const struct step *s, const struct json *j, int depth)
{
    struct found all = {.a = out->a, .left = out->left};
    if (json_is(j, JSON_ARRAY)) {
        each_below(&all, j);
    } else {
        add(&all, j);
    }
    for (size_t i = 0; i < all.n; i++) {
        const struct json *l = operand(out, &s->left, all.items[i], depth);
        bool ok = s->op == OP_EXISTS
                      ? l != NULL
                      : compare(s->op, l, operand(out, &s->right, all.items[i], depth));
        if (ok) {
            add(out, all.items[i]);
        }
    }
}

static void apply(struct found *out, const struct step *s, const struct json *j, int depth)
{
    switch (s->type) {
    case STEP_NAME:
        add(out, json_get_n(j, s->name));
        break;
    case STEP_ALL:
        each_below(out, j);
        break;
    case STEP_DEEP:
        deep(out, j);
        break;
    case STEP_SLICE:
        slice(out, s, j);
        break;
    case STEP_FILTER:
        filter(out, s, j, depth);
        break;
    case STEP_UNION:
        for (size_t i = 0; i < s->n_any; i++) {
            apply(out, s->any[i].steps, j, depth);
        }
        break;
    }
}

static void find(struct found *out, const struct jsonpath *p, const struct json *root, int depth)
{
    struct found now = {.a = out->a, .left = out->left};
    add(&now, depth <= DEPTH_MAX * 2 ? root : NULL);
    for (size_t i = 0; i < p->n && now.n; i++) {
        struct found next = {.a = out->a, .left = out->left};
        for (size_t k = 0; k < now.n; k++) {
            apply(&next, &p->steps[i], now.items[k], depth);
        }
        now = next;
    }
    *out = now;
}

const struct json **jsonpath_find(struct arena *a, const struct jsonpath *p,
                                  const struct json *root, size_t *ret_n)
{
    size_t left = WORK_MAX;
    struct found f = {.a = a, .left = &left};
    find(&f, p, root, 0);
    *ret_n = f.n;
    return f.n ? f.items : NULL;
}

const struct json *jsonpath_first(struct arena *a, const struct jsonpath *p,
                                  const struct json *root)
{
    size_t n;
    const struct json **found = jsonpath_find(a, p, root, &n);
    return n ? found[0] : NULL;
}

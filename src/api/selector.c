/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label selectors: the text form (a lexer and a parser with Kubernetes' grammar and words,
 * apimachinery pkg/labels/selector.go), LabelSelector objects, matching and printing. Field
 * selectors are in selector_fields.c.
 */
#include "selector.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "name.h"
#include "selector_private.h"

/* ---- building ---- */

int selector_new(struct arena *a, struct selector **ret)
{
    *ret = arena_zalloc(a, sizeof(**ret));
    return *ret ? 0 : -E_NOMEM;
}

int selector_add(struct arena *a, struct selector *s, const struct selector_term *t,
                 struct err *err)
{
    if (s->n >= LIMIT_SELECTOR_TERMS) {
        return err_set(err, -E_LIMIT, "a selector may have at most %d requirements",
                       LIMIT_SELECTOR_TERMS);
    }
    struct selector_term *terms =
        arena_grow(a, s->terms, s->n * sizeof(*t), (s->n + 1) * sizeof(*t));
    if (!terms) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    s->terms = terms;
    s->terms[s->n++] = *t;
    return 0;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts and drops what stands twice. */
static void sort_values(struct selector_term *t)
{
    if (t->n_values < 2) {
        return;
    }
    qsort((void *)t->values, t->n_values, sizeof(*t->values), compare_text);
    size_t n = 1;
    for (size_t i = 1; i < t->n_values; i++) {
        if (strcmp(t->values[i], t->values[n - 1]) != 0) {
            t->values[n++] = t->values[i];
        }
    }
    t->n_values = n;
}

static int push_value(struct arena *a, struct selector_term *t, const char *value)
{
    if (t->n_values >= LIMIT_SELECTOR_VALUES) {
        return -E_LIMIT;
    }
    const char **values = arena_grow(a, (void *)t->values, t->n_values * sizeof(*values),
                                     (t->n_values + 1) * sizeof(*values));
    if (!values || !value) {
        return -E_NOMEM;
    }
    t->values = values;
    t->values[t->n_values++] = value;
    return 0;
}

static int check_key(const char *key, struct err *err)
{
    const char *wrong = name_check_qualified(str_of(key));
    return wrong ? err_set(err, -E_INVAL, "key: Invalid value: \"%s\": %s", key, wrong) : 0;
}

static int check_integer(const char *value, struct err *err)
{
    int64_t v;
    if (str_i64(str_of(value), &v) < 0) {
        return err_set(err, -E_INVAL,
                       "values[0]: Invalid value: \"%s\": for 'Gt', 'Lt' operators, the value "
                       "must be an integer",
                       value);
    }
    return 0;
}

/* What Kubernetes' NewRequirement() checks. */
/* How many values the operator takes. */
static int check_count(const struct selector_term *t, struct err *err)
{
    switch (t->op) {
    case SELECTOR_IN:
    case SELECTOR_NOT_IN:
        if (t->n_values == 0) {
            return err_set(err, -E_INVAL,
                           "values: Invalid value: []: for 'in', 'notin' operators, values set "
                           "can't be empty");
        }
        break;
    case SELECTOR_EXISTS:
    case SELECTOR_NOT_EXISTS:
        if (t->n_values != 0) {
            return err_set(err, -E_INVAL,
                           "values: Invalid value: [\"%s\"]: values set must be empty for exists "
                           "and does not exist",
                           t->values[0]);
        }
        break;
    default:
        if (t->n_values != 1) {
            return err_set(err, -E_INVAL,
                           "values: Invalid value: exact-match compatibility "
                           "requires one single value");
        }
        if (t->op == SELECTOR_GT || t->op == SELECTOR_LT) {
            return check_integer(t->values[0], err);
        }
        break;
    }
    return 0;
}

static int check_term(const struct selector_term *t, struct err *err)
{
    int r = check_key(t->key, err);
    r = r < 0 ? r : check_count(t, err);
    if (r < 0 || t->op == SELECTOR_GT || t->op == SELECTOR_LT) {
        return r;
    }
    for (size_t i = 0; i < t->n_values; i++) {
        const char *wrong = name_check_label_value(str_of(t->values[i]));
        if (wrong) {
            return err_set(err, -E_INVAL, "values[%zu][%s]: Invalid value: \"%s\": %s", i, t->key,
                           t->values[i], wrong);
        }
    }
    return 0;
}

/* ---- the text form ---- */

enum token {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_COMMA,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_NOT,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_GT,
    TOKEN_LT,
};

struct parser {
    struct arena *arena;
    const char *at;
    enum token token; /* the next one, not yet consumed */
    struct str text;
    struct err *err;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
    return c && strchr("=!(),><", c);
}

static void scan(struct parser *p)
{
    while (is_space(*p->at)) {
        p->at++;
    }
    const char *start = p->at;
    size_t n = 1;
    switch (*start) {
    case '\0':
        p->token = TOKEN_END;
        n = 0;
        break;
    case ',':
        p->token = TOKEN_COMMA;
        break;
    case '(':
        p->token = TOKEN_OPEN;
        break;
    case ')':
        p->token = TOKEN_CLOSE;
        break;
    case '>':
        p->token = TOKEN_GT;
        break;
    case '<':
        p->token = TOKEN_LT;
        break;
    case '!':
        n = start[1] == '=' ? 2 : 1;
        p->token = n == 2 ? TOKEN_NE : TOKEN_NOT;
        break;
    case '=':
        n = start[1] == '=' ? 2 : 1;
        p->token = TOKEN_EQ;
        break;
    default:
        p->token = TOKEN_WORD;
        while (start[n] && !is_space(start[n]) && !is_special(start[n])) {
            n++;
        }
        break;
    }
    p->text = str_n(start, n);
    p->at = start + n;
}

static int unexpected(struct parser *p, const char *expected)
{
    return err_set(p->err, -E_INVAL,
                   "unable to parse requirement: found '" STR_FMT "', expected: %s",
                   STR_ARG(p->text), expected);
}

static int take_value(struct parser *p, struct selector_term *t, struct str value)
{
    int r = push_value(p->arena, t, arena_str(p->arena, value));
    return r < 0 ? err_set(p->err, r, "unable to parse requirement: too many values") : 0;
}

/* "(a,b,,c)": an empty place between commas is the empty value. */
static int parse_values(struct parser *p, struct selector_term *t)
{
    if (p->token != TOKEN_OPEN) {
        return unexpected(p, "'('");
    }
    scan(p);
    for (;;) {
        struct str value = STR_LIT("");
        if (p->token == TOKEN_WORD) {
            value = p->text;
            scan(p);
        } else if (p->token != TOKEN_COMMA && p->token != TOKEN_CLOSE) {
            return unexpected(p, "',', ')' or identifier");
        }
        int r = take_value(p, t, value);
        if (r < 0) {
            return r;
        }
        if (p->token == TOKEN_CLOSE) {
            scan(p);
            return 0;
        }
        if (p->token != TOKEN_COMMA) {
            return unexpected(p, "',' or ')'");
        }
        scan(p);
    }
}

static int parse_exact_value(struct parser *p, struct selector_term *t)
{
    if (p->token == TOKEN_END || p->token == TOKEN_COMMA) {
        return take_value(p, t, STR_LIT(""));
    }
    if (p->token != TOKEN_WORD) {
        return unexpected(p, "identifier");
    }
    int r = take_value(p, t, p->text);
    scan(p);
    return r;
}

static int parse_operator(struct parser *p, enum selector_op *ret)
{
    switch (p->token) {
    case TOKEN_EQ:
        *ret = SELECTOR_EQ;
        break;
    case TOKEN_NE:
        *ret = SELECTOR_NE;
        break;
    case TOKEN_GT:
        *ret = SELECTOR_GT;
        break;
    case TOKEN_LT:
        *ret = SELECTOR_LT;
        break;
    default:
        if (p->token == TOKEN_WORD && str_is(p->text, "in")) {
            *ret = SELECTOR_IN;
        } else if (p->token == TOKEN_WORD && str_is(p->text, "notin")) {
            *ret = SELECTOR_NOT_IN;
        } else {
            return unexpected(p, "in, notin, =, ==, !=, gt, lt");
        }
        break;
    }
    scan(p);
    return 0;
}

static int parse_term(struct parser *p, struct selector_term *t)
{
    bool negated = p->token == TOKEN_NOT;
    if (negated) {
        scan(p);
    }
    if (p->token != TOKEN_WORD) {
        return unexpected(p, "identifier");
    }
    t->key = arena_str(p->arena, p->text);
    if (!t->key) {
        return err_set(p->err, -E_NOMEM, "out of memory");
    }
    scan(p);
    bool ends = p->token == TOKEN_END || p->token == TOKEN_COMMA;
    if (negated || ends) {
        t->op = negated ? SELECTOR_NOT_EXISTS : SELECTOR_EXISTS;
        return 0;
    }
    int r = parse_operator(p, &t->op);
    if (r < 0) {
        return r;
    }
    return t->op == SELECTOR_IN || t->op == SELECTOR_NOT_IN ? parse_values(p, t)
                                                            : parse_exact_value(p, t);
}

static int parse_and_add(struct parser *p, struct selector *s)
{
    struct selector_term t = {0};
    int r = parse_term(p, &t);
    if (r < 0) {
        return r;
    }
    sort_values(&t);
    r = check_term(&t, p->err);
    return r < 0 ? err_wrap(p->err, r, "unable to parse requirement")
                 : selector_add(p->arena, s, &t, p->err);
}

int selector_parse(struct arena *a, const char *text, struct selector **ret, struct err *err)
{
    struct selector *s;
    struct parser p = {.arena = a, .at = text ? text : "", .err = err};
    int r = selector_new(a, &s);
    if (r < 0) {
        return err_set(err, r, "out of memory");
    }
    scan(&p);
    while (p.token != TOKEN_END) {
        if (p.token != TOKEN_WORD && p.token != TOKEN_NOT) {
            return err_set(err, -E_INVAL,
                           "found '" STR_FMT "', expected: !, identifier, or 'end of string'",
                           STR_ARG(p.text));
        }
        r = parse_and_add(&p, s);
        if (r < 0) {
            return r;
        }
        if (p.token == TOKEN_END) {
            break;
        }
        if (p.token != TOKEN_COMMA) {
            return err_set(err, -E_INVAL, "found '" STR_FMT "', expected: ',' or 'end of string'",
                           STR_ARG(p.text));
        }
        scan(&p);
        if (p.token != TOKEN_WORD && p.token != TOKEN_NOT) {
            return err_set(err, -E_INVAL, "found '" STR_FMT "', expected: identifier after ','",
                           STR_ARG(p.text));
        }
    }
    *ret = s;
    return 0;
}

/* ---- objects ---- */

static int op_from_json(const char *text, enum selector_op *ret)
{
    static const char *const names[SELECTOR_OP_NR] = {
        [SELECTOR_IN] = "In",         [SELECTOR_NOT_IN] = "NotIn",
        [SELECTOR_EXISTS] = "Exists", [SELECTOR_NOT_EXISTS] = "DoesNotExist",
        [SELECTOR_GT] = "Gt",         [SELECTOR_LT] = "Lt",
    };
    for (int i = 0; i < SELECTOR_OP_NR; i++) {
        if (names[i] && cstr_eq(names[i], text)) {
            *ret = (enum selector_op)i;
            return 0;
        }
    }
    return -E_INVAL;
}

int selector_term_from_json(struct arena *a, const struct json *expr, struct selector_term *ret,
                            struct err *err)
{
    struct selector_term t = {0};
    const char *op = json_cstr(json_get(expr, "operator"), "");
    if (op_from_json(op, &t.op) < 0) {
        return err_set(err, -E_INVAL, "\"%s\" is not a valid label selector operator", op);
    }
    t.key = arena_strdup(a, json_cstr(json_get(expr, "key"), ""));
    if (!t.key) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    JSON_FOR_EACH (value, json_get(expr, "values")) {
        int r = push_value(a, &t, arena_strdup(a, json_cstr(value, "")));
        if (r < 0) {
            return err_set(err, r, "too many values in a selector");
        }
    }
    sort_values(&t);
    int r = check_term(&t, err);
    if (r == 0) {
        *ret = t;
    }
    return r;
}

static int add_equals(struct arena *a, struct selector *s, const struct json *labels,
                      struct err *err)
{
    JSON_FOR_EACH_MEMBER (m, labels) {
        struct selector_term t = {.op = SELECTOR_EQ, .key = arena_str(a, str_n(m->key, m->key_n))};
        int r = t.key ? push_value(a, &t, arena_strdup(a, json_cstr(m->value, ""))) : -E_NOMEM;
        if (r == 0) {
            r = check_term(&t, err);
        }
        if (r == 0) {
            r = selector_add(a, s, &t, err);
        }
        if (r < 0) {
            return r == -E_NOMEM ? err_set(err, r, "out of memory") : r;
        }
    }
    return 0;
}

int selector_from_map(struct arena *a, const struct json *labels, struct selector **ret,
                      struct err *err)
{
    struct selector *s;
    int r = selector_new(a, &s);
    if (r < 0) {
        return err_set(err, r, "out of memory");
    }
    r = add_equals(a, s, labels, err);
    if (r == 0) {
        *ret = s;
    }
    return r;
}

int selector_from_owner(struct arena *a, const struct json *j, struct selector **ret,
                        struct err *err)
{
    JSON_FOR_EACH_MEMBER (m, j) {
        if (json_is(m->value, JSON_STRING)) {
            return selector_from_map(a, j, ret, err);
        }
    }
    return selector_from_json(a, j, ret, err);
}

int selector_from_json(struct arena *a, const struct json *j, struct selector **ret,
                       struct err *err)
{
    struct selector *s;
    int r = selector_new(a, &s);
    if (r < 0) {
        return err_set(err, r, "out of memory");
    }
    s->nothing = !json_is(j, JSON_OBJECT);
    r = add_equals(a, s, json_get(j, "matchLabels"), err);
    JSON_FOR_EACH (expr, json_get(j, "matchExpressions")) {
        struct selector_term t;
        if (r == 0) {
            r = selector_term_from_json(a, expr, &t, err);
        }
        if (r == 0) {
            r = selector_add(a, s, &t, err);
        }
    }
    if (r == 0) {
        *ret = s;
    }
    return r;
}

/* ---- matching ---- */

static bool has_value(const struct selector_term *t, const char *value)
{
    for (size_t i = 0; i < t->n_values; i++) {
        if (strcmp(t->values[i], value) == 0) {
            return true;
        }
    }
    return false;
}

static bool compares(const struct selector_term *t, const char *value)
{
    int64_t have, bound;
    if (t->n_values != 1 || str_i64(str_of(value), &have) < 0 ||
        str_i64(str_of(t->values[0]), &bound) < 0) {
        return false;
    }
    return t->op == SELECTOR_GT ? have > bound : have < bound;
}

bool selector_term_match(const struct selector_term *t, const char *value)
{
    switch (t->op) {
    case SELECTOR_EQ:
    case SELECTOR_IN:
        return value && has_value(t, value);
    case SELECTOR_NE:
    case SELECTOR_NOT_IN:
        return !value || !has_value(t, value);
    case SELECTOR_EXISTS:
        return value != NULL;
    case SELECTOR_NOT_EXISTS:
        return value == NULL;
    case SELECTOR_GT:
    case SELECTOR_LT:
        return value && compares(t, value);
    case SELECTOR_OP_NR:
        break;
    }
    return false;
}

bool selector_match(const struct selector *s, selector_get_fn *get, const void *arg)
{
    if (!s) {
        return true;
    }
    if (s->nothing) {
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (!selector_term_match(&s->terms[i], get(arg, s->terms[i].key))) {
            return false;
        }
    }
    return true;
}

static const char *label_get(const void *labels, const char *key)
{
    return json_cstr(json_get(labels, key), NULL);
}

bool selector_match_labels(const struct selector *s, const struct json *labels)
{
    return selector_match(s, label_get, labels);
}

bool selector_empty(const struct selector *s)
{
    return !s || (s->n == 0 && !s->nothing);
}

/* ---- printing ---- */

static int print_term(struct buf *out, const struct selector_term *t)
{
    static const char *const ops[SELECTOR_OP_NR] = {
        [SELECTOR_EQ] = "=",     [SELECTOR_NE] = "!=",
        [SELECTOR_IN] = " in (", [SELECTOR_NOT_IN] = " notin (",
        [SELECTOR_EXISTS] = "",  [SELECTOR_NOT_EXISTS] = "",
        [SELECTOR_GT] = ">",     [SELECTOR_LT] = "<",
    };
    bool set = t->op == SELECTOR_IN || t->op == SELECTOR_NOT_IN;
    (void)buf_puts(out, t->op == SELECTOR_NOT_EXISTS ? "!" : ""); /* failure is sticky */
    (void)buf_puts(out, t->key);
    (void)buf_puts(out, ops[t->op]);
    for (size_t i = 0; i < t->n_values; i++) {
        (void)buf_puts(out, i ? "," : "");
        (void)buf_puts(out, t->values[i]);
    }
    return buf_puts(out, set ? ")" : "");
}

int selector_print(struct buf *out, const struct selector *s)
{
    for (size_t i = 0; s && i < s->n; i++) {
        (void)buf_puts(out, i ? "," : "");
        (void)print_term(out, &s->terms[i]);
    }
    return buf_failed(out) ? -E_NOMEM : 0;
}

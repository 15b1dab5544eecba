/* SPDX-License-Identifier: Apache-2.0 */
/* Calls with their clauses, and wildcards. */
#include <ctype.h>

#include "sql_private.h"
#include "stream/fn/function.h"

/* ---- * EXCEPT (...) REPLACE (...) ---- */

static int except(struct parser *p, struct ast_expr *e)
{
    struct list names = {0};
    if (!sql_accept(p, TOKEN_LPAREN)) {
        return sql_fail_at(p, "Found", &p->tok, " after EXCEPT, expect left parentheses.");
    }
    while (!sql_accept(p, TOKEN_RPAREN)) {
        struct str *slot;
        if (sql_accept(p, TOKEN_COMMA)) {
            continue;
        }
        if (!sql_is_name(&p->tok)) {
            return sql_fail_at(p, "Found", &p->tok, " in EXCEPT");
        }
        if (!(slot = sql_list_add(p, &names, sizeof(*slot)))) {
            return p->rc;
        }
        *slot = p->tok.text;
        sql_advance(p);
    }
    e->except = names.items;
    e->n_except = names.n;
    return 0;
}

static int replace(struct parser *p, struct ast_expr *e)
{
    struct list fields = {0};
    if (!sql_accept(p, TOKEN_LPAREN)) {
        return sql_fail_at(p, "Found", &p->tok, " after REPLACE, expect left parentheses.");
    }
    do {
        struct ast_field *f = sql_list_add(p, &fields, sizeof(*f));
        if (!f || sql_field(p, f) < 0) {
            return p->rc;
        }
    } while (sql_accept(p, TOKEN_COMMA));
    if (!sql_accept(p, TOKEN_RPAREN)) {
        return sql_fail_at(p, "Found", &p->tok, " in REPLACE");
    }
    e->replace = fields.items;
    e->n_replace = fields.n;
    return 0;
}

struct ast_expr *sql_wildcard(struct parser *p, struct str of)
{
    struct ast_expr *e = sql_node(p, AST_WILDCARD, p->tok.at);
    if (!e) {
        return NULL;
    }
    e->of = of;
    while (p->tok.kind == TOKEN_EXCEPT || p->tok.kind == TOKEN_REPLACE) {
        if (p->meta) {
            (void)sql_fail(p, -E_PARSE, "%s is not supported in meta function",
                           sql_quoted(p, p->tok.text));
            return NULL;
        }
        bool names = p->tok.kind == TOKEN_EXCEPT;
        sql_advance(p);
        if ((names ? except(p, e) : replace(p, e)) < 0) {
            return NULL;
        }
    }
    return sql_done(p, e);
}

/* ---- checks against the table ---- */

/* Functions of MATCH_RECOGNIZE: they see the rows of the match. */
static const struct {
    const char *name;
    uint32_t min, max;
} match_functions[] = {
    {"classifier", 0, 0}, {"first", 1, 2}, {"last", 1, 2}, {"match_number", 0, 0}, {"prev", 1, 2},
};

static int check_count(struct parser *p, const struct ast_expr *e, uint32_t min, uint32_t max)
{
    if (e->n_args >= min && e->n_args <= max) {
        return 0;
    }
    if (str_is(e->function, "lag")) {
        return sql_fail(p, -E_PARSE,
                        "validate function lag error: expect one two or three args but got %u",
                        e->n_args);
    }
    if (min == max || max == 1) {
        return sql_fail(p, -E_PARSE,
                        "validate function " STR_FMT " error: Expect %u arguments but found %u.",
                        STR_ARG(e->function), max, e->n_args);
    }
    if (e->n_args < min) {
        return sql_fail(p, -E_PARSE,
                        "validate function " STR_FMT
                        " error: Expect at least %u arguments but found %u.",
                        STR_ARG(e->function), min, e->n_args);
    }
    return sql_fail(p, -E_PARSE,
                    "validate function " STR_FMT
                    " error: Expect at most %u arguments but found %u.",
                    STR_ARG(e->function), max, e->n_args);
}

/* dd, hh, mi, ss, ms without backticks: units of time in eKuiper, which no function takes. Here
 * they are names of columns as any other, except where the function's check refuses a time. */
static bool is_unit(const struct parser *p, const struct ast_expr *e)
{
    static const char *const units[] = {"dd", "hh", "mi", "ss", "ms"};
    for (size_t i = 0; e->kind == AST_FIELD && !e->stream.n && i < ARRAY_SIZE(units); i++) {
        if (str_iis(e->name, units[i])) {
            return p->lex.text.p[e->at] != '`';
        }
    }
    return false;
}

static int check_arguments(struct parser *p, const struct ast_expr *e, const struct function *f,
                           struct err *err)
{
    struct ast_expr unit = {.kind = AST_CONST, .value = {.type = VALUE_TIME}};
    struct ast_expr *args[LIMIT_SQL_ARGS], shown = *e;
    for (uint32_t i = 0; i < e->n_args; i++) {
        args[i] = is_unit(p, e->args[i]) ? &unit : e->args[i];
    }
    shown.args = args;
    return f->check(&shown, err);
}

static int check_call(struct parser *p, const struct ast_expr *e, const struct function *f)
{
    struct err err = {0};
    uint32_t max = f->max_args == FUNCTION_ARGS_ANY ? LIMIT_SQL_ARGS : f->max_args;
    int rc = check_count(p, e, f->min_args, max);
    if (rc < 0) {
        return rc;
    }
    if (f->check && (rc = check_arguments(p, e, f, &err)) < 0) {
        return sql_fail(p, rc == -ENOMEM ? rc : -E_PARSE, "validate function " STR_FMT " error: %s",
                        STR_ARG(e->function), err.text);
    }
    return 0;
}

/* ---- arguments ---- */

static int arguments(struct parser *p, struct ast_expr *e)
{
    struct list args = {0};
    while (!sql_accept(p, TOKEN_RPAREN)) {
        struct ast_expr *arg = sql_expr(p), **slot;
        if (!arg) {
            return p->rc;
        }
        if (args.n >= LIMIT_SQL_ARGS) {
            return sql_fail(p, -E_LIMIT, "a call has more than %d arguments", LIMIT_SQL_ARGS);
        }
        if (!(slot = sql_list_add(p, &args, sizeof(arg)))) {
            return p->rc;
        }
        *slot = arg;
        if (!sql_accept(p, TOKEN_COMMA) && p->tok.kind != TOKEN_RPAREN) {
            return sql_fail(p, -E_PARSE, "found function call %s, expected ), but with %s.",
                            sql_quoted(p, e->function), sql_quoted(p, p->tok.text));
        }
    }
    e->args = args.items;
    e->n_args = args.n;
    return 0;
}

/* Whether the word DISTINCT here begins "DISTINCT e" and is no name. */
static bool takes_distinct(struct parser *p)
{
    if (!sql_at_word(p, "distinct")) {
        return false;
    }
    struct token next = sql_peek(p);
    return sql_is_name(&next) || next.kind == TOKEN_CASE || next.kind == TOKEN_LPAREN ||
           next.kind == TOKEN_STRING || next.kind == TOKEN_INT || next.kind == TOKEN_NUMBER;
}

/* ---- OVER and FILTER ---- */

struct ast_expr *sql_filter(struct parser *p)
{
    if (!sql_accept(p, TOKEN_LPAREN)) {
        (void)sql_fail_at(p, "Found", &p->tok, " after FILTER, expect parentheses.");
        return NULL;
    }
    if (!sql_accept(p, TOKEN_WHERE)) {
        (void)sql_fail_at(p, "Found", &p->tok, " after FILTER(, expect WHERE.");
        return NULL;
    }
    struct ast_expr *e = sql_expr(p);
    if (e && !sql_accept(p, TOKEN_RPAREN)) {
        (void)sql_fail_at(p, "Found", &p->tok, " after FILTER, expect right parentheses.");
        return NULL;
    }
    return e;
}

int sql_partition(struct parser *p, struct ast_expr ***ret, uint32_t *ret_n)
{
    sql_advance(p);
    if (!sql_accept(p, TOKEN_BY)) {
        return sql_fail_at(p, "found", &p->tok, ", expected by after partition.");
    }
    return sql_exprs(p, ret, ret_n);
}

/* Behind OVER. */
static int over(struct parser *p, struct ast_expr *e, const struct function *f)
{
    if (f->kind == FUNCTION_SCALAR || f->kind == FUNCTION_AGGREGATE || f->kind == FUNCTION_SET) {
        return sql_fail(p, -E_PARSE, "Found OVER after non analytic function " STR_FMT,
                        STR_ARG(e->function));
    }
    e->over = true;
    if (!sql_accept(p, TOKEN_LPAREN)) {
        return sql_fail_at(p, "Found", &p->tok, " after OVER, expect parentheses.");
    }
    if (p->tok.kind == TOKEN_PARTITION && sql_partition(p, &e->partition, &e->n_partition) < 0) {
        return p->rc;
    }
    if (f->kind == FUNCTION_ROW && sql_accept(p, TOKEN_ORDER)) {
        if (!sql_accept(p, TOKEN_BY)) {
            return sql_fail_at(p, "found", &p->tok, ", expected BY keyword.");
        }
        if (sql_orders(p, &e->order, &e->n_order) < 0) {
            return p->rc;
        }
    }
    if (f->kind != FUNCTION_ROW && sql_accept(p, TOKEN_WHEN) && !(e->when = sql_expr(p))) {
        return p->rc;
    }
    if (!e->n_partition && !e->when && !e->n_order) {
        return sql_fail_at(p, "Found", &p->tok, " after OVER (, expect partition by or when.");
    }
    if (!sql_accept(p, TOKEN_RPAREN)) {
        return sql_fail_at(p, "Found", &p->tok, ", expect right parentheses after OVER ");
    }
    return 0;
}

static int clauses(struct parser *p, struct ast_expr *e, const struct function *f)
{
    if (p->tok.kind == TOKEN_FILTER && f->kind == FUNCTION_AGGREGATE) {
        sql_advance(p);
        if (!(e->filter = sql_filter(p))) {
            return p->rc;
        }
    }
    return sql_accept(p, TOKEN_OVER) ? over(p, e, f) : 0;
}

/* ---- calls ---- */

static struct str lower(struct parser *p, struct str name)
{
    char *text = arena_alloc(p->a, name.n + 1);
    for (size_t i = 0; text && i < name.n; i++) {
        text[i] = (char)tolower((unsigned char)name.p[i]);
    }
    return str_n(text, text ? name.n : 0);
}

static struct ast_expr *match_call(struct parser *p, struct ast_expr *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(match_functions); i++) {
        if (str_is(e->function, match_functions[i].name)) {
            sql_advance(p);
            bool ok = arguments(p, e) == 0 &&
                      check_count(p, e, match_functions[i].min, match_functions[i].max) == 0;
            return ok ? sql_done(p, e) : NULL;
        }
    }
    return NULL;
}

static struct ast_expr *known_call(struct parser *p, struct ast_expr *e, const struct function *f)
{
    bool meta = p->meta;
    sql_advance(p);
    p->meta = str_is(e->function, "meta") || str_is(e->function, "mqtt");
    if (f->kind == FUNCTION_AGGREGATE && takes_distinct(p)) {
        sql_advance(p);
        e->distinct = true;
    }
    int rc = arguments(p, e);
    p->meta = meta;
    if (rc < 0 || check_call(p, e, f) < 0 || clauses(p, e, f) < 0) {
        return NULL;
    }
    return sql_done(p, e);
}

struct ast_expr *sql_call(struct parser *p, const struct token *name)
{
    struct ast_expr *e = sql_node(p, AST_CALL, name->at);
    if (!e) {
        return NULL;
    }
    e->function = lower(p, name->raw.p && name->kind != TOKEN_QUOTED ? name->raw : name->text);
    if (sql_window_kind(e->function) != AST_WINDOW_NONE) {
        (void)sql_fail(p, -E_PARSE, "the window " STR_FMT " stands in GROUP BY only",
                       STR_ARG(e->function));
        return NULL;
    }
    const struct function *f = function_find(e->function);
    if (p->in_match) {
        struct ast_expr *call = match_call(p, e);
        if (call || p->rc < 0) {
            return call;
        }
    }
    if (!f) {
        (void)sql_fail(p, -E_PARSE, "function " STR_FMT " not found", STR_ARG(name->text));
        return NULL;
    }
    if (f->kind == FUNCTION_COLUMNS && p->clause != CLAUSE_SELECT) {
        (void)sql_fail(p, -E_PARSE,
                       "function " STR_FMT " can only be used inside the select clause",
                       STR_ARG(name->text));
        return NULL;
    }
    return known_call(p, e, f);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operands of expressions: constants, names, calls, CASE, parentheses, and what follows them:
 * .name ->name [i] [a:b].
 */
#include "sql_private.h"

/* ---- constants, names, CASE ---- */

static struct ast_expr *constant(struct parser *p, struct value v, uint32_t at)
{
    struct ast_expr *e = sql_node(p, AST_CONST, at);
    if (e) {
        e->value = v;
    }
    return e;
}

/* The number at the cursor, with a sign before it. */
static struct ast_expr *number(struct parser *p, bool negative, uint32_t at)
{
    struct str digits = p->tok.text;
    struct value v = VALUE_OF_NULL;
    char *text =
        arena_printf(p->a, "%s%s" STR_FMT "%s", negative ? "-" : "", digits.p[0] == '.' ? "0" : "",
                     STR_ARG(digits), digits.p[digits.n - 1] == '.' ? "0" : "");
    v.type = p->tok.kind == TOKEN_INT ? VALUE_INT : VALUE_FLOAT;
    while (text && digits.n > 1 && text[negative] == '0' && text[negative + 1] >= '0' &&
           text[negative + 1] <= '9') { /* JSON's numbers have no leading zeros, ours may */
        memmove(text + negative, text + negative + 1, strlen(text + negative));
    }
    if (v.type == VALUE_INT ? str_i64(str_of(text), &v.i) < 0
                            : str_double(str_of(text), &v.f) < 0) {
        (void)sql_fail_at(p, "found", &p->tok, ", invalid number value.");
        return NULL;
    }
    sql_advance(p);
    return constant(p, v, at);
}

static struct ast_expr *word(struct parser *p)
{
    struct token t = p->tok;
    struct ast_expr *e;
    sql_advance(p);
    if (p->tok.kind == TOKEN_LPAREN) {
        return sql_call(p, &t);
    }
    if (t.kind == TOKEN_NAME && str_iis(t.text, "null")) {
        return constant(p, VALUE_OF_NULL, t.at);
    }
    if (p->tok.kind == TOKEN_DOT) {
        struct token next = sql_peek(p);
        if (next.kind == TOKEN_STAR) {
            sql_advance(p);
            sql_advance(p);
            return sql_wildcard(p, t.text);
        }
    }
    if (!(e = sql_node(p, AST_FIELD, t.at))) {
        return NULL;
    }
    e->name = t.text;
    /* a.b: whether a is a source is known at the end of the statement (sql_resolve). */
    if (p->tok.kind == TOKEN_DOT) {
        struct token next = sql_peek(p);
        if (sql_is_name(&next) || sql_reserved(next.text) != TOKEN_NAME) {
            e->stream = e->name;
            e->height = 2; /* it may become a->b */
            e->name = next.raw;
            if (next.kind == TOKEN_QUOTED) {
                e->name = next.text;
            }
            sql_advance(p);
            sql_advance(p);
        }
    }
    return e;
}

static int case_arm(struct parser *p, struct ast_expr *e, struct list *whens, struct list *thens)
{
    struct ast_expr *when = sql_expr(p);
    if (!when) {
        return p->rc;
    }
    bool number_like =
        when->kind == AST_BINARY && when->op >= VALUE_ADD && when->op <= VALUE_BIT_XOR;
    if (!e->a && (number_like || when->kind == AST_MINUS ||
                  (when->kind == AST_CONST && when->value.type != VALUE_BOOL))) {
        return sql_fail(p, -E_PARSE,
                        "invalid CASE expression, WHEN expression must be a bool condition");
    }
    if (!sql_accept(p, TOKEN_THEN)) {
        return sql_fail(p, -E_PARSE, "invalid CASE expression, THEN expected after WHEN");
    }
    struct ast_expr *then = sql_expr(p);
    struct ast_expr **w = sql_list_add(p, whens, sizeof(*w));
    struct ast_expr **t = sql_list_add(p, thens, sizeof(*t));
    if (!then || !w || !t) {
        return p->rc;
    }
    *w = when;
    *t = then;
    return 0;
}

/* Behind CASE. */
static struct ast_expr *case_when(struct parser *p, uint32_t at)
{
    struct ast_expr *e = sql_node(p, AST_CASE, at);
    struct list whens = {0}, thens = {0};
    if (!e || (p->tok.kind != TOKEN_WHEN && !(e->a = sql_expr(p)))) {
        return NULL;
    }
    while (sql_accept(p, TOKEN_WHEN)) {
        if (case_arm(p, e, &whens, &thens) < 0) {
            return NULL;
        }
    }
    if (whens.n == 0 && (p->tok.kind == TOKEN_ELSE || p->tok.kind == TOKEN_END_WORD)) {
        (void)sql_fail(p, -E_PARSE, "invalid CASE expression, WHEN expected before " STR_FMT,
                       STR_ARG(p->tok.text));
        return NULL;
    }
    if (sql_accept(p, TOKEN_ELSE) && !(e->c = sql_expr(p))) {
        return NULL;
    }
    if (!sql_accept(p, TOKEN_END_WORD)) {
        (void)sql_fail(p, -E_PARSE, "invalid CASE expression, END expected");
        return NULL;
    }
    e->whens = whens.items;
    e->thens = thens.items;
    e->n_whens = whens.n;
    return sql_done(p, e);
}

/* "(SELECT ...)" whose parenthesis was taken. */
static struct ast_expr *subquery(struct parser *p, enum ast_kind kind, uint32_t at)
{
    struct ast_expr *e = sql_node(p, kind, at);
    enum clause clause = p->clause;
    if (!e || !(e->select = sql_select(p))) {
        return NULL;
    }
    p->clause = clause;
    if (!sql_accept(p, TOKEN_RPAREN)) {
        (void)sql_fail_at(p, "found", &p->tok, ", expected right paren.");
        return NULL;
    }
    return sql_done(p, e);
}

static struct ast_expr *parenthesis(struct parser *p)
{
    uint32_t at = p->tok.at;
    sql_advance(p);
    if (p->tok.kind == TOKEN_SELECT) {
        return subquery(p, AST_SUBQUERY, at);
    }
    struct ast_expr *e = sql_expr(p);
    if (e && !sql_accept(p, TOKEN_RPAREN)) {
        (void)sql_fail_at(p, "found", &p->tok, ", expected right paren.");
        return NULL;
    }
    return e;
}

static struct ast_expr *primary(struct parser *p)
{
    struct token t = p->tok;
    struct str text = t.text;
    switch (t.kind) {
    case TOKEN_LPAREN:
        return parenthesis(p);
    case TOKEN_INT:
    case TOKEN_NUMBER:
        return number(p, false, t.at);
    case TOKEN_STRING:
        sql_advance(p);
        return constant(p, value_string(text), t.at);
    case TOKEN_TRUE:
    case TOKEN_FALSE:
        sql_advance(p);
        return constant(p, value_bool(t.kind == TOKEN_TRUE), t.at);
    case TOKEN_CASE:
        sql_advance(p);
        return case_when(p, t.at);
    case TOKEN_STAR:
        sql_advance(p);
        return sql_wildcard(p, STR_NULL);
    case TOKEN_REPLACE: /* the function of that name */
        if (sql_peek(p).kind == TOKEN_LPAREN) {
            sql_advance(p);
            return sql_call(p, &t);
        }
        break;
    case TOKEN_NAME:
    case TOKEN_QUOTED:
        if (sql_word_then(p, "exists", TOKEN_LPAREN)) {
            struct lexer save = p->lex;
            sql_advance(p);
            sql_advance(p);
            if (p->tok.kind == TOKEN_SELECT) {
                return subquery(p, AST_EXISTS, t.at);
            }
            p->lex = save;
            p->tok = t;
        }
        return word(p);
    default:
        break;
    }
    (void)sql_fail_at(p, "found", &t, ", expected expression.");
    return NULL;
}

/* ---- what follows an operand: .name ->name [i] [a:b] ---- */

static struct ast_expr *arrow(struct parser *p, struct ast_expr *base)
{
    struct ast_expr *e = sql_node(p, AST_ARROW, base->at);
    if (!e) {
        return NULL;
    }
    e->a = base;
    e->name = p->tok.kind == TOKEN_QUOTED ? p->tok.text : p->tok.raw;
    if (p->tok.kind == TOKEN_STAR) {
        e->name = STR_LIT("*");
    } else if (!sql_is_name(&p->tok) && sql_reserved(p->tok.text) == TOKEN_NAME) {
        (void)sql_fail_at(p, "found", &p->tok, ", expected expression.");
        return NULL;
    }
    sql_advance(p);
    return sql_done(p, e);
}

static struct ast_expr *bracket_expr(struct parser *p, const char *which)
{
    struct str found = p->tok.text;
    struct ast_expr *e = sql_expr(p);
    if (!e && p->rc == -E_PARSE) {
        p->rc = 0;
        (void)sql_fail(p, -E_PARSE, "The %s index " STR_FMT " is invalid in bracket expression.",
                       which, STR_ARG(found));
    }
    return e;
}

static struct ast_expr *bracket(struct parser *p, struct ast_expr *base)
{
    struct ast_expr *e = sql_node(p, AST_SLICE, base->at);
    struct str first = p->tok.text;
    if (!e) {
        return NULL;
    }
    e->a = base;
    if (sql_accept(p, TOKEN_RBRACKET)) {
        return sql_done(p, e);
    }
    if (p->tok.kind != TOKEN_COLON && !(e->b = bracket_expr(p, "start"))) {
        return NULL;
    }
    if (e->b && sql_accept(p, TOKEN_RBRACKET)) {
        e->kind = AST_INDEX;
        return sql_done(p, e);
    }
    if (!sql_accept(p, TOKEN_COLON)) {
        (void)sql_fail(p, -E_PARSE, "Unexpected token %s. when parsing bracket expressions.",
                       sql_quoted(p, first));
        return NULL;
    }
    if (p->tok.kind != TOKEN_RBRACKET && !(e->c = bracket_expr(p, "end"))) {
        return NULL;
    }
    if (!sql_accept(p, TOKEN_RBRACKET)) {
        (void)sql_fail_at(p, "Found", &p->tok, ", expected right bracket.");
        return NULL;
    }
    return sql_done(p, e);
}

static struct ast_expr *postfix(struct parser *p)
{
    struct ast_expr *e = primary(p);
    while (e && e->kind != AST_WILDCARD) {
        if (sql_accept(p, TOKEN_ARROW) || sql_accept(p, TOKEN_DOT)) {
            e = arrow(p, e);
        } else if (sql_accept(p, TOKEN_LBRACKET)) {
            e = bracket(p, e);
        } else {
            return e;
        }
    }
    return e;
}

/* Behind '-'. eKuiper takes "-. 3" for -0.3. */
static struct ast_expr *minus(struct parser *p, uint32_t at)
{
    if (p->tok.kind == TOKEN_DOT && sql_peek(p).kind == TOKEN_INT) {
        sql_advance(p);
        p->tok.kind = TOKEN_NUMBER;
        p->tok.text = str_of(arena_printf(p->a, "0." STR_FMT, STR_ARG(p->tok.text)));
    }
    if (p->tok.kind == TOKEN_INT || p->tok.kind == TOKEN_NUMBER) {
        return number(p, true, at);
    }
    if (sql_enter(p) < 0) {
        return NULL;
    }
    struct ast_expr *e = sql_make2(p, AST_MINUS, at, sql_operand(p), NULL);
    sql_leave(p);
    return e;
}

struct ast_expr *sql_operand(struct parser *p)
{
    uint32_t at = p->tok.at;
    return sql_accept(p, TOKEN_MINUS) ? minus(p, at) : postfix(p);
}

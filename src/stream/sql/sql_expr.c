/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions, by precedence:
 *
 *      OR < AND < NOT < = != < <= > >= IN BETWEEN LIKE IS < + - | ^ < * / % & < - < . -> []
 *
 * as in eKuiper, except that there the last ones bind no closer than '*'. Chains of AND and of OR
 * become balanced trees, so that a rule with a thousand conditions is not a thousand deep. Operands
 * are in sql_operand.c.
 */
#include "sql_private.h"

enum { PREC_NONE, PREC_COMPARE = 3, PREC_ADD, PREC_MULTIPLY };

struct ast_expr *sql_make2(struct parser *p, enum ast_kind kind, uint32_t at, struct ast_expr *a,
                           struct ast_expr *b)
{
    struct ast_expr *e =
        a && (b || kind == AST_NOT || kind == AST_MINUS) ? sql_node(p, kind, at) : NULL;
    if (!e) {
        return NULL;
    }
    e->a = a;
    e->b = b;
    return sql_done(p, e);
}

static struct ast_expr *binary(struct parser *p, enum value_op op, struct ast_expr *a,
                               struct ast_expr *b)
{
    if (a && b && (a->kind == AST_WILDCARD || b->kind == AST_WILDCARD)) {
        (void)sql_fail(p, -E_PARSE, "found \"*\", expected expression.");
        return NULL;
    }
    struct ast_expr *e = sql_make2(p, AST_BINARY, a ? a->at : 0, a, b);
    if (e) {
        e->op = op;
    }
    return e;
}

int sql_exprs(struct parser *p, struct ast_expr ***ret, uint32_t *ret_n)
{
    struct list l = {0};
    do {
        struct ast_expr *e = sql_expr(p), **slot;
        if (!e || !(slot = sql_list_add(p, &l, sizeof(e)))) {
            return p->rc;
        }
        *slot = e;
    } while (sql_accept(p, TOKEN_COMMA));
    *ret = l.items;
    *ret_n = l.n;
    return 0;
}

static int operator_of(enum token_kind kind, enum value_op *ret)
{
    static const struct {
        enum token_kind kind;
        enum value_op op;
        int prec;
    } ops[] = {
        {TOKEN_EQ, VALUE_EQ, PREC_COMPARE},        {TOKEN_NE, VALUE_NE, PREC_COMPARE},
        {TOKEN_LT, VALUE_LT, PREC_COMPARE},        {TOKEN_LE, VALUE_LE, PREC_COMPARE},
        {TOKEN_GT, VALUE_GT, PREC_COMPARE},        {TOKEN_GE, VALUE_GE, PREC_COMPARE},
        {TOKEN_PLUS, VALUE_ADD, PREC_ADD},         {TOKEN_MINUS, VALUE_SUB, PREC_ADD},
        {TOKEN_BAR, VALUE_BIT_OR, PREC_ADD},       {TOKEN_CARET, VALUE_BIT_XOR, PREC_ADD},
        {TOKEN_STAR, VALUE_MUL, PREC_MULTIPLY},    {TOKEN_SLASH, VALUE_DIV, PREC_MULTIPLY},
        {TOKEN_PERCENT, VALUE_MOD, PREC_MULTIPLY}, {TOKEN_AMPERSAND, VALUE_BIT_AND, PREC_MULTIPLY},
    };
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        if (ops[i].kind == kind) {
            *ret = ops[i].op;
            return ops[i].prec;
        }
    }
    return PREC_NONE;
}

static struct ast_expr *arithmetic(struct parser *p, int prec)
{
    struct ast_expr *e = prec > PREC_MULTIPLY ? sql_operand(p) : arithmetic(p, prec + 1);
    enum value_op op = VALUE_OP_NR;
    while (e && prec <= PREC_MULTIPLY && operator_of(p->tok.kind, &op) == prec) {
        sql_advance(p);
        struct ast_expr *right = arithmetic(p, prec + 1);
        e = binary(p, op, e, right);
    }
    return e;
}

struct ast_expr *sql_expr_additive(struct parser *p)
{
    return arithmetic(p, PREC_ADD);
}

static struct ast_expr *between(struct parser *p, struct ast_expr *left, bool negated)
{
    struct ast_expr *e = sql_node(p, AST_BETWEEN, left->at);
    if (!e) {
        return NULL;
    }
    e->negated = negated;
    e->a = left;
    if (!(e->b = sql_expr_additive(p))) {
        return NULL;
    }
    if (!sql_accept(p, TOKEN_AND)) {
        (void)sql_fail(p, -E_PARSE, "expect AND expression after between but found " STR_FMT,
                       STR_ARG(p->tok.text));
        return NULL;
    }
    e->c = sql_expr_additive(p);
    return e->c ? sql_done(p, e) : NULL;
}

/* The list behind "IN (". */
static int in_list(struct parser *p, struct ast_expr *e)
{
    char inner[sizeof(p->err->text)];
    if (sql_exprs(p, &e->list, &e->n_list) < 0) {
        if (p->rc == -E_PARSE) {
            (void)cstr_copy(inner, sizeof(inner), p->err->text);
            p->rc = 0;
            (void)sql_fail(p, -E_PARSE, "expect elements for IN expression, but %s", inner);
        }
        return p->rc;
    }
    if (!sql_accept(p, TOKEN_RPAREN)) {
        return sql_fail_at(p, "expect ) for IN expression, but got", &p->tok, "");
    }
    return 0;
}

static struct ast_expr *in(struct parser *p, struct ast_expr *left, bool negated)
{
    struct ast_expr *e = sql_node(p, AST_IN, left->at);
    char inner[sizeof(p->err->text)];
    if (!e) {
        return NULL;
    }
    e->negated = negated;
    e->a = left;
    if (p->tok.kind == TOKEN_LPAREN && sql_peek(p).kind != TOKEN_SELECT) {
        sql_advance(p);
        return in_list(p, e) < 0 ? NULL : sql_done(p, e);
    }
    if (!(e->b = sql_operand(p))) {
        if (p->rc == -E_PARSE) {
            (void)cstr_copy(inner, sizeof(inner), p->err->text);
            p->rc = 0;
            (void)sql_fail(p, -E_PARSE, "expect expression after IN, but got error %s", inner);
        }
        return NULL;
    }
    return sql_done(p, e);
}

static struct ast_expr *like(struct parser *p, struct ast_expr *left, bool negated)
{
    struct ast_expr *e = sql_make2(p, AST_LIKE, left->at, left, sql_expr_additive(p));
    if (e) {
        e->negated = negated;
    }
    return e;
}

/* Behind IS: [NOT] NULL, as the function isnull(). */
static struct ast_expr *is_null(struct parser *p, struct ast_expr *left)
{
    bool negated = sql_accept(p, TOKEN_NOT);
    if (!sql_accept_word(p, "null")) {
        (void)sql_fail_at(p, "found", &p->tok, ", expected NULL.");
        return NULL;
    }
    struct ast_expr *e = sql_node(p, AST_CALL, left->at);
    struct ast_expr **args = arena_alloc(p->a, sizeof(*args));
    if (!e || !args) {
        (void)sql_fail(p, -ENOMEM, "%s", err_text(-ENOMEM));
        return NULL;
    }
    args[0] = left;
    e->function = STR_LIT("isnull");
    e->args = args;
    e->n_args = 1;
    e = sql_done(p, e);
    return negated && e ? sql_make2(p, AST_NOT, e->at, e, NULL) : e;
}

/* [NOT] IN, [NOT] BETWEEN, [NOT] LIKE, IS [NOT] NULL; left itself where none of them follows, which
 * *ret_none says. */
static struct ast_expr *predicate(struct parser *p, struct ast_expr *left, bool *ret_none)
{
    bool negated = sql_accept(p, TOKEN_NOT);
    if (sql_accept(p, TOKEN_IN)) {
        return in(p, left, negated);
    }
    if (sql_accept(p, TOKEN_BETWEEN)) {
        return between(p, left, negated);
    }
    if (sql_accept(p, TOKEN_LIKE)) {
        return like(p, left, negated);
    }
    if (negated) {
        (void)sql_fail_at(p, "found", &p->tok, ", expected expression");
        return NULL;
    }
    if (sql_accept_word(p, "is")) {
        return is_null(p, left);
    }
    *ret_none = true;
    return left;
}

static struct ast_expr *comparison(struct parser *p)
{
    struct ast_expr *e = sql_expr_additive(p);
    for (bool none = false; e && e->kind != AST_WILDCARD;) {
        enum value_op op = VALUE_OP_NR;
        if (operator_of(p->tok.kind, &op) == PREC_COMPARE) {
            sql_advance(p);
            e = binary(p, op, e, sql_expr_additive(p));
            continue;
        }
        e = predicate(p, e, &none);
        if (none) {
            break;
        }
    }
    return e;
}

static struct ast_expr *negation(struct parser *p)
{
    uint32_t at = p->tok.at;
    if (!sql_accept(p, TOKEN_NOT)) {
        return comparison(p);
    }
    if (sql_enter(p) < 0) {
        return NULL;
    }
    struct ast_expr *e = sql_make2(p, AST_NOT, at, negation(p), NULL);
    sql_leave(p);
    return e;
}

/* A balanced tree of n operands, in their order. The depth is the logarithm of n. */
static struct ast_expr *balanced(struct parser *p, enum value_op op, struct ast_expr **e,
                                 uint32_t n)
{
    if (n == 1) {
        return e[0];
    }
    struct ast_expr *left = balanced(p, op, e, (n + 1) / 2);
    struct ast_expr *right = balanced(p, op, e + (n + 1) / 2, n / 2);
    return binary(p, op, left, right);
}

static struct ast_expr *chain(struct parser *p, enum token_kind word, enum value_op op,
                              struct ast_expr *(*operand)(struct parser *p))
{
    struct list l = {0};
    do {
        struct ast_expr *e = operand(p), **slot;
        if (!e || (l.n == 0 && p->tok.kind != word)) {
            return e;
        }
        if (!(slot = sql_list_add(p, &l, sizeof(e)))) {
            return NULL;
        }
        *slot = e;
    } while (sql_accept(p, word));
    return balanced(p, op, l.items, l.n);
}

static struct ast_expr *conjunction(struct parser *p)
{
    return chain(p, TOKEN_AND, VALUE_AND, negation);
}

struct ast_expr *sql_expr(struct parser *p)
{
    if (sql_enter(p) < 0) {
        return NULL;
    }
    struct ast_expr *e = chain(p, TOKEN_OR, VALUE_OR, conjunction);
    sql_leave(p);
    return e;
}

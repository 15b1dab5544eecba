/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions, by precedence:
 *
 *      OR < AND < NOT < = != < <= > >= IN BETWEEN LIKE IS < + - | ^ < * / % & < - < . -> []
 *
 * as in eKuiper, except that there the last ones bind no closer than '*'. Chains of AND and of OR
 * become balanced trees, so that a rule with a thousand conditions is not a thousand deep.
 */
#include "sql_private.h"

enum { PREC_NONE, PREC_COMPARE = 3, PREC_ADD, PREC_MULTIPLY };

static struct ast_expr *unary(struct parser *p);

static struct ast_expr *make2(struct parser *p, enum ast_kind kind, uint32_t at, struct ast_expr *a,
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
    struct ast_expr *e = make2(p, AST_BINARY, a ? a->at : 0, a, b);
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
    struct ast_expr *e = make2(p, AST_MINUS, at, unary(p), NULL);
    sql_leave(p);
    return e;
}

static struct ast_expr *unary(struct parser *p)
{
    uint32_t at = p->tok.at;
    return sql_accept(p, TOKEN_MINUS) ? minus(p, at) : postfix(p);
}

/* ---- operators ---- */

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
    struct ast_expr *e = prec > PREC_MULTIPLY ? unary(p) : arithmetic(p, prec + 1);
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
    if (!(e->b = unary(p))) {
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
    struct ast_expr *e = make2(p, AST_LIKE, left->at, left, sql_expr_additive(p));
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
    return negated && e ? make2(p, AST_NOT, e->at, e, NULL) : e;
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
    struct ast_expr *e = make2(p, AST_NOT, at, negation(p), NULL);
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

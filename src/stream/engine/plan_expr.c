/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions: from the syntax tree to the planned tree. Size and depth are bounded (plan_spend);
 * an alias that refers to itself through others is cut by its state. Names are in plan_name.c,
 * calls in plan_call.c.
 */
#include "plan_private.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/limits.h"

int plan_refuse(struct planner *p, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set(p->err, -E_INVAL, "%s", text);
}

struct expr *plan_new_expr(struct planner *p, enum expr_kind kind)
{
    struct expr *e = arena_zalloc(p->arena, sizeof(*e));
    if (!e) {
        (void)err_sys(p->err, -E_NOMEM, "plan a rule");
        return NULL;
    }
    e->kind = kind;
    return e;
}

struct str plan_text(struct planner *p, struct str s)
{
    char *copy = arena_strndup(p->arena, s.p ? s.p : "", s.n);
    return str_n(copy, copy ? s.n : 0);
}

struct expr **plan_list(struct planner *p, struct ast_expr *const *list, uint32_t n,
                        enum clause clause)
{
    struct expr **out = arena_alloc(p->arena, (n + 1) * sizeof(*out));
    for (uint32_t i = 0; out && i < n; i++) {
        out[i] = plan_expr(p, list[i], clause);
        if (!out[i]) {
            return NULL;
        }
    }
    return out;
}

static bool all_const(const struct expr *e)
{
    for (uint32_t i = 0; i < e->n_list; i++) {
        if (!expr_is_const(e->list[i])) {
            return false;
        }
    }
    return (!e->a || expr_is_const(e->a)) && (!e->b || expr_is_const(e->b)) &&
           (!e->c || expr_is_const(e->c));
}

struct expr *plan_fold(struct planner *p, struct expr *e)
{
    struct eval ev = {.arena = p->arena};
    struct value v;
    bool foldable = e->kind == EXPR_CALL ? (e->function->flags & FUNCTION_F_PURE) != 0 &&
                                               e->function->kind == FUNCTION_SCALAR
                                         : e->kind != EXPR_COMPUTED && e->kind != EXPR_FIELD &&
                                               e->kind != EXPR_ALL && e->kind != EXPR_META;
    if (!foldable || !all_const(e) || expr_eval(e, &ev, &v, NULL) < 0) {
        return e;
    }
    *e = (struct expr){.kind = EXPR_CONST, .value = value_copy(p->arena, &v)};
    return e;
}

static struct expr *plan_like(struct planner *p, struct expr *e)
{
    if (expr_is_const(e->b)) {
        if (e->b->value.type != VALUE_STRING) {
            (void)plan_refuse(p, "invalid LIKE pattern, must be a string");
            return NULL;
        }
        e->compiled = expr_like_compile(p->arena, value_text(&e->b->value));
        if (!e->compiled) {
            (void)err_sys(p->err, -E_NOMEM, "plan a rule");
            return NULL;
        }
    }
    return e;
}

/* Operators: the operands go to the same places. */
static struct expr *plan_operator(struct planner *p, const struct ast_expr *e, enum expr_kind kind,
                                  enum clause clause)
{
    struct expr *out = plan_new_expr(p, kind);
    const struct ast_expr *from[] = {e->a, e->b, e->c};
    if (!out) {
        return NULL;
    }
    struct expr **to[] = {&out->a, &out->b, &out->c};
    for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
        if (from[i] && !(*to[i] = plan_expr(p, from[i], clause))) {
            return NULL;
        }
    }
    out->negated = e->negated;
    if (kind == EXPR_BINARY) {
        out->op = e->op;
    } else if (kind == EXPR_ARROW) {
        out->name = plan_text(p, e->name);
    } else if (kind == EXPR_LIKE) {
        return plan_like(p, out);
    }
    return kind == EXPR_IN ? out : plan_fold(p, out); /* the list of IN is still to come */
}

static struct expr *plan_in(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    struct expr *out = plan_operator(p, e, EXPR_IN, clause);
    if (!out || !(out->list = plan_list(p, e->list, e->n_list, clause))) {
        return NULL;
    }
    out->n_list = e->n_list;
    return plan_fold(p, out);
}

static struct expr *plan_case(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    struct expr *out = plan_new_expr(p, EXPR_CASE);
    if (!out) {
        return NULL;
    }
    struct expr **whens = plan_list(p, e->whens, e->n_whens, clause);
    struct expr **thens = plan_list(p, e->thens, e->n_whens, clause);
    out->list = arena_alloc(p->arena, 2 * e->n_whens * sizeof(*out->list) + 1);
    if (!whens || !thens || !out->list || (e->a && !(out->a = plan_expr(p, e->a, clause))) ||
        (e->c && !(out->c = plan_expr(p, e->c, clause)))) {
        return NULL;
    }
    for (uint32_t i = 0; i < e->n_whens; i++) {
        out->list[i] = whens[i];
        out->list[e->n_whens + i] = thens[i];
    }
    out->n_list = 2 * e->n_whens;
    return out;
}

static struct expr *plan_kind(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    struct expr *out;
    switch (e->kind) {
    case AST_CONST:
        out = plan_new_expr(p, EXPR_CONST);
        if (out) {
            out->value = value_copy(p->arena, &e->value);
        }
        return out;
    case AST_FIELD:
        return plan_field_ref(p, e, clause);
    case AST_WILDCARD:
        return plan_wildcard(p, e, clause);
    case AST_CALL:
        return plan_call(p, e, clause);
    case AST_NOT:
        return plan_operator(p, e, EXPR_NOT, clause);
    case AST_MINUS:
        return plan_operator(p, e, EXPR_MINUS, clause);
    case AST_BINARY:
        return plan_operator(p, e, EXPR_BINARY, clause);
    case AST_BETWEEN:
        return plan_operator(p, e, EXPR_BETWEEN, clause);
    case AST_IN:
        return plan_in(p, e, clause);
    case AST_LIKE:
        return plan_operator(p, e, EXPR_LIKE, clause);
    case AST_CASE:
        return plan_case(p, e, clause);
    case AST_ARROW:
        return plan_operator(p, e, EXPR_ARROW, clause);
    case AST_INDEX:
        return plan_operator(p, e, EXPR_INDEX, clause);
    case AST_SLICE:
        return plan_operator(p, e, EXPR_SLICE, clause);
    case AST_SUBQUERY:
    case AST_EXISTS:
        break;
    }
    (void)plan_refuse(p, "a sub-query may stand in FROM and in WITH, not inside an expression");
    return NULL;
}

bool plan_spend(struct planner *p, uint32_t n, uint32_t height)
{
    if (n > LIMIT_SQL_EXPANDED - p->nodes) {
        (void)plan_refuse(p, "more than %d expressions after aliases were put in",
                          LIMIT_SQL_EXPANDED);
        return false;
    }
    if (height > LIMIT_SQL_EXPANDED_DEPTH - p->depth) {
        (void)plan_refuse(p, "more than %d nested expressions after aliases were put in",
                          LIMIT_SQL_EXPANDED_DEPTH);
        return false;
    }
    p->nodes += n;
    p->deepest = MAX_OF(p->deepest, p->depth + height);
    return true;
}

struct expr *plan_expr(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    if (!plan_spend(p, /* n= */ 1, /* height= */ 1)) {
        return NULL;
    }
    p->depth++;
    struct expr *out = plan_kind(p, e, clause);
    p->depth--;
    return out;
}

/* ---- looks at planned expressions ---- */

uint64_t plan_reads(const struct expr *e)
{
    uint64_t bits = 0;
    if (!e) {
        return 0;
    }
    if (e->kind == EXPR_FIELD || e->kind == EXPR_ALL || e->kind == EXPR_META) {
        bits = e->source >= 0 && e->source < 64 ? UINT64_C(1) << e->source : UINT64_MAX;
    } else if (e->kind == EXPR_COMPUTED) {
        bits = 1; /* analytic functions see source 0 */
    }
    for (uint32_t i = 0; i < e->n_list; i++) {
        bits |= plan_reads(e->list[i]);
    }
    return bits | plan_reads(e->a) | plan_reads(e->b) | plan_reads(e->c);
}

bool plan_has_computed(const struct expr *e)
{
    if (!e) {
        return false;
    }
    if (e->kind == EXPR_COMPUTED) {
        return true;
    }
    for (uint32_t i = 0; i < e->n_list; i++) {
        if (plan_has_computed(e->list[i])) {
            return true;
        }
    }
    return plan_has_computed(e->a) || plan_has_computed(e->b) || plan_has_computed(e->c);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The row evaluator: a walk over the planned tree. Its depth is bounded by the parser
 * (LIMIT_SQL_DEPTH). Nulls follow value_apply(); AND and OR stop early, so that a condition can
 * guard another.
 */
#include "expr.h"

#define ARGS_INLINE 8

bool expr_is_const(const struct expr *e)
{
    return e && e->kind == EXPR_CONST;
}

/* ---- rows ---- */

static const struct row *row_of(const struct eval *ev, int source)
{
    return ev->tuple && source >= 0 && (uint32_t)source < ev->tuple->n ? ev->tuple->rows[source]
                                                                       : NULL;
}

static void eval_meta(const struct expr *e, struct eval *ev, struct value *ret)
{
    *ret = VALUE_OF_NULL;
    for (uint32_t i = 0; ev->tuple && i < ev->tuple->n; i++) {
        const struct row *r = e->source < 0 ? ev->tuple->rows[i] : row_of(ev, e->source);
        const struct value *found = NULL;
        if (r) {
            found = e->name.n == 0 ? &r->meta : value_get(&r->meta, e->name);
        }
        if (found && found->type != VALUE_ABSENT) {
            *ret = *found;
            return;
        }
        if (e->source >= 0) {
            return;
        }
    }
}

static bool left_out(const struct expr *e, struct str name)
{
    for (uint32_t i = 0; i < e->n_names; i++) {
        if (str_eq(e->names[i], name)) {
            return true;
        }
    }
    return false;
}

/* Sets a member; a later one of the same name takes its place. */
static void set_member(struct value_member *members, uint32_t *n, const struct value_member *m)
{
    for (uint32_t i = 0; i < *n; i++) {
        if (str_eq(members[i].key, m->key)) {
            members[i] = *m;
            return;
        }
    }
    members[(*n)++] = *m;
}

static int eval_all(const struct expr *e, struct eval *ev, struct value *ret)
{
    uint32_t total = 0, n = 0, sources = ev->tuple ? ev->tuple->n : 0;
    for (uint32_t i = 0; i < sources; i++) {
        const struct row *r = ev->tuple->rows[i];
        total += r && (e->source < 0 || (uint32_t)e->source == i) ? r->whole.n : 0;
    }
    struct value_member *members = arena_alloc(ev->arena, (total + 1) * sizeof(*members));
    if (!members) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; i < sources; i++) {
        const struct row *r = ev->tuple->rows[i];
        if (!r || (e->source >= 0 && (uint32_t)e->source != i) || r->whole.type != VALUE_OBJECT) {
            continue;
        }
        for (uint32_t k = 0; k < r->whole.n; k++) {
            if (!left_out(e, r->whole.members[k].key)) {
                set_member(members, &n, &r->whole.members[k]);
            }
        }
    }
    *ret = (struct value){.type = VALUE_OBJECT, .n = n, .members = members};
    return 0;
}

/* ---- operators ---- */

static int not_boolean(const struct value *v, const char *what, struct err *err)
{
    struct buf b = BUF_INIT;
    (void)value_print_text(&b, v); /* sticky */
    (void)err_set(err, -E_INVAL, "%s wants a condition, not %s " STR_FMT, what,
                  value_type_name(v->type), STR_ARG(buf_str(&b)));
    buf_fini(&b);
    return -E_INVAL;
}

static int eval_logic(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value a, b;
    bool is_or = e->op == VALUE_OR;
    int rc = expr_eval(e->a, ev, &a, err);
    if (rc < 0) {
        return rc;
    }
    if (a.type == VALUE_BOOL && a.b == is_or) {
        *ret = a;
        return 0;
    }
    if (value_is_null(&a) && !is_or) {
        *ret = value_bool(false);
        return 0;
    }
    rc = expr_eval(e->b, ev, &b, err);
    return rc < 0 ? rc : value_apply(e->op, &a, &b, ret, err);
}

static int eval_binary(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value a, b;
    if (e->op == VALUE_AND || e->op == VALUE_OR) {
        return eval_logic(e, ev, ret, err);
    }
    int rc = expr_eval(e->a, ev, &a, err);
    rc = rc < 0 ? rc : expr_eval(e->b, ev, &b, err);
    return rc < 0 ? rc : value_apply(e->op, &a, &b, ret, err);
}

static int eval_not(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value a;
    int rc = expr_eval(e->a, ev, &a, err);
    if (rc < 0) {
        return rc;
    }
    if (value_is_null(&a)) {
        *ret = VALUE_OF_NULL;
        return 0;
    }
    *ret = value_bool(a.type == VALUE_BOOL && !a.b);
    return a.type == VALUE_BOOL ? 0 : not_boolean(&a, "NOT", err);
}

static int eval_minus(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value a, zero = value_int(0);
    int rc = expr_eval(e->a, ev, &a, err);
    if (rc < 0) {
        return rc;
    }
    if (a.type == VALUE_FLOAT) {
        *ret = value_float(-a.f);
        return 0;
    }
    return value_apply(VALUE_SUB, &zero, &a, ret, err);
}

static int eval_between(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value a, low, high, ok;
    int rc = expr_eval(e->a, ev, &a, err);
    rc = rc < 0 ? rc : expr_eval(e->b, ev, &low, err);
    rc = rc < 0 ? rc : expr_eval(e->c, ev, &high, err);
    rc = rc < 0 ? rc : value_apply(VALUE_GE, &a, &low, &ok, err);
    if (rc == 0 && ok.b) {
        rc = value_apply(VALUE_LE, &a, &high, &ok, err);
    }
    if (rc == 0) {
        bool known = !value_is_null(&a) && !value_is_null(&low) && !value_is_null(&high);
        *ret = value_bool(known && ok.b != e->negated);
    }
    return rc;
}

static int eval_in(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value a, item;
    bool found = false;
    int rc = expr_eval(e->a, ev, &a, err);
    if (rc == 0 && e->n_list == 0 && e->b) {
        struct value list;
        rc = expr_eval(e->b, ev, &list, err);
        if (rc == 0 && list.type != VALUE_ARRAY && !value_is_null(&list)) {
            rc = err_set(err, -E_INVAL, "IN wants a list, not %s", value_type_name(list.type));
        }
        for (uint32_t i = 0; rc == 0 && !found && list.type == VALUE_ARRAY && i < list.n; i++) {
            found = value_same(&a, &list.items[i]);
        }
    }
    for (uint32_t i = 0; rc == 0 && !found && i < e->n_list; i++) {
        rc = expr_eval(e->list[i], ev, &item, err);
        found = rc == 0 && !value_is_null(&a) && value_same(&a, &item);
    }
    if (rc == 0) {
        *ret = value_bool(!value_is_null(&a) && found != e->negated);
    }
    return rc;
}

static int eval_like(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value a, pattern;
    int rc = expr_eval(e->a, ev, &a, err);
    if (rc < 0) {
        return rc;
    }
    if (value_is_null(&a)) {
        *ret = value_bool(false);
        return 0;
    }
    const void *compiled = e->compiled;
    if (!compiled) {
        rc = expr_eval(e->b, ev, &pattern, err);
        if (rc == 0 && pattern.type != VALUE_STRING) {
            rc = err_set(err, -E_INVAL, "LIKE wants a text as its pattern");
        }
        compiled = rc == 0 ? expr_like_compile(ev->arena, value_text(&pattern)) : NULL;
        rc = rc == 0 && !compiled ? -E_NOMEM : rc;
    }
    if (rc == 0 && a.type != VALUE_STRING) {
        rc = err_set(err, -E_INVAL, "LIKE wants a text, not %s", value_type_name(a.type));
    }
    if (rc == 0) {
        *ret = value_bool(expr_like_match(compiled, value_text(&a)) != e->negated);
    }
    return rc;
}

static int eval_case(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value operand, when;
    uint32_t pairs = e->n_list / 2;
    int rc = e->a ? expr_eval(e->a, ev, &operand, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < pairs; i++) {
        bool hit;
        if (e->a) {
            rc = expr_eval(e->list[i], ev, &when, err);
            hit = rc == 0 && !value_is_null(&operand) && value_same(&operand, &when);
        } else {
            rc = expr_test(e->list[i], ev, &hit, err);
        }
        if (rc == 0 && hit) {
            return expr_eval(e->list[pairs + i], ev, ret, err);
        }
    }
    if (rc == 0 && e->c) {
        return expr_eval(e->c, ev, ret, err);
    }
    *ret = VALUE_OF_NULL;
    return rc;
}

/* ---- paths ---- */

static int members_of_items(const struct value *list, struct str name, struct eval *ev,
                            struct value *ret)
{
    struct value *items = arena_alloc(ev->arena, (list->n + 1) * sizeof(*items));
    for (uint32_t i = 0; items && i < list->n; i++) {
        const struct value *found = value_get(&list->items[i], name);
        items[i] = found ? *found : VALUE_OF_NULL;
    }
    *ret = (struct value){.type = VALUE_ARRAY, .n = list->n, .items = items};
    return items ? 0 : -E_NOMEM;
}

static int eval_arrow(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value a;
    int rc = expr_eval(e->a, ev, &a, err);
    if (rc < 0) {
        return rc;
    }
    if (a.type == VALUE_OBJECT) {
        const struct value *found = value_get(&a, e->name);
        *ret = found ? *found : VALUE_OF_NULL;
        return 0;
    }
    if (a.type == VALUE_ARRAY) {
        return members_of_items(&a, e->name, ev, ret);
    }
    *ret = VALUE_OF_NULL; /* as eKuiper: a text or a number has no members */
    return 0;
}

/* A list to be indexed or cut; null gives null (1), what is no list is an error. */
static int eval_list(const struct expr *e, const char *what, struct eval *ev, struct value *ret,
                     struct err *err)
{
    int rc = expr_eval(e, ev, ret, err);
    if (rc < 0 || ret->type == VALUE_ARRAY) {
        return rc;
    }
    return value_is_null(ret) ? 1
                              : err_set(err, -E_INVAL, "%s is an invalid operation for %s", what,
                                        value_type_name(ret->type));
}

static int eval_position(const struct expr *e, struct eval *ev, int64_t *ret, struct err *err)
{
    struct value v;
    int rc = expr_eval(e, ev, &v, err);
    if (rc == 0 && v.type != VALUE_INT) {
        rc = err_set(err, -E_INVAL, "an index must be an integer, not %s", value_type_name(v.type));
    }
    *ret = rc == 0 ? v.i : 0;
    return rc;
}

static int eval_index(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value list;
    int64_t at;
    int rc = eval_list(e->a, "[]", ev, &list, err);
    if (rc != 0) {
        *ret = VALUE_OF_NULL;
        return rc < 0 ? rc : 0;
    }
    rc = eval_position(e->b, ev, &at, err);
    if (rc < 0) {
        return rc;
    }
    int64_t i = at < 0 ? at + list.n : at;
    if (i < 0 || i >= list.n) {
        return err_set(err, -E_INVAL, "out of index: %lld of %u", (long long)at, list.n);
    }
    *ret = list.items[i];
    return 0;
}

static int eval_slice(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value list;
    int64_t start = 0, end = 0;
    int rc = eval_list(e->a, "[:]", ev, &list, err);
    if (rc != 0) {
        *ret = VALUE_OF_NULL;
        return rc < 0 ? rc : 0;
    }
    int64_t n = list.n;
    rc = e->b ? eval_position(e->b, ev, &start, err) : 0;
    rc = rc < 0 || !e->c ? rc : eval_position(e->c, ev, &end, err);
    end = e->c ? end : n;
    if (rc < 0) {
        return rc;
    }
    int64_t from = start < 0 ? start + n : start, to = end < 0 ? end + n : end;
    if (from < 0 || from > n || (from == n && n > 0 && e->b)) {
        return err_set(err, -E_INVAL, "start value is out of index: %lld of %u", (long long)start,
                       list.n);
    }
    if (to < 0 || to > n) {
        return err_set(err, -E_INVAL, "end value is out of index: %lld of %u", (long long)end,
                       list.n);
    }
    if (from > to) {
        return err_set(err, -E_INVAL, "start cannot be greater than end. start:%lld  end:%lld",
                       (long long)from, (long long)to);
    }
    *ret =
        (struct value){.type = VALUE_ARRAY, .n = (uint32_t)(to - from), .items = list.items + from};
    return 0;
}

/* ---- calls ---- */

static int eval_call(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value few[ARGS_INLINE];
    struct value *args =
        e->n_list <= ARGS_INLINE ? few : arena_alloc(ev->arena, e->n_list * sizeof(*args));
    if (!args) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; i < e->n_list; i++) {
        int rc = expr_eval(e->list[i], ev, &args[i], err);
        if (rc < 0) {
            return rc;
        }
        if (value_is_null(&args[i]) && !(e->function->flags & FUNCTION_F_NULLS)) {
            *ret = VALUE_OF_NULL;
            return 0;
        }
    }
    return e->function->eval(ev, args, e->n_list, ret, err);
}

static int eval_object(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    struct value base = {.type = VALUE_OBJECT};
    int rc = e->a ? expr_eval(e->a, ev, &base, err) : 0;
    uint32_t n = 0;
    if (rc < 0) {
        return rc;
    }
    uint32_t inherited = base.type == VALUE_OBJECT ? base.n : 0;
    struct value_member *members =
        arena_alloc(ev->arena, (inherited + e->n_list + 1) * sizeof(*members));
    if (!members) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; i < inherited; i++) {
        members[n++] = base.members[i];
    }
    for (uint32_t i = 0; rc == 0 && i < e->n_list; i++) {
        struct value_member m = {.key = e->names[i]};
        rc = expr_eval(e->list[i], ev, &m.value, err);
        if (rc == 0) {
            set_member(members, &n, &m);
        }
    }
    *ret = (struct value){.type = VALUE_OBJECT, .n = n, .members = members};
    return rc;
}

/* ---- all ---- */

int expr_eval(const struct expr *e, struct eval *ev, struct value *ret, struct err *err)
{
    switch (e->kind) {
    case EXPR_CONST:
        *ret = e->value;
        return 0;
    case EXPR_FIELD:
        *ret = *row_cell(row_of(ev, e->source), e->slot);
        return 0;
    case EXPR_META:
        eval_meta(e, ev, ret);
        return 0;
    case EXPR_ALL:
        return eval_all(e, ev, ret);
    case EXPR_COMPUTED:
        *ret = ev->computed ? ev->computed[e->slot] : VALUE_OF_NULL;
        return 0;
    case EXPR_CALL:
        return eval_call(e, ev, ret, err);
    case EXPR_NOT:
        return eval_not(e, ev, ret, err);
    case EXPR_MINUS:
        return eval_minus(e, ev, ret, err);
    case EXPR_BINARY:
        return eval_binary(e, ev, ret, err);
    case EXPR_BETWEEN:
        return eval_between(e, ev, ret, err);
    case EXPR_IN:
        return eval_in(e, ev, ret, err);
    case EXPR_LIKE:
        return eval_like(e, ev, ret, err);
    case EXPR_CASE:
        return eval_case(e, ev, ret, err);
    case EXPR_ARROW:
        return eval_arrow(e, ev, ret, err);
    case EXPR_INDEX:
        return eval_index(e, ev, ret, err);
    case EXPR_SLICE:
        return eval_slice(e, ev, ret, err);
    case EXPR_OBJECT:
        return eval_object(e, ev, ret, err);
    }
    return err_set(err, -E_INTERNAL, "an expression of an unknown kind");
}

int expr_test(const struct expr *e, struct eval *ev, bool *ret, struct err *err)
{
    struct value v;
    int rc = expr_eval(e, ev, &v, err);
    if (rc < 0) {
        return rc;
    }
    *ret = v.type == VALUE_BOOL && v.b;
    return v.type == VALUE_BOOL || value_is_null(&v) ? 0 : not_boolean(&v, "a clause", err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The estimate of what a program costs at most, as cel-go and Kubernetes reckon it before they
 * accept a rule: names, selections and calls cost one; what walks through data costs by its size;
 * a macro costs its body times the elements of its range. Sizes come from literals and from the
 * bounds that the declared types carry.
 */
#include <math.h>

#include "cel_private.h"

#define UNBOUNDED UINT64_MAX

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UNBOUNDED - b ? UNBOUNDED : a + b;
}

static uint64_t multiply(uint64_t a, uint64_t b)
{
    return b && a > UNBOUNDED / b ? UNBOUNDED : a * b;
}

static uint64_t factor(uint64_t n, double by)
{
    double d = ceil((double)n * by);
    return d >= 18446744073709551615.0 ? UNBOUNDED : (uint64_t)d;
}

/* The size by a type alone. */
static uint64_t type_size(const struct cel_type *t)
{
    switch (t->kind) {
    case CEL_NULL:
    case CEL_BOOL:
    case CEL_INT:
    case CEL_UINT:
    case CEL_DOUBLE:
    case CEL_TIMESTAMP:
    case CEL_DURATION:
    case CEL_OBJECT:
    case CEL_TYPE:
    case CEL_IP:
    case CEL_CIDR:
    case CEL_URL:
    case CEL_QUANTITY:
    case CEL_SEMVER:
    case CEL_FORMAT:
    case CEL_AUTHORIZER:
    case CEL_PATH_CHECK:
    case CEL_GROUP_CHECK:
    case CEL_RESOURCE_CHECK:
    case CEL_DECISION:
        return 1;
    default:
        return t->max ? t->max : UNBOUNDED;
    }
}

struct cost_scope {
    uint64_t sizes[LIMIT_CEL_DEPTH * 2]; /* of the locals by slot; 0 = by their type */
};

static uint64_t cost(struct cost_scope *s, struct ast *e);

static uint64_t cost_args(struct cost_scope *s, struct ast *e)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < e->n_args; i++) {
        sum = add(sum, cost(s, e->args[i]));
    }
    return sum;
}

static uint64_t entry_size(const struct ast *range)
{
    return range->size.entry ? range->size.entry : type_size(cel_type_elem(range->type));
}

/* Receiver and arguments in one row. */
static const struct ast *arg(const struct ast *e, uint32_t i)
{
    if (e->target) {
        return i == 0 ? e->target : i - 1 < e->n_args ? e->args[i - 1] : NULL;
    }
    return i < e->n_args ? e->args[i] : NULL;
}

static uint64_t arg_size(const struct ast *e, uint32_t i)
{
    const struct ast *a = arg(e, i);
    return a ? a->size.size : 1;
}

/* Comparisons of elements that are texts look at the texts too. */
static uint64_t cost_elements(const struct ast *e)
{
    const struct ast *list = arg(e, 0);
    if (list->type->kind != CEL_LIST) {
        return factor(list->size.size, 0.1);
    }
    enum cel_kind k = cel_type_elem(list->type)->kind;
    uint64_t each = k == CEL_STRING || k == CEL_BYTES ? add(1, factor(entry_size(list), 0.1)) : 1;
    return multiply(list->size.size, each);
}

/* Sets the size of what add and the string functions make. */
static uint64_t cost_concat(struct ast *e)
{
    const struct ast *a = arg(e, 0), *b = arg(e, 1);
    enum cel_kind k = e->type->kind;
    if (k != CEL_STRING && k != CEL_BYTES && k != CEL_LIST && k != CEL_DYN) {
        return 1;
    }
    e->size.size = add(a->size.size, b->size.size);
    e->size.entry = MAX_OF(entry_size(a), entry_size(b));
    return k == CEL_LIST ? 1 : k == CEL_DYN ? 1 : factor(e->size.size, 0.1);
}

static void set_result_size(struct ast *e)
{
    const struct ast *a = arg(e, 0);
    const char *name = e->fn->name;
    if (cstr_eq(name, "lowerAscii") || cstr_eq(name, "upperAscii") || cstr_eq(name, "substring") ||
        cstr_eq(name, "trim") || cstr_eq(name, "dyn") || cstr_eq(name, "split") ||
        cstr_eq(name, "find") || cstr_eq(name, "findAll")) {
        e->size = a->size;
    } else if (cstr_eq(name, "bytes")) {
        e->size.size = multiply(a->size.size, 4);
    } else if (cstr_eq(name, "string")) {
        e->size.size = a->size.size;
    } else if (cstr_eq(name, "replace")) {
        e->size.size = add(a->size.size, multiply(add(a->size.size, 1), arg_size(e, 2)));
    } else if (cstr_eq(name, "join")) {
        e->size.size = multiply(a->size.size, add(entry_size(a), arg_size(e, 1)));
    } else if (cstr_eq(name, "_[_]")) {
        e->size.size = entry_size(a);
    } else if (cstr_eq(name, "_?_:_")) {
        e->size.size = MAX_OF(e->args[1]->size.size, e->args[2]->size.size);
        e->size.entry = MAX_OF(e->args[1]->size.entry, e->args[2]->size.entry);
    }
}

static uint64_t own_cost(struct ast *e)
{
    switch ((enum cel_cost)e->fn->cost) {
    case COST_ONE:
        return 1;
    case COST_ARG0:
        return factor(arg_size(e, 0), 0.1);
    case COST_ARG1:
        return factor(arg_size(e, 1), 0.1);
    case COST_TWICE:
        return factor(arg_size(e, 0), 0.2);
    case COST_PRODUCT:
        return multiply(factor(arg_size(e, 0), 0.1), factor(arg_size(e, 1), 0.1));
    case COST_REGEX:
        return multiply(factor(add(arg_size(e, 0), 1), 0.1), factor(arg_size(e, 1), 0.25));
    case COST_ELEMENTS:
        return cost_elements(e);
    case COST_IN:
        return e->args[1]->type->kind == CEL_LIST ? arg_size(e, 1) : 1;
    case COST_RESULT:
        return factor(e->size.size, 0.1);
    case COST_CONCAT:
        return cost_concat(e);
    case COST_COMPARE:
        return factor(MIN_OF(arg_size(e, 0), arg_size(e, 1)), 0.1);
    case COST_CROSS:
        return multiply(arg_size(e, 0), arg_size(e, 1));
    case COST_ACCESS:
        return COST_ACCESS_CHECK;
    }
    return 1;
}

static uint64_t cost_call(struct cost_scope *s, struct ast *e)
{
    uint64_t target = e->target ? cost(s, e->target) : 0, own;
    if (cstr_eq(e->fn->name, "_?_:_")) {
        uint64_t condition = cost(s, e->args[0]), yes = cost(s, e->args[1]);
        own = add(condition, MAX_OF(yes, cost(s, e->args[2])));
        set_result_size(e);
        return own;
    }
    uint64_t args = cost_args(s, e);
    if (cstr_eq(e->fn->name, "_&&_") || cstr_eq(e->fn->name, "_||_")) {
        return args;
    }
    set_result_size(e);
    own = own_cost(e);
    return add(add(target, args), own);
}

/* The loop's own steps: what the expanded macro of cel-go does beside the body. */
static uint64_t loop_cost(const struct ast *e)
{
    switch ((enum fold_kind)e->macro) {
    case FOLD_ALL:
        return 3; /* the condition, and the accumulator in the conjunction */
    case FOLD_EXISTS:
        return 4;
    case FOLD_EXISTS_ONE:
    case FOLD_TRANSFORM_ENTRY:
        return 2;
    case FOLD_MAP:
    case FOLD_TRANSFORM_LIST:
        return 12; /* a list of one, appended */
    case FOLD_FILTER:
        return 13;
    case FOLD_TRANSFORM_MAP:
        return 3;
    }
    return 1;
}

/* The accumulator's first value and the result. */
static uint64_t frame_cost(const struct ast *e)
{
    bool map = e->macro == FOLD_TRANSFORM_MAP || e->macro == FOLD_TRANSFORM_ENTRY;
    return e->macro == FOLD_EXISTS_ONE ? 2 : e->macro < FOLD_MAP ? 1 : map ? 31 : 11;
}

static uint64_t cost_fold(struct cost_scope *s, struct ast *e)
{
    uint64_t range = cost(s, e->range), body = 0, n = e->range->size.size;
    bool list = e->range->type->kind != CEL_MAP;
    const struct cel_type *key = cel_type_key(e->range->type);
    uint64_t element = list ? entry_size(e->range) : type_size(key);
    s->sizes[e->slot] = e->n_vars == 1 ? element : list ? 1 : type_size(key);
    if (e->n_vars == 2) {
        s->sizes[e->slot + 1] = entry_size(e->range);
    }
    for (uint32_t i = 0; i < e->n_args; i++) {
        body = add(body, cost(s, e->args[i]));
    }
    const struct ast *last = e->args[e->n_args - 1];
    bool aggregate = e->macro >= FOLD_MAP;
    e->size.size = aggregate ? n : 1;
    e->size.entry = e->macro == FOLD_FILTER ? element : aggregate ? last->size.size : 0;
    return add(add(range, frame_cost(e)), multiply(n, add(body, loop_cost(e))));
}

static uint64_t cost_select(struct cost_scope *s, struct ast *e)
{
    uint64_t operand = cost(s, e->operand);
    enum cel_kind k = e->operand->type->kind;
    bool counted = k == CEL_MAP || k == CEL_OBJECT || k == CEL_DYN || k == CEL_OPTIONAL;
    return add(operand, !e->test && counted ? 1 : 0);
}

static uint64_t cost_aggregate(struct cost_scope *s, struct ast *e, uint64_t base, uint32_t per)
{
    uint64_t sum = add(cost_args(s, e), base);
    for (uint32_t i = 0; i < e->n_args; i++) {
        if (i % per == per - 1) {
            e->size.entry = MAX_OF(e->size.entry, e->args[i]->size.size);
        }
    }
    e->size.size = e->n_args / per;
    return sum;
}

static uint64_t cost(struct cost_scope *s, struct ast *e)
{
    e->size = (struct cel_size){type_size(e->type), 0};
    switch (e->kind) {
    case AST_CONST:
        e->size.size = cel_size_of(&e->value);
        return 0;
    case AST_IDENT:
        if (e->local >= 0 && s->sizes[e->local] && e->type->max == 0) {
            e->size.size = s->sizes[e->local];
        }
        return 1;
    case AST_SELECT:
        return cost_select(s, e);
    case AST_CALL:
        return cost_call(s, e);
    case AST_LIST:
        return cost_aggregate(s, e, 10, 1);
    case AST_MAP:
        return cost_aggregate(s, e, 30, 2);
    case AST_STRUCT:
        return add(cost_args(s, e), 40);
    case AST_FOLD:
        return cost_fold(s, e);
    case AST_BIND: {
        uint64_t value = cost(s, e->range);
        s->sizes[e->slot] = e->range->size.size;
        uint64_t body = cost(s, e->args[0]);
        e->size = e->args[0]->size;
        return add(add(value, body), 10);
    }
    }
    return 1;
}

uint64_t cel_estimate(struct cel_compiler *c, struct ast *root)
{
    struct cost_scope *s = arena_zalloc(&c->a, sizeof(*s));
    return s ? cost(s, root) : UNBOUNDED;
}

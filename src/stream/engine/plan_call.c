/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in expressions: functions of values, and what becomes a column of its own beside them:
 * aggregates, analytic functions, the metadata.
 */
#include "plan_private.h"

/* deduplicate(key, all): the row stands before its arguments. */
static struct expr **plan_row_and_list(struct planner *p, const struct ast_expr *e, uint32_t *n)
{
    static const struct ast_expr row = {.kind = AST_WILDCARD};
    struct expr **list = plan_list(p, e->args, e->n_args, CLAUSE_AGGREGATE);
    struct expr **out = list ? arena_alloc(p->arena, (e->n_args + 1) * sizeof(*out)) : NULL;
    if (!out || !(out[0] = plan_expr(p, &row, CLAUSE_AGGREGATE))) {
        return NULL;
    }
    memcpy(out + 1, list, e->n_args * sizeof(*out));
    *n = e->n_args + 1;
    return out;
}

static struct str column_name(struct planner *p, const struct ast_expr *e, uint32_t i)
{
    if (e->kind == AST_FIELD || e->kind == AST_ARROW) {
        return plan_text(p, e->name);
    }
    if (e->kind == AST_CALL) {
        return plan_text(p, e->function);
    }
    char *text = arena_printf(p->arena, "kuiper_field_%u", i);
    return str_of(text ? text : "");
}

/* changed_cols(prefix, ignore_null, columns...): the columns become one object, by their names. */
static struct expr **plan_columns(struct planner *p, const struct ast_expr *e, uint32_t *n)
{
    struct expr **out = arena_alloc(p->arena, 3 * sizeof(*out));
    struct expr *object = plan_new_expr(p, EXPR_OBJECT);
    if (!out || !object || e->n_args < 3) {
        return NULL;
    }
    object->list = arena_alloc(p->arena, e->n_args * sizeof(*object->list));
    object->names = arena_alloc(p->arena, e->n_args * sizeof(*object->names));
    for (uint32_t i = 0; object->list && object->names && i < e->n_args; i++) {
        struct expr *arg = plan_expr(p, e->args[i], CLAUSE_ANALYTIC);
        if (!arg) {
            return NULL;
        }
        if (i < 2) {
            out[i] = arg;
        } else if (e->args[i]->kind == AST_WILDCARD) {
            object->a = arg;
        } else {
            object->names[object->n_list] = column_name(p, e->args[i], i - 2);
            object->list[object->n_list++] = arg;
        }
    }
    object->n_names = object->n_list;
    out[2] = object;
    *n = 3;
    return out;
}

static void *grown(struct planner *p, void *old, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) {
        return old;
    }
    uint32_t more = *cap ? *cap * 2 : 8;
    void *fresh = arena_grow(p->arena, old, *cap * size, more * size);
    *cap = fresh ? more : *cap;
    return fresh;
}

static struct expr *plan_aggregate(struct planner *p, const struct ast_expr *e,
                                   const struct function *f, enum clause clause)
{
    static const char *const refused[] = {[CLAUSE_WHERE] = "WHERE",
                                          [CLAUSE_ON] = "ON",
                                          [CLAUSE_WINDOW] = "a window",
                                          [CLAUSE_GROUP] = "GROUP BY",
                                          [CLAUSE_AGGREGATE] = "an aggregate function",
                                          [CLAUSE_ANALYTIC] = "an analytic function"};
    if (clause < ARRAY_SIZE(refused) && refused[clause]) {
        (void)plan_refuse(p, "Not allowed to call aggregate functions in %s clause.",
                          refused[clause]);
        return NULL;
    }
    bool star = e->n_args == 1 && e->args[0]->kind == AST_WILDCARD && str_is(e->function, "count");
    struct aggregate_call call = {.function = f, .distinct = e->distinct};
    call.n_args = star ? 0 : e->n_args;
    call.args = str_is(e->function, "deduplicate")
                    ? plan_row_and_list(p, e, &call.n_args)
                    : plan_list(p, e->args, call.n_args, CLAUSE_AGGREGATE);
    call.filter = e->filter ? plan_expr(p, e->filter, CLAUSE_AGGREGATE) : NULL;
    struct expr *ref = plan_new_expr(p, EXPR_COMPUTED);
    if (!call.args || !ref || (e->filter && !call.filter)) {
        return NULL;
    }
    p->aggregates = grown(p, p->aggregates, p->n_aggregates, &p->cap_aggregates, sizeof(call));
    p->aggregate_refs =
        grown(p, p->aggregate_refs, p->n_refs, &p->cap_refs, sizeof(*p->aggregate_refs));
    if (!p->aggregates || !p->aggregate_refs) {
        (void)err_sys(p->err, -E_NOMEM, "plan a rule");
        return NULL;
    }
    ref->slot = p->n_aggregates;
    p->aggregates[p->n_aggregates++] = call;
    p->aggregate_refs[p->n_refs++] = ref;
    return ref;
}

static struct expr *plan_analytic_call(struct planner *p, const struct ast_expr *e,
                                       const struct function *f, enum clause clause)
{
    struct plan *plan = p->plan;
    if (clause == CLAUSE_AGGREGATE || clause == CLAUSE_ANALYTIC) {
        clause = CLAUSE_ANALYTIC; /* analytic functions may stand in each other */
    }
    struct plan_analytic call = {.function = f, .n_args = e->n_args, .n_partition = e->n_partition};
    call.args = f->kind == FUNCTION_COLUMNS ? plan_columns(p, e, &call.n_args)
                                            : plan_list(p, e->args, e->n_args, CLAUSE_ANALYTIC);
    call.partition = plan_list(p, e->partition, e->n_partition, CLAUSE_ANALYTIC);
    call.when = e->when ? plan_expr(p, e->when, CLAUSE_ANALYTIC) : NULL;
    struct expr *ref = plan_new_expr(p, EXPR_COMPUTED);
    if (!call.args || !call.partition || !ref || (e->when && !call.when)) {
        return NULL;
    }
    if (plan->n_analytics == PLAN_ANALYTICS_MAX) {
        (void)plan_refuse(p, "more than %d analytic functions", PLAN_ANALYTICS_MAX);
        return NULL;
    }
    plan->analytics = grown(p, plan->analytics, plan->n_analytics, &p->cap_analytics, sizeof(call));
    if (!plan->analytics) {
        (void)err_sys(p->err, -E_NOMEM, "plan a rule");
        return NULL;
    }
    ref->slot = plan->n_analytics;
    plan->analytics[plan->n_analytics++] = call;
    return ref;
}

/* meta(key), meta(stream.key), meta(key->inner), mqtt(topic): members of the metadata. */
static struct expr *plan_meta(struct planner *p, const struct ast_expr *arg)
{
    if (arg->kind == AST_ARROW) {
        struct expr *e = plan_new_expr(p, EXPR_ARROW);
        struct expr *inner = e ? plan_meta(p, arg->a) : NULL;
        if (inner) {
            e->a = inner;
            e->name = plan_text(p, arg->name);
        }
        return inner ? e : NULL;
    }
    struct expr *e = plan_new_expr(p, EXPR_META);
    if (!e) {
        return NULL;
    }
    e->source = -1;
    if (arg->kind == AST_WILDCARD) {
        e->source = arg->of.n > 0 ? (int16_t)plan_source(p, arg->of) : 0;
    } else if (arg->kind == AST_FIELD) {
        int source = arg->stream.n > 0 ? plan_source(p, arg->stream) : -1;
        e->source = (int16_t)(p->plan->n_sources == 1 ? 0 : source);
        e->name = plan_text(p, arg->name);
    } else {
        (void)plan_refuse(p, "Expect meta reference type for parameter 1");
        return NULL;
    }
    for (uint32_t i = 0; i < p->plan->n_sources; i++) {
        p->plan->sources[i].stream->shape.meta = true;
    }
    return e;
}

struct expr *plan_call(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    const struct function *f = function_find(e->function);
    if (plan_match_takes(p, e)) {
        return plan_match_call(p, e);
    }
    if (!f) {
        (void)plan_refuse(p, "function " STR_FMT " not found", STR_ARG(e->function));
        return NULL;
    }
    if ((str_is(e->function, "meta") || str_is(e->function, "mqtt")) && e->n_args > 0) {
        return plan_meta(p, e->args[0]);
    }
    p->plan->sequential |=
        str_starts(e->function, "last_hit") || str_starts(e->function, "last_agg_hit");
    switch (f->kind) {
    case FUNCTION_AGGREGATE:
        return plan_aggregate(p, e, f, clause);
    case FUNCTION_ANALYTIC:
    case FUNCTION_COLUMNS:
        return plan_analytic_call(p, e, f, clause);
    case FUNCTION_ROW:
        p->plan->row_number = true;
        break;
    case FUNCTION_SET:
    case FUNCTION_SCALAR:
        break;
    }
    struct expr *call = plan_new_expr(p, EXPR_CALL);
    if (!call) {
        return NULL;
    }
    call->function = f;
    call->list = plan_list(p, e->args, e->n_args, clause);
    call->n_list = e->n_args;
    return call->list ? plan_fold(p, call) : NULL;
}

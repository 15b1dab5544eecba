/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions: from the syntax tree to the planned tree. Depth is bounded by the parser; an alias
 * that refers to itself through others is cut by its state.
 */
#include "plan_private.h"

#include <stdarg.h>
#include <stdio.h>

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

/* Texts of the tree live in the statement's arena, which goes away. */
static struct str keep_text(struct planner *p, struct str s)
{
    char *copy = arena_strndup(p->arena, s.p ? s.p : "", s.n);
    return str_n(copy, copy ? s.n : 0);
}

/* ---- names ---- */

int plan_slot(struct planner *p, uint32_t source, struct str name)
{
    int slot = shape_add(&p->plan->sources[source].stream->shape, name, VALUE_NULL);
    return slot >= 0 ? slot : err_sys(p->err, slot, "field " STR_FMT, STR_ARG(name));
}

static int source_named(const struct planner *p, struct str name)
{
    for (uint32_t i = 0; i < p->plan->n_sources; i++) {
        if (str_eq(p->plan->sources[i].name, name) ||
            str_is(name, p->plan->sources[i].stream->name)) {
            return (int)i;
        }
    }
    return -1;
}

static bool declares(const struct engine_stream *s, struct str name)
{
    for (uint32_t i = 0; s->definition && i < s->definition->n_columns; i++) {
        if (str_eq(s->definition->columns[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool schemaless(const struct engine_stream *s)
{
    return !s->definition || s->definition->n_columns == 0;
}

static struct expr *field_of(struct planner *p, uint32_t source, struct str name)
{
    int slot = plan_slot(p, source, name);
    struct expr *e = slot >= 0 ? plan_new_expr(p, EXPR_FIELD) : NULL;
    if (e) {
        e->source = (int16_t)source;
        e->slot = (uint32_t)slot;
        e->name = keep_text(p, name);
    }
    return e;
}

/* A name that several streams without a schema may have: the first that is not null. */
static struct expr *any_field(struct planner *p, struct str name)
{
    struct expr *e = plan_new_expr(p, EXPR_CALL);
    if (!e) {
        return NULL;
    }
    e->function = function_find(STR_LIT("coalesce"));
    e->list = arena_alloc(p->arena, p->plan->n_sources * sizeof(*e->list));
    e->name = keep_text(p, name);
    for (uint32_t i = 0; e->list && i < p->plan->n_sources; i++) {
        if (schemaless(p->plan->sources[i].stream)) {
            struct expr *one = field_of(p, i, name);
            if (!one) {
                return NULL;
            }
            e->list[e->n_list++] = one;
        }
    }
    return e->list ? (e->n_list == 1 ? e->list[0] : e) : NULL;
}

static struct expr *plan_column(struct planner *p, struct str name)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < p->plan->n_sources; i++) {
        if (declares(p->plan->sources[i].stream, name)) {
            return field_of(p, i, name);
        }
        open += schemaless(p->plan->sources[i].stream);
    }
    if (open > 0) {
        return any_field(p, name);
    }
    (void)plan_refuse(p, "unknown field " STR_FMT, STR_ARG(name));
    return NULL;
}

static struct expr *plan_alias(struct planner *p, struct alias *a, enum clause clause)
{
    if (a->state == ALIAS_NEW) {
        a->state = ALIAS_RESOLVING;
        a->expr = plan_expr(p, a->ast, clause);
        a->state = ALIAS_DONE;
    }
    return a->expr;
}

static struct expr *plan_field_ref(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    if (e->stream.n > 0 && plan_match_is_part(p, e->stream)) {
        return plan_match_field(p, e);
    }
    if (e->stream.n > 0) {
        int source = source_named(p, e->stream);
        if (source < 0) {
            (void)plan_refuse(p, "stream " STR_FMT " is not part of FROM or JOIN",
                              STR_ARG(e->stream));
            return NULL;
        }
        return field_of(p, (uint32_t)source, e->name);
    }
    for (uint32_t i = 0; i < p->n_aliases; i++) {
        struct alias *a = &p->aliases[i];
        if (str_eq(a->name, e->name) && a->state != ALIAS_RESOLVING) {
            return plan_alias(p, a, clause);
        }
    }
    return plan_column(p, e->name);
}

/* ---- wildcards ---- */

static struct expr *plan_wildcard(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    struct expr *all = plan_new_expr(p, EXPR_ALL);
    int source = e->of.n > 0 ? source_named(p, e->of) : -1;
    if (!all || (e->of.n > 0 && source < 0)) {
        if (all) {
            (void)plan_refuse(p, "stream " STR_FMT " is not part of FROM or JOIN", STR_ARG(e->of));
        }
        return NULL;
    }
    all->source = (int16_t)(p->plan->n_sources == 1 ? 0 : source);
    for (uint32_t i = 0; i < p->plan->n_sources; i++) {
        if (all->source < 0 || (uint32_t)all->source == i) {
            p->plan->sources[i].stream->shape.whole = true;
        }
    }
    all->names = arena_alloc(p->arena, (e->n_except + 1) * sizeof(*all->names));
    for (uint32_t i = 0; all->names && i < e->n_except; i++) {
        all->names[all->n_names++] = keep_text(p, e->except[i]);
    }
    if (e->n_replace == 0) {
        return all;
    }
    struct expr *o = plan_new_expr(p, EXPR_OBJECT);
    if (!o) {
        return NULL;
    }
    o->a = all;
    o->list = arena_alloc(p->arena, e->n_replace * sizeof(*o->list));
    o->names = arena_alloc(p->arena, e->n_replace * sizeof(*o->names));
    for (uint32_t i = 0; o->list && o->names && i < e->n_replace; i++) {
        o->list[i] = plan_expr(p, e->replace[i].expr, clause);
        o->names[i] = keep_text(p, e->replace[i].alias);
        if (!o->list[i]) {
            return NULL;
        }
        o->n_list = o->n_names = i + 1;
    }
    return o;
}

/* ---- calls ---- */

static struct expr **plan_list(struct planner *p, struct ast_expr *const *list, uint32_t n,
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
        return keep_text(p, e->name);
    }
    if (e->kind == AST_CALL) {
        return keep_text(p, e->function);
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
            e->name = keep_text(p, arg->name);
        }
        return inner ? e : NULL;
    }
    struct expr *e = plan_new_expr(p, EXPR_META);
    if (!e) {
        return NULL;
    }
    e->source = -1;
    if (arg->kind == AST_WILDCARD) {
        e->source = arg->of.n > 0 ? (int16_t)source_named(p, arg->of) : 0;
    } else if (arg->kind == AST_FIELD) {
        int source = arg->stream.n > 0 ? source_named(p, arg->stream) : -1;
        e->source = (int16_t)(p->plan->n_sources == 1 ? 0 : source);
        e->name = keep_text(p, arg->name);
    } else {
        (void)plan_refuse(p, "Expect meta reference type for parameter 1");
        return NULL;
    }
    for (uint32_t i = 0; i < p->plan->n_sources; i++) {
        p->plan->sources[i].stream->shape.meta = true;
    }
    return e;
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

/* What has constant parts only is computed now. A failure is left for the run, where it is told. */
static struct expr *fold(struct planner *p, struct expr *e)
{
    struct eval ev = {.arena = p->arena};
    struct value v;
    bool foldable = e->kind == EXPR_CALL ? (e->function->flags & FUNCTION_F_PURE) != 0
                                         : e->kind != EXPR_COMPUTED && e->kind != EXPR_FIELD &&
                                               e->kind != EXPR_ALL && e->kind != EXPR_META;
    if (!foldable || !all_const(e) || expr_eval(e, &ev, &v, NULL) < 0) {
        return e;
    }
    *e = (struct expr){.kind = EXPR_CONST, .value = value_copy(p->arena, &v)};
    return e;
}

static struct expr *plan_call(struct planner *p, const struct ast_expr *e, enum clause clause)
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
    return call->list ? fold(p, call) : NULL;
}

/* ---- the rest ---- */

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
        out->name = keep_text(p, e->name);
    } else if (kind == EXPR_LIKE) {
        return plan_like(p, out);
    }
    return fold(p, out);
}

static struct expr *plan_in(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    struct expr *out = plan_operator(p, e, EXPR_IN, clause);
    if (out && out->kind == EXPR_IN) {
        out->list = plan_list(p, e->list, e->n_list, clause);
        out->n_list = e->n_list;
        return out->list ? out : NULL;
    }
    return out;
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

struct expr *plan_expr(struct planner *p, const struct ast_expr *e, enum clause clause)
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

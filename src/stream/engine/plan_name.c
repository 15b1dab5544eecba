/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in expressions: a field of a stream, an alias, a wildcard. A name is looked for among the
 * aliases first, then in the streams of FROM and JOIN.
 */
#include "plan_private.h"
#include "stream/sql/sql.h"

int plan_slot(struct planner *p, uint32_t source, struct str name)
{
    int slot = shape_add(&p->plan->sources[source].stream->shape, name, VALUE_NULL);
    return slot >= 0 ? slot : err_sys(p->err, slot, "field " STR_FMT, STR_ARG(name));
}

int plan_source(const struct planner *p, struct str name)
{
    for (uint32_t i = 0; i < p->plan->n_sources; i++) {
        if (str_eq(p->plan->sources[i].name, name) ||
            str_is(name, p->plan->sources[i].stream->plain)) {
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
        e->name = plan_text(p, name);
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
    e->name = plan_text(p, name);
    for (uint32_t i = 0; e->list && i < p->plan->n_sources; i++) {
        if (schemaless(p->plan->sources[i].stream)) {
            struct expr *one = field_of(p, i, name);
            if (!one) {
                return NULL;
            }
            e->list[e->n_list++] = one;
        }
    }
    return e->list ? e : NULL;
}

static struct expr *plan_column(struct planner *p, struct str name)
{
    uint32_t open = 0, last = 0;
    for (uint32_t i = 0; i < p->plan->n_sources; i++) {
        if (declares(p->plan->sources[i].stream, name)) {
            return field_of(p, i, name);
        }
        if (schemaless(p->plan->sources[i].stream)) {
            open++;
            last = i;
        }
    }
    if (open > 0) {
        return open == 1 ? field_of(p, last, name) : any_field(p, name);
    }
    (void)plan_refuse(p, "unknown field " STR_FMT, STR_ARG(name));
    return NULL;
}

static void resolve_alias(struct planner *p, struct alias *a, enum clause clause)
{
    uint32_t nodes = p->nodes, deepest = p->deepest;
    a->state = ALIAS_RESOLVING;
    p->deepest = p->depth;
    a->expr = plan_expr(p, a->ast, clause);
    a->nodes = p->nodes - nodes;
    a->height = p->deepest - p->depth;
    p->deepest = MAX_OF(deepest, p->deepest);
    a->state = ALIAS_DONE;
}

struct expr *plan_alias(struct planner *p, struct alias *a, enum clause clause)
{
    if (a->state == ALIAS_NEW) {
        resolve_alias(p, a, clause);
    } else if (!plan_spend(p, a->nodes, a->height)) {
        return NULL;
    }
    return a->expr;
}

struct expr *plan_field_ref(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    if (e->stream.n > 0 && plan_match_is_part(p, e->stream)) {
        return plan_match_field(p, e);
    }
    if (e->stream.n > 0) {
        int source = plan_source(p, e->stream);
        if (source < 0) {
            (void)plan_refuse(p, "stream " STR_FMT " is not part of FROM or JOIN",
                              STR_ARG(e->stream));
            return NULL;
        }
        return field_of(p, (uint32_t)source, e->name);
    }
    for (uint32_t i = 0; i < p->n_aliases; i++) {
        struct alias *a = &p->aliases[i];
        /* avg(a) AS a, max(a): the second one is of the column, for aggregates do not nest */
        bool nests = clause == CLAUSE_AGGREGATE && sql_has_aggregate(a->ast);
        if (str_eq(a->name, e->name) && a->state != ALIAS_RESOLVING && !nests) {
            return plan_alias(p, a, clause);
        }
    }
    return plan_column(p, e->name);
}

/* ---- wildcards ---- */

struct expr *plan_wildcard(struct planner *p, const struct ast_expr *e, enum clause clause)
{
    struct expr *all = plan_new_expr(p, EXPR_ALL);
    int source = e->of.n > 0 ? plan_source(p, e->of) : -1;
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
        all->names[all->n_names++] = plan_text(p, e->except[i]);
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
        o->names[i] = plan_text(p, e->replace[i].alias);
        if (!o->list[i]) {
            return NULL;
        }
        o->n_list = o->n_names = i + 1;
    }
    return o;
}

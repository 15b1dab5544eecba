/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said only of a whole statement: names that are no sources, functions at wrong places,
 * and walking over trees. */
#include "sql_private.h"
#include "stream/fn/function.h"

/* ---- walking ---- */

static void walk_list(struct ast_expr **list, uint32_t n, sql_visit_fn *fn, void *arg)
{
    for (uint32_t i = 0; i < n; i++) {
        sql_walk(list[i], fn, arg);
    }
}

static void walk_call(struct ast_expr *e, sql_visit_fn *fn, void *arg)
{
    walk_list(e->args, e->n_args, fn, arg);
    walk_list(e->partition, e->n_partition, fn, arg);
    for (uint32_t i = 0; i < e->n_order; i++) {
        sql_walk(e->order[i].expr, fn, arg);
    }
    sql_walk(e->when, fn, arg);
    sql_walk(e->filter, fn, arg);
}

void sql_walk(struct ast_expr *e, sql_visit_fn *fn, void *arg)
{
    if (!e || !fn(arg, e)) {
        return;
    }
    switch (e->kind) {
    case AST_CALL:
        walk_call(e, fn, arg);
        break;
    case AST_WILDCARD:
        for (uint32_t i = 0; i < e->n_replace; i++) {
            sql_walk(e->replace[i].expr, fn, arg);
        }
        break;
    case AST_CASE:
        sql_walk(e->a, fn, arg);
        for (uint32_t i = 0; i < e->n_whens; i++) {
            sql_walk(e->whens[i], fn, arg);
            sql_walk(e->thens[i], fn, arg);
        }
        sql_walk(e->c, fn, arg);
        return;
    case AST_IN:
        sql_walk(e->a, fn, arg);
        walk_list(e->list, e->n_list, fn, arg);
        sql_walk(e->b, fn, arg);
        return;
    default:
        break;
    }
    sql_walk(e->a, fn, arg);
    sql_walk(e->b, fn, arg);
    sql_walk(e->c, fn, arg);
}

static void each(struct ast_expr *e, sql_each_fn *fn, void *arg)
{
    if (e) {
        fn(arg, e);
    }
}

static void each_of(struct ast_expr **list, uint32_t n, sql_each_fn *fn, void *arg)
{
    for (uint32_t i = 0; i < n; i++) {
        fn(arg, list[i]);
    }
}

static void each_field(struct ast_field *list, uint32_t n, sql_each_fn *fn, void *arg)
{
    for (uint32_t i = 0; i < n; i++) {
        fn(arg, list[i].expr);
    }
}

static void each_window(struct ast_window *w, sql_each_fn *fn, void *arg)
{
    each(w->begin, fn, arg);
    each(w->emit, fn, arg);
    each(w->filter, fn, arg);
    each(w->when, fn, arg);
    each_of(w->partition, w->n_partition, fn, arg);
}

static void each_match(struct ast_match *m, sql_each_fn *fn, void *arg)
{
    if (m) {
        each_of(m->partition, m->n_partition, fn, arg);
        each_field(m->measures, m->n_measures, fn, arg);
        each_field(m->defines, m->n_defines, fn, arg);
    }
}

void sql_each_expr(struct ast_select *s, sql_each_fn *fn, void *arg)
{
    each_field(s->fields, s->n_fields, fn, arg);
    each_match(s->from.match, fn, arg);
    for (uint32_t i = 0; i < s->n_joins; i++) {
        each_match(s->joins[i].source.match, fn, arg);
        each(s->joins[i].on, fn, arg);
    }
    each(s->where, fn, arg);
    each_of(s->group, s->n_group, fn, arg);
    each_window(&s->window, fn, arg);
    each(s->having, fn, arg);
    for (uint32_t i = 0; i < s->n_order; i++) {
        fn(arg, s->order[i].expr);
    }
}

/* ---- a.b: column b of source a, or member b of column a ---- */

struct scope {
    struct parser *p;
    const struct ast_select *select;
    const struct scope *outer;
};

static bool is_source(const struct ast_source *s, struct str name)
{
    if (str_eq(s->alias, name) || str_eq(s->name, name)) {
        return true;
    }
    for (uint32_t i = 0; s->match && i < s->match->n_steps; i++) {
        if (str_eq(s->match->steps[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool in_scope(const struct scope *s, struct str name)
{
    for (; s; s = s->outer) {
        if (is_source(&s->select->from, name)) {
            return true;
        }
        for (uint32_t i = 0; i < s->select->n_joins; i++) {
            if (is_source(&s->select->joins[i].source, name)) {
                return true;
            }
        }
    }
    return false;
}

static void resolve_select(struct parser *p, struct ast_select *s, const struct scope *outer);

static bool resolve_node(void *arg, struct ast_expr *e)
{
    const struct scope *s = arg;
    if (e->kind == AST_SUBQUERY || e->kind == AST_EXISTS) {
        resolve_select(s->p, e->select, s);
    }
    if (e->kind != AST_FIELD || !e->stream.n || in_scope(s, e->stream)) {
        return true;
    }
    struct ast_expr *base = sql_node(s->p, AST_FIELD, e->at);
    if (base) {
        base->name = e->stream;
        e->stream = STR_NULL;
        e->kind = AST_ARROW;
        e->a = base;
    }
    return false;
}

static void resolve_expr(void *arg, struct ast_expr *e)
{
    sql_walk(e, resolve_node, arg);
}

static void resolve_select(struct parser *p, struct ast_select *s, const struct scope *outer)
{
    for (uint32_t i = 0; i < s->n_with; i++) {
        resolve_select(p, s->with[i].select, NULL);
    }
    for (; s; s = s->union_all) {
        struct scope scope = {.p = p, .select = s, .outer = outer};
        if (s->from.select) {
            resolve_select(p, s->from.select, NULL);
        }
        for (uint32_t i = 0; i < s->n_joins; i++) {
            if (s->joins[i].source.select) {
                resolve_select(p, s->joins[i].source.select, NULL);
            }
        }
        sql_each_expr(s, resolve_expr, &scope);
    }
}

void sql_resolve(struct parser *p, struct ast_select *s)
{
    resolve_select(p, s, NULL);
}

/* ---- functions at their places ---- */

struct census { /* functions of one kind below an expression */
    enum function_kind kind;
    uint32_t n;
};

static bool census_node(void *arg, struct ast_expr *e)
{
    struct census *c = arg;
    const struct function *f = e->kind == AST_CALL ? function_find(e->function) : NULL;
    c->n += f && f->kind == c->kind;
    return true;
}

static uint32_t count_kind(struct ast_expr *e, enum function_kind kind)
{
    struct census c = {.kind = kind};
    sql_walk(e, census_node, &c);
    return c.n;
}

bool sql_has_aggregate(const struct ast_expr *e)
{
    return count_kind((struct ast_expr *)e, FUNCTION_AGGREGATE) > 0; /* walked, not changed */
}

bool sql_is_aggregate(const struct ast_select *s)
{
    for (uint32_t i = 0; i < s->n_fields; i++) {
        if (sql_has_aggregate(s->fields[i].expr)) {
            return true;
        }
    }
    return s->n_group > 0;
}

struct places {
    struct parser *p;
    const struct ast_select *select;
};

static bool nested_set_node(void *arg, struct ast_expr *e)
{
    bool *nested = arg;
    for (uint32_t i = 0; e->kind == AST_CALL && i < e->n_args; i++) {
        *nested = *nested || count_kind(e->args[i], FUNCTION_SET) > 0;
    }
    return true;
}

static void check_outside_fields(void *arg, struct ast_expr *e)
{
    const struct places *c = arg;
    for (uint32_t i = 0; i < c->select->n_fields; i++) {
        if (c->select->fields[i].expr == e) {
            return;
        }
    }
    if (count_kind(e, FUNCTION_SET) > 0) {
        (void)sql_fail(c->p, -E_PARSE, "select statement shouldn't has srf except fields");
    } else if (count_kind(e, FUNCTION_ROW) > 0) {
        (void)sql_fail(c->p, -E_PARSE, "window functions can only be in select fields");
    }
}

static int check_set_functions(struct parser *p, const struct ast_select *s)
{
    uint32_t sets = 0;
    bool nested = false;
    for (uint32_t i = 0; i < s->n_fields; i++) {
        sql_walk(s->fields[i].expr, nested_set_node, &nested);
        sets += count_kind(s->fields[i].expr, FUNCTION_SET);
    }
    if (nested) {
        return sql_fail(p, -E_PARSE, "select clause shouldn't has nested set-returning-functions");
    }
    if (sets > 1) {
        return sql_fail(p, -E_PARSE, "select clause shouldn't has multi set-returning-functions");
    }
    return 0;
}

int sql_check_select(struct parser *p, const struct ast_select *s)
{
    struct places places = {.p = p, .select = s};
    for (uint32_t i = 0; i < s->n_group; i++) {
        if (sql_has_aggregate(s->group[i])) {
            return sql_fail(p, -E_PARSE,
                            "Not allowed to call aggregate functions in GROUP BY clause.");
        }
    }
    if (check_set_functions(p, s) == 0) {
        sql_each_expr((struct ast_select *)s, check_outside_fields, &places); /* not changed */
    }
    return p->rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The clauses of a statement: sources, fields, conditions, window, groups, order. */
#include "plan.h"

#include "plan_private.h"

#define SOURCES_MAX 16
#define DRAFT_ROOM 4096

/* ---- sources ---- */

static int add_source(struct planner *p, const struct ast_source *s, plan_find_fn *find, void *arg)
{
    struct str name = s->select || s->match ? s->alias : s->name;
    struct engine_stream *stream = find(arg, name);
    if (!stream) {
        return plan_refuse(p, "fail to get stream " STR_FMT ", please check if stream is created",
                           STR_ARG(name));
    }
    struct str shown = s->alias.n > 0 ? s->alias : name;
    char *copy = arena_str(p->arena, shown);
    p->plan->sources[p->plan->n_sources++] = (struct plan_source){
        .stream = stream, .name = str_n(copy, copy ? shown.n : 0), .table = stream->table};
    return copy ? 0 : err_sys(p->err, -E_NOMEM, "plan a rule");
}

static int plan_sources(struct planner *p, const struct ast_select *s, plan_find_fn *find,
                        void *arg)
{
    if (s->n_joins >= SOURCES_MAX) {
        return plan_refuse(p, "more than %d streams in one statement", SOURCES_MAX);
    }
    p->plan->sources = arena_alloc(p->arena, (s->n_joins + 1) * sizeof(*p->plan->sources));
    if (!p->plan->sources) {
        return err_sys(p->err, -E_NOMEM, "plan a rule");
    }
    int rc = add_source(p, &s->from, find, arg);
    for (uint32_t i = 0; rc == 0 && i < s->n_joins; i++) {
        rc = add_source(p, &s->joins[i].source, find, arg);
    }
    if (rc == 0 && p->plan->sources[0].table) {
        rc = plan_refuse(
            p, "cannot run a rule over table " STR_FMT " alone: it must be joined to a stream",
            STR_ARG(p->plan->sources[0].name));
    }
    return rc;
}

static int lookup_one(void *arg, const struct value *key, const struct row **ret)
{
    struct engine_stream *s = arg;
    return lookup_find(&s->by_key, &s->shape, key, ret);
}

static int lookup_every(void *arg, struct arena *a, const struct row ***ret, uint32_t *ret_n)
{
    struct engine_stream *s = arg;
    return lookup_all_rows(&s->by_key, &s->shape, a, ret, ret_n);
}

/* The join to a lookup table asks it for its rows. */
static int plan_lookup(struct planner *p, struct join_spec *j, struct engine_stream *table)
{
    if (j->kind == AST_JOIN_RIGHT || j->kind == AST_JOIN_FULL) {
        return plan_refuse(p, "lookup table %s takes part in INNER, LEFT and CROSS joins only",
                           table->name);
    }
    struct join_lookup *l = arena_alloc(p->arena, sizeof(*l));
    if (!l) {
        return err_sys(p->err, -E_NOMEM, "plan a rule");
    }
    *l = (struct join_lookup){.arg = table,
                              .key_slot = shape_find(&table->shape, table->by_key.key),
                              .one = lookup_one,
                              .every = lookup_every};
    j->lookup = l;
    return 0;
}

static int plan_joins(struct planner *p, const struct ast_select *s)
{
    struct join_spec *joins = arena_zalloc(p->arena, s->n_joins * sizeof(*joins));
    if (!joins) {
        return err_sys(p->err, -E_NOMEM, "plan a rule");
    }
    bool tables_only = true;
    for (uint32_t i = 0; i < s->n_joins; i++) {
        const struct plan_source *source = &p->plan->sources[i + 1];
        joins[i].kind = s->joins[i].kind;
        joins[i].table = source->table;
        joins[i].retain = source->stream->retain;
        tables_only &= source->table;
        if (s->joins[i].on && !(joins[i].on = plan_expr(p, s->joins[i].on, CLAUSE_ON))) {
            return -E_INVAL;
        }
        if (source->stream->lookup && plan_lookup(p, &joins[i], source->stream) < 0) {
            return p->err->code;
        }
    }
    p->plan->window->joins = joins;
    p->plan->window->n_sources = p->plan->n_sources;
    if (!tables_only && s->window.kind == AST_WINDOW_NONE) {
        return plan_refuse(p, "a time window or count window is required to join multiple streams");
    }
    return 0;
}

/* ---- fields ---- */

static int collect_aliases(struct planner *p, const struct ast_select *s)
{
    p->aliases = arena_zalloc(p->scratch, s->n_fields * sizeof(*p->aliases));
    for (uint32_t i = 0; p->aliases && i < s->n_fields; i++) {
        const struct ast_field *f = &s->fields[i];
        bool itself =
            f->expr->kind == AST_FIELD && f->expr->stream.n == 0 && str_eq(f->expr->name, f->alias);
        if (f->alias.n > 0 && !itself) {
            p->aliases[p->n_aliases++] = (struct alias){.name = f->alias, .ast = f->expr};
        }
    }
    return p->aliases ? 0 : err_sys(p->err, -E_NOMEM, "plan a rule");
}

/* A field without an alias is called as its column or its function, else kuiper_field_N. */
static struct str name_of(struct planner *p, const struct ast_field *f, uint32_t *unnamed)
{
    struct str name = f->alias;
    if (name.n == 0 && f->expr->kind == AST_FIELD) {
        name = f->expr->name;
    } else if (name.n == 0 && f->expr->kind == AST_CALL) {
        name = f->expr->function;
    } else if (name.n == 0 && f->expr->kind != AST_WILDCARD) {
        char *text = arena_printf(p->arena, "kuiper_field_%u", (*unnamed)++);
        return str_of(text ? text : "");
    }
    char *copy = arena_strndup(p->arena, name.p ? name.p : "", name.n);
    return str_n(copy, copy ? name.n : 0);
}

static struct expr *planned_alias(struct planner *p, const struct ast_field *f)
{
    for (uint32_t i = 0; i < p->n_aliases; i++) {
        struct alias *a = &p->aliases[i];
        if (a->ast == f->expr) {
            return plan_alias(p, a, CLAUSE_FIELD);
        }
    }
    return plan_expr(p, f->expr, CLAUSE_FIELD);
}

/* Of two fields of one name the later counts, at the place of the first. */
static struct plan_field *place_of(struct plan *plan, struct str name)
{
    for (uint32_t i = 0; name.n > 0 && i < plan->n_fields; i++) {
        if (str_eq(plan->fields[i].name, name)) {
            return &plan->fields[i];
        }
    }
    return &plan->fields[plan->n_fields++];
}

static int add_replaced(struct planner *p, const struct ast_expr *wildcard)
{
    for (uint32_t i = 0; i < wildcard->n_replace; i++) {
        struct expr *e = plan_expr(p, wildcard->replace[i].expr, CLAUSE_FIELD);
        char *name = arena_str(p->arena, wildcard->replace[i].alias);
        if (!e || !name) {
            return -E_INVAL;
        }
        *place_of(p->plan, str_of(name)) = (struct plan_field){.name = str_of(name), .expr = e};
    }
    return 0;
}

/* A wildcard at the top: what EXCEPT and REPLACE name is left out, the replacements follow. */
static int add_wildcard(struct planner *p, const struct ast_expr *e)
{
    struct ast_expr bare = *e;
    struct str *names = arena_alloc(p->arena, (e->n_except + e->n_replace + 1) * sizeof(*names));
    if (!names) {
        return err_sys(p->err, -E_NOMEM, "plan a rule");
    }
    bare.except = names;
    bare.n_except = 0;
    for (uint32_t i = 0; i < e->n_except; i++) {
        names[bare.n_except++] = e->except[i];
    }
    for (uint32_t i = 0; i < e->n_replace; i++) {
        names[bare.n_except++] = e->replace[i].alias;
    }
    bare.n_replace = 0;
    struct expr *all = plan_expr(p, &bare, CLAUSE_FIELD);
    if (!all) {
        return -E_INVAL;
    }
    p->plan->fields[p->plan->n_fields++] = (struct plan_field){.expr = all, .spread = true};
    return add_replaced(p, e);
}

static int add_field(struct planner *p, const struct ast_field *f, uint32_t *unnamed)
{
    if (f->expr->kind == AST_WILDCARD) {
        return add_wildcard(p, f->expr);
    }
    struct str name = name_of(p, f, unnamed);
    struct expr *e = planned_alias(p, f);
    if (!e || !name.p) {
        return e ? err_sys(p->err, -E_NOMEM, "plan a rule") : -E_INVAL;
    }
    const struct function *fn = f->expr->kind == AST_CALL ? function_find(f->expr->function) : NULL;
    bool spread = fn && fn->kind == FUNCTION_COLUMNS;
    bool unnest = e->kind == EXPR_CALL && e->function->kind == FUNCTION_SET;
    p->plan->unnests |= unnest;
    if (!f->invisible) {
        *place_of(p->plan, spread ? STR_NULL : name) =
            (struct plan_field){.name = name, .expr = e, .spread = spread, .unnest = unnest};
    }
    return 0;
}

static int plan_fields(struct planner *p, const struct ast_select *s)
{
    uint32_t room = s->n_fields, unnamed = 0;
    for (uint32_t i = 0; i < s->n_fields; i++) {
        room += s->fields[i].expr->kind == AST_WILDCARD ? s->fields[i].expr->n_replace : 0;
    }
    p->plan->fields = arena_zalloc(p->arena, room * sizeof(*p->plan->fields));
    int rc = p->plan->fields ? collect_aliases(p, s) : err_sys(p->err, -E_NOMEM, "plan a rule");
    for (uint32_t i = 0; rc == 0 && i < s->n_fields; i++) {
        rc = add_field(p, &s->fields[i], &unnamed);
    }
    return rc;
}

/* ---- conditions ---- */

static struct expr *both(struct planner *p, struct expr *a, struct expr *b)
{
    if (!a || !b) {
        return a ? a : b;
    }
    struct expr *e = plan_new_expr(p, EXPR_BINARY);
    if (e) {
        e->op = VALUE_AND;
        e->a = a;
        e->b = b;
    }
    return e;
}

/* Rows of source 0 that a condition rules out may be left out before the joins only where no join
 * keeps rows of its right side alone. */
static bool left_only(const struct planner *p)
{
    for (uint32_t i = 0; i + 1 < p->plan->n_sources; i++) {
        enum ast_join_kind k = p->plan->window->joins[i].kind;
        if (k == AST_JOIN_RIGHT || k == AST_JOIN_FULL) {
            return false;
        }
    }
    return true;
}

/* Windows that begin, end or fire by their rows take all of them, whether WHERE holds or not;
 * FILTER is for what shall not enter them. */
static bool rows_make_window(enum ast_window_kind kind)
{
    return kind == AST_WINDOW_COUNT || kind == AST_WINDOW_SLIDING || kind == AST_WINDOW_STATE;
}

/* Splits a condition at its ANDs: what reads source 0 alone goes before the window. */
static int split(struct planner *p, const struct ast_select *s, struct expr *e)
{
    if (e->kind == EXPR_BINARY && e->op == VALUE_AND) {
        int rc = split(p, s, e->a);
        return rc < 0 ? rc : split(p, s, e->b);
    }
    bool before =
        (plan_reads(e) & ~UINT64_C(1)) == 0 && left_only(p) && !rows_make_window(s->window.kind);
    struct expr *joined =
        both(p, before ? p->plan->filter : (struct expr *)p->plan->window->where, e);
    if (!joined) {
        return -E_NOMEM;
    }
    if (before) {
        p->plan->filter = joined;
    } else {
        p->plan->window->where = joined;
    }
    return 0;
}

static int plan_where(struct planner *p, const struct ast_select *s)
{
    if (!s->where) {
        return 0;
    }
    struct expr *e = plan_expr(p, s->where, CLAUSE_WHERE);
    if (!e) {
        return -E_INVAL;
    }
    if (p->plan->n_sources > 1) {
        return split(p, s, e);
    }
    /* In one piece: its parts guard each other. */
    if (rows_make_window(s->window.kind)) {
        p->plan->window->where = e;
    } else {
        p->plan->filter = e;
    }
    return 0;
}

/* ---- window, group, order ---- */

static int plan_optional(struct planner *p, const struct ast_expr *from, const struct expr **to)
{
    if (from) {
        *to = plan_expr(p, from, CLAUSE_WINDOW);
        return *to ? 0 : -E_INVAL;
    }
    return 0;
}

static int plan_window(struct planner *p, const struct ast_select *s)
{
    struct window_spec *w = p->plan->window;
    const struct ast_window *a = &s->window;
    w->kind = a->kind;
    w->length = a->length;
    w->interval = a->interval;
    w->delay = a->delay;
    w->unit = a->unit.n > 0 ? plan_text(p, a->unit) : STR_LIT("");
    int rc = plan_optional(p, a->filter, &w->filter);
    rc = rc < 0 ? rc : plan_optional(p, a->when, &w->when);
    rc = rc < 0 ? rc : plan_optional(p, a->begin, &w->begin);
    rc = rc < 0 ? rc : plan_optional(p, a->emit, &w->emit);
    w->partition = arena_alloc(p->arena, a->n_partition * sizeof(*w->partition));
    for (uint32_t i = 0; rc == 0 && w->partition && i < a->n_partition; i++) {
        w->partition[i] = plan_expr(p, a->partition[i], CLAUSE_WINDOW);
        w->n_partition = i + 1;
        rc = w->partition[i] ? 0 : -E_INVAL;
    }
    return rc == 0 && !w->partition ? err_sys(p->err, -E_NOMEM, "plan a rule") : rc;
}

static int plan_group(struct planner *p, const struct ast_select *s)
{
    struct window_spec *w = p->plan->window;
    w->keys = arena_alloc(p->arena, s->n_group * sizeof(*w->keys));
    for (uint32_t i = 0; w->keys && i < s->n_group; i++) {
        w->keys[i] = plan_expr(p, s->group[i], CLAUSE_GROUP);
        if (!w->keys[i]) {
            return -E_INVAL;
        }
        w->n_keys = i + 1;
    }
    return w->keys ? 0 : err_sys(p->err, -E_NOMEM, "plan a rule");
}

static int plan_order_by(struct planner *p, const struct ast_select *s)
{
    p->plan->order = arena_alloc(p->arena, s->n_order * sizeof(*p->plan->order));
    for (uint32_t i = 0; p->plan->order && i < s->n_order; i++) {
        struct expr *e = plan_expr(p, s->order[i].expr, CLAUSE_ORDER);
        if (!e) {
            return -E_INVAL;
        }
        p->plan->order[p->plan->n_order++] =
            (struct plan_order){.expr = e, .descending = s->order[i].descending};
    }
    return p->plan->order ? 0 : err_sys(p->err, -E_NOMEM, "plan a rule");
}

static int plan_having(struct planner *p, const struct ast_select *s)
{
    if (s->having) {
        p->plan->having = plan_expr(p, s->having, CLAUSE_HAVING);
        return p->plan->having ? 0 : -E_INVAL;
    }
    return 0;
}

/* ---- all ---- */

static void finish(struct planner *p)
{
    struct plan *plan = p->plan;
    struct window_spec *w = plan->window;
    for (uint32_t i = 0; i < p->n_refs; i++) {
        p->aggregate_refs[i]->slot += plan->n_analytics;
    }
    w->aggregates = p->aggregates;
    w->n_aggregates = p->n_aggregates;
    w->grouped = w->n_aggregates > 0 || w->n_keys > 0;
    w->needs_rows = !w->grouped;
    plan->columnar = w->kind == AST_WINDOW_NONE && plan->n_sources == 1 && !w->grouped &&
                     !plan->having && plan->n_order == 0 && plan->limit < 0 && !plan->distinct &&
                     !plan->unnests && !plan->row_number;
    plan->window = plan->columnar ? NULL : arena_dup(p->arena, w, sizeof(*w));
}

static int plan_clauses(struct planner *p, const struct ast_select *s, plan_find_fn *find,
                        void *arg)
{
    int rc = plan_sources(p, s, find, arg);
    rc = rc < 0 ? rc : plan_fields(p, s);
    rc = rc < 0 ? rc : plan_joins(p, s);
    rc = rc < 0 ? rc : plan_where(p, s);
    rc = rc < 0 ? rc : plan_window(p, s);
    rc = rc < 0 ? rc : plan_group(p, s);
    rc = rc < 0 ? rc : plan_having(p, s);
    return rc < 0 ? rc : plan_order_by(p, s);
}

/* room: how much the plan is thought to need. */
static int make(const struct ast_select *s, plan_find_fn *find, void *arg, size_t room,
                struct plan **ret, struct err *err)
{
    struct err own = {0};
    struct plan *plan = mem_zalloc(sizeof(*plan));
    if (!plan) {
        return err_sys(err, -E_NOMEM, "plan a rule");
    }
    arena_init_sized(&plan->arena, 0, room);
    plan->limit = s->limit;
    plan->distinct = s->distinct;
    struct arena scratch;
    arena_init(&scratch, 0);
    struct planner p = {.plan = plan, .arena = &plan->arena, .scratch = &scratch, .err = &own};
    struct window_spec window = {.kind = AST_WINDOW_NONE};
    plan->window = &window;
    int rc = plan_clauses(&p, s, find, arg);
    if (rc == 0) {
        finish(&p);
    }
    arena_fini(&scratch);
    if (rc < 0 || arena_failed(&plan->arena)) {
        plan_free(plan);
        if (own.code == 0) {
            return err_sys(err, -E_NOMEM, "plan a rule");
        }
        if (err) {
            *err = own;
        }
        return own.code;
    }
    *ret = plan;
    return 0;
}

/* A plan is there as long as its rule: it is made again where it just fits. */
int plan_make(const struct ast_select *s, plan_find_fn *find, void *arg, struct plan **ret,
              struct err *err)
{
    struct plan *draft;
    int rc = make(s, find, arg, DRAFT_ROOM, &draft, err);
    if (rc < 0) {
        return rc;
    }
    size_t room = draft->arena.used;
    plan_free(draft);
    return make(s, find, arg, room, ret, err);
}

void plan_free(struct plan *p)
{
    if (p) {
        arena_fini(&p->arena);
        mem_free(p);
    }
}

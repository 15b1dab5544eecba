/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MATCH_RECOGNIZE: from the syntax tree to what the matcher (window/match.h) takes. Names of the
 * pattern's parts and the functions of a match become references, which expressions read as
 * computed slots; a bare column is that of the row at hand.
 */
#include "base/limits.h"
#include "plan_private.h"

#define MATCH_REFS_MAX 1000
#define ANY_PART (-1)

static int no_memory(struct planner *p)
{
    return err_sys(p->err, -E_NOMEM, "plan a rule");
}

static struct str kept(struct planner *p, struct str s)
{
    char *copy = arena_strndup(p->arena, s.p ? s.p : "", s.n);
    return str_n(copy ? copy : "", copy ? s.n : 0);
}

/* ---- references ---- */

static int32_t part_named(const struct planner *p, struct str name)
{
    const struct match_spec *m = &p->plan->match->spec;
    for (uint32_t i = 0; i < m->n_steps; i++) {
        if (str_eq(m->steps[i].name, name)) {
            return (int32_t)i;
        }
    }
    return ANY_PART;
}

static struct expr *add_ref(struct planner *p, const struct match_ref *ref)
{
    struct match_spec *m = &p->plan->match->spec;
    struct expr *e = plan_new_expr(p, EXPR_COMPUTED);
    if (m->n_refs == MATCH_REFS_MAX) {
        (void)plan_refuse(p, "MATCH_RECOGNIZE reads more than %d values of other rows",
                          MATCH_REFS_MAX);
        return NULL;
    }
    struct match_ref *refs = arena_grow(p->arena, p->match_refs, m->n_refs * sizeof(*refs),
                                        (m->n_refs + 1) * sizeof(*refs));
    if (!e || !refs) {
        (void)no_memory(p);
        return NULL;
    }
    e->slot = m->n_refs;
    refs[m->n_refs++] = *ref;
    m->refs = p->match_refs = refs;
    return e;
}

/* An argument: over one row, in which the name of a part says only which row that is. */
static struct expr *row_expr(struct planner *p, const struct ast_expr *arg, int32_t *part)
{
    p->match_inside = true;
    p->match_part = ANY_PART;
    struct expr *e = plan_expr(p, arg, CLAUSE_AGGREGATE);
    p->match_inside = false;
    *part = p->match_part;
    return e;
}

bool plan_match_is_part(const struct planner *p, struct str name)
{
    return p->plan->match && part_named(p, name) != ANY_PART;
}

struct expr *plan_match_field(struct planner *p, const struct ast_expr *e)
{
    int32_t part = part_named(p, e->stream);
    struct ast_expr bare = *e;
    bare.stream = STR_NULL;
    struct expr *field = plan_expr(p, &bare, CLAUSE_AGGREGATE);
    if (!field) {
        return NULL;
    }
    if (!p->match_inside) {
        return add_ref(p, &(struct match_ref){.kind = MATCH_LAST, .variable = part, .expr = field});
    }
    if (p->match_part != ANY_PART && p->match_part != part) {
        (void)plan_refuse(
            p, "one function of MATCH_RECOGNIZE reads rows of " STR_FMT " and of other parts",
            STR_ARG(e->stream));
        return NULL;
    }
    p->match_part = part;
    return field;
}

/* ---- functions ---- */

static int offset_of(struct planner *p, const struct ast_expr *e, uint32_t *ret)
{
    const struct ast_expr *n = e->n_args > 1 ? e->args[1] : NULL;
    int64_t least = str_is(e->function, "prev");
    *ret = (uint32_t)least;
    if (n && (n->kind != AST_CONST || n->value.type != VALUE_INT || n->value.i < least ||
              n->value.i > LIMIT_MATCH_ROWS)) {
        return plan_refuse(p, "%.*s takes a number from %lld to %d as its second argument",
                           (int)e->function.n, e->function.p, (long long)least, LIMIT_MATCH_ROWS);
    }
    *ret = n ? (uint32_t)n->value.i : *ret;
    return 0;
}

static struct expr *plan_navigation(struct planner *p, const struct ast_expr *e)
{
    struct match_ref ref = {.kind = str_is(e->function, "prev")    ? MATCH_PREV
                                    : str_is(e->function, "first") ? MATCH_FIRST
                                                                   : MATCH_LAST};
    if (offset_of(p, e, &ref.offset) < 0 || !(ref.expr = row_expr(p, e->args[0], &ref.variable))) {
        return NULL;
    }
    return add_ref(p, &ref);
}

/* count(*) and count(A.*) take no value of the row. */
static struct expr *plan_match_aggregate(struct planner *p, const struct ast_expr *e,
                                         const struct function *f)
{
    struct match_ref ref = {.kind = MATCH_AGGREGATE, .variable = ANY_PART, .aggregate = f};
    if (e->distinct || e->filter || e->n_args != 1) {
        (void)plan_refuse(p, "%.*s takes one argument in MATCH_RECOGNIZE, no DISTINCT or FILTER",
                          (int)e->function.n, e->function.p);
        return NULL;
    }
    const struct ast_expr *arg = e->args[0];
    if (arg->kind == AST_WILDCARD && str_is(e->function, "count")) {
        ref.variable = arg->of.n > 0 ? part_named(p, arg->of) : ANY_PART;
        return add_ref(p, &ref);
    }
    ref.expr = row_expr(p, arg, &ref.variable);
    return ref.expr ? add_ref(p, &ref) : NULL;
}

bool plan_match_takes(const struct planner *p, const struct ast_expr *e)
{
    static const char *const names[] = {"first", "last", "prev", "classifier", "match_number"};
    const struct function *f = function_find(e->function);
    bool ours = f && f->kind != FUNCTION_SCALAR;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        ours |= str_is(e->function, names[i]);
    }
    return p->plan->match && ours;
}

struct expr *plan_match_call(struct planner *p, const struct ast_expr *e)
{
    const struct function *f = function_find(e->function);
    if (p->match_inside) {
        (void)plan_refuse(p, "%.*s may not stand inside another function of MATCH_RECOGNIZE",
                          (int)e->function.n, e->function.p);
        return NULL;
    }
    if (str_is(e->function, "classifier") || str_is(e->function, "match_number")) {
        return add_ref(p, &(struct match_ref){.kind = str_is(e->function, "classifier")
                                                          ? MATCH_CLASSIFIER
                                                          : MATCH_NUMBER,
                                              .variable = ANY_PART});
    }
    if (!f) {
        return plan_navigation(p, e);
    }
    if (f->kind == FUNCTION_AGGREGATE) {
        return plan_match_aggregate(p, e, f);
    }
    (void)plan_refuse(p, "function %.*s may not stand in MATCH_RECOGNIZE", (int)e->function.n,
                      e->function.p);
    return NULL;
}

/* ---- the clauses ---- */

static int plan_steps(struct planner *p, const struct ast_match *m)
{
    struct match_spec *spec = &p->plan->match->spec;
    struct ast_pattern_step *steps = arena_dup(p->arena, m->steps, m->n_steps * sizeof(*steps));
    spec->defines = arena_zalloc(p->arena, m->n_steps * sizeof(*spec->defines));
    if (!steps || !spec->defines) {
        return no_memory(p);
    }
    for (uint32_t i = 0; i < m->n_steps; i++) {
        steps[i].name = kept(p, steps[i].name);
    }
    spec->steps = steps;
    spec->n_steps = m->n_steps;
    for (uint32_t i = 0; i < m->n_defines; i++) {
        struct expr *e = plan_expr(p, m->defines[i].expr, CLAUSE_WHERE);
        if (!e) {
            return -E_INVAL;
        }
        for (uint32_t s = 0; s < m->n_steps; s++) {
            if (str_eq(steps[s].name, m->defines[i].alias)) {
                spec->defines[s] = e;
            }
        }
    }
    return 0;
}

static int plan_partition(struct planner *p, const struct ast_match *m)
{
    struct match_spec *spec = &p->plan->match->spec;
    spec->partition = arena_alloc(p->arena, (m->n_partition + 1) * sizeof(*spec->partition));
    for (uint32_t i = 0; spec->partition && i < m->n_partition; i++) {
        if (!(spec->partition[i] = plan_expr(p, m->partition[i], CLAUSE_WINDOW))) {
            return -E_INVAL;
        }
        spec->n_partition = i + 1;
    }
    return spec->partition ? 0 : no_memory(p);
}

/* A result: the columns of PARTITION BY, unless all of the row is there, and the measures. */
static int plan_measures(struct planner *p, const struct ast_match *m)
{
    struct plan_match *to = p->plan->match;
    uint32_t room = m->n_partition + m->n_measures + 1, n = 0;
    to->names = arena_alloc(p->arena, room * sizeof(*to->names));
    to->spec.measures = arena_alloc(p->arena, room * sizeof(*to->spec.measures));
    if (!to->names || !to->spec.measures) {
        return no_memory(p);
    }
    for (uint32_t i = 0; !m->all_rows && i < m->n_partition; i++) {
        if (m->partition[i]->kind == AST_FIELD) {
            to->names[n] = kept(p, m->partition[i]->name);
            to->spec.measures[n++] = to->spec.partition[i];
        }
    }
    for (uint32_t i = 0; i < m->n_measures; i++) {
        to->names[n] = kept(p, m->measures[i].alias);
        if (!(to->spec.measures[n++] = plan_expr(p, m->measures[i].expr, CLAUSE_FIELD))) {
            return -E_INVAL;
        }
    }
    to->spec.n_measures = n;
    return 0;
}

static int plan_matched(struct planner *p, const struct ast_source *s, struct engine_stream *stream)
{
    struct plan *plan = p->plan;
    const struct ast_match *m = s->match;
    plan->match = arena_zalloc(p->arena, sizeof(*plan->match));
    plan->sources = arena_zalloc(p->arena, sizeof(*plan->sources));
    if (!plan->match || !plan->sources) {
        return no_memory(p);
    }
    plan->sources[0] = (struct plan_source){
        .stream = stream, .name = kept(p, s->select ? s->alias : s->name), .table = stream->table};
    plan->n_sources = 1;
    stream->shape.whole |= m->all_rows;
    plan->match->spec.within_us = m->within_us;
    plan->match->spec.skip_past = m->skip_past;
    plan->match->spec.all_rows = m->all_rows;
    int rc = plan_steps(p, m);
    rc = rc < 0 ? rc : plan_partition(p, m);
    return rc < 0 ? rc : plan_measures(p, m);
}

int plan_make_match(const struct ast_source *s, plan_find_fn *find, void *arg, struct plan **ret,
                    struct err *err)
{
    struct err own = {0};
    struct plan *plan = mem_zalloc(sizeof(*plan));
    if (!plan) {
        return err_sys(err, -E_NOMEM, "plan a rule");
    }
    arena_init_small(&plan->arena, 0);
    plan->limit = -1;
    struct planner p = {.plan = plan, .arena = &plan->arena, .scratch = &plan->arena, .err = &own};
    struct str name = s->select ? s->alias : s->name;
    struct engine_stream *stream = find(arg, name);
    int rc = 0;
    if (!stream) {
        rc = plan_refuse(&p, "fail to get stream " STR_FMT ", please check if stream is created",
                         STR_ARG(name));
    } else if (stream->table || stream->lookup) {
        rc =
            plan_refuse(&p, "MATCH_RECOGNIZE reads streams: " STR_FMT " is a table", STR_ARG(name));
    }
    rc = rc < 0 ? rc : plan_matched(&p, s, stream);
    if (rc == 0 && arena_failed(&plan->arena)) {
        rc = no_memory(&p);
    }
    if (rc < 0) {
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of a rule. A statement is one pipeline, and one more for each sub-query, each WITH, each
 * MATCH_RECOGNIZE and each branch of UNION ALL: an inner pipeline feeds a hidden stream that the
 * outer one reads.
 */
#include <stdio.h>

#include "base/limits.h"
#include "engine_private.h"
#include "io/zone.h"
#include "stream/sql/sql.h"

#define PIPELINES_MAX 64

/* ---- planning ---- */

struct scope { /* names that hide the engine's streams */
    struct rule *rule;
    const struct ast_select *select;
    const struct scope *outer;
    struct engine_stream *hidden[PIPELINES_MAX];
    struct str names[PIPELINES_MAX];
    uint32_t n;
};

static struct engine_stream *find_stream(void *arg, struct str name)
{
    for (const struct scope *s = arg; s; s = s->outer) {
        for (uint32_t i = s->n; i-- > 0;) {
            if (str_eq(s->names[i], name)) {
                return s->hidden[i];
            }
        }
    }
    const struct rule *r = ((struct scope *)arg)->rule;
    CLEANUP(mem_freep)
    char *near = r->scope ? mem_printf("%s/" STR_FMT, r->scope, STR_ARG(name)) : NULL;
    struct engine_stream *found = near ? engine_stream(r->engine, str_of(near)) : NULL;
    return found ? found : engine_stream(r->engine, name);
}

static void pipeline_free(struct pipeline *p)
{
    if (p) {
        if (p->running) {
            pipeline_close(p);
        }
        shape_fini(&p->shape);
        plan_free(p->plan);
        mem_free(p->taps);
        mem_free(p->signature);
        mem_free(p);
    }
}

static int make_shape(struct pipeline *p)
{
    for (uint32_t i = 0; i < p->plan->n_fields; i++) {
        const struct plan_field *f = &p->plan->fields[i];
        char key[32];
        bool spread = f->spread || f->unnest;
        (void)snprintf(key, sizeof(key), "\001%u", i); /* no column: its members are */
        int slot = shape_add(&p->shape, spread ? str_of(key) : f->name, VALUE_NULL);
        if (slot < 0) {
            return slot;
        }
        p->shape.fields[slot].spread = spread;
    }
    return 0;
}

static int make_taps(struct pipeline *p)
{
    uint32_t n = p->plan->n_sources;
    p->taps = mem_zalloc(n * sizeof(*p->taps));
    for (uint32_t i = 0; p->taps && i < n; i++) {
        p->taps[i] = (struct tap){.pipeline = p, .stream = p->plan->sources[i].stream, .source = i};
        list_init(&p->taps[i].link);
    }
    return p->taps ? 0 : -E_NOMEM;
}

/* Of a SELECT or of a source behind which MATCH_RECOGNIZE stands; the other is NULL. */
static int add_pipeline(struct rule *r, const struct ast_select *s,
                        const struct ast_source *matched, struct scope *scope,
                        struct engine_stream *feeds, struct err *err)
{
    const struct ast_source *from = matched ? matched : s ? &s->from : NULL;
    const struct ast_select around = {.from = from ? *from : (struct ast_source){0}, .limit = -1};
    struct pipeline *p = mem_zalloc(sizeof(*p));
    if (!p) {
        return err_sys(err, -E_NOMEM, "plan a rule");
    }
    p->rule = r;
    p->feeds = feeds;
    shape_init(&p->shape);
    p->signature = rule_signature(matched ? &around : s);
    int rc = matched ? plan_make_match(matched, find_stream, scope, &p->plan, err)
                     : plan_make(s, find_stream, scope, &p->plan, err);
    if (rc == 0 && (!p->signature || make_shape(p) < 0 || make_taps(p) < 0)) {
        rc = err_sys(err, -E_NOMEM, "plan a rule");
    }
    if (rc < 0) {
        pipeline_free(p);
        return rc;
    }
    list_push_back(&r->pipelines, &p->link);
    return 0;
}

static int plan_select(struct rule *r, const struct ast_select *s, const struct scope *outer,
                       struct engine_stream *feeds, unsigned depth, struct err *err);

/* A hidden stream, fed by the sub-query or, with `matched`, by MATCH_RECOGNIZE. */
static int add_hidden(struct rule *r, struct scope *scope, const struct ast_source *source,
                      bool matched, unsigned depth, struct err *err)
{
    if (scope->n == PIPELINES_MAX || r->n_hidden == PIPELINES_MAX) {
        return err_set(err, -E_LIMIT, "more than %d sub-queries", PIPELINES_MAX);
    }
    if (source->alias.n == 0) {
        return err_set(err, -E_INVAL,
                       matched ? "MATCH_RECOGNIZE needs a name: MATCH_RECOGNIZE (...) AS name"
                               : "a sub-query needs a name: (SELECT ...) AS name");
    }
    struct engine_stream **all =
        mem_realloc(r->hidden, (r->n_hidden + 1) * sizeof(struct engine_stream *));
    struct engine_stream *s = all ? stream_new_hidden(r->engine, source->alias, err) : NULL;
    if (!all || !s) {
        r->hidden = all ? all : r->hidden;
        return err_sys(err, -E_NOMEM, "plan a sub-query");
    }
    r->hidden = all;
    r->hidden[r->n_hidden++] = s;
    int rc = matched ? add_pipeline(r, NULL, source, scope, s, err)
                     : plan_select(r, source->select, scope, s, depth + 1, err);
    if (rc == 0) {
        scope->names[scope->n] = source->alias;
        scope->hidden[scope->n++] = s;
    }
    return rc;
}

static int add_source(struct rule *r, struct scope *scope, const struct ast_source *source,
                      unsigned depth, struct err *err)
{
    int rc = source->select ? add_hidden(r, scope, source, false, depth, err) : 0;
    return rc == 0 && source->match ? add_hidden(r, scope, source, true, depth, err) : rc;
}

static int add_sources(struct rule *r, struct scope *scope, const struct ast_select *s,
                       unsigned depth, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < s->n_with; i++) {
        rc = add_hidden(r, scope, &s->with[i], false, depth, err);
    }
    rc = rc < 0 ? rc : add_source(r, scope, &s->from, depth, err);
    for (uint32_t i = 0; rc == 0 && i < s->n_joins; i++) {
        rc = add_source(r, scope, &s->joins[i].source, depth, err);
    }
    return rc;
}

static int plan_select(struct rule *r, const struct ast_select *s, const struct scope *outer,
                       struct engine_stream *feeds, unsigned depth, struct err *err)
{
    struct scope *scope = mem_zalloc(sizeof(*scope));
    if (!scope) {
        return err_sys(err, -E_NOMEM, "plan a rule");
    }
    int rc = depth > LIMIT_SQL_DEPTH ? err_set(err, -E_LIMIT, "sub-queries nest too deeply") : 0;
    scope->rule = r;
    scope->outer = outer;
    for (const struct ast_select *branch = s; rc == 0 && branch; branch = branch->union_all) {
        uint32_t outside = scope->n;
        rc = add_sources(r, scope, branch, depth, err);
        rc = rc < 0 ? rc : add_pipeline(r, branch, NULL, scope, feeds, err);
        scope->n = branch == s ? MIN_OF(scope->n, outside + s->n_with) : outside;
    }
    mem_free(scope);
    return rc;
}

static void forget_plan(struct rule *r)
{
    while (!list_empty(&r->pipelines)) { /* the outer first */
        struct pipeline *p = CONTAINER_OF(r->pipelines.prev, struct pipeline, link);
        list_del(&p->link);
        pipeline_free(p);
    }
    for (uint32_t i = 0; i < r->n_hidden; i++) {
        stream_free(r->hidden[i]);
    }
    mem_free(TAKE_PTR(r->hidden));
    r->n_hidden = 0;
    for (uint32_t i = 0; i < r->n_streams; i++) {
        mem_free(r->streams[i]);
    }
    mem_free(TAKE_PTR(r->streams));
    r->n_streams = 0;
}

static int list_streams(struct rule *r)
{
    for (struct list *at = r->pipelines.next; at != &r->pipelines; at = at->next) {
        const struct plan *plan = CONTAINER_OF(at, struct pipeline, link)->plan;
        for (uint32_t i = 0; i < plan->n_sources; i++) {
            const struct engine_stream *s = plan->sources[i].stream;
            bool known = !s->engine;
            for (uint32_t k = 0; k < r->n_streams; k++) {
                known |= cstr_eq(r->streams[k], s->name);
            }
            if (!known) {
                char **grown = mem_realloc(r->streams, (r->n_streams + 1) * sizeof(char *));
                r->streams = grown ? grown : r->streams;
                char *name = grown ? mem_strdup(s->name) : NULL;
                if (!name) {
                    return -E_NOMEM;
                }
                r->streams[r->n_streams++] = name;
            }
        }
    }
    return 0;
}

static int plan_rule(struct rule *r, struct err *err)
{
    struct arena a;
    struct ast_statement *st;
    arena_init(&a, 0);
    int rc = sql_parse(&a, str_of(r->sql), &st, err);
    if (rc == 0 && st->kind != AST_SELECT) {
        rc = err_set(err, -E_INVAL, "a rule is a SELECT statement");
    }
    rc = rc < 0 ? rc : plan_select(r, st->select, NULL, NULL, 0, err);
    if (rc == 0 && list_streams(r) < 0) {
        rc = err_sys(err, -E_NOMEM, "plan a rule");
    }
    arena_fini(&a);
    return rc;
}

/* ---- life ---- */

static int copy_options(struct rule *r, struct str id, struct str sql,
                        const struct rule_options *opts, struct err *err)
{
    r->id = mem_strndup(id.p, id.n);
    r->sql = mem_strndup(sql.p, sql.n);
    r->opts = *opts;
    r->opts.zone = r->opts.scope = NULL;
    r->opts.late_topic = mem_strdup(opts->late_topic);
    r->scope = opts->scope && *opts->scope ? mem_strdup(opts->scope) : NULL;
    r->eval.id = str_of(r->id ? r->id : "");
    if (!r->id || !r->sql || (opts->scope && *opts->scope && !r->scope) ||
        (opts->late_topic && !r->opts.late_topic)) {
        return err_sys(err, -E_NOMEM, "plan a rule");
    }
    int rc = opts->zone ? zone_load(opts->zone, &r->zone, err) : 0;
    r->eval.zone = r->zone ? r->zone : r->engine->zone;
    return rc;
}

int rule_new(struct engine *e, struct str id, struct str sql, const struct rule_options *opts,
             rule_result_fn *on_result, void *arg, struct rule **ret, struct err *err)
{
    if (map_get(&e->rules, id)) {
        return err_set(err, -E_EXISTS, "rule " STR_FMT " already exists", STR_ARG(id));
    }
    struct rule *r = mem_zalloc(sizeof(*r));
    if (!r) {
        return err_sys(err, -E_NOMEM, "plan a rule");
    }
    r->engine = e;
    r->on_result = on_result;
    r->arg = arg;
    list_init(&r->pipelines);
    int rc = copy_options(r, id, sql, opts, err);
    rc = rc < 0 ? rc : plan_rule(r, err);
    if (rc == 0 && map_put(&e->rules, id, r, NULL) < 0) {
        rc = err_sys(err, -E_NOMEM, "plan a rule");
    }
    if (rc < 0) {
        rule_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

void rule_free(struct rule *r)
{
    if (!r) {
        return;
    }
    rule_stop(r);
    if (r->id && map_get(&r->engine->rules, str_of(r->id)) == r) {
        (void)map_del(&r->engine->rules, str_of(r->id));
    }
    forget_plan(r);
    rule_forget_saved(r);
    zone_free(r->zone);
    mem_free((char *)(uintptr_t)r->opts.late_topic); /* our copy */
    mem_free(r->id);
    mem_free(r->sql);
    mem_free(r->scope);
    mem_free(r);
}

/* Tells the owner of a source when it gets its first rule and loses its last. */
static void use_streams(struct rule *r, bool used)
{
    struct engine *e = r->engine;
    for (uint32_t i = 0; i < r->n_streams; i++) {
        struct engine_stream *s = engine_stream(e, str_of(r->streams[i]));
        if (!s) {
            continue;
        }
        s->users = used ? s->users + 1 : s->users - 1;
        if (s->users == (used ? 1 : 0) && e->opts.on_use) {
            e->opts.on_use(e->opts.arg, s, used);
        }
    }
}

static void close_pipelines(struct rule *r)
{
    for (struct list *at = r->pipelines.next; at != &r->pipelines; at = at->next) {
        pipeline_close(CONTAINER_OF(at, struct pipeline, link));
    }
}

static int open_pipelines(struct rule *r, struct err *err)
{
    int rc = 0;
    for (struct list *at = r->pipelines.next; rc == 0 && at != &r->pipelines; at = at->next) {
        rc = pipeline_open(CONTAINER_OF(at, struct pipeline, link), err);
    }
    rule_forget_saved(r); /* it counts once */
    if (rc < 0) {
        close_pipelines(r);
    }
    return rc;
}

int rule_start(struct rule *r, struct err *err)
{
    if (r->running) {
        return 0;
    }
    r->eval.started_us = r->engine->now_us;
    int rc = open_pipelines(r, err);
    if (rc == 0) {
        r->running = true;
        use_streams(r, true);
    }
    return rc;
}

void rule_stop(struct rule *r)
{
    if (r->running) {
        r->running = false;
        use_streams(r, false);
        close_pipelines(r);
    }
}

bool rule_reads(const struct rule *r, const struct engine_stream *s)
{
    for (uint32_t i = 0; i < r->n_streams; i++) {
        if (cstr_eq(r->streams[i], s->name)) {
            return true;
        }
    }
    return false;
}

/* Users of the streams stay: their sources go on. */
int rule_replan(struct rule *r, struct err *err)
{
    bool ran = r->running;
    if (ran) {
        close_pipelines(r);
        for (uint32_t i = 0; i < r->n_streams; i++) {
            struct engine_stream *s = engine_stream(r->engine, str_of(r->streams[i]));
            if (s) {
                s->users++; /* of the definition that is there now */
            }
        }
    }
    forget_plan(r);
    int rc = plan_rule(r, err);
    rc = rc < 0 || !ran ? rc : open_pipelines(r, err);
    r->running = ran && rc == 0;
    return rc;
}

void rule_failed(struct rule *r, const struct err *err)
{
    r->errors++;
    if (r->engine->opts.on_error) {
        r->engine->opts.on_error(r->engine->opts.arg, r, err);
    }
}

/* ---- looks ---- */

void rule_skip(struct rule *r, const struct engine_stream *s, bool skip)
{
    for (struct list *at = r->pipelines.next; at != &r->pipelines; at = at->next) {
        struct pipeline *p = CONTAINER_OF(at, struct pipeline, link);
        for (uint32_t i = 0; p->taps && i < p->plan->n_sources; i++) {
            if (p->taps[i].stream == s) {
                p->taps[i].skip = skip;
            }
        }
    }
}

bool rule_running(const struct rule *r)
{
    return r->running;
}

const char *rule_id(const struct rule *r)
{
    return r->id;
}

const char *rule_late_topic(const struct rule *r)
{
    return r->opts.late_topic;
}

const char *rule_stream(const struct rule *r, uint32_t i)
{
    return i < r->n_streams ? r->streams[i] : NULL;
}

int rule_explain(const struct rule *r, struct buf *out)
{
    int rc = 0;
    for (struct list *at = r->pipelines.prev; rc == 0 && at != &r->pipelines; at = at->prev) {
        const struct pipeline *p = CONTAINER_OF(at, struct pipeline, link);
        if (p->feeds) {
            (void)buf_printf(out, "Sub-query %s:\n", p->feeds->name); /* sticky */
        }
        rc = plan_explain(p->plan, out);
    }
    return rc;
}

static void add_op(struct json *o, struct arena *a, unsigned at, const char *name,
                   const struct op_count *c)
{
    const struct {
        const char *what;
        uint64_t n;
    } rows[] = {{"records_in_total", c->in},
                {"records_out_total", c->out},
                {"exceptions_total", c->errors},
                {"process_latency_us", c->us}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *key = arena_printf(a, "op_%u_%s_0_%s", at, name, rows[i].what);
        json_set_int(o, key ? key : "", (int64_t)rows[i].n);
    }
}

struct json *rule_status(const struct rule *r, struct arena *a)
{
    struct json *o = json_object(a);
    unsigned at = 2;
    uint64_t late = 0, left_out = 0;
    bool ordered = false;
    for (struct list *l = r->pipelines.next; l != &r->pipelines; l = l->next) {
        const struct pipeline *p = CONTAINER_OF(l, struct pipeline, link);
        if (p->plan->n_analytics > 0) {
            add_op(o, a, at++, "analytic", &p->op_analytic);
        }
        if (p->plan->filter) {
            add_op(o, a, at++, "filter", &p->op_filter);
        }
        if (!p->plan->columnar) {
            add_op(o, a, at++, p->plan->match ? "match" : "window", &p->op_window);
        }
        if (!p->plan->match) {
            add_op(o, a, at++, "project", &p->op_project);
        }
        if (p->watermark) {
            ordered = true;
            late += watermark_late_rows(p->watermark);
            left_out += p->late;
        }
    }
    if (ordered) {
        json_set_int(o, "late_rows_total", (int64_t)late);
        json_set_int(o, "late_dropped_total", (int64_t)left_out);
    }
    return o;
}

size_t rule_bytes(const struct rule *r)
{
    size_t n = sizeof(*r);
    for (struct list *at = r->pipelines.next; at != &r->pipelines; at = at->next) {
        const struct pipeline *p = CONTAINER_OF(at, struct pipeline, link);
        n += sizeof(*p) + (p->window ? window_bytes(p->window) : 0) +
             analytic_bytes(p->analytics, p->plan);
    }
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of the part: a definition in eKuiper's JSON form, its plan in the engine, its sinks, its
 * life.
 *
 *              define                    start
 *     (text) ----------> STOPPED <----------------> RUNNING
 *        |                  ^          stop            |
 *        | cannot be planned|  start works             | a sink cannot be opened
 *        v                  |                          v
 *      FAILED --------------+<---------------------- FAILED
 *
 * A rule with a schedule goes between RUNNING and WAITING by itself (rule_schedule.c).
 */
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"
#include "placement.h"
#include "part/data/sink/sink.h"

/* ---- definitions ---- */

static void close_sinks(struct data_rule *r)
{
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        sink_close(r->sinks[i]);
    }
    mem_free(TAKE_PTR(r->sinks));
    r->n_sinks = 0;
}

/* A rule keeps its text alone: thousands of them wait. r->json is there between read_text() and
 * end_reading(). */
static int read_text(struct data_rule *r, struct str text, struct err *err)
{
    r->reading = mem_alloc(sizeof(*r->reading));
    if (!r->reading) {
        return err_sys(err, -E_NOMEM, "read a rule");
    }
    arena_init(r->reading, 0);
    return json_parse(r->reading, text, NULL, &r->json, err);
}

/* Of nested pairs of these two the outer one counts. */
static int begin_reading(struct data_rule *r, bool *ret_outer, struct err *err)
{
    *ret_outer = !r->reading;
    return *ret_outer ? read_text(r, str_of(r->text), err) : 0;
}

static void end_reading(struct data_rule *r, bool outer)
{
    if (outer && r->reading) {
        arena_fini(r->reading);
        mem_free(TAKE_PTR(r->reading));
        r->json = NULL;
    }
}

static void free_rule(void *p)
{
    struct data_rule *r = p;
    if (r) {
        checkpoint_fini(r);
        rule_schedule_free(r);
        placement_forget(r);
        rule_free(r->rule);
        close_sinks(r);
        end_reading(r, true);
        data_rule_forget(r);
        mem_free(r->id);
        mem_free(r->text);
        mem_free(r->reason);
        mem_free(r->last_error);
        mem_free(r);
    }
}

static void on_result(void *arg, struct rule *rule, struct batch *results, bool single,
                      const struct window_range *range)
{
    struct data_rule *r = arg;
    (void)rule;
    (void)range;
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        sink_take(r->sinks[i], results, single, r->nulls);
    }
}

/* In the thread of a shard. */
static void on_shard_result(void *arg, struct rule *rule, struct batch *results, bool single,
                            const struct window_range *range)
{
    struct data_rule *r = arg;
    (void)rule;
    (void)range;
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        sink_collect(r->sinks[i], results, single, r->nulls);
    }
}

static int check_actions(const struct json *actions, struct err *err)
{
    if (json_len(actions) == 0 || !json_is(actions, JSON_ARRAY)) {
        return err_set(err, -E_INVAL, "invalid rule json: must specify actions");
    }
    JSON_FOR_EACH (action, actions) {
        JSON_FOR_EACH_MEMBER (m, action) {
            if (!sink_find(str_n(m->key, m->key_n))) {
                return err_set(err, -E_INVAL, "unknown action type '%s'", m->key);
            }
        }
        if (json_len(action) == 0 || !json_is(action, JSON_OBJECT)) {
            return err_set(err, -E_INVAL, "invalid action: an action is {\"kind\": {...}}");
        }
    }
    return 0;
}

struct json *data_rule_json(const struct data_rule *r, struct arena *a)
{
    struct json *j = NULL;
    return json_parse(a, str_of(r->text), NULL, &j, NULL) == 0 ? j : NULL;
}

/* Reads the text into r: everything but the plan. */
static int read_rule(struct data_rule *r, struct str text, struct str name, struct err *err)
{
    int rc = read_text(r, text, err);
    if (rc < 0) {
        return err_wrap(err, rc, "parse rule");
    }
    struct str id = json_text(json_get(r->json, "id"));
    id = id.n == 0 ? json_text(json_get(r->json, "name")) : id;
    id = name.n > 0 ? name : id;
    if (id.n == 0) {
        return err_set(err, -E_INVAL, "missing rule id");
    }
    if (json_get(r->json, "graph")) {
        return err_set(err, -E_NOTSUP, "graph rules are not supported: write the rule in SQL");
    }
    r->id = mem_strndup(id.p, id.n);
    r->text = mem_strndup(text.p, text.n);
    r->triggered = json_true(json_get(r->json, "triggered"), true);
    return r->id && r->text ? check_actions(json_get(r->json, "actions"), err)
                            : err_sys(err, -E_NOMEM, "define a rule");
}

/* "ns/name" is of the scope "ns"; a plain name of none. */
static struct str scope_of(const char *id)
{
    struct str scope, name;
    return str_rcut(str_of(id), '/', &scope, &name) ? scope : STR_NULL;
}

int data_rule_read_options(struct data_rule *r, struct rule_options *ret, struct err *err)
{
    int rc = data_rule_options(json_get(r->json, "options"), ret, err);
    ret->scope = arena_str(r->reading, scope_of(r->id));
    return rc;
}

static int plan_rule(struct data_rule *r, struct err *err)
{
    struct rule_options opts;
    int rc = data_rule_read_options(r, &opts, err);
    struct str sql = json_text(json_get(r->json, "sql"));
    r->nulls = json_path_true(r->json, "options.sendNilField", false);
    r->saves = json_path_i64(r->json, "options.qos", 0) > 0;
    if (rc == 0 && sql.n == 0) {
        rc = err_set(err, -E_INVAL, "missing rule SQL");
    }
    rc = rc < 0 ? rc : rule_schedule_read(r, err);
    rc = rc < 0 ? rc
                : rule_new(r->data->engine, str_of(r->id), sql, &opts, on_result, r, &r->rule, err);
    r->live = r->rule;
    return rc;
}

void data_rule_take_out(struct data_rule *r)
{
    struct data *d = r->data;
    struct str id = str_of(r->id);
    data_rule_stop(r, NULL);
    free_rule(map_del(&d->rules, id));
}

static struct data_rule *rule_object(struct data *d)
{
    struct data_rule *r = mem_zalloc(sizeof(*r));
    if (r) {
        r->data = d;
        checkpoint_init(r);
    }
    return r;
}

static int check_rule(struct data *d, struct str text, struct str scope, struct arena *a,
                      struct json **ret_streams, struct err *err)
{
    struct data_rule *r = rule_object(d);
    char *id = arena_printf(a, STR_FMT "%s\001check", STR_ARG(scope), scope.n ? "/" : "");
    if (!r || !id) {
        free_rule(r);
        return err_sys(err, -E_NOMEM, "check a rule");
    }
    int rc = read_rule(r, text, str_of(id), err); /* a name that no rule can have */
    rc = rc < 0 ? rc : plan_rule(r, err);
    if (rc == 0 && ret_streams) {
        *ret_streams = json_array(a);
        const char *name;
        for (uint32_t i = 0; (name = rule_stream(r->rule, i)); i++) {
            json_push(*ret_streams, json_string(a, name));
        }
    }
    free_rule(r);
    return rc;
}

/* What the rule cannot inherit it starts without. */
static void inherit(struct data_rule *r, struct data_rule *old)
{
    struct err err;
    r->inherited =
        old->rule && old->state == RULE_RUNNING ? mem_zalloc(sizeof(*r->inherited)) : NULL;
    if (r->inherited) {
        arena_init(&r->inherited->arena, 0);
        if (checkpoint_value(old, &r->inherited->arena, &r->inherited->value, &err) < 0) {
            data_rule_forget(r);
        }
    }
}

int data_rule_define(struct data *d, struct str text, struct str name, bool replace,
                     struct data_rule **ret, struct err *err)
{
    struct data_rule *r = rule_object(d);
    if (!r) {
        return err_sys(err, -E_NOMEM, "define a rule");
    }
    int rc = read_rule(r, text, name, err);
    struct data_rule *old = rc == 0 ? data_rule_find(d, str_of(r->id)) : NULL;
    if (old && !replace) {
        rc = err_set(err, -E_EXISTS, "rule %s already exists", r->id);
    }
    if (old && rc == 0) { /* it must plan before the old one is given up */
        rc = check_rule(d, text, scope_of(r->id), r->reading, NULL, err);
    }
    if (old && rc == 0) {
        placement_hold(old);
        inherit(r, old);
        placement_release(old);
        data_rule_take_out(old);
    }
    rc = rc < 0 ? rc : plan_rule(r, err);
    if (rc == 0 && map_put(&d->rules, str_of(r->id), r, NULL) < 0) {
        rc = err_sys(err, -E_NOMEM, "define a rule");
    }
    end_reading(r, true);
    if (rc < 0) {
        free_rule(r);
        return rc;
    }
    *ret = r;
    return 0;
}

int data_rule_check(struct data *d, struct str text, struct arena *a, struct json **ret_streams,
                    struct err *err)
{
    return check_rule(d, text, STR_NULL, a, ret_streams, err);
}

struct data_rule *data_rule_find(struct data *d, struct str id)
{
    return map_get(&d->rules, id);
}

void data_rule_drop(struct data_rule *r)
{
    data_keep(r->data, "checkpoints", str_of(r->id), STR_NULL, NULL, NULL);
    data_rule_take_out(r);
}

void data_rule_forget(struct data_rule *r)
{
    if (r->inherited) {
        arena_fini(&r->inherited->arena);
        mem_free(TAKE_PTR(r->inherited));
    }
}

/* ---- life ---- */

static int open_sinks(struct data_rule *r, struct err *err)
{
    const struct json *actions = json_get(r->json, "actions");
    uint32_t n = 0, i = 0;
    JSON_FOR_EACH (action, actions) {
        n += (uint32_t)json_len(action);
    }
    r->sinks = mem_zalloc(n * sizeof(struct sink *));
    if (!r->sinks) {
        return err_sys(err, -E_NOMEM, "start rule %s", r->id);
    }
    JSON_FOR_EACH (action, actions) {
        JSON_FOR_EACH_MEMBER (m, action) {
            struct json *one = json_object(r->reading);
            json_set_n(one, str_n(m->key, m->key_n), m->value);
            int rc = sink_open(r->data, r->id, i++, one,
                               (unsigned)json_path_i64(r->json, "options.qos", 0),
                               &r->sinks[r->n_sinks], err);
            if (rc < 0) {
                return rc;
            }
            sink_set_shard(r->sinks[r->n_sinks++], r->shard);
        }
    }
    return 0;
}

static void told(struct data_rule *r, enum data_rule_state state, const char *reason)
{
    mem_free(r->reason);
    r->reason = mem_strdup(reason);
    r->state = state;
}

int data_rule_start(struct data_rule *r, struct err *err)
{
    if (r->state == RULE_WAITING) {
        return 0;
    }
    bool outer;
    int rc = begin_reading(r, &outer, err);
    rc = rc < 0 || r->rule ? rc : plan_rule(r, err);
    if (rc < 0) {
        told(r, RULE_FAILED, err->text);
    } else {
        rc = r->schedule ? rule_schedule_start(r, err) : data_rule_run(r, err);
    }
    end_reading(r, outer);
    return rc;
}

int data_rule_run(struct data_rule *r, struct err *err)
{
    if (r->state == RULE_RUNNING) {
        return 0;
    }
    bool outer;
    int rc = begin_reading(r, &outer, err);
    rc = rc < 0 ? rc : placement_choose(r, on_shard_result, err);
    rc = rc < 0 ? rc : open_sinks(r, err);
    placement_hold(r);
    rc = rc < 0 ? rc : checkpoint_begin(r, err);
    placement_release(r);
    if (rc < 0) {
        close_sinks(r);
        told(r, RULE_FAILED, err->text);
        end_reading(r, outer);
        return rc;
    }
    told(r, RULE_RUNNING, NULL);
    r->started = wall_now();
    placement_count(r, true);
    checkpoint_start(r);
    end_reading(r, outer);
    data_turn(r->data);
    return 0;
}

void data_rule_rest(struct data_rule *r, enum data_rule_state state, const char *reason)
{
    if (r->state == RULE_RUNNING) {
        placement_hold(r);
        data_rule_save(r);
        checkpoint_end(r);
        rule_stop(r->live);
        shard_settle(r->shard);
        placement_release(r);
        placement_count(r, false);
        close_sinks(r);
        r->stopped = wall_now();
    }
    told(r, state, reason);
}

void data_rule_stop(struct data_rule *r, const char *reason)
{
    rule_schedule_stop(r);
    data_rule_rest(r, RULE_STOPPED, reason ? reason : "canceled manually");
}

void data_rule_failed(struct data *d, struct str id, const struct rule *rule, const char *text)
{
    struct data_rule *r = data_rule_find(d, id);
    log_debug("rule " STR_FMT ": %s", STR_ARG(id), text);
    if (r && r->live == rule) {
        r->errors++;
        mem_free(r->last_error);
        r->last_error = mem_strdup(text);
        r->last_error_at = wall_now();
    }
}

/* A rule that cannot be planned any more is kept as it is, with the reason. */
static void load_broken(struct data *d, struct str id, struct str text, const struct err *err)
{
    log_error("rule " STR_FMT ": %s", STR_ARG(id), err->text);
    struct data_rule *r = rule_object(d);
    if (!r) {
        return;
    }
    r->id = mem_strndup(id.p, id.n);
    r->text = mem_strndup(text.p, text.n);
    told(r, RULE_FAILED, err->text);
    if (!r->id || !r->text || map_put(&d->rules, id, r, NULL) < 0) {
        free_rule(r);
    }
}

static void load_rule(struct data *d, struct str id, struct str text)
{
    struct data_rule *r = NULL;
    struct err err;
    if (data_rule_define(d, text, id, false, &r, &err) < 0) {
        load_broken(d, id, text, &err);
    } else if (r->triggered && data_rule_start(r, &err) < 0) {
        log_error("start rule %s: %s", r->id, err.text);
    }
}

void data_rules_load(struct data *d)
{
    data_kept_each(d, "rules", load_rule);
}

void data_rules_free(struct data *d)
{
    map_fini(&d->rules, free_rule);
}

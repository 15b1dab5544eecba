/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and events on their threads; see placement.h. */
#include "placement.h"

#include "base/log.h"
#include "base/mem.h"
#include "schemas.h"
#include "shard_events.h"
#include "part/data/source/source.h"
#include "topics.h"

/* ---- what the shards tell ---- */

struct failure {
    struct shard_note note;
    struct data *data;
    const struct rule *rule; /* to compare only */
    char *id, *text;
};

static void on_failure(struct shard_note *n)
{
    struct failure *f = CONTAINER_OF(n, struct failure, note);
    data_rule_failed(f->data, str_of(f->id), f->rule, f->text);
    mem_free(f->id);
    mem_free(f->text);
    mem_free(f);
}

static void on_error(struct shard *s, struct rule *rule, const struct err *err)
{
    struct data_shard *at = shard_arg(s);
    struct failure *f = mem_zalloc(sizeof(*f));
    char *id = mem_strdup(rule_id(rule)), *text = mem_strdup(err->text);
    if (!f || !id || !text) {
        mem_free(f);
        mem_free(id);
        mem_free(text);
        return; /* the engine counts it as well */
    }
    *f = (struct failure){{.fn = on_failure}, at->data, rule, id, text};
    shard_post(s, &f->note);
}

struct late {
    struct shard_note note;
    struct data *data;
    struct arena arena;
    const char *topic;
    struct value event;
};

static void on_late_note(struct shard_note *n)
{
    struct late *l = CONTAINER_OF(n, struct late, note);
    (void)topics_publish(l->data->topics, l->topic, &l->event); /* what it drops it counts */
    arena_fini(&l->arena);
    mem_free(l);
}

static void on_late(struct shard *s, struct rule *rule, const struct value *event)
{
    struct data_shard *at = shard_arg(s);
    struct late *l = mem_zalloc(sizeof(*l));
    if (!l) {
        log_warn("rule %s: out of memory, a late event is dropped", rule_id(rule));
        return;
    }
    l->note.fn = on_late_note;
    l->data = at->data;
    arena_init_small(&l->arena, 0);
    l->topic = arena_strdup(&l->arena, rule_late_topic(rule));
    l->event = value_copy(&l->arena, event);
    if (arena_failed(&l->arena)) {
        log_warn("rule %s: a late event is too large, dropped", rule_id(rule));
        arena_fini(&l->arena);
        mem_free(l);
        return;
    }
    shard_post(s, &l->note);
}

static void on_use(struct shard *s, struct engine_stream *stream, bool used)
{
    struct data_shard *at = shard_arg(s);
    struct data_stream *ds = engine_stream_data(stream);
    ds->there[at->index] = used ? stream : NULL;
    ds->shards = used ? ds->shards + 1 : ds->shards - 1;
    data_stream_count(ds, used);
}

static void on_room(void *arg)
{
    struct data_shard *at = arg;
    MAP_FOR_EACH (slot, &at->data->streams) {
        struct data_stream *ds = slot->value;
        if (ds->source && ds->source->waits) {
            ds->source->waits = false;
            if (ds->source->ops->resume) {
                ds->source->ops->resume(ds->source);
            }
        }
    }
}

/* ---- life ---- */

int placement_open(struct data *d, unsigned threads, struct err *err)
{
    if (threads <= 1) {
        return 0;
    }
    d->shards = mem_zalloc((threads - 1) * sizeof(*d->shards));
    if (!d->shards) {
        return err_sys(err, -E_NOMEM, "start the threads of rules");
    }
    int rc = 0;
    while (rc == 0 && d->n_shards < threads - 1) {
        struct data_shard *s = &d->shards[d->n_shards];
        const struct shard_config cfg = {.loop = d->loop,
                                         .zone = d->zone,
                                         .find_schema = schemas_find,
                                         .schema_arg = d,
                                         .on_error = on_error,
                                         .on_late = on_late,
                                         .on_use = on_use,
                                         .on_room = on_room,
                                         .arg = s};
        s->data = d;
        s->index = d->n_shards;
        rc = shard_new(&cfg, &s->shard, err);
        d->n_shards += rc == 0;
    }
    return rc;
}

void placement_close(struct data *d)
{
    while (d->n_shards > 0) {
        shard_free(d->shards[--d->n_shards].shard);
    }
    mem_free(TAKE_PTR(d->shards));
}

/* ---- rules ---- */

static struct data_shard *home_of(const struct data_rule *r)
{
    return r->shard ? shard_arg(r->shard) : NULL;
}

unsigned placement_thread(const struct data_rule *r)
{
    const struct data_shard *home = home_of(r);
    return home ? home->index + 1 : 0;
}

static bool reads_table(const struct data_rule *r)
{
    const char *name;
    for (uint32_t i = 0; (name = rule_stream(r->rule, i)); i++) {
        struct engine_stream *s = engine_stream(r->data->engine, str_of(name));
        if (s && engine_stream_is_table(s)) {
            return true;
        }
    }
    return false;
}

/* NULL = the loop's thread. Of equals the one where it ran before: its counts are there. */
static struct data_shard *pick(const struct data_rule *r)
{
    struct data *d = r->data;
    struct data_shard *best = home_of(r);
    if (d->n_shards == 0 || reads_table(r)) {
        return NULL;
    }
    for (uint32_t i = 0; i < d->n_shards; i++) {
        if (!best || d->shards[i].rules < best->rules) {
            best = &d->shards[i];
        }
    }
    return best->rules <= d->loop_rules ? best : NULL;
}

/* "scope/name" is defined in its scope. */
static int define(struct engine *e, const char *name, const char *ddl, struct err *err)
{
    struct engine_stream *there = engine_stream(e, str_of(name));
    struct str scope, rest;
    if (there && cstr_eq(engine_stream_ddl(there), ddl)) {
        return 0;
    }
    if (!str_rcut(str_of(name), '/', &scope, &rest)) {
        scope = STR_NULL;
    }
    return engine_define_in(e, scope, str_of(ddl), there != NULL, err);
}

static int define_streams(struct data_rule *r, struct engine *e, struct err *err)
{
    const char *name;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && (name = rule_stream(r->rule, i)); i++) {
        struct data_stream *ds = map_get(&r->data->streams, str_of(name));
        if (!ds) {
            return err_set(err, -E_NOENT, "stream %s is not found", name);
        }
        rc = define(e, name, engine_stream_ddl(ds->stream), err);
        if (rc == 0) {
            engine_stream_set_data(engine_stream(e, str_of(name)), ds);
        }
    }
    return rc;
}

void placement_forget(struct data_rule *r)
{
    if (r->shard) {
        (void)shard_hold(r->shard);
        shard_settle(r->shard);
        rule_free(r->live);
        shard_settle(r->shard); /* what its end told */
        shard_release(r->shard);
        r->shard = NULL;
    }
    r->live = r->rule;
}

/* Plans it in the engine of a shard. */
static int plan_at(struct data_rule *r, struct data_shard *home, rule_result_fn *on_result,
                   struct err *err)
{
    struct rule_options opts;
    struct engine *e = shard_hold(home->shard);
    int rc = define_streams(r, e, err);
    if (rc == 0 && r->shard != home->shard) {
        rc = data_rule_read_options(r, &opts, err);
        rc = rc < 0 ? rc
                    : rule_new(e, str_of(r->id), json_text(json_get(r->json, "sql")), &opts,
                               on_result, r, &r->live, err);
        r->shard = rc < 0 ? NULL : home->shard;
    }
    shard_release(home->shard);
    return rc;
}

int placement_choose(struct data_rule *r, rule_result_fn *on_result, struct err *err)
{
    struct data_shard *home = pick(r);
    if (r->shard && (!home || home->shard != r->shard)) {
        placement_forget(r);
    }
    return home ? plan_at(r, home, on_result, err) : 0;
}

void placement_count(struct data_rule *r, bool runs)
{
    struct data_shard *home = home_of(r);
    uint32_t *n = home ? &home->rules : &r->data->loop_rules;
    *n = runs ? *n + 1 : *n - 1;
}

void placement_hold(struct data_rule *r)
{
    (void)shard_hold(r->shard);
    shard_settle(r->shard);
}

void placement_release(struct data_rule *r)
{
    shard_release(r->shard);
}

void placement_skip(struct data_rule *r, struct data_stream *ds, bool skip)
{
    placement_hold(r);
    struct engine *e = r->shard ? shard_hold(r->shard) : NULL;
    const struct engine_stream *s =
        e ? engine_stream(e, str_of(engine_stream_name(ds->stream))) : ds->stream;
    rule_skip(r->live, s, skip);
    shard_release(r->shard);
    placement_release(r);
}

/* ---- definitions ---- */

int placement_schema_changed(struct data *d, struct str schema, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < d->n_shards; i++) {
        struct engine *e = shard_hold(d->shards[i].shard);
        shard_settle(d->shards[i].shard); /* what came before is decoded by the old one */
        rc = engine_schema_changed(e, schema, err);
        shard_release(d->shards[i].shard);
    }
    return rc;
}

int placement_redefine(struct data_stream *ds, struct err *err)
{
    struct data *d = ds->data;
    const char *name = engine_stream_name(ds->stream), *ddl = engine_stream_ddl(ds->stream);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < d->n_shards; i++) {
        struct shard *s = d->shards[i].shard;
        if (ds->there[i]) { /* others have it anew when a rule starts there */
            struct engine *e = shard_hold(s);
            shard_settle(s);
            rc = define(e, name, ddl, err);
            ds->there[i] = engine_stream(e, str_of(name));
            shard_release(s);
        }
    }
    return rc;
}

void placement_undefine(struct data *d, struct str name, bool table)
{
    for (uint32_t i = 0; i < d->n_shards; i++) {
        struct engine *e = shard_hold(d->shards[i].shard);
        shard_settle(d->shards[i].shard);
        if (engine_stream(e, name)) {
            (void)engine_drop(e, name, table, NULL); /* no rule reads it: the loop's engine asked */
        }
        shard_release(d->shards[i].shard);
    }
}

/* ---- events ---- */

static void deal(struct source *s, struct data_stream *ds, struct shard_events *ev, uint32_t n)
{
    struct data *d = s->data;
    for (uint32_t i = 0; i < d->n_shards; i++) {
        if (ds->there[i] && (!ev || shard_push(d->shards[i].shard, ds->there[i], ev) < 0)) {
            s->dropped += n;
        }
    }
    shard_events_unref(ev);
}

void placement_deliver(struct source *s, struct data_stream *ds, const struct payload *payloads,
                       uint32_t n)
{
    deal(s, ds, shard_events_payloads(payloads, n), n);
}

void placement_deliver_values(struct source *s, struct data_stream *ds, const struct value *events,
                              const struct value *meta, uint32_t n)
{
    deal(s, ds, shard_events_values(events, meta, wall_now().us, n), n);
}

bool placement_room(struct data_stream *ds)
{
    bool room = true;
    for (uint32_t i = 0; i < ds->data->n_shards; i++) {
        room = (!ds->there[i] || shard_room(ds->data->shards[i].shard, ds->keepers > 0)) && room;
    }
    return room;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of the objects, told to the API: POST /selvedge/v1/report of the node. A state goes
 * up at once, counts with the tick, and both only when they differ from what the API shows.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "objects_private.h"
#include "part/data/sink/sink.h"
#include "part/data/source/source.h"
#include "sync/digest.h"
#include "sync/placed.h"

#define REPORTS_MAX 4 /* under way at a time */
#define AGAIN_MS 2000
#define ANSWER_MS 10000
#define ANSWER_BYTES ((size_t)64 << 10)

/* ---- what is to be told ---- */

static const char *state_of(const struct object *obj, const struct data_rule *r)
{
    static const char *const names[RULE_STATE_NR] = {[RULE_STOPPED] = "Stopped",
                                                     [RULE_RUNNING] = "Running",
                                                     [RULE_FAILED] = "Failed",
                                                     [RULE_WAITING] = "Waiting"};
    if (obj->trouble || !obj->defined) {
        return "Failed";
    }
    return obj->type != OBJECT_RULE ? "Defined" : r ? names[r->state] : "Failed";
}

/* "source demo: connection refused": what a rule that runs waits for; NULL: nothing. */
static char *waits_for(struct arena *a, const struct data_rule *r)
{
    const char *name;
    for (uint32_t i = 0; r->rule && (name = rule_stream(r->rule, i)); i++) {
        const struct data_stream *s = map_get(&r->data->streams, str_of(name));
        const char *trouble = s && s->source ? s->source->trouble : s ? s->trouble : NULL;
        if (trouble) {
            return arena_printf(a, "source %s: %s", name, trouble);
        }
    }
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        if (r->sinks[i]->trouble) {
            return arena_printf(a, "action %u: %s", i, r->sinks[i]->trouble);
        }
    }
    return NULL;
}

/* In the form that the API keeps, so that both have the same hash. */
static struct json *make_entry(const struct object *obj, const char *node, struct arena *a)
{
    const struct data_rule *r = obj->type == OBJECT_RULE && obj->defined
                                    ? data_rule_find(obj->objects->data, str_of(obj->defined))
                                    : NULL;
    struct json *entry = json_object(a);
    json_set_str(entry, "state", state_of(obj, r));
    json_set_int(entry, "observedGeneration", obj->generation);
    json_set_str(entry, "message", obj->trouble);
    if (r && !obj->trouble) {
        json_set_str(entry, "message", r->reason ? r->reason : waits_for(a, r));
        json_set_int(entry, "results", r->n_sinks > 0 ? (int64_t)r->sinks[0]->in : 0);
        json_set_int(entry, "errors", (int64_t)r->errors);
        json_set_int(entry, "checkpoints", (int64_t)r->checkpoints);
        json_set_str(entry, "lastError", r->last_error);
    }
    return placed_clean(a, entry, node, NULL);
}

/* ---- what the API knows ---- */

void object_told(struct object *obj, const struct json *status)
{
    const struct json *entry = json_at(json_get(status, "nodes"), 0); /* a node shows its own */
    (void)cstr_copy(obj->told_state, sizeof(obj->told_state),
                    json_cstr(json_get(entry, "state"), "")); /* ours fit */
    (void)cstr_copy(obj->node, sizeof(obj->node), json_cstr(json_get(entry, "name"), ""));
    obj->told_generation = json_i64(json_get(entry, "observedGeneration"), 0);
    obj->told_hash = entry ? digest_hash(entry) : 0;
}

static bool differs(const struct object *obj, const struct json *entry, bool counts)
{
    return !cstr_eq(obj->told_state, json_cstr(json_get(entry, "state"), "")) ||
           obj->told_generation != obj->generation ||
           (counts && obj->told_hash != digest_hash(entry));
}

/* ---- one report ---- */

static void consider(struct objects *o, struct object *obj, bool counts);
static void send_next(struct objects *o);

static void on_answer(void *arg, int code, const struct http_response *resp, struct str body,
                      const struct err *err)
{
    struct object *obj = arg;
    struct objects *o = obj->objects;
    obj->fetch = NULL;
    o->reporting--;
    if (code < 0 || resp->status >= 500) { /* the API is away: all of it is tried again */
        log_debug("report %s: %s", obj->resource, code < 0 ? err->text : "the API failed");
        io_timer_start(&o->again, AGAIN_MS, 0);
        return;
    }
    if (resp->status >= 400 && resp->status != 404) { /* 404: it just went */
        log_warn("report %s: %d " STR_FMT ", ignoring", obj->resource, resp->status, STR_ARG(body));
    }
    if (obj->look_again) {
        consider(o, obj, false);
    }
    send_next(o);
}

static int send_report(struct object *obj)
{
    struct arena a;
    struct buf text = BUF_INIT;
    arena_init(&a, 0);
    struct json *body = json_object(&a);
    json_set_str(body, "key", obj->resource);
    json_set_str(body, "uid", obj->uid);
    json_set(body, "entry", make_entry(obj, obj->node, &a));
    const struct http_header headers[] = {{STR_LIT("content-type"), STR_LIT("application/json")}};
    struct http_call_request req = {.method = "POST",
                                    .path = "/selvedge/v1/report",
                                    .headers = headers,
                                    .n_headers = ARRAY_SIZE(headers),
                                    .timeout_ms = ANSWER_MS};
    int rc = json_print(&text, body);
    req.body = buf_str(&text);
    obj->fetch = rc == 0 && !arena_failed(&a)
                     ? http_fetch(obj->objects->http, &req, ANSWER_BYTES, on_answer, obj)
                     : NULL;
    buf_fini(&text);
    arena_fini(&a);
    return obj->fetch ? 0 : -E_NOMEM;
}

static void send_next(struct objects *o)
{
    while (o->reporting < REPORTS_MAX && !list_empty(&o->waiting)) {
        struct object *obj = CONTAINER_OF(list_pop_front(&o->waiting), struct object, waiting);
        if (send_report(obj) < 0) {
            io_timer_start(&o->again, AGAIN_MS, 0);
            return;
        }
        o->reporting++;
    }
}

void object_report_cancel(struct object *obj)
{
    list_del(&obj->waiting);
    if (obj->fetch) {
        http_fetch_cancel(TAKE_PTR(obj->fetch));
        obj->objects->reporting--;
    }
}

/* ---- all ---- */

static void consider(struct objects *o, struct object *obj, bool counts)
{
    struct arena a;
    obj->look_again = obj->fetch != NULL;
    if (!obj->text || !obj->uid || obj->fetch || !list_empty(&obj->waiting)) {
        return; /* gone, or about to be told */
    }
    arena_init_small(&a, 0);
    const struct json *entry = make_entry(obj, obj->node, &a);
    if (entry && differs(obj, entry, counts)) {
        list_push_back(&o->waiting, &obj->waiting);
    }
    arena_fini(&a);
}

void objects_report(struct objects *o, bool counts)
{
    MAP_FOR_EACH (slot, &o->known) {
        consider(o, slot->value, counts);
    }
    send_next(o);
}

static void on_again(void *arg)
{
    objects_report(arg, false);
}

void objects_report_init(struct objects *o)
{
    list_init(&o->waiting);
    io_timer_init(o->data->loop, &o->again, on_again, o);
}

void objects_report_fini(struct objects *o)
{
    io_timer_stop(&o->again);
}

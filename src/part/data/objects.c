/* SPDX-License-Identifier: Apache-2.0 */
/* What the API says: three informers, and a struct object each; see objects.h. */
#include "objects.h"

#include "base/log.h"
#include "base/mem.h"
#include "objects_private.h"

#define GROUP "data.selvedge.dev"
#define VERSION "v1alpha1"
#define TURN_MS 20 /* a rule and its stream mostly come together */
#define TICK_MS 30000
#define CONNECTIONS 12 /* three watches, lists, reports */

static const struct {
    const char *plural, *kind;
} types[OBJECT_TYPE_NR] = {[OBJECT_STREAM] = {"streams", "Stream"},
                           [OBJECT_TABLE] = {"tables", "Table"},
                           [OBJECT_RULE] = {"rules", "Rule"}};

/* ---- objects ---- */

void object_free(struct object *obj)
{
    if (!obj) {
        return;
    }
    object_report_cancel(obj);
    mem_free(obj->ns);
    mem_free(obj->name);
    mem_free(obj->uid);
    mem_free(obj->shown);
    mem_free(obj->resource);
    mem_free(obj->made);
    mem_free(obj->text);
    mem_free(obj->defined);
    mem_free(obj->trouble);
    mem_free(obj);
}

static void free_object(void *p)
{
    object_free(p);
}

static char *resource_of(enum object_type type, const char *ns, const char *name)
{
    return mem_printf("%s." GROUP "/%s/%s", types[type].plural, ns, name);
}

static struct object *object_new(struct objects *o, enum object_type type,
                                 const struct api_item *item)
{
    struct object *obj = mem_zalloc(sizeof(*obj));
    if (!obj) {
        return NULL;
    }
    obj->objects = o;
    obj->type = type;
    list_init(&obj->waiting);
    obj->ns = mem_strdup(item->ns);
    obj->name = mem_strdup(item->name);
    obj->resource = resource_of(type, item->ns, item->name);
    obj->shown = mem_printf("%s %s/%s", types[type].kind, item->ns, item->name);
    if (!obj->ns || !obj->name || !obj->resource || !obj->shown ||
        map_put(&o->known, str_of(obj->resource), obj, NULL) < 0) {
        object_free(obj);
        return NULL;
    }
    return obj;
}

/* A rule in the form that REST takes, without what is no part of its definition. */
static char *rule_text(struct arena *a, const struct object *obj, const struct json *spec)
{
    struct buf text = BUF_INIT;
    struct json *rule = json_object(a);
    json_set_str(rule, "id", obj->name);
    json_set(rule, "sql", json_clone(a, json_get(spec, "sql")));
    json_set(rule, "actions", json_clone(a, json_get(spec, "actions")));
    if (json_len(json_get(spec, "options")) > 0) {
        json_set(rule, "options", json_clone(a, json_get(spec, "options")));
    }
    (void)json_print(&text, rule); /* sticky, asked by buf_take() */
    char *out = arena_failed(a) ? NULL : buf_take(&text, NULL);
    buf_fini(&text);
    return out;
}

static void replace(char **at, char *text)
{
    mem_free(*at);
    *at = text;
}

/* 0 or -ENOMEM. */
static int take_item(struct object *obj, const struct api_item *item)
{
    struct arena a;
    arena_init(&a, 0);
    const struct json *object = api_item_parse(item, &a), *spec = json_get(object, "spec");
    char *text = obj->type == OBJECT_RULE ? rule_text(&a, obj, spec)
                                          : mem_strdup(json_path_cstr(spec, "sql", ""));
    replace(&obj->text, text);
    replace(&obj->uid, mem_strdup(item->uid));
    replace(&obj->made, mem_strdup(json_path_cstr(object, "metadata.creationTimestamp", "")));
    obj->triggered = json_path_true(spec, "triggered", true);
    obj->generation = json_path_i64(object, "metadata.generation", 0);
    object_told(obj, json_get(object, "status"));
    arena_fini(&a);
    return object && text && obj->uid && obj->made ? 0 : -ENOMEM;
}

static void turn_soon(struct objects *o)
{
    if (!io_timer_active(&o->turn)) {
        io_timer_start(&o->turn, TURN_MS, 0);
    }
}

static void changed(struct objects *o, enum object_type type, struct api_item *item, bool gone)
{
    CLEANUP(mem_freep) char *resource = resource_of(type, item->ns, item->name);
    struct object *obj = resource ? map_get(&o->known, str_of(resource)) : NULL;
    if (gone) {
        if (obj) {
            replace(&obj->text, NULL);
        }
    } else {
        obj = obj ? obj : object_new(o, type, item);
        if (!obj || take_item(obj, item) < 0) {
            log_error("objects: out of memory, %s %s/%s waits for its next change",
                      types[type].kind, item->ns, item->name);
        }
    }
    turn_soon(o);
}

static void on_stream(void *arg, struct api_item *old, struct api_item *item)
{
    changed(arg, OBJECT_STREAM, item ? item : old, !item);
}

static void on_table(void *arg, struct api_item *old, struct api_item *item)
{
    changed(arg, OBJECT_TABLE, item ? item : old, !item);
}

static void on_rule(void *arg, struct api_item *old, struct api_item *item)
{
    changed(arg, OBJECT_RULE, item ? item : old, !item);
}

static void on_synced(void *arg)
{
    turn_soon(arg);
}

/* ---- time ---- */

static bool all_synced(const struct objects *o)
{
    for (size_t i = 0; i < OBJECT_TYPE_NR; i++) {
        if (!informer_synced(o->informers[i])) {
            return false;
        }
    }
    return true;
}

static void on_turn(void *arg)
{
    struct objects *o = arg;
    if (all_synced(o)) {
        objects_apply(o);
        objects_report(o, false);
        if (!o->swept) {
            objects_sweep(o);
            o->swept = true;
        }
    }
}

static void on_tick(void *arg)
{
    struct objects *o = arg;
    if (all_synced(o)) {
        objects_apply(o);
        objects_report(o, true);
    }
}

/* ---- lifetime ---- */

static int open_client(struct objects *o, const char *socket, struct err *err)
{
    const struct http_client_config cfg = {.loop = o->data->loop,
                                           .host = "localhost",
                                           .unix_path = socket,
                                           .max_connections = CONNECTIONS};
    int rc = http_client_new(&cfg, &o->http);
    o->client = rc == 0 ? api_client_http(o->http, o->data->loop) : NULL;
    return o->client ? 0 : err_sys(err, -E_NOMEM, "open the API's client");
}

static int open_informers(struct objects *o, struct err *err)
{
    static informer_change_fn *const on_change[OBJECT_TYPE_NR] = {on_stream, on_table, on_rule};
    for (size_t i = 0; i < OBJECT_TYPE_NR; i++) {
        const struct informer_opts opts = {.kind = kind_find(GROUP, VERSION, types[i].plural),
                                           .changed = on_change[i],
                                           .synced = on_synced,
                                           .arg = o};
        o->informers[i] = informer_new(o->client, o->data->loop, &opts);
        if (!o->informers[i]) {
            return err_sys(err, -E_NOMEM, "watch %s", types[i].plural);
        }
    }
    return 0;
}

int objects_start(struct data *d, const char *socket, struct err *err)
{
    struct objects *o = mem_zalloc(sizeof(*o));
    if (!o) {
        return err_sys(err, -E_NOMEM, "watch the API");
    }
    o->data = d;
    map_init(&o->known);
    io_timer_init(d->loop, &o->turn, on_turn, o);
    io_timer_init(d->loop, &o->tick, on_tick, o);
    objects_report_init(o);
    int rc = open_client(o, socket, err);
    rc = rc < 0 ? rc : open_informers(o, err);
    if (rc < 0) {
        objects_stop(o);
        return rc;
    }
    io_timer_start(&o->tick, TICK_MS, TICK_MS);
    d->objects = o;
    return 0;
}

void objects_stop(struct objects *o)
{
    if (!o) {
        return;
    }
    io_timer_stop(&o->turn);
    io_timer_stop(&o->tick);
    for (size_t i = 0; i < OBJECT_TYPE_NR; i++) {
        informer_free(o->informers[i]);
    }
    objects_report_fini(o);
    map_fini(&o->known, free_object);
    api_client_free(o->client);
    http_client_free(o->http);
    mem_free(o);
}

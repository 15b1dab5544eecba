/* SPDX-License-Identifier: Apache-2.0 */
/* Events; the contract is in recorder.h. */
#include "recorder.h"

#include <stdio.h>
#include <string.h>

#include "api/object.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "io/loop.h"

#define KNOWN_MAX 512   /* events whose repetition is noticed */
#define PENDING_MAX 256 /* writes under way */
#define AGGREGATE_US ((int64_t)600 * 1000000)

/* An event that was written, so that its repetition is counted. */
struct known {
    struct list link; /* oldest first */
    char *key, *ns, *name;
    int64_t count;
    struct mono last;
};

struct pending {
    struct list link;
    struct api_call call;
    struct recorder *r;
};

struct recorder {
    struct api_client *client;
    struct io_loop *loop;
    char *component;
    struct map known; /* key -> struct known */
    struct list order;
    struct list pending;
    size_t n_pending;
    uint64_t seq; /* makes names unique */
};

struct recorder *recorder_new(struct api_client *client, struct io_loop *loop,
                              const char *component)
{
    struct recorder *r = mem_zalloc(sizeof(*r));
    if (!r || !(r->component = mem_strdup(component))) {
        mem_free(r);
        return NULL;
    }
    r->client = client;
    r->loop = loop;
    map_init(&r->known);
    list_init(&r->order);
    list_init(&r->pending);
    return r;
}

static void free_known(struct known *k)
{
    list_del(&k->link);
    mem_free(k->key);
    mem_free(k->ns);
    mem_free(k->name);
    mem_free(k);
}

void recorder_free(struct recorder *r)
{
    if (!r) {
        return;
    }
    LIST_FOR_EACH_SAFE (l, &r->pending) {
        struct pending *p = CONTAINER_OF(l, struct pending, link);
        api_call_cancel(&p->call);
        mem_free(p);
    }
    LIST_FOR_EACH_SAFE (l, &r->order) {
        free_known(CONTAINER_OF(l, struct known, link));
    }
    map_fini(&r->known, NULL);
    mem_free(r->component);
    mem_free(r);
}

static void write_done(struct api_call *call, int code, struct json *result)
{
    struct pending *p = call->arg;
    struct recorder *r = p->r;
    if (code < 0) {
        log_debug("recorder: %s, ignoring", call->err.text);
    }
    list_del(&p->link);
    r->n_pending--;
    mem_free(p);
}

static void submit(struct recorder *r, const struct api_request *req)
{
    struct pending *p = mem_zalloc(sizeof(*p));
    if (!p) {
        return;
    }
    p->r = r;
    p->call.done = write_done;
    p->call.arg = p;
    list_push_back(&r->pending, &p->link);
    r->n_pending++;
    api_call_start(r->client, &p->call, req);
}

static struct json *involved(struct arena *a, const struct kind *kind, const struct json *object)
{
    struct json *ref = json_object(a);
    json_set_str(ref, "kind", kind->kind);
    if (kind->namespaced) {
        json_set_str(ref, "namespace", obj_ns(object));
    }
    json_set_str(ref, "name", obj_name(object));
    json_set_str(ref, "uid", obj_uid(object));
    json_set_str(ref, "apiVersion", kind->api_version);
    if (obj_rv(object)[0]) {
        json_set_str(ref, "resourceVersion", obj_rv(object));
    }
    return ref;
}

static void remember(struct recorder *r, const char *key, const char *ns, const char *name)
{
    struct known *k = mem_zalloc(sizeof(*k)), *old = NULL;
    if (!k) {
        return;
    }
    list_init(&k->link);
    k->key = mem_strdup(key);
    k->ns = mem_strdup(ns);
    k->name = mem_strdup(name);
    k->count = 1;
    k->last = loop_now(r->loop);
    if (!k->key || !k->ns || !k->name || map_put(&r->known, str_of(key), k, (void **)&old) < 0) {
        free_known(k);
        return;
    }
    if (old) {
        free_known(old);
    }
    list_push_back(&r->order, &k->link);
    if (map_len(&r->known) > KNOWN_MAX) {
        struct known *oldest = CONTAINER_OF(r->order.next, struct known, link);
        (void)map_del(&r->known, str_of(oldest->key)); /* the same */
        free_known(oldest);
    }
}

static void write_new(struct recorder *r, struct arena *a, const struct kind *kind,
                      const struct json *object, const char *type, const char *reason,
                      const char *text, const char *key)
{
    char now[TIME_TEXT_SIZE];
    const char *ns = kind->namespaced ? obj_ns(object) : "default";
    const char *name = arena_printf(a, "%.230s.%llx", obj_name(object),
                                    (unsigned long long)wall_now().us * 16 + (r->seq++ & 15));
    struct json *e = json_object(a);
    json_set_str(e, "apiVersion", "v1");
    json_set_str(e, "kind", "Event");
    struct json *meta = json_ensure_object(e, "metadata");
    json_set_str(meta, "name", name);
    json_set_str(meta, "namespace", ns);
    json_set(e, "involvedObject", involved(a, kind, object));
    json_set_str(e, "reason", reason);
    json_set_str(e, "message", text);
    json_set_str(json_ensure_object(e, "source"), "component", r->component);
    json_set_str(e, "firstTimestamp", time_text(wall_now(), now));
    json_set_str(e, "lastTimestamp", now);
    json_set_int(e, "count", 1);
    json_set_str(e, "type", type);
    json_set_str(e, "reportingComponent", r->component);
    json_set_str(e, "reportingInstance", "");
    struct api_request req = {
        .verb = API_CREATE, .kind = kind_find_api("v1", "Event"), .ns = ns, .body = e};
    if (!arena_failed(a)) {
        remember(r, key, ns, name);
        submit(r, &req);
    }
}

static void write_again(struct recorder *r, struct arena *a, struct known *k)
{
    char now[TIME_TEXT_SIZE];
    struct json *patch = json_object(a);
    k->last = loop_now(r->loop);
    k->count++;
    json_set_int(patch, "count", k->count);
    json_set_str(patch, "lastTimestamp", time_text(wall_now(), now));
    struct api_request req = {.verb = API_PATCH,
                              .kind = kind_find_api("v1", "Event"),
                              .ns = k->ns,
                              .name = k->name,
                              .patch = API_PATCH_MERGE,
                              .body = patch};
    if (!arena_failed(a)) {
        submit(r, &req);
    }
}

void recorder_event(struct recorder *r, const struct kind *kind, const struct json *object,
                    const char *type, const char *reason, const char *text)
{
    if (!r || r->n_pending >= PENDING_MAX) {
        return;
    }
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    const char *key =
        arena_printf(&a, "%s/%s/%s/%s", obj_uid(object), obj_name(object), reason, text);
    struct known *k = key ? map_get(&r->known, str_of(key)) : NULL;
    if (k && loop_now(r->loop).us - k->last.us < AGGREGATE_US) {
        write_again(r, &a, k);
    } else if (key) {
        write_new(r, &a, kind, object, type, reason, text, key);
    }
    arena_fini(&a);
}

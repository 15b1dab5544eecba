/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of pods and of the node, as a kubelet records them. The same event again counts up instead
 * of making a new one, and is sent no more often than every 30 s, so that a container that crashes
 * for days costs little.
 */
#include <stdarg.h>
#include <stdio.h>

#include "api/object.h"
#include "base/clock.h"
#include "base/encode.h"
#include "infra_private.h"

#define REMEMBERED 512
#define RESEND_US ((int64_t)30 * 1000000)

struct seen {
    char name[300];
    int64_t count;
    struct wall first;
    struct mono sent;
};

struct events {
    struct infra *inf;
    struct map seen;
};

struct about {
    const char *kind, *ns, *name, *uid, *rv, *path;
};

struct events *events_new(struct infra *inf)
{
    struct events *e = mem_zalloc(sizeof(*e));
    if (e) {
        e->inf = inf;
        map_init(&e->seen);
    }
    return e;
}

void events_free(struct events *e)
{
    if (e) {
        map_fini(&e->seen, mem_free);
        mem_free(e);
    }
}

static struct seen *remember(struct events *e, const char *key, const struct about *about)
{
    struct seen *s = map_get(&e->seen, str_of(key));
    if (s) {
        return s;
    }
    if (map_len(&e->seen) >= REMEMBERED) {
        map_fini(&e->seen, mem_free); /* counts begin anew; nothing else is lost */
    }
    s = mem_zalloc(sizeof(*s));
    if (!s || map_put(&e->seen, str_of(key), s, NULL) < 0) {
        mem_free(s);
        return NULL;
    }
    uint64_t id;
    random_bytes(&id, sizeof(id));
    (void)snprintf(s->name, sizeof(s->name), "%.253s.%016llx", about->name, (unsigned long long)id);
    s->first = wall_now();
    return s;
}

static struct json *make(struct arena *a, struct events *e, const struct about *about,
                         const struct seen *s, const char *type, const char *reason,
                         const char *message)
{
    char first[TIME_TEXT_SIZE], last[TIME_TEXT_SIZE];
    const char *node = replica_node(e->inf->replica);
    struct json *o = json_object(a), *meta, *obj, *source;
    json_set_str(o, "apiVersion", "v1");
    json_set_str(o, "kind", "Event");
    meta = json_ensure_object(o, "metadata");
    json_set_str(meta, "name", s->name);
    json_set_str(meta, "namespace", *about->ns ? about->ns : "default");
    obj = json_ensure_object(o, "involvedObject");
    json_set_str(obj, "kind", about->kind);
    if (*about->ns) {
        json_set_str(obj, "namespace", about->ns);
    }
    json_set_str(obj, "name", about->name);
    json_set_str(obj, "uid", about->uid);
    json_set_str(obj, "apiVersion", "v1");
    if (about->path) {
        json_set_str(obj, "fieldPath", about->path);
    }
    json_set_str(o, "reason", reason);
    json_set_str(o, "message", message);
    source = json_ensure_object(o, "source");
    json_set_str(source, "component", "kubelet");
    json_set_str(source, "host", node);
    json_set_str(o, "firstTimestamp", time_text(s->first, first));
    json_set_str(o, "lastTimestamp", time_text(wall_now(), last));
    json_set_int(o, "count", s->count);
    json_set_str(o, "type", type);
    json_set(o, "eventTime", json_null(a));
    json_set_str(o, "reportingComponent", "kubelet");
    json_set_str(o, "reportingInstance", node);
    return o;
}

static void record(struct events *e, const struct about *about, const char *type,
                   const char *reason, const char *message)
{
    struct arena a;
    struct err err;
    arena_init(&a, 0);
    const char *key = arena_printf(&a, "%s|%s|%s|%s|%s", about->uid, about->path ? about->path : "",
                                   type, reason, message);
    struct seen *s = key ? remember(e, key, about) : NULL;
    struct mono now = mono_now();
    if (s && (++s->count == 1 || now.us - s->sent.us >= RESEND_US)) {
        struct json *event = make(&a, e, about, s, type, reason, message);
        s->sent = now;
        if (arena_failed(&a) || replica_event(e->inf->replica, event, &err) < 0) {
            log_warn("event %s of %s is lost, ignoring", reason, about->name);
        }
    }
    arena_fini(&a);
}

static void pod_record(struct pod *p, const char *path, const char *type, const char *reason,
                       const char *fmt, va_list ap)
{
    char message[1024];
    struct about about = {.kind = "Pod", .ns = p->ns, .name = p->name, .uid = p->uid, .path = path};
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    if (p->obj) { /* what is left of a pod that is gone has nobody to tell */
        record(p->inf->events, &about, type, reason, message);
    }
}

void pod_event(struct pod *p, const char *container_path, const char *type, const char *reason,
               const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pod_record(p, container_path, type, reason, fmt, ap);
    va_end(ap);
}

const char *slot_path(const struct slot *s, char out[160])
{
    (void)snprintf(out, 160, "spec.%s{%.100s}",
                   s->ephemeral ? "ephemeralContainers"
                   : s->init    ? "initContainers"
                                : "containers",
                   s->name);
    return out;
}

void slot_event(struct slot *s, const char *type, const char *reason, const char *fmt, ...)
{
    char path[160];
    va_list ap;
    va_start(ap, fmt);
    pod_record(s->pod, slot_path(s, path), type, reason, fmt, ap);
    va_end(ap);
}

void node_event(struct infra *inf, const char *type, const char *reason, const char *fmt, ...)
{
    char message[1024];
    const char *node = replica_node(inf->replica);
    struct about about = {.kind = "Node", .ns = "", .name = node, .uid = node};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    record(inf->events, &about, type, reason, message);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping the controllers, and handing them what changes. */
#include "orchestrator.h"

#include <string.h>

#include "api/object.h"
#include "base/log.h"
#include "controller.h"
#include "orchestrator_private.h"
#include "pod_index.h"

static const struct controller_ops *const all_controllers[] = {
    &deployment_controller, &endpoints_controller,       &event_ttl_controller,
    &garbage_controller,    &namespace_controller,       &node_controller,
    &pod_gc_controller,     &replicaset_controller,      &role_aggregation_controller,
    &scheduler_controller,  &service_account_controller, &taint_controller,
};
_Static_assert(ARRAY_SIZE(all_controllers) <= CONTROLLERS_MAX, "raise CONTROLLERS_MAX");

const struct known_kinds *known_kinds(void)
{
    static struct known_kinds k;
    if (!k.pod) {
        k = (struct known_kinds){
            .ns = kind_find_api("v1", "Namespace"),
            .node = kind_find_api("v1", "Node"),
            .lease = kind_find_api("coordination.k8s.io/v1", "Lease"),
            .pod = kind_find_api("v1", "Pod"),
            .deployment = kind_find_api("apps/v1", "Deployment"),
            .replicaset = kind_find_api("apps/v1", "ReplicaSet"),
            .event = kind_find_api("v1", "Event"),
            .binding = kind_find_api("v1", "Binding"),
            .service = kind_find_api("v1", "Service"),
            .endpoints = kind_find_api("v1", "Endpoints"),
            .slice = kind_find_api("discovery.k8s.io/v1", "EndpointSlice"),
            .pdb = kind_find_api("policy/v1", "PodDisruptionBudget"),
            .quota = kind_find_api("v1", "ResourceQuota"),
            .hpa = kind_find_api("autoscaling/v2", "HorizontalPodAutoscaler"),
            .pv = kind_find_api("v1", "PersistentVolume"),
            .pvc = kind_find_api("v1", "PersistentVolumeClaim"),
            .storage_class = kind_find_api("storage.k8s.io/v1", "StorageClass"),
        };
    }
    return &k;
}

struct informer *orchestrator_informer(struct orchestrator *o, const struct kind *kind)
{
    for (size_t i = 0; i < o->watched_n; i++) {
        if (o->watched[i].kind == kind) {
            return o->watched[i].informer;
        }
    }
    return NULL;
}

struct json *orchestrator_get(struct orchestrator *o, struct arena *a, const struct kind *kind,
                              const char *ns, const char *name)
{
    struct informer *inf = orchestrator_informer(o, kind);
    struct api_item *item = inf ? informer_get(inf, ns, name) : NULL;
    return item ? api_item_parse(item, a) : NULL;
}

static void changed(void *arg, struct api_item *old, struct api_item *item)
{
    struct watched *w = arg;
    struct orchestrator *o = w->o;
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    struct change change = {.kind = w->kind, .old = old, .item = item};
    change.was = old ? api_item_parse(old, &a) : NULL;
    change.object = item ? api_item_parse(item, &a) : NULL;
    if ((old && !change.was) || (item && !change.object)) {
        log_error("orchestrator: kind=%s: out of memory while reading a change, ignoring",
                  w->kind->kind);
    } else {
        if (w->kind == known_kinds()->pod) {
            pod_index_change(o->pods, change.was, change.object);
        }
        for (size_t i = 0; i < o->controllers_n; i++) {
            if (o->controllers[i]->ops->changed) {
                o->controllers[i]->ops->changed(o->controllers[i], &change);
            }
        }
    }
    arena_fini(&a);
}

static void tell_synced(void *arg)
{
    struct orchestrator *o = arg;
    for (size_t i = 0; i < o->controllers_n; i++) {
        workqueue_pause(o->controllers[i]->queue, false);
        if (o->controllers[i]->ops->synced) {
            o->controllers[i]->ops->synced(o->controllers[i]);
        }
    }
}

static void one_synced(void *arg)
{
    struct watched *w = arg;
    w->synced = true;
    if (++w->o->synced_n == w->o->watched_n) {
        loop_defer(w->o->loop, &w->o->synced_task);
    }
}

bool orchestrator_synced(const struct orchestrator *o)
{
    return o->synced_n == o->watched_n;
}

static bool is_watched(const struct kind *k)
{
    return k->stored && k->storage == k && (k->verbs & KIND_LIST) && (k->verbs & KIND_WATCH);
}

static int start_informers(struct orchestrator *o)
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    o->watched = mem_zalloc((n + 1) * sizeof(*o->watched));
    if (!o->watched) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        if (is_watched(kinds[i])) {
            struct watched *w = &o->watched[o->watched_n++];
            w->kind = kinds[i];
            w->o = o;
            struct informer_opts opts = {
                .kind = w->kind, .changed = changed, .synced = one_synced, .arg = w};
            w->informer = informer_new(o->client, o->loop, &opts);
            if (!w->informer) {
                return -E_NOMEM;
            }
        }
    }
    return 0;
}

static int start_controllers(struct orchestrator *o)
{
    for (size_t i = 0; i < ARRAY_SIZE(all_controllers); i++) {
        struct controller *c = mem_zalloc(all_controllers[i]->size);
        if (!c) {
            return -E_NOMEM;
        }
        o->controllers[o->controllers_n++] = c;
        int r = controller_init(c, all_controllers[i], o);
        if (r < 0) {
            return r;
        }
        workqueue_pause(c->queue, true);
    }
    return 0;
}

static void set_defaults(struct orchestrator_opts *opts)
{
    opts->node_grace_ms = opts->node_grace_ms ? opts->node_grace_ms : 50000;
    opts->event_ttl_ms = opts->event_ttl_ms ? opts->event_ttl_ms : 3600000;
    opts->orphan_grace_ms = opts->orphan_grace_ms ? opts->orphan_grace_ms : 10000;
    opts->terminated_pods = opts->terminated_pods ? opts->terminated_pods : 1000;
}

struct orchestrator *orchestrator_start(struct api_client *client, struct io_loop *loop,
                                        const struct orchestrator_opts *opts)
{
    struct orchestrator *o = mem_zalloc(sizeof(*o));
    if (!o) {
        return NULL;
    }
    o->client = client;
    o->loop = loop;
    o->opts = opts ? *opts : (struct orchestrator_opts){0};
    set_defaults(&o->opts);
    io_task_init(&o->synced_task, tell_synced, o);
    o->pods = pod_index_new();
    if (!o->pods || start_controllers(o) < 0 || start_informers(o) < 0) {
        orchestrator_stop(o);
        return NULL;
    }
    return o;
}

void orchestrator_stop(struct orchestrator *o)
{
    if (!o) {
        return;
    }
    io_task_cancel(&o->synced_task);
    for (size_t i = 0; i < o->controllers_n; i++) {
        controller_fini(o->controllers[i]);
        mem_free(o->controllers[i]);
    }
    for (size_t i = 0; i < o->watched_n; i++) {
        informer_free(o->watched[i].informer);
    }
    mem_free(o->watched);
    pod_index_free(o->pods);
    mem_free(o);
}

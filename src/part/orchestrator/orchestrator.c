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
    &deployment_controller,
    &autoscale_controller,
    &disruption_controller,
    &notice_controller,
    &quota_controller,
    &volume_controller,
    &endpoints_controller,
    &event_ttl_controller,
    &flow_controller,
    &garbage_controller,
    &namespace_controller,
    &node_controller,
    &pod_gc_controller,
    &policy_controller,
    &replicaset_controller,
    &replication_controller,
    &role_aggregation_controller,
    &scheduler_controller,
    &service_account_controller,
    &taint_controller,
    &statefulset_controller,
    &cronjob_controller,
    &daemonset_controller,
    &job_controller,
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
            .replication_controller = kind_find_api("v1", "ReplicationController"),
            .event = kind_find_api("v1", "Event"),
            .binding = kind_find_api("v1", "Binding"),
            .revision = kind_find_api("apps/v1", "ControllerRevision"),
            .daemon_set = kind_find_api("apps/v1", "DaemonSet"),
            .stateful_set = kind_find_api("apps/v1", "StatefulSet"),
            .job = kind_find_api("batch/v1", "Job"),
            .cron_job = kind_find_api("batch/v1", "CronJob"),
            .claim = kind_find_api("v1", "PersistentVolumeClaim"),
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
        if (o->watched[i]->kind == kind) {
            return o->watched[i]->informer;
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
    if (!w->late && ++w->o->synced_n == w->o->started_n) {
        loop_defer(w->o->loop, &w->o->synced_task);
    }
}

bool orchestrator_synced(const struct orchestrator *o)
{
    return o->synced_n >= o->started_n;
}

/* ---- what is watched ---- */

static bool is_watched(const struct kind *k)
{
    return k->stored && !k->retired && kind_is_primary(k) && (k->verbs & KIND_LIST) &&
           (k->verbs & KIND_WATCH);
}

static int watch_kind(struct orchestrator *o, const struct kind *kind, bool late)
{
    struct watched **list = mem_realloc(o->watched, (o->watched_n + 1) * sizeof(struct watched *));
    struct watched *w = list ? mem_zalloc(sizeof(*w)) : NULL;
    o->watched = list ? list : o->watched;
    if (!w) {
        return -E_NOMEM;
    }
    *w = (struct watched){.kind = kind, .o = o, .late = late};
    struct informer_opts opts = {.kind = kind, .changed = changed, .synced = one_synced, .arg = w};
    o->watched[o->watched_n++] = w;
    o->started_n += !late;
    w->informer = informer_new(o->client, o->loop, &opts);
    return w->informer ? 0 : -E_NOMEM;
}

static int start_informers(struct orchestrator *o)
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (is_watched(kinds[i]) && watch_kind(o, kinds[i], /* late= */ kinds[i]->custom) < 0) {
            return -E_NOMEM;
        }
    }
    return 0;
}

static bool is_gone(void *arg, struct api_item *item)
{
    changed(arg, item, NULL);
    return true;
}

/* Whether another version of the same objects is served. */
static bool has_heir(const struct kind *kind)
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (kinds[i] != kind && strcmp(kinds[i]->plural, kind->plural) == 0 &&
            strcmp(kinds[i]->group, kind->group) == 0) {
            return true;
        }
    }
    return false;
}

/* A kind that is not served any more has no objects; those that the copy still has are gone, unless
 * another version shows them. */
static void unwatch(struct orchestrator *o, size_t i)
{
    struct watched *w = o->watched[i];
    o->watched[i] = o->watched[--o->watched_n];
    if (!has_heir(w->kind)) {
        informer_each(w->informer, NULL, is_gone, w);
    }
    informer_free(w->informer);
    mem_free(w);
}

static void follow_kinds(void *arg)
{
    struct orchestrator *o = arg;
    size_t n;
    for (size_t i = o->watched_n; i-- > 0;) {
        if (!is_watched(o->watched[i]->kind)) {
            unwatch(o, i);
        }
    }
    const struct kind *const *kinds = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (kinds[i]->custom && is_watched(kinds[i]) && !orchestrator_informer(o, kinds[i]) &&
            watch_kind(o, kinds[i], /* late= */ true) < 0) {
            log_error("orchestrator: out of memory, %s are not watched", kinds[i]->plural);
        }
    }
}

static void kinds_have_changed(void *arg)
{
    struct orchestrator *o = arg;
    loop_defer(o->loop, &o->kinds_task);
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
    io_task_init(&o->kinds_task, follow_kinds, o);
    o->kinds = (struct kinds_listener){.changed = kinds_have_changed, .arg = o};
    o->pods = pod_index_new();
    if (!o->pods || start_controllers(o) < 0 || start_informers(o) < 0) {
        orchestrator_stop(o);
        return NULL;
    }
    kinds_listen(&o->kinds);
    return o;
}

void orchestrator_stop(struct orchestrator *o)
{
    if (!o) {
        return;
    }
    kinds_unlisten(&o->kinds);
    io_task_cancel(&o->synced_task);
    io_task_cancel(&o->kinds_task);
    for (size_t i = 0; i < o->controllers_n; i++) {
        controller_fini(o->controllers[i]);
        mem_free(o->controllers[i]);
    }
    for (size_t i = 0; i < o->watched_n; i++) {
        informer_free(o->watched[i]->informer);
        mem_free(o->watched[i]);
    }
    mem_free(o->watched);
    pod_index_free(o->pods);
    mem_free(o);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the reconcile step of ReplicaSets.
 *
 * So that no pod is made twice when the watch lags behind: a set touches pods only when the copy of
 * pods has reached the revision of the last pod that was created for it, and pods that were asked
 * to go count as gone.
 */
#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "base/log.h"
#include "base/map.h"
#include "orchestrator_private.h"
#include "pod_index.h"
#include "replicaset.h"

#define LAG_RECHECK_MS 100
#define LAG_MAX_US ((int64_t)300 * 1000000) /* then believe the copy; Kubernetes waits as long */

/* What is remembered of a set between steps. */
struct rs_memory {
    int64_t need_rev; /* the copy of pods must have reached this */
    struct mono since;
    bool last_error_delete;
    char *last_error;
};

struct replicaset_ctrl {
    struct controller base;
    struct map memory; /* key -> struct rs_memory */
    struct map going;  /* uid of a pod that was asked to go -> the map itself as a mark */
};

static struct replicaset_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct replicaset_ctrl, base);
}

static int start(struct controller *c)
{
    map_init(&self(c)->memory);
    map_init(&self(c)->going);
    return 0;
}

static void free_memory(void *value)
{
    struct rs_memory *m = value;
    mem_free(m->last_error);
    mem_free(m);
}

static void stop(struct controller *c)
{
    map_fini(&self(c)->memory, free_memory);
    map_fini(&self(c)->going, NULL);
}

static struct rs_memory *memory_of(struct replicaset_ctrl *rc, const char *key)
{
    struct rs_memory *m = map_get(&rc->memory, str_of(key));
    if (!m) {
        m = mem_zalloc(sizeof(*m));
        if (!m || map_put(&rc->memory, str_of(key), m, NULL) < 0) {
            mem_free(m);
            return NULL;
        }
    }
    return m;
}

/* ---- what changed ---- */

/* An orphan may belong to any set of its namespace. */
struct orphan_search {
    struct controller *c;
    const struct json *labels;
};

static bool offer_orphan(void *arg, struct api_item *item)
{
    struct orphan_search *search = arg;
    struct arena a;
    struct selector *s = NULL;
    arena_init(&a, /* cap= */ 0);
    struct json *rs = api_item_parse(item, &a);
    if (rs && selector_from_json(&a, json_path(rs, "spec.selector"), &s, NULL) == 0 &&
        selector_match_labels(s, search->labels)) {
        controller_add(search->c, item->ns, item->name);
    }
    arena_fini(&a);
    return true;
}

static void add_owner(struct controller *c, const struct json *pod)
{
    const struct json *ref = obj_controller_ref(pod);
    if (strcmp(json_cstr(json_get(ref, "kind"), ""), "ReplicaSet") == 0) {
        controller_add(c, obj_ns(pod), json_cstr(json_get(ref, "name"), ""));
    }
}

static void pod_changed(struct controller *c, const struct change *change)
{
    if (change->was && (!change->object || obj_deleting(change->object))) {
        (void)map_del(&self(c)->going, str_of(obj_uid(change->was))); /* now the copy shows it */
    }
    add_owner(c, change->was);
    add_owner(c, change->object);
    if (change->object && !obj_controller_ref(change->object) && !obj_deleting(change->object)) {
        struct orphan_search search = {c, obj_labels(change->object)};
        struct informer *sets = orchestrator_informer(c->o, known_kinds()->replicaset);
        informer_each(sets, obj_ns(change->object), offer_orphan, &search);
    }
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == known_kinds()->pod) {
        pod_changed(c, change);
    } else if (change->kind == known_kinds()->replicaset) {
        struct api_item *item = change->item ? change->item : change->old;
        controller_add(c, item->ns, item->name);
    }
}

/* ---- reconcile ---- */

static bool is_going(const void *arg, const struct pod_facts *p)
{
    const struct replicaset_ctrl *rc = arg;
    return map_get(&rc->going, str_of(p->uid)) != NULL;
}

static size_t list_length(const struct list *l)
{
    size_t n = 0;
    if (l) {
        LIST_FOR_EACH (at, l) {
            n++;
        }
    }
    return n;
}

static void append(struct replicaset_in *in, const struct list *l)
{
    if (l) {
        LIST_FOR_EACH (at, l) {
            in->pods[in->n++] = POD_GROUP(at);
        }
    }
}

static bool collect_pods(struct controller *c, struct arena *a, struct replicaset_in *in)
{
    const struct list *owned = pod_index_owned(c->o->pods, obj_uid(in->rs));
    const struct list *orphans = pod_index_orphans(c->o->pods, obj_ns(in->rs));
    in->pods = arena_alloc(a, (list_length(owned) + list_length(orphans) + 1) * sizeof(*in->pods));
    if (!in->pods) {
        return false;
    }
    append(in, owned);
    append(in, orphans);
    return true;
}

static bool caught_up(struct controller *c, const struct rs_memory *m)
{
    struct informer *pods = orchestrator_informer(c->o, known_kinds()->pod);
    return informer_rev(pods) >= m->need_rev || loop_now(c->o->loop).us - m->since.us > LAG_MAX_US;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct replicaset_ctrl *rc = self(c);
    const char *ns, *name;
    struct err err;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *rs = orchestrator_get(c->o, plan->arena, known_kinds()->replicaset, ns, name);
    if (!rs) {
        struct rs_memory *gone = map_del(&rc->memory, str_of(key));
        if (gone) {
            free_memory(gone);
        }
        return 0;
    }
    struct rs_memory *m = memory_of(rc, key);
    struct replicaset_in in = {.rs = rs, .is_going = is_going, .arg = rc, .now = wall_now()};
    if (!m || !collect_pods(c, plan->arena, &in)) {
        return -E_NOMEM;
    }
    in.may_manage = caught_up(c, m);
    in.last_error = m->last_error;
    in.last_error_delete = m->last_error_delete;
    if (!in.may_manage) {
        plan_requeue(plan, LAG_RECHECK_MS);
    }
    int r = replicaset_reconcile(&in, plan, &err);
    if (r == -E_INVAL) {
        log_warn("replicaset-controller: key=%s: %s, ignoring", key, err.text);
        return 0;
    }
    return r;
}

static void remember_error(struct rs_memory *m, const struct action *a, int code,
                           const struct json *result)
{
    mem_free(m->last_error);
    m->last_error = NULL;
    if (code < 0 && code != -E_NOENT) {
        m->last_error = mem_strdup(json_cstr(json_get(result, "message"), err_text(code)));
        m->last_error_delete = a->req.verb == API_DELETE;
    }
}

static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    struct replicaset_ctrl *rc = self(c);
    struct rs_memory *m = map_get(&rc->memory, str_of(key));
    if (a->req.kind != known_kinds()->pod || !m) {
        return;
    }
    if (a->req.verb == API_CREATE || a->req.verb == API_DELETE) {
        remember_error(m, a, code, result);
    }
    if (code < 0) {
        return;
    }
    if (a->req.verb == API_DELETE) {
        struct pod_facts *p = pod_index_get(c->o->pods, a->req.ns, a->req.name);
        if (p && !p->deleting && cstr_eq(p->uid, a->req.precondition_uid)) {
            (void)map_put(&rc->going, str_of(p->uid), rc, NULL); /* else it may be asked twice */
        }
    } else if (obj_rev(result) > m->need_rev) {
        m->need_rev = obj_rev(result);
        m->since = loop_now(c->o->loop);
    }
}

const struct controller_ops replicaset_controller = {
    .name = "replicaset-controller",
    .size = sizeof(struct replicaset_ctrl),
    .workers = 8,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of DaemonSets: which node lacks a pod, which has one too many, and the status.
 * The contract is in daemonset.h; daemonset_fit.c says which nodes fit, daemonset_update.c rolls.
 *
 * Invariant: a step that finds pods missing or superfluous mends that first; a rolling update goes
 * on only with what it left in order.
 */
#include "daemonset.h"

#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "base/map.h"
#include "base/mem.h"
#include "daemonset_private.h"
#include "orchestrator_private.h"
#include "workload.h"

/* ---- pods by node ---- */

static bool place_pod(struct daemon *d, struct daemon_place *place, struct pod_facts *p)
{
    if (place->n == place->cap) {
        size_t cap = place->cap ? place->cap * 2 : 2;
        struct pod_facts **v =
            arena_grow(d->arena, (void *)place->pods, place->cap * sizeof(*v), cap * sizeof(*v));
        if (!v) {
            return false;
        }
        place->pods = v;
        place->cap = cap;
    }
    place->pods[place->n++] = p;
    return true;
}

static int older_first(const void *x, const void *y)
{
    const struct pod_facts *a = *(struct pod_facts *const *)x, *b = *(struct pod_facts *const *)y;
    bool placed = a->node[0], other = b->node[0];
    if (placed != other) {
        return placed ? -1 : 1;
    }
    if (a->created.us != b->created.us) {
        return a->created.us < b->created.us ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static int fill_places(struct daemon *d, struct map *by_name, struct pod_facts **pods, size_t n)
{
    for (size_t i = 0; i < d->in->n_nodes; i++) {
        struct daemon_place *place = &d->places[d->n_places++];
        place->node = d->in->nodes[i];
        daemon_fit_judge(&d->fit, place);
        if (map_put(by_name, str_of(place->node->name), place, NULL) < 0) {
            return -E_NOMEM;
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct daemon_place *place = map_get(by_name, str_of(pod_place(pods[i])));
        if (!place) { /* of a node that is gone, or of none */
            place = &d->places[d->n_places++];
            if (map_put(by_name, str_of(pod_place(pods[i])), place, NULL) < 0) {
                return -E_NOMEM;
            }
        }
        if (!place_pod(d, place, pods[i])) {
            return -E_NOMEM;
        }
    }
    for (size_t i = 0; i < d->n_places; i++) {
        if (d->places[i].n > 1) {
            qsort((void *)d->places[i].pods, d->places[i].n, sizeof(*d->places[i].pods),
                  older_first);
        }
    }
    return 0;
}

static int read_places(struct daemon *d, struct pod_facts **pods, size_t n)
{
    struct map by_name = MAP_INIT;
    d->places = arena_zalloc(d->arena, (d->in->n_nodes + n + 1) * sizeof(*d->places));
    int r = d->places ? fill_places(d, &by_name, pods, n) : -E_NOMEM;
    map_fini(&by_name, NULL);
    return r;
}

/* ---- what is missing or too much ---- */

/* A pod that ended makes room for another one; a failed one after a while. True when it goes. */
static bool handle_ended(struct daemon *d, const struct daemon_place *place,
                         const struct pod_facts *p)
{
    bool failed = p->phase == POD_FAILED;
    const struct kind *kind = known_kinds()->daemon_set;
    if (!pod_ended(p)) {
        return false;
    }
    /* Only of the current template: what another one did says nothing about this one. */
    bool waits = failed && d->in->failed_wait_ms && daemon_is_new(d, p);
    int64_t wait = waits ? d->in->failed_wait_ms(d->in->arg, place->node->name) : 0;
    if (wait > 0) {
        plan_requeue(d->plan, wait);
        return true;
    }
    plan_event(d->plan, kind, d->set, failed ? "Warning" : "Normal",
               failed ? "FailedDaemonPod" : "SucceededDaemonPod",
               failed ? "Found failed daemon pod %s/%s on node %s, will try to kill it"
                      : "Found succeeded daemon pod %s/%s on node %s, will try to delete it",
               p->ns, p->name, place->node->name);
    struct action *a = workload_delete(d->plan, p, d->set, kind, "Deleted pod: %s");
    a->wave = 2;
    a->tag = failed ? arena_strdup(d->arena, place->node->name) : NULL;
    return true;
}

/* Of several that run, the oldest stays; with surge, the oldest of the old and of the new. True
 * when one goes. */
static bool drop_doubles(struct daemon *d, struct pod_facts **running, size_t n)
{
    bool old = false, fresh = false, dropped = false;
    for (size_t i = 0; i < n; i++) {
        bool *seen = d->rolling && d->surge > 0 && daemon_is_new(d, running[i]) ? &fresh : &old;
        if (*seen) {
            daemon_delete(d, running[i]);
            dropped = true;
        }
        *seen = true;
    }
    return dropped;
}

/* A reachable node that may run a pod. */
static void manage_place(struct daemon *d, struct daemon_place *place)
{
    struct pod_facts **running = arena_alloc(d->arena, (place->n + 1) * sizeof(*running));
    size_t n = 0;
    bool busy = false;
    for (size_t i = 0; running && i < place->n; i++) {
        struct pod_facts *p = place->pods[i];
        if (daemon_is_going(d, p) || handle_ended(d, place, p)) {
            busy = true;
        } else {
            running[n++] = p;
        }
    }
    /* The one that goes must be gone first, for ports and paths of the host are often at stake. */
    place->create = place->wanted && n == 0 && !busy;
    place->busy = drop_doubles(d, running, n) || busy || place->create;
}

static void manage(struct daemon *d)
{
    for (size_t i = 0; i < d->n_places; i++) {
        struct daemon_place *place = &d->places[i];
        if (place->tolerated && !place->cut) {
            manage_place(d, place);
            continue;
        }
        for (size_t k = 0; k < place->n && !place->tolerated; k++) {
            if (!daemon_is_going(d, place->pods[k])) {
                daemon_delete(d, place->pods[k]);
            }
        }
    }
}

static void plan_creates(struct daemon *d)
{
    const struct kind *kind = known_kinds()->daemon_set;
    size_t n = 0;
    for (size_t i = 0; i < d->n_places; i++) {
        if (!d->places[i].create) {
            continue;
        }
        if (n == WORKLOAD_BURST) {
            plan_requeue(d->plan, 0);
            return;
        }
        struct action *a = plan_create(d->plan, known_kinds()->pod, obj_ns(d->set),
                                       daemon_pod(d, d->places[i].node->name));
        a->wave = 2 + workload_wave(n++);
        workload_events(a, kind, d->set, "SuccessfulCreate", "Created pod: %s", "FailedCreate",
                        "Error creating: %s");
    }
}

/* ---- status ---- */

struct daemon_counts {
    int64_t desired, current, misscheduled, ready, available, updated;
};

static void count(struct daemon *d, struct daemon_counts *c, const struct daemon_place *place)
{
    if (!place->wanted) {
        c->misscheduled += place->n > 0 && place->node;
        return;
    }
    c->desired++;
    if (place->n == 0) {
        return;
    }
    const struct pod_facts *p = place->pods[0];
    for (size_t i = 1; i < place->n && p->deleting; i++) {
        p = place->pods[i]; /* one that stays says more */
    }
    c->current++;
    c->updated += daemon_is_new(d, p);
    bool ready = false, available = false;
    for (size_t i = 0; i < place->n; i++) {
        ready |= place->pods[i]->ready;
        available |= daemon_available(d, place->pods[i]);
    }
    c->ready += ready;
    c->available += available;
}

static void plan_status(struct daemon *d, const struct json *was)
{
    struct daemon_counts c = {0};
    for (size_t i = 0; i < d->n_places; i++) {
        count(d, &c, &d->places[i]);
    }
    struct json *status = json_ensure_object(d->set, "status");
    json_set_int(status, "currentNumberScheduled", c.current);
    json_set_int(status, "numberMisscheduled", c.misscheduled);
    json_set_int(status, "desiredNumberScheduled", c.desired);
    json_set_int(status, "numberReady", c.ready);
    json_set_int(status, "observedGeneration", obj_generation(d->set));
    workload_count(status, "updatedNumberScheduled", c.updated);
    workload_count(status, "numberAvailable", c.available);
    workload_count(status, "numberUnavailable", c.desired - c.available);
    if (!json_equal(was, status)) {
        struct action *a = plan_update(d->plan, known_kinds()->daemon_set, d->set, "status");
        a->flags = ACTION_F_ABSENT_OK;
        a->wave = 1;
    }
}

/* ---- the step ---- */

static void read_spec(struct daemon *d)
{
    const struct json *strategy = json_path(d->set, "spec.updateStrategy");
    const struct json *rolling = json_get(strategy, "rollingUpdate");
    int64_t desired = 0;
    for (size_t i = 0; i < d->n_places; i++) {
        desired += d->places[i].wanted;
    }
    d->rolling = strcmp(json_path_cstr(strategy, "type", ""), "OnDelete") != 0;
    d->unavailable = workload_scaled(json_get(rolling, "maxUnavailable"), desired, true, 1);
    d->surge = workload_scaled(json_get(rolling, "maxSurge"), desired, true, 0);
    if (d->surge <= 0 && d->unavailable <= 0) {
        d->unavailable = 1; /* else nothing could ever move */
    }
}

static bool in_use(const void *arg, const struct json *revision)
{
    const struct daemon *d = arg;
    const char *hash = revision_hash(revision);
    for (size_t i = 0; i < d->in->n; i++) {
        if (cstr_eq(pod_label(d->in->pods[i], REVISION_HASH_LABEL), hash)) {
            return true;
        }
    }
    return false;
}

static void carry_on(struct daemon *d)
{
    if (d->in->may_manage) {
        manage(d);
        if (d->rolling) {
            daemon_roll(d);
        }
        plan_creates(d);
    }
    revisions_trim(&d->revisions, d->plan, json_path_i64(d->set, "spec.revisionHistoryLimit", 10),
                   in_use, d);
}

static int read_revisions(struct daemon *d, struct err *err)
{
    struct revisions_in in = {.owner = d->set,
                              .kind = known_kinds()->daemon_set,
                              .found = d->in->revisions,
                              .n = d->in->n_revisions,
                              .name_taken = d->in->revision_taken,
                              .arg = d->in->arg};
    int r = revisions_sync(&in, d->plan, &d->revisions, err);
    d->hash = revision_hash(d->revisions.update);
    return r;
}

int daemonset_reconcile(const struct daemonset_in *in, struct plan *plan, struct err *err)
{
    struct daemon d = {.in = in, .plan = plan, .arena = plan->arena, .set = in->set, .wait_ms = -1};
    struct selector *selector;
    size_t n;
    const struct json *was = json_clone(d.arena, json_get(d.set, "status"));
    int r = selector_from_json(d.arena, json_path(d.set, "spec.selector"), &selector, err);
    r = r < 0 ? r : daemon_fit_init(&d.fit, d.arena, d.set, err);
    r = r < 0 ? r : read_revisions(&d, err);
    if (r < 0) {
        return r;
    }
    d.min_ready = json_path_i64(d.set, "spec.minReadySeconds", 0);
    struct pod_facts **pods =
        workload_claim(plan, d.set, known_kinds()->daemon_set, selector, in->pods, in->n, &n);
    if (!pods || read_places(&d, pods, n) < 0) {
        return -E_NOMEM;
    }
    read_spec(&d);
    plan_status(&d, was);
    if (d.revisions.update && !obj_deleting(d.set)) {
        carry_on(&d);
    }
    if (d.wait_ms >= 0) {
        plan_requeue(plan, d.wait_ms);
    }
    return 0;
}

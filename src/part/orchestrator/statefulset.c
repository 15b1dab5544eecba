/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of StatefulSets; the contract is in statefulset.h.
 *
 * Invariants, whatever the order of events:
 *  1. a pod is made only when no pod of its name is there any more, so an ordinal never runs twice;
 *  2. with OrderedReady, one pod at a time: none is made before the ones below it are available,
 * and none is taken away before the ones above it are gone.
 */
#include "statefulset.h"

#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"
#include "statefulset_private.h"
#include "workload.h"

#define REPLICAS_MAX 100000 /* that one step looks at */

int64_t statefulset_ordinal(const char *name, const char *pod_name)
{
    size_t n = strlen(name);
    int64_t ordinal;
    if (strncmp(pod_name, name, n) != 0 || pod_name[n] != '-' || pod_name[n + 1] == '-' ||
        str_i64(str_of(pod_name + n + 1), &ordinal) < 0) {
        return -1;
    }
    return ordinal;
}

/* ---- what is there ---- */

static bool is_going(const struct sts *s, const struct pod_facts *p)
{
    return s->in->is_going && s->in->is_going(s->in->going_arg, p);
}

static bool is_ready(const struct pod_facts *p)
{
    return p->phase == POD_RUNNING && p->ready;
}

static bool is_available(struct sts *s, const struct pod_facts *p)
{
    return is_ready(p) && pod_available(p, s->min_ready, s->in->now, &s->wait_ms);
}

static bool is_healthy(const struct replica *r)
{
    return r->pod && is_ready(r->pod) && !r->leaving;
}

static const char *revision_of(const struct pod_facts *p)
{
    const char *name = pod_label(p, REVISION_HASH_LABEL);
    return name ? name : "";
}

static int higher_first(const void *x, const void *y)
{
    const struct replica *a = x, *b = y;
    return (a->ordinal < b->ordinal) - (a->ordinal > b->ordinal);
}

static int sort_pods(struct sts *s, struct pod_facts **pods, size_t n)
{
    s->wanted = arena_zalloc(s->arena, ((size_t)s->replicas + 1) * sizeof(*s->wanted));
    s->extra = arena_alloc(s->arena, (n + 1) * sizeof(*s->extra));
    if (!s->wanted || !s->extra) {
        return -E_NOMEM;
    }
    for (int64_t i = 0; i < s->replicas; i++) {
        s->wanted[i].ordinal = s->start + i;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t ordinal = statefulset_ordinal(s->name, pods[i]->name);
        struct replica r = {ordinal, pods[i], pods[i]->deleting || is_going(s, pods[i])};
        if (ordinal >= s->start && ordinal < s->start + s->replicas) {
            s->wanted[ordinal - s->start] = r;
        } else if (ordinal >= 0) {
            s->extra[s->n_extra++] = r;
        }
    }
    qsort(s->extra, s->n_extra, sizeof(*s->extra), higher_first);
    return 0;
}

/* ---- steps ---- */

static void delete_pod(struct sts *s, struct replica *r)
{
    const char *text =
        arena_printf(s->arena, "delete Pod %s in StatefulSet %s successful", r->pod->name, s->name);
    workload_delete(s->plan, r->pod, s->set, known_kinds()->stateful_set, text)->wave =
        STS_WAVE_PODS;
    r->leaving = true;
}

/* A pod that ended is replaced: the old one must be gone first. */
static void delete_ended(struct sts *s, struct replica *r)
{
    bool failed = r->pod->phase == POD_FAILED;
    if (r->leaving) {
        return;
    }
    plan_event(s->plan, known_kinds()->stateful_set, s->set, failed ? "Warning" : "Normal",
               failed ? "RecreatingFailedPod" : "RecreatingTerminatedPod",
               "StatefulSet %s/%s is recreating %s Pod %s", obj_ns(s->set), s->name,
               failed ? "failed" : "terminated", r->pod->name);
    delete_pod(s, r);
}

/* True when the step ends with this replica. */
static bool handle_wanted(struct sts *s, struct replica *r)
{
    if (!r->pod) {
        sts_create(s, r->ordinal);
        return s->ordered;
    }
    if (pod_ended(r->pod)) {
        delete_ended(s, r);
        return s->ordered;
    }
    if (r->leaving) {
        return s->ordered;
    }
    if (r->pod->phase == POD_PENDING) {
        sts_create_claims(s, r->ordinal);
    }
    if (!is_available(s, r->pod)) {
        return s->ordered;
    }
    sts_sync_claims(s, r->ordinal, NULL);
    return false;
}

static bool handle_all_wanted(struct sts *s)
{
    size_t made = 0;
    for (int64_t i = 0; i < s->replicas && made < WORKLOAD_BURST; i++) {
        made += !s->wanted[i].pod;
        if (handle_wanted(s, &s->wanted[i])) {
            return true;
        }
    }
    return false;
}

/* The lowest one: it may be taken away though it is not healthy. */
static const struct replica *first_unhealthy(struct sts *s)
{
    for (int64_t i = 0; i < s->replicas; i++) {
        if (!is_healthy(&s->wanted[i])) {
            return &s->wanted[i];
        }
    }
    for (size_t i = s->n_extra; i > 0; i--) {
        if (!is_healthy(&s->extra[i - 1])) {
            return &s->extra[i - 1];
        }
    }
    return NULL;
}

static bool handle_extra(struct sts *s, struct replica *r, const struct replica *unhealthy)
{
    if (r->leaving) {
        return s->ordered;
    }
    if (s->ordered && r != unhealthy && !is_available(s, r->pod)) {
        return true;
    }
    sts_sync_claims(s, r->ordinal, r->pod);
    delete_pod(s, r);
    return s->ordered;
}

static bool handle_all_extra(struct sts *s)
{
    const struct replica *unhealthy = first_unhealthy(s);
    for (size_t i = 0; i < s->n_extra; i++) {
        if (handle_extra(s, &s->extra[i], unhealthy)) {
            return true;
        }
    }
    return false;
}

/* ---- rolling update ---- */

static int64_t most_unavailable(const struct sts *s)
{
    const struct json *most = json_path(s->set, "spec.updateStrategy.rollingUpdate.maxUnavailable");
    return most ? MAX_OF(workload_scaled(most, s->replicas, true, 1), 1) : 1;
}

/* From the highest ordinal down to the partition; a pod that is not healthy takes up room. */
static void update_pods(struct sts *s)
{
    int64_t room = most_unavailable(s);
    bool one = room == 1;
    int64_t unavailable = 0;
    for (int64_t i = 0; i < s->replicas && !one; i++) {
        struct replica *r = &s->wanted[i];
        unavailable += !r->pod || r->leaving || !is_available(s, r->pod);
    }
    for (int64_t i = s->replicas - 1; i >= s->partition && i >= 0; i--) {
        struct replica *r = &s->wanted[i];
        bool old = r->pod && strcmp(revision_of(r->pod), s->update) != 0;
        if (old && !r->leaving) {
            bool sick = !is_available(s, r->pod);
            if (!one && !sick && unavailable >= room) {
                return;
            }
            delete_pod(s, r);
            unavailable += !sick;
            if (one) {
                return;
            }
        } else if (one && (!is_healthy(r) || !is_available(s, r->pod))) {
            return;
        }
    }
}

/* ---- status ---- */

struct sts_counts {
    int64_t all, ready, available, current, updated;
};

static void count(struct sts *s, struct sts_counts *c, const struct replica *r)
{
    const struct pod_facts *p = r->pod;
    if (!p) {
        return;
    }
    c->all++;
    c->ready += is_ready(p);
    c->available += is_available(s, p);
    if (!p->deleting) {
        c->current += strcmp(revision_of(p), s->current) == 0;
        c->updated += strcmp(revision_of(p), s->update) == 0;
    }
}

static struct sts_counts count_all(struct sts *s)
{
    struct sts_counts c = {0};
    for (int64_t i = 0; i < s->replicas; i++) {
        count(s, &c, &s->wanted[i]);
    }
    for (size_t i = 0; i < s->n_extra; i++) {
        count(s, &c, &s->extra[i]);
    }
    return c;
}

/* All pods are of the new revision: it becomes the current one. */
static void finish_rollout(struct sts *s, struct sts_counts *c)
{
    if (s->rolling && c->updated == s->replicas && c->ready == s->replicas &&
        c->all == s->replicas) {
        s->current = s->update;
        c->current = c->updated;
    }
}

static void plan_status(struct sts *s, const struct json *was)
{
    struct sts_counts c = count_all(s);
    finish_rollout(s, &c);
    struct json *status = json_ensure_object(s->set, "status");
    json_set_int(status, "observedGeneration", obj_generation(s->set));
    json_set_int(status, "replicas", c.all);
    workload_count(status, "readyReplicas", c.ready);
    workload_count(status, "currentReplicas", c.current);
    workload_count(status, "updatedReplicas", c.updated);
    json_set_int(status, "availableReplicas", c.available);
    json_set_str(status, "currentRevision", s->current);
    json_set_str(status, "updateRevision", s->update);
    if (!json_get(status, "collisionCount")) {
        json_set_int(status, "collisionCount", 0);
    }
    if (!json_equal(was, status)) {
        struct action *a = plan_update(s->plan, known_kinds()->stateful_set, s->set, "status");
        a->flags = ACTION_F_ABSENT_OK;
        a->wave = STS_WAVE_STATUS;
    }
}

/* ---- the step ---- */

static void read_spec(struct sts *s)
{
    const struct json *spec = json_get(s->set, "spec");
    const struct json *rolling = json_path(spec, "updateStrategy.rollingUpdate");
    s->name = obj_name(s->set);
    s->replicas = json_path_i64(spec, "replicas", 1);
    s->replicas = MIN_OF(MAX_OF(s->replicas, 0), REPLICAS_MAX);
    s->start = MAX_OF(json_path_i64(spec, "ordinals.start", 0), 0);
    s->min_ready = json_path_i64(spec, "minReadySeconds", 0);
    s->ordered = strcmp(json_path_cstr(spec, "podManagementPolicy", ""), "Parallel") != 0;
    s->rolling = strcmp(json_path_cstr(spec, "updateStrategy.type", ""), "OnDelete") != 0;
    s->has_rolling = rolling != NULL;
    s->partition = json_path_i64(rolling, "partition", 0);
    s->wait_ms = -1;
}

static bool in_use(const void *arg, const struct json *revision)
{
    const struct sts *s = arg;
    const char *name = obj_name(revision);
    if (strcmp(name, s->current) == 0 || strcmp(name, s->update) == 0) {
        return true;
    }
    for (size_t i = 0; i < s->in->n; i++) {
        if (strcmp(revision_of(s->in->pods[i]), name) == 0) {
            return true;
        }
    }
    return false;
}

/* Which revisions there are; false when the name of a new one is taken and the next step tries
 * another one. */
static bool read_revisions(struct sts *s)
{
    const struct json *update = s->revisions.update;
    const char *current = json_path_cstr(s->set, "status.currentRevision", "");
    const struct json *found = revisions_find(&s->revisions, current);
    if (!update) {
        return false;
    }
    s->update = obj_name(update);
    s->current = arena_strdup(s->arena, found ? current : s->update);
    s->current_template = found ? revision_template(found) : NULL;
    return s->current != NULL;
}

/* Its pods; a stranger is adopted only when his name is one of the set's. */
static struct pod_facts **members(struct sts *s, const struct selector *selector, size_t *ret_n)
{
    const struct statefulset_in *in = s->in;
    struct pod_facts **v = arena_alloc(s->arena, (in->n + 1) * sizeof(*v));
    size_t n = 0;
    for (size_t i = 0; v && i < in->n; i++) {
        if (in->pods[i]->owner[0] || statefulset_ordinal(s->name, in->pods[i]->name) >= 0) {
            v[n++] = in->pods[i];
        }
    }
    return v ? workload_claim(s->plan, s->set, known_kinds()->stateful_set, selector, v, n, ret_n)
             : NULL;
}

static void manage(struct sts *s)
{
    if (handle_all_wanted(s) || handle_all_extra(s)) {
        return;
    }
    if (s->rolling) {
        update_pods(s);
    }
}

int statefulset_reconcile(const struct statefulset_in *in, struct plan *plan, struct err *err)
{
    struct sts s = {.in = in, .plan = plan, .arena = plan->arena, .set = in->set};
    struct selector *selector;
    size_t n;
    const struct json *was = json_clone(s.arena, json_get(s.set, "status"));
    struct revisions_in revisions = {.owner = s.set,
                                     .kind = known_kinds()->stateful_set,
                                     .found = in->revisions,
                                     .n = in->n_revisions,
                                     .name_taken = in->revision_taken,
                                     .arg = in->arg};
    int r = selector_from_json(s.arena, json_path(s.set, "spec.selector"), &selector, err);
    r = r < 0 ? r : revisions_sync(&revisions, plan, &s.revisions, err);
    if (r < 0) {
        return r;
    }
    read_spec(&s);
    struct pod_facts **pods = members(&s, selector, &n);
    if (!pods || sort_pods(&s, pods, n) < 0) {
        return -E_NOMEM;
    }
    if (!read_revisions(&s)) {
        if (!obj_deleting(s.set)) {
            plan_update(plan, known_kinds()->stateful_set, s.set, "status")->flags =
                ACTION_F_ABSENT_OK;
        }
        return 0;
    }
    plan_status(&s, was);
    if (!obj_deleting(s.set)) {
        revisions_trim(&s.revisions, plan, json_path_i64(s.set, "spec.revisionHistoryLimit", 10),
                       in_use, &s);
        if (in->may_manage) {
            manage(&s);
        }
    }
    if (s.wait_ms >= 0) {
        plan_requeue(plan, s.wait_ms);
    }
    return 0;
}

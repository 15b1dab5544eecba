/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile step of ReplicaSets and ReplicationControllers (Kubernetes
 * pkg/controller/replicaset); the contract is in replicaset.h. */
#include "replicaset.h"

#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "base/mem.h"
#include "orchestrator_private.h"
#include "workload.h"

/* ---- which pod goes first ---- */

struct ranked {
    struct pod_facts *pod;
    size_t neighbours; /* pods of the set on its node */
    struct wall now;
};

static int compare_bool(bool a, bool b)
{
    return (int)a - (int)b;
}

static int compare_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int phase_rank(enum pod_phase phase)
{
    return phase == POD_PENDING ? 0 : phase == POD_UNKNOWN ? 1 : 2;
}

/* Ages compare by their power of two, so that a few seconds among hours do not decide. */
static int age_rank(struct wall since, struct wall now)
{
    int64_t s = (now.us - since.us) / 1000000;
    int rank = 0;
    for (; s > 0; s >>= 1) {
        rank++;
    }
    return rank;
}

static int compare_ranked(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    const struct pod_facts *p = a->pod, *q = b->pod;
    int r = compare_bool(p->node[0] != '\0', q->node[0] != '\0');
    r = r ? r : phase_rank(p->phase) - phase_rank(q->phase);
    r = r ? r : compare_bool(p->ready, q->ready);
    r = r ? r : compare_i64(p->deletion_cost, q->deletion_cost);
    r = r ? r : compare_i64((int64_t)b->neighbours, (int64_t)a->neighbours);
    if (r == 0 && p->ready && q->ready) {
        r = age_rank(p->ready_since, a->now) - age_rank(q->ready_since, a->now);
    }
    r = r ? r : compare_i64(q->restarts, p->restarts);
    r = r ? r : age_rank(p->created, a->now) - age_rank(q->created, a->now);
    return r ? r : strcmp(p->uid, q->uid);
}

static int compare_node(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    return strcmp(a->pod->node, b->pod->node);
}

static void count_neighbours(struct ranked *v, size_t n)
{
    qsort(v, n, sizeof(*v), compare_node);
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && strcmp(v[end].pod->node, v[i].pod->node) == 0) {
            end++;
        }
        for (size_t k = i; k < end; k++) {
            v[k].neighbours = v[i].pod->node[0] ? end - i : 0;
        }
        i = end;
    }
}

void replicaset_rank(struct pod_facts **pods, size_t n, struct wall now)
{
    struct ranked *v = mem_alloc((n + 1) * sizeof(*v));
    if (!v) {
        return; /* any order is right, this one is only kinder */
    }
    for (size_t i = 0; i < n; i++) {
        v[i] = (struct ranked){.pod = pods[i], .now = now};
    }
    count_neighbours(v, n);
    qsort(v, n, sizeof(*v), compare_ranked);
    for (size_t i = 0; i < n; i++) {
        pods[i] = v[i].pod;
    }
    mem_free(v);
}

/* ---- claiming ---- */

struct rs_step {
    const struct replicaset_in *in;
    struct plan *plan;
    struct arena *arena;
    struct selector *selector;
    struct pod_facts **active;
    size_t active_n;
};

static int claim_all(struct rs_step *s)
{
    const struct replicaset_in *in = s->in;
    size_t n;
    s->active = workload_claim(s->plan, in->rs, in->kind, s->selector, in->pods, in->n, &n);
    if (!s->active) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        struct pod_facts *p = s->active[i];
        bool going = in->is_going && in->is_going(in->arg, p);
        if (pod_active(p) && !going) {
            s->active[s->active_n++] = p;
        }
    }
    return 0;
}

/* ---- creating and deleting ---- */

/* In waves of 1, 2, 4, ...: when creation fails (a quota, a bad template) little is wasted. */
static void plan_creates(struct rs_step *s, int64_t n)
{
    const struct kind *kind = s->in->kind;
    struct json *body =
        workload_pod(s->arena, json_path(s->in->rs, "spec.template"), s->in->rs, kind);
    json_set(obj_meta(body), "generateName", json_printf(s->arena, "%.245s-", obj_name(s->in->rs)));
    for (int64_t i = 0; i < n; i++) {
        struct action *a = plan_create(s->plan, known_kinds()->pod, obj_ns(s->in->rs), body);
        a->wave = workload_wave((size_t)i);
        workload_events(a, kind, s->in->rs, "SuccessfulCreate", "Created pod: %s", "FailedCreate",
                        "Error creating: %s");
    }
}

static void plan_deletes(struct rs_step *s, int64_t n)
{
    replicaset_rank(s->active, s->active_n, s->in->now);
    for (int64_t i = 0; i < n; i++) {
        (void)workload_delete(s->plan, s->active[i], s->in->rs, s->in->kind,
                              "Deleted pod: %s"); /* in the first wave */
    }
}

static void manage(struct rs_step *s)
{
    int64_t wanted = json_path_i64(s->in->rs, "spec.replicas", 1);
    int64_t diff = (int64_t)s->active_n - wanted;
    if (diff < 0) {
        plan_creates(s, MIN_OF(-diff, WORKLOAD_BURST));
    } else if (diff > 0) {
        plan_deletes(s, MIN_OF(diff, WORKLOAD_BURST));
    }
    if (diff > WORKLOAD_BURST || -diff > WORKLOAD_BURST) {
        plan_requeue(s->plan, 0);
    }
}

/* ---- status ---- */

struct rs_counts {
    int64_t labeled, ready, available;
};

static struct rs_counts count(struct rs_step *s)
{
    const struct json *labels = json_path(s->in->rs, "spec.template.metadata.labels");
    int64_t min_ready = json_path_i64(s->in->rs, "spec.minReadySeconds", 0);
    struct rs_counts c = {0};
    int64_t wait = -1;
    for (size_t i = 0; i < s->active_n; i++) {
        const struct pod_facts *p = s->active[i];
        bool labeled = true;
        JSON_FOR_EACH_MEMBER (m, labels) {
            labeled = labeled && cstr_eq(pod_label(p, m->key), json_cstr(m->value, ""));
        }
        c.labeled += labeled;
        c.ready += p->ready;
        c.available += pod_available(p, min_ready, s->in->now, &wait);
    }
    if (wait >= 0) {
        plan_requeue(s->plan, wait);
    }
    return c;
}

static void set_failure(struct rs_step *s)
{
    struct json *rs = s->in->rs;
    if (s->in->last_error) {
        const char *reason = s->in->last_error_delete ? "FailedDelete" : "FailedCreate";
        (void)obj_condition_set(rs, "ReplicaFailure", "True", reason, s->in->last_error,
                                s->in->now);
    } else if (obj_condition_del(rs, "ReplicaFailure") &&
               json_len(json_path(rs, "status.conditions")) == 0) {
        json_del(json_get(rs, "status"), "conditions");
    }
}

static void plan_status(struct rs_step *s)
{
    struct json *rs = s->in->rs;
    struct rs_counts c = count(s);
    const struct json *was = json_clone(s->arena, json_get(rs, "status"));
    struct json *status = json_ensure_object(rs, "status");
    json_set_int(status, "replicas", (int64_t)s->active_n);
    workload_count(status, "fullyLabeledReplicas", c.labeled);
    workload_count(status, "readyReplicas", c.ready);
    workload_count(status, "availableReplicas", c.available);
    json_set_int(status, "observedGeneration", obj_generation(rs));
    set_failure(s);
    if (!json_equal(was, status)) {
        plan_update(s->plan, s->in->kind, rs, "status")->flags = ACTION_F_ABSENT_OK;
    }
}

int replicaset_reconcile(const struct replicaset_in *in, struct plan *plan, struct err *err)
{
    struct rs_step s = {.in = in, .plan = plan, .arena = plan->arena};
    int r = selector_from_owner(s.arena, json_path(in->rs, "spec.selector"), &s.selector, err);
    if (r < 0) {
        return r;
    }
    if (claim_all(&s) < 0) {
        return -E_NOMEM;
    }
    plan_status(&s);
    if (in->may_manage && !obj_deleting(in->rs)) {
        manage(&s);
    }
    return 0;
}

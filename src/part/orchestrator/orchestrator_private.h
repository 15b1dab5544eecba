/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the controllers share: informers (one a kind), the index of pods, recorders, and the frame
 * in which a controller lives (struct controller).
 *
 * A change of an object is handed to every controller's `changed`, already parsed. Controllers act
 * only after all informers have listed.
 */
#ifndef ORCHESTRATOR_PRIVATE_H
#define ORCHESTRATOR_PRIVATE_H

#include "api/informer.h"
#include "api/workqueue.h"
#include "base/clock.h"
#include "io/loop.h"
#include "orchestrator.h"
#include "plan.h"
#include "recorder.h"

struct controller;
struct pod_index;

/* The kinds that controllers know by name. */
struct known_kinds {
    const struct kind *ns, *node, *lease, *pod, *deployment, *replicaset, *event, *binding;
    const struct kind *revision, *daemon_set, *stateful_set, *job, *cron_job, *claim;
    const struct kind *service, *endpoints, *slice, *pdb, *quota, *hpa, *pv, *pvc, *storage_class;
    const struct kind *replication_controller;
};
const struct known_kinds *known_kinds(void);

/* One change as controllers see it. */
struct change {
    const struct kind *kind;
    struct api_item *old, *item;     /* old NULL: added; item NULL: deleted */
    const struct json *was, *object; /* the same, parsed */
};

struct controller_ops {
    const char *name; /* also the source of its events: "deployment-controller" */
    size_t size;      /* of the struct that embeds struct controller as its first member */
    unsigned workers; /* keys worked on side by side */
    /* Each may be NULL, except reconcile when keys are added to the queue. */
    int (*start)(struct controller *c);   /* after the frame is set up; 0 or -E_NOMEM */
    void (*synced)(struct controller *c); /* once, when all informers have listed */
    void (*stop)(struct controller *c); /* frees what start made; start may have failed half way */
    /* Also during the first listing. May add keys. */
    void (*changed)(struct controller *c, const struct change *change);
    /* Builds the plan for a key. A negative result is logged and the key is retried. */
    int (*reconcile)(struct controller *c, const char *key, struct plan *plan);
    /* Every action of a key's plan that was tried. */
    void (*action)(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result);
};

struct controller {
    const struct controller_ops *ops;
    struct orchestrator *o;
    struct workqueue *queue;
    struct recorder *recorder;
    struct list runs; /* plans under way */
};

#define CONTROLLERS_MAX 48

struct watched {
    const struct kind *kind;
    struct informer *informer;
    struct orchestrator *o;
    bool late; /* of a custom kind: nobody waits for its first list */
};

struct orchestrator {
    struct api_client *client;
    struct io_loop *loop;
    struct orchestrator_opts opts;
    struct watched **watched; /* every stored kind that can be listed and watched */
    size_t watched_n, started_n, synced_n;
    struct kinds_listener kinds; /* custom kinds come and go */
    struct io_task kinds_task;
    struct pod_index *pods;
    struct controller *controllers[CONTROLLERS_MAX];
    size_t controllers_n;
    struct io_task synced_task;
};

/* The informer of a kind; NULL when it is not watched. */
struct informer *orchestrator_informer(struct orchestrator *o, const struct kind *kind);
/* The current object of a kind, parsed into the arena, or NULL. */
struct json *orchestrator_get(struct orchestrator *o, struct arena *a, const struct kind *kind,
                              const char *ns, const char *name);

/* "ns/name" to a queue. */
void controller_add(struct controller *c, const char *ns, const char *name);
void controller_add_after(struct controller *c, const char *ns, const char *name, int64_t ms);
/* Splits "ns/name" (or "/name"); the texts lie in the arena. False when the arena failed. */
bool controller_split(struct arena *a, const char *key, const char **ret_ns, const char **ret_name);

/* Carries out a plan outside of the queue (the scheduler does); it is cancelled when the controller
 * stops. done may be NULL. The arena is taken, as in plan_run_start(). */
typedef void controller_done_fn(struct controller *c, void *arg, int code, const char *text);
void controller_run(struct controller *c, struct arena *arena, struct plan *plan,
                    controller_done_fn *done, void *arg);

extern const struct controller_ops autoscale_controller, disruption_controller, notice_controller,
    quota_controller, volume_controller, endpoints_controller, flow_controller,
    namespace_controller, deployment_controller, replicaset_controller, replication_controller,
    scheduler_controller, node_controller, taint_controller, garbage_controller, pod_gc_controller,
    event_ttl_controller, policy_controller, service_account_controller,
    role_aggregation_controller, statefulset_controller, cronjob_controller, daemonset_controller,
    job_controller;

#endif

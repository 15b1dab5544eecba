/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the node agent share; see infra.h for its users' view and README.md for the
 * tour.
 */
#ifndef INFRA_INFRA_PRIVATE_H
#define INFRA_INFRA_PRIVATE_H

#include "backoff.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/sm.h"
#include "infra.h"
#include "io/loop.h"
#include "pod_env.h"
#include "pod_status.h"
#include "runtime/cgroup.h"
#include "runtime/cni.h"
#include "runtime/container.h"
#include "runtime/exec.h"
#include "runtime/hostinfo.h"
#include "runtime/images.h"
#include "runtime/runtime.h"
#include "runtime/sandbox.h"
#include "sync/replica.h"

enum { INFRA_WATCHES = 3 };

struct events;
struct node_agent;
struct io_fswatch;
struct pod;
struct slot;
struct sync_child;
struct stream;

struct infra {
    struct io_loop *loop;
    struct runtime *runtime;
    struct replica *replica;
    char *state_dir, *node_ip, *node_labels;
    char hostname[256];
    int64_t max_pods, memory_bytes;
    struct map pods; /* uid -> struct pod */
    struct store_watch *watches[INFRA_WATCHES];
    struct io_task drain;
    struct io_fswatch *image_watch;
    struct io_timer image_settle, log_rotation;
    struct runtime_op adopt;
    struct map adopted; /* uid -> struct pod, while containers are being found */
    bool ready;         /* adoption is over */
    bool stopping;
    int gc_high, gc_low; /* percent of the disk: image_gc.c */
    struct io_timer gc_timer;
    bool gc_busy;        /* no container starts meanwhile */
    size_t busy;         /* runtime operations under way */
    size_t attaching;    /* ADDs of the network under way */
    bool network_made;   /* one has succeeded: the bridge is there */
    struct list streams; /* struct infra_stream.link */
    struct agent_http *http;
    struct events *events;
    struct node_agent *node;
    struct sync_child *parent; /* NULL: none, or not yet */
};

/* ---- a container of a pod ---- */

/*
 *               due, image and config are there           process runs
 *     WAITING ----------------------------> STARTING ---------------------> RUNNING
 *        ^  \                                  | start failed                 | \ stop
 *        |   \--(reason: backing off, ...)     v                    exits     v  v
 *        \------------- may run again ------ EXITED <------------------------ STOPPING
 */
enum slot_state {
    SLOT_WAITING,
    SLOT_STARTING,
    SLOT_RUNNING,
    SLOT_STOPPING,
    SLOT_EXITED,
    SLOT_STATE_NR
};

enum probe_type { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_TYPE_NR };

struct probe;
struct hook;

struct slot {
    struct pod *pod;
    const struct json *spec; /* in pod->obj; renewed with it */
    char *name;
    bool init, sidecar, ephemeral;
    struct sm sm;
    struct container *c;              /* the newest attempt; NULL: never tried */
    struct container *previous;       /* the one before, for its logs and its last state */
    char *end_message, *last_message; /* termination messages of c and of previous */
    int attempt;                      /* of c; -1 = none */
    struct runtime_op op;             /* preparing, starting, releasing */
    bool op_busy, released;
    void *prepare; /* sub paths that are being made */
    struct backoff crash, pull;
    struct mono ended;      /* when c ended, or the last look for its image */
    char *reason, *message; /* while WAITING */
    char *spec_mark;        /* what c was started from */
    char *applied;          /* its resources in force, as JSON; "" = none, NULL = not known */
    bool started, ready;
    bool sandbox_began; /* it was started in the pod's present sandbox */
    bool stop_wanted;   /* STARTING: end it as soon as it runs */
    bool exited_early;  /* STARTING: it has ended already */
    bool prepared;      /* its sub paths are made */
    bool told_backoff;
    struct mono retry_at; /* WAITING: not before this */
    struct probe *probes[PROBE_TYPE_NR];
    struct hook *hook; /* postStart or preStop */
    bool hook_busy;
    int64_t stop_grace_us;
    struct mono stop_began;
};

/* ---- a pod ---- */

/*
 *   NEW -> VOLUMES -> SANDBOX -> NETWORK -> RUNNING --all ended--> ENDING -> ENDED
 *     \        \         \          \          \                      |        |
 *      \        \---------\----------\----------\--> STOPPING <-------/--------/  deleted, or gone
 *       \--adopted running--> RUNNING                   |
 *                                                    TEARDOWN -> GONE
 *
 * VOLUMES, SANDBOX and NETWORK stay where they are and try again when a step fails. ENDING gives
 * back what a finished pod does not need (network, volumes); TEARDOWN removes everything.
 */
enum pod_state {
    POD_NEW,
    POD_VOLUMES,
    POD_SANDBOX,
    POD_NETWORK,
    POD_RUNNING,
    POD_ENDING,
    POD_ENDED,
    POD_STOPPING,
    POD_TEARDOWN,
    POD_GONE,
    POD_STATE_NR
};

#define POD_IPS (CNI_IPS + 1)

struct pod {
    struct infra *inf;
    char *uid, *ns, *name;
    struct sm sm;
    struct arena arena; /* of obj */
    struct json *obj;   /* as in the replica; NULL: only remains of a pod are known */
    /* Init containers, the others, then ephemeral ones in the order in which they came; the
     * pointers stay when some are added. */
    struct slot **slots;
    size_t n_slots;
    struct io_task step;
    struct io_timer timer; /* the next step that must not be missed */
    int64_t timer_ms;      /* as it was started */
    struct runtime_op op;  /* of the pod's own step */
    bool op_busy;
    int teardown; /* the step of ENDING and TEARDOWN */
    struct volume_plan *plan;
    bool refresh; /* content from the API may have changed */
    bool refreshing;
    bool orphan; /* not in the replica, or another pod has its name there */
    bool sandbox_ready;
    bool sandbox_kept; /* it was there before this agent looked: its network may be as well */
    bool detached;     /* what an earlier boot had of the network is given back */
    bool told_end;     /* it had ended before this agent began: its status stays as it is */
    bool told_gone;    /* its end is in the outbox */
    bool failed;       /* ended by the node */
    const char *fail_reason;
    const char *resize; /* why wanted resources are not in force (status.resize); NULL: they are */
    char *fail_message;
    char ip_texts[CNI_IPS][64];
    const char *ips[POD_IPS]; /* NULL-terminated */
    struct wall start_time;
    struct mono retry_at; /* of a setup step that failed */
    int setup_failures;
    int64_t grace_us; /* STOPPING: as it was asked for */
    struct mono stop_began;
    struct list tokens; /* pod_tokens.c */
    bool tokens_known;
    struct mono tokens_until; /* how long the start waits for the first ones; 0 = not yet begun */
    struct list stale;        /* arenas of older objects that an operation still borrows from */
    struct list found;        /* containers that the runtime found, before the slots are made */
    size_t dead;              /* loose operations: containers that are being removed or stopped */
};

/* pod.c */
struct pod *pod_new(struct infra *inf, const char *uid, const char *ns, const char *name);
/* Its object changed (or is there for the first time). */
void pod_update(struct pod *p, const struct store_item *item);
/* Its object is gone, or the name belongs to another pod. */
void pod_orphan(struct pod *p);
/* The pod's operation is over: what it borrowed may go. */
void pod_drop_stale(struct pod *p);
void pod_wake(struct pod *p);
/* pod_wake() no later than this. */
void pod_wake_at(struct pod *p, struct mono at);
void pod_free(struct pod *p);
bool pod_stopping(const struct pod *p);
bool pod_uses(const struct pod *p, const char *key); /* a config map or secret */
void pod_fail(struct pod *p, const char *reason, const char *message);
struct slot *pod_slot(struct pod *p, const char *name);
void pod_env_input(struct pod *p, const struct json *container, struct env_input *ret);
int64_t pod_grace_us(const struct pod *p);
void pod_take_container(struct pod *p, struct container *c);
/* Removes what was found and belongs to no container of the pod. */
void pod_forget_found(struct pod *p);
const char *pod_spec_mark(struct arena *a, const struct json *container);

/* pod_setup.c: one step of VOLUMES, SANDBOX, NETWORK; and of ENDING, TEARDOWN. */
void pod_setup(struct pod *p);
void pod_teardown(struct pod *p);
bool pod_adopt_sandbox(struct pod *p);
void pod_refresh(struct pod *p);
int pod_make_cgroup(struct pod *p, struct err *err); /* or sets its bounds anew */

/* pod_resize.c */
void pod_resize(struct pod *p);              /* RUNNING only */
void slot_resources_applied(struct slot *s); /* those of its spec are in force */

/* pod_tell.c */
void pod_tell(struct pod *p);
/* What c says of its end; message may be NULL. */
struct fact_end slot_end(struct infra *inf, struct arena *a, struct container *c,
                         const char *message);

/* slot.c */
enum slot_role { SLOT_INIT, SLOT_MAIN, SLOT_EPHEMERAL };
struct slot *slot_new(struct pod *p, const struct json *spec,
                      enum slot_role role); /* NULL: no memory */
void slot_free(struct slot *s);             /* NULL is fine */
/* Takes a container that was found at the start. */
void slot_adopt(struct slot *s, struct container *c);
/* Starts it when it is due; WAITING only. */
void slot_try_start(struct slot *s);
/* Ends it in time; a second call may shorten the grace. */
void slot_stop(struct slot *s, int64_t grace_us, const char *why);
bool slot_alive(const struct slot *s); /* STARTING, RUNNING or STOPPING */
/* EXITED and by its restart policy not to run again. */
bool slot_finished(const struct slot *s);
void slot_wait(struct slot *s, const char *reason, const char *message);
/* EXITED -> WAITING when it may run again. */
void slot_rearm(struct slot *s);
int slot_exit_code(const struct slot *s);
/* The file behind terminationMessagePath of an attempt. */
char *slot_termination_path(struct slot *s, struct arena *a, int attempt);
/* Removes a container in the background; *c is NULL afterwards. */
void slot_forget(struct slot *s, struct container **c);
void pod_forget_container(struct pod *p, struct container *c);

/* slot_start.c */
struct slot_plan;
/* Everything that container_new() wants; -E_* and a reason for status.waiting on failure. */
int slot_config(struct slot *s, struct arena *a, struct image *image, struct container_config *ret,
                const char **ret_reason, struct err *err);
/* The bounds of its own group. */
void slot_limits(struct slot *s, struct cgroup_limits *ret);
/* Sub paths to make before the start; NULL with *ret_rc 0 when there are none. */
void *slot_subpaths(struct slot *s, struct arena *a, int *ret_rc, struct err *err);
int slot_subpaths_work(void *plan, struct err *err);
void slot_subpaths_free(void *plan);

/* probe.c */
void probes_start(struct slot *s); /* for a container that just began to run */
void probes_stop(struct slot *s);
/* httpGet of probes and hooks: done(arg, ok, text). */
struct probe_http;
typedef void probe_http_fn(void *arg, bool ok, const char *text);
struct probe_http *probe_http_start(struct slot *s, const struct json *get, int64_t timeout_ms,
                                    probe_http_fn *done, void *arg);
struct probe_http *probe_grpc_start(struct slot *s, const struct json *grpc, int64_t timeout_ms,
                                    probe_http_fn *done, void *arg);
void probe_http_cancel(struct probe_http *h); /* NULL is fine */
int probe_port(const struct slot *s, const struct json *port);

/* hook.c: postStart and preStop. */
void hook_post_start(struct slot *s);
/* True when there is a hook: slot_pre_stop_over() follows. */
bool hook_pre_stop(struct slot *s, int64_t grace_us);
void hook_cancel(struct slot *s);
void slot_pre_stop_over(struct slot *s);

/* image_gc.c */
void image_gc_start(struct infra *inf);
void image_gc_soon(struct infra *inf); /* images have changed */
void image_gc_stop(struct infra *inf);

/* events.c */
struct events *events_new(struct infra *inf);
void events_free(struct events *e);
void pod_event(struct pod *p, const char *container_path, const char *type, const char *reason,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* fieldPath of a container: "spec.containers{c}". */
const char *slot_path(const struct slot *s, char out[160]);
void slot_event(struct slot *s, const char *type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void node_event(struct infra *inf, const char *type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* node.c */
int node_agent_new(struct infra *inf, struct node_agent **ret, struct err *err);
void node_agent_free(struct node_agent *n);
void node_agent_changed(struct infra *inf); /* images or conditions may have changed */
const struct json *node_allocatable(const struct infra *inf);

/* ---- streams ---- */

/* A stream that somebody has open here; the first member of its implementation. */
struct infra_stream {
    struct node_stream base;
    struct list link; /* infra.streams */
    /* Tells the owner that it has ended and lets go of it. */
    void (*cut)(struct infra_stream *s, int code, const char *text);
};

/* streams.c: logs and exec; and the entry of all of them. */
void streams_close_all(struct infra *inf);
struct pod *stream_find_pod(struct infra *inf, const struct node_stream_req *req);
/* {"Width":80,"Height":24}; false when it is none. */
bool stream_window_size(struct str data, uint16_t *ret_rows, uint16_t *ret_cols);
/* stream_attach.c */
struct node_stream *stream_attach_open(struct slot *slot, const struct node_stream_req *req,
                                       const struct node_stream_events *events, void *events_arg,
                                       struct err *err);
/* stream_bytes.c: PORT and AGENT. */
struct node_stream *stream_bytes_open(struct infra *inf, const struct node_stream_req *req,
                                      const struct node_stream_events *events, void *events_arg,
                                      struct err *err);
/* agent_http.c: what a kubelet answers on its port. */
struct agent_http;
int agent_http_new(struct infra *inf, struct agent_http **ret, struct err *err);
void agent_http_free(struct agent_http *h);
/* Takes the stream. */
int agent_http_serve(struct agent_http *h, struct stream *s);

/* Bookkeeping around every runtime operation, so that the agent can end cleanly. */
static inline void infra_op_begin(struct infra *inf)
{
    inf->busy++;
}
static inline void infra_op_end(struct infra *inf)
{
    assert(inf->busy > 0);
    inf->busy--;
}

#endif

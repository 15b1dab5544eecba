/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One container: one attempt to run one container of a pod. conmon holds it over runc or crun, so
 * it lives on when the agent ends, and the next agent finds it by its folder alone.
 *
 *        container_start()          (exits)          container_release()
 *   NEW ------------------> STARTING -> RUNNING -> EXITED ------------> RELEASED
 *                                 \________________/^
 *                                  (start failed)
 *
 * container_new() writes record.json before anything else is made, each later step can be found and
 * undone from it. EXITED keeps mounts, cgroup and writable layer until container_release(); the
 * record with the exit status stays until container_remove().
 */
#ifndef RUNTIME_CONTAINER_H
#define RUNTIME_CONTAINER_H

#include "base/clock.h"
#include "runtime/cgroup.h"
#include "runtime/images.h"
#include "runtime/oci_spec.h"
#include "runtime/runtime.h"

struct container;

enum container_state {
    CONTAINER_NEW,
    CONTAINER_STARTING,
    CONTAINER_RUNNING,
    CONTAINER_EXITED,
    CONTAINER_RELEASED,
    CONTAINER_STATE_NR
};

/* Borrowed for the call of container_new(). */
struct container_config {
    const char *pod_uid, *pod_namespace, *pod_name;
    const char *name; /* of the container in the pod */
    int attempt;      /* restartCount: 0, 1, ... */
    const struct image *image;
    const char *image_name; /* as the pod spells it */
    /* rootfs, cgroup_path (the pod's group here; the container's name is appended) and
     * security.user are filled in by container_new() */
    struct oci_spec spec;
    bool stdin_open; /* stdin: true */
    bool stdin_once; /* its input ends with that of the first client that attached */
    /* Free text that is kept in the record and given back by container_note(): whatever the agent
     * wants to find again after a restart (a hash of the container's spec, ...). May be NULL. */
    const char *note;
};

/* Texts belong to the container. */
struct container_status {
    enum container_state state;
    const char *id; /* 64 hex digits */
    const char *pod_uid, *pod_namespace, *pod_name, *name;
    int attempt;
    const char *image_name, *image_id, *image_digest;
    const char *log_path;
    pid_t pid;     /* of the container's first process; 0 when not running */
    bool started;  /* it ran (false for an EXITED one whose start failed) */
    int exit_code; /* EXITED and RELEASED: 0-255, 128 + signal */
    bool oom_killed;
    const char
        *reason; /* EXITED: "Completed", "Error", "OOMKilled", "ContainerCannotRun", "Unknown" */
    const char *message; /* of a start that failed, else ""; last bytes of the termination log are
                            the agent's job */
    struct wall created_at, started_at, finished_at; /* us 0 = not yet */
};

/* The container's first process has ended; status is complete. Comes once, on the loop, also for a
 * container that was adopted running; not for one whose start failed (its operation tells). */
typedef void container_exit_fn(void *arg, struct container *c);

/* Writes the record, mounts the root file system (overlay), makes config.json; a few milliseconds,
 * no other program is run. Fails for what can never run (-E_INVAL: unknown user, bad mount:
 * Kubernetes' CreateContainerConfigError) and leaves nothing then. -E_EXISTS when that attempt
 * exists. */
int container_new(struct runtime *rt, const struct container_config *config, struct container **ret,
                  struct err *err);
void container_on_exit(struct container *c, container_exit_fn *fn,
                       void *arg); /* may be set at any time */
const struct container_status *container_status(const struct container *c);
const char *container_note(const struct container *c);
const char *container_bundle(const struct container *c); /* its folder */

/* Creates and starts; done when the process runs. On failure the
 * container is EXITED, code 128 and reason ContainerCannotRun, with the OCI runtime's own sentence
 * in op->err. */
void container_start(struct container *c, struct runtime_op *op);
/* signal to the first process (0 = the image's stop signal, else SIGTERM), after grace_us SIGKILL.
 * done when it has exited (after container_exit_fn). A second stop with a shorter grace is allowed
 * and shortens the first; both are done then. Succeeds at once when it does not run. */
void container_stop(struct container *c, int signal, int64_t grace_us, struct runtime_op *op);
/* A signal to the first process. -E_NOENT (ESRCH) when it does not run. */
int container_signal(struct container *c, int signal);
/* EXITED or NEW -> RELEASED: deletes it from the OCI runtime, unmounts, removes the writable layer
 * and the cgroup. Idempotent. */
void container_release(struct container *c, struct runtime_op *op);
/* Kills if it runs, releases, removes its folder (not its logs) and frees c, also when it fails; c
 * is gone in done. The exit callback does not come any more. */
void container_remove(struct container *c, struct runtime_op *op);
/* Frees the handle only; the container goes on (agent shutdown). No operation may be under way. */
void container_detach(struct container *c);

/* Finds every container that earlier agents left: running ones are watched again (same process),
 * finished ones have their exit status, those of a start that was cut short are EXITED with started
 * == false and should be removed. found is called on the loop before op->done, once for each,
 * ordered by pod, name, attempt; the callee then owns the handle. */
typedef void container_found_fn(void *arg, struct container *c);
void container_adopt_all(struct runtime *rt, container_found_fn *found, void *arg,
                         struct runtime_op *op);

/* New bounds for a running container's group. */
int container_set_limits(struct container *c, const struct cgroup_limits *l, struct err *err);

/* The layer directories of all containers that have a record, NULL-terminated, in the arena:
 * images_gc() keeps them. */
int container_layers_in_use(struct runtime *rt, struct arena *a, const char *const **ret,
                            struct err *err);

/* Rotates the logs of this container when the current file is over the limit (runtime_config); call
 * it every 10 s or so for running containers. Cheap when there is nothing to do. */
void container_rotate_log(struct container *c);

#endif

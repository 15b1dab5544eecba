/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an edge needs to hold containers: where things lie, which programs do the work, and the
 * shape of an operation that takes time. Mechanism only; when to start, restart or stop what is the
 * node agent's business.
 *
 * Folders of one node (two nodes on one machine need different ones, and different cgroup parents,
 * bridges and subnets):
 *
 *   state_dir/images/                      image store (images.h); kept over reboots
 *   state_dir/pods/<uid>/containers/<name>/<attempt>/   record.json, config.json, rootfs, upper,
 * work (container.h) state_dir/pods/<uid>/volumes/          emptyDir and projected volumes
 * (volumes.h) state_dir/cni/                         results of CNI ADD, addresses of host-local
 * (cni.h) run_dir/sandboxes/<uid>/{net,ipc,uts,shm}  namespaces and /dev/shm of a pod (sandbox.h)
 *   run_dir/oci/  run_dir/exits/           state of runc or crun, exit files of conmon
 *   log_dir/<ns>_<pod>_<uid>/<container>/<attempt>.log   CRI log files (logs.h)
 *
 * run_dir should be short (Unix sockets lie there) and on a tmpfs; a run_dir that outlives a reboot
 * is tolerated. One runtime a process; loop thread only, except where a function says otherwise.
 */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "io/loop.h"

struct arena;
struct io_loop;
struct images;
struct cgroup_root;
struct cni;
struct runtime;

/* Texts are copied. NULL takes the default that stands at the member. */
struct runtime_config {
    const char *state_dir;     /* required */
    const char *run_dir;       /* required */
    const char *log_dir;       /* "/var/log/pods" */
    const char *cgroup_parent; /* "/": pods then lie in /kubepods as a kubelet has them; else
                                  "/selvedge-<node>" */
    const char *oci_runtime; /* a path or a name in PATH; NULL tries runc, then crun, and takes the
                                first that can make a container on this machine */
    const char *conmon;      /* "conmon" in PATH */
    const char *pause;       /* NULL = "pause" beside our own program */
    const char
        *cni_conf_dir; /* "/etc/cni/net.d"; "" = never read one, always use our own network */
    const char *cni_bin_dirs; /* "/opt/cni/bin:/usr/lib/cni" */
    const char *cni_bridge;   /* "cni0" */
    const char *cni_subnet;   /* "10.88.0.0/16" */
    int64_t log_max_bytes;    /* 0 = 10 MiB: a log is rotated when it is over */
    int log_max_files;        /* 0 = 5 files an attempt, the current one counted */
};

/* Makes the folders, finds the programs. A missing conmon or OCI runtime is no failure here (the
 * node then reports it; runtime_problem() has the sentence) - creating a container fails with that
 * sentence. Blocks for some 10 ms (runs `runc --version`). */
int runtime_new(struct io_loop *loop, const struct runtime_config *config, struct runtime **ret,
                struct err *err);
/* No operation may be under way. Containers are left as they are: they live on without the agent.
 * NULL is fine. */
void runtime_free(struct runtime *rt);

/* "runc://1.1.5" as Node status.nodeInfo.containerRuntimeVersion wants it; "none://" when there is
 * none. */
const char *runtime_version(const struct runtime *rt);
/* "runc" or "crun": the scheme of status.containerStatuses[].containerID. */
const char *runtime_name(const struct runtime *rt);
/* NULL when containers can be made here; else a sentence that says what is missing. */
const char *runtime_problem(const struct runtime *rt);
/* Things that this machine forbids and that are passed over (a missing cgroup controller, ...): one
 * sentence a line, "" when there are none. Meant to be logged once at start. */
const char *runtime_notes(const struct runtime *rt);

struct images *runtime_images(struct runtime *rt);
struct cgroup_root *runtime_cgroups(struct runtime *rt);
struct cni *runtime_cni(struct runtime *rt);

/* The folders above, in the arena; NULL when it failed. */
char *runtime_pod_dir(const struct runtime *rt, struct arena *a, const char *pod_uid);
char *runtime_volume_dir(const struct runtime *rt, struct arena *a, const char *pod_uid);
char *runtime_log_dir(const struct runtime *rt, struct arena *a, const char *ns, const char *pod,
                      const char *pod_uid);
char *runtime_log_path(const struct runtime *rt, struct arena *a, const char *ns, const char *pod,
                       const char *pod_uid, const char *container, int attempt);

/*
 * An operation that takes time. Caller-allocated and one-shot: embed it, zero it, set done and arg,
 * hand it to the function. done comes exactly once, never inside the function that took the
 * operation, on the loop thread; in it op may be reused or freed. code is 0 or negative, err then
 * holds a sentence.
 */
struct runtime_op;
typedef void runtime_done_fn(struct runtime_op *op, int code);
struct runtime_op {
    /* public: set before */
    runtime_done_fn *done;
    void *arg;
    /* read-only in done */
    struct err err;
    /* private */
    struct list link;
    struct io_task task;
    struct io_work work;
    int (*fn)(void *work_arg, struct err *err);
    void *work_arg;
    int code;
};

/* Runs fn on the thread pool, then op->done on the loop. fn may block; it must not touch what the
 * loop owns. Its result (and *err) become those of op. */
typedef int runtime_work_fn(void *work_arg, struct err *err);
void runtime_work(struct runtime *rt, runtime_work_fn *fn, void *work_arg, struct runtime_op *op);

/* Everything of a pod that lies on the disk (not its logs): to be called when its containers are
 * removed and its sandbox and volumes are torn down. Idempotent. */
void runtime_pod_remove(struct runtime *rt, const char *pod_uid, struct runtime_op *op);
/* The uids of all pods of which anything is left (folders, sandboxes, cgroups): what an agent that
 * starts must adopt or clean. The array and its texts live in the arena. */
int runtime_pod_list(struct runtime *rt, struct arena *a, char ***ret, size_t *ret_n,
                     struct err *err);

#endif

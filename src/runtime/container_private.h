/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of containers: the handle, and the pieces that container.c drives. */
#ifndef RUNTIME_CONTAINER_PRIVATE_H
#define RUNTIME_CONTAINER_PRIVATE_H

#include "base/sm.h"
#include "io/loop.h"
#include "io/process.h"
#include "runtime/container.h"
#include "runtime/runtime_private.h"

#define CONTAINER_MAGIC 0x434f4e54u
#define CONTAINER_ID_SIZE 65

struct conmon_start;

struct container {
    uint32_t magic;
    struct runtime *rt;
    struct arena a; /* every text of the handle */
    struct container_status st;
    struct sm sm;
    char id[CONTAINER_ID_SIZE];
    char *bundle, *note, *cgroup;
    const char *const *layers; /* NULL-terminated */
    int stop_signal;
    bool tty, stdin_open, stdin_once;
    pid_t conmon_pid;
    uint64_t pid_start, conmon_start_time; /* field 22 of /proc/PID/stat, 0 = unknown */

    container_exit_fn *on_exit;
    void *on_exit_arg;

    struct conmon_start *starting; /* the start under way */
    struct runtime_op *start_op;
    struct io_pidwatch *watch;        /* of the first process: signals go through it */
    struct io_pidwatch *conmon_watch; /* its end tells that the exit file is written */

    struct list stops; /* struct runtime_op: waiting for the exit */
    struct io_timer stop_timer;
    int64_t kill_at_ms; /* loop time of the SIGKILL; INT64_MAX = no stop under way */

    struct list releases; /* struct runtime_op: waiting for the release */
    bool releasing;
    struct runtime_op release_op; /* of its own steps */
    struct io_run *run;           /* the OCI runtime at work */

    struct runtime_op *remove_op;
    struct runtime_op own_op;
};

/* ---- container_record.c: what is on the disk ---- */

int record_write(struct container *c, struct err *err);
/* A handle from a folder that holds a record; texts in its arena. state etc. are as recorded. */
int record_load(struct runtime *rt, const char *bundle, struct container **ret, struct err *err);
struct container *container_alloc(struct runtime *rt);
void container_free(struct container *c); /* stops its watches and timers */

/* ---- container.c ---- */

/* Fills in how it ended, from what is on the disk; writes the record. */
void container_set_exited(struct container *c);
/* Watches conmon (unless conmon_pid is 0) and the first process. */
int container_watch(struct container *c, struct err *err);

/* ---- container_rootfs.c ---- */

/* bundle/rootfs shows the layers with a writable layer in bundle/upper. */
int rootfs_mount(const char *bundle, const char *const *layers, struct err *err);
/* Unmounts and removes rootfs, upper, work and l. Idempotent. */
int rootfs_remove(const char *bundle, struct err *err);

/* ---- container_conmon.c ---- */

/* Runs conmon, which has the OCI runtime create the container, then has it started. done comes once
 * unless cancelled; on success c->st.pid and c->conmon_pid are set. */
typedef void conmon_done_fn(struct container *c, int code, const struct err *err);
int conmon_begin(struct container *c, conmon_done_fn *done, struct conmon_start **ret,
                 struct err *err);
void conmon_cancel(struct conmon_start *s); /* NULL is fine */
/* The pid in bundle/<name>, 0 when there is none. */
pid_t conmon_read_pid(const struct container *c, const char *name);
/* True when the container is created but not started (the OCI runtime's fifo is there). */
bool conmon_not_started(const struct container *c);
/* Kills every process whose command line names this container: conmon and the OCI runtime at work,
 * wherever a start was cut short. Its own processes are left to container_release(). */
void conmon_kill_all(const struct container *c);
/* True when pid is the conmon of this container (or the OCI runtime at work on it). */
bool conmon_is_ours(const struct container *c, pid_t pid);

#endif

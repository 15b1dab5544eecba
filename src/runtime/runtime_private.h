/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the runtime: its state, and what its files share. */
#ifndef RUNTIME_RUNTIME_PRIVATE_H
#define RUNTIME_RUNTIME_PRIVATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"
#include "runtime/cgroup.h"
#include "runtime/cni.h"
#include "runtime/images.h"
#include "runtime/runtime.h"

struct runtime {
    struct io_loop *loop;
    char *state_dir, *run_dir, *log_dir;
    char *oci_path, *oci_name, *version, *conmon;
    char *pause;   /* the program; NULL = not installed */
    char *problem; /* NULL = containers can be made */
    struct buf notes;
    struct images *images;
    struct cgroup_root *cgroups;
    struct cni *cni;
    int64_t log_max_bytes;
    int log_max_files;
};

/* Ends op on the next tick. code < 0: err as it is when it has a text, else made from the code. */
void runtime_op_finish(struct runtime *rt, struct runtime_op *op, int code);

/* Finds a program in PATH (or checks a path); heap text or NULL. */
char *runtime_find_program(const char *name);
#define RUNTIME_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Runs a program to its end and gathers stdout and stderr. Blocks; for short programs at start. The
 * wait status, or negative. */
int runtime_run_sync(const char *const *argv, int timeout_ms, struct buf *out, struct err *err);

/* Picks the OCI runtime: oci_path, oci_name, version, problem. */
int oci_detect(struct runtime *rt, const char *wanted, struct err *err);

struct cni_setup {
    const char *conf_dir, *bin_dirs, *bridge, *subnet, *state_dir;
    struct runtime *rt;
};
int cni_new(const struct cni_setup *setup, struct cni **ret, struct err *err);
void cni_free(struct cni *cni);

/* Runs fn in a thread of its own, so that it may change its namespaces and working directory; waits
 * for it. */
int runtime_in_thread(int (*fn)(void *arg), void *arg);

#endif

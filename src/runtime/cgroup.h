/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups, version 1, hybrid and 2, found at run time.
 *
 *   <parent>/kubepods[/burstable|/besteffort]/pod<uid>/<container id>
 *
 * A path here is always relative to the hierarchies' roots and begins with "/", as the OCI runtimes
 * want it. The container's own group is made by the OCI runtime; the levels above are ours. What
 * the machine lacks (a controller that is not mounted or not delegated) is noted once and passed
 * over. Functions block for microseconds; any thread.
 */
#ifndef RUNTIME_CGROUP_H
#define RUNTIME_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };
enum cgroup_qos { QOS_GUARANTEED, QOS_BURSTABLE, QOS_BEST_EFFORT, QOS_NR };

struct cgroup_root;

struct cgroup_limits {  /* 0 = not limited */
    int64_t cpu_shares; /* v1 units; converted for v2 */
    int64_t cpu_quota_us, cpu_period_us;
    int64_t memory_limit;
    int64_t pids_limit;
};

struct cgroup_usage {      /* -1 = unknown */
    int64_t cpu_us;        /* since the group was made */
    int64_t memory_bytes;  /* working set: usage less inactive file pages */
    int64_t charged_bytes; /* all that is charged, page cache included */
    int64_t rss_bytes;     /* anonymous memory */
    int64_t page_faults, major_page_faults;
    int64_t oom_kills; /* of this group and those below, as far as the kernel tells */
};

/* parent: "/" or "/selvedge-<node>". Never fails on what the machine lacks; -ENOMEM only. */
int cgroup_root_new(const char *parent, struct cgroup_root **ret, struct err *err);
void cgroup_root_free(struct cgroup_root *c);
enum cgroup_mode cgroup_root_mode(const struct cgroup_root *c);
const char *cgroup_root_notes(const struct cgroup_root *c); /* lines; "" when nothing is missing */

/* milli-CPUs to shares (>= 2, <= 262144) and to quota in microseconds of a 100 ms period (>= 1000;
 * 0 when 0), as Kubernetes computes them. */
int64_t cgroup_shares(int64_t milli);
int64_t cgroup_quota_us(int64_t milli);
/* oom_score_adj of Kubernetes: Guaranteed -997, BestEffort 1000, Burstable by its share of the
 * memory. */
int cgroup_oom_score_adj(enum cgroup_qos qos, int64_t memory_request, int64_t memory_capacity);

/* "/selvedge-n1/kubepods/burstable/pod<uid>", in the arena. */
char *cgroup_pod_path(const struct cgroup_root *c, struct arena *a, enum cgroup_qos qos,
                      const char *pod_uid);
/* Makes the group and those above it in every controller and sets the limits; again = sets them
 * anew. */
int cgroup_make(struct cgroup_root *c, const char *path, const struct cgroup_limits *l,
                struct err *err);
/* Moves a process to <parent>/<name>, out of the group of this agent, so that a service manager
 * that ends the agent's group does not end conmon. */
int cgroup_adopt(struct cgroup_root *c, const char *name, pid_t pid, struct err *err);
/* Kills whatever is left inside and removes the group and those below. Idempotent. -E_BUSY when
 * processes have not gone yet: call again after some milliseconds. */
int cgroup_remove(struct cgroup_root *c, const char *path, struct err *err);
/* SIGKILL to every process of the group and those below. Returns how many were there. */
int cgroup_kill(struct cgroup_root *c, const char *path);
int cgroup_usage(struct cgroup_root *c, const char *path, struct cgroup_usage *ret);
/* uids of the pods that have a group here (any QoS class), texts in the arena. */
int cgroup_list_pods(struct cgroup_root *c, struct arena *a, char ***ret, size_t *ret_n);
/* Removes the groups of the parent itself when nothing is left in them (for tests and `down`). */
void cgroup_root_remove(struct cgroup_root *c);

#endif

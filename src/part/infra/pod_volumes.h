/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volumes of a pod: first a plan, made on the loop from what the store holds, then the work,
 * done on the thread pool.
 *
 *     pod + config maps, secrets, claims --volumes_plan()--> plan --volumes_work()--> folders under
 * volumes/
 *
 * The same plan brings a running pod's files up to date: content that did not change is not
 * written.
 */
#ifndef INFRA_POD_VOLUMES_H
#define INFRA_POD_VOLUMES_H

#include "pod_env.h"
#include "runtime/volumes.h"

enum volume_kind { VOLUME_EMPTY, VOLUME_HOST, VOLUME_CONTENT };

struct volume_item {
    enum volume_kind kind;
    const char *name;
    const char *dir;  /* what containers mount: below volume_dir, or the host's path */
    const char *type; /* of a host path */
    bool memory;
    int64_t size;
    struct volume_file *files;
    size_t n_files;
};

struct volume_plan {
    /* read-only; all in the plan's own arena */
    struct arena arena;
    struct volume_item *items;
    size_t n;
    int64_t gid;       /* fsGroup or -1 */
    bool content_only; /* a refresh: leave emptyDir and hostPath alone */
};

/* dir: runtime_volume_dir(). refresh: only what comes from the API. On failure err holds a
 * kubelet's sentence (`MountVolume.SetUp failed for volume "m" : configmap "m" not found`) and
 * nothing is left. */
int volumes_plan(const struct env_input *in, const char *dir, bool refresh,
                 struct volume_plan **ret, struct err *err);
void volumes_plan_free(struct volume_plan *p); /* NULL is fine */
/* A runtime_work_fn over a plan. */
int volumes_work(void *plan, struct err *err);

/* Where a volume lies, in the arena; NULL when the pod has no such volume. */
const char *volumes_path(struct arena *a, const struct env_input *in, const char *dir,
                         const char *name);
/* The pod wants the volume read-only, whatever its containers say. */
bool volumes_read_only(const struct json *pod, const char *name);

#endif

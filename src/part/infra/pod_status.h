/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status of a pod from what is known of its containers, as a kubelet writes it. Pure.
 */
#ifndef INFRA_POD_STATUS_H
#define INFRA_POD_STATUS_H

#include "base/arena.h"
#include "base/clock.h"
#include "codec/json.h"

enum fact_state { FACT_WAITING, FACT_RUNNING, FACT_TERMINATED };

/* How one run of a container ended. Texts are borrowed and may be NULL. */
struct fact_end {
    bool valid;
    int exit_code;
    const char *reason, *message, *container_id;
    struct wall started_at, finished_at;
};

/* A container of the pod, in the order of the spec. */
struct fact_slot {
    const struct json *spec; /* the container */
    bool init, sidecar;      /* sidecar: an init container with restartPolicy Always */
    bool ephemeral;          /* counts for nothing */
    enum fact_state state;
    const char *reason, *message;                /* WAITING */
    struct wall started_at;                      /* RUNNING */
    struct fact_end end;                         /* TERMINATED */
    struct fact_end last;                        /* the run before */
    const char *image, *image_id, *container_id; /* "" when it never ran */
    int restart_count;
    const char *applied; /* the resources in force, as JSON; "" or NULL = none */
    bool started, ready;
};

struct fact_pod {
    const struct json *pod;
    const struct fact_slot *slots;
    size_t n_slots;
    const char *const *pod_ips; /* NULL-terminated, may be NULL */
    const char *host_ip;
    struct wall start_time;
    bool sandbox_ready;
    bool failed;                  /* ended by the node (a deadline, ...) */
    bool ended;                   /* deleted, and nothing of it runs any more */
    const char *reason, *message; /* of that; NULL otherwise */
    const char *resize;           /* status.resize, or NULL */
};

/* The whole new status; conditions that a node does not write are kept from the pod's old status.
 * NULL when the arena failed. */
struct json *pod_status_make(struct arena *a, const struct fact_pod *f, struct wall now);
const char *pod_status_phase(const struct fact_pod *f);
/* "Guaranteed", "Burstable" or "BestEffort", by the resources of the spec. */
const char *pod_qos_class(const struct json *pod);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pods are behind a Service, as Endpoints and as EndpointSlices. Pure: facts of pods in, plan
 * out.
 *
 * An endpoint is ready as its pod's condition Ready says. The pods of a node that is cut off are
 * marked not ready by the node controller, so they stay endpoints, but not ready ones.
 */
#ifndef ORCHESTRATOR_ENDPOINTS_H
#define ORCHESTRATOR_ENDPOINTS_H

#include "plan.h"
#include "pod_index.h"

/* ---- the pods of a Service ---- */

/* Pods that resolve the Service's ports to the same numbers. */
struct endpoint_group {
    const char *key;
    struct json *ports; /* as in a slice */
    const struct pod_facts **pods;
    size_t n, cap;
};

struct endpoint_groups {
    struct endpoint_group *v;
    size_t n;
};

/* pods: those of the Service's namespace that its selector matches, in any order (they are sorted
 * here by address). Those that have ended or have no address are left out. */
struct endpoint_groups endpoint_groups(struct arena *a, const struct json *service,
                                       const struct pod_facts **pods, size_t n);

/* Plans the Endpoints of a Service; now NULL: there is none yet. */
#define ENDPOINTS_MAX 1000
void endpoints_plan(struct plan *plan, const struct json *service,
                    const struct endpoint_groups *groups, const struct json *now);

/* ---- slices ---- */

#define SLICE_SERVICE "kubernetes.io/service-name"
#define SLICE_MANAGER "endpointslice.kubernetes.io/managed-by"
#define SLICE_SIZE 100

/* Endpoints with the same ports and address type. */
struct slice_want {
    struct json *ports;
    const char *address_type;
    struct json *endpoints;
};

struct slices_in {
    const struct json *owner; /* the Service or the Endpoints */
    const char *owner_api, *owner_kind;
    const char *service, *manager;
    const struct json *labels; /* beside those of the manager; may be NULL */
    bool headless;
    const struct slice_want *wants;
    size_t n_wants;
    struct json **existing; /* the manager's slices of this service; are changed */
    size_t n_existing;
    size_t max; /* endpoints a slice */
};

/* The endpoints of a group, zones: node -> zone (an object of texts, may be NULL). */
struct slice_want slice_want_of(struct arena *a, const struct json *service,
                                const struct endpoint_group *g, const struct json *zones);

/*
 * Plans slices that hold exactly what is wanted, with few writes: endpoints stay in the slice in
 * which they are, new ones fill slices that are written anyway, then the fullest slice with room
 * for all of them, then new slices. Names are derived from the owner and counted, so that a stale
 * copy leads to "already exists" and a retry, never to a second slice.
 */
void slices_plan(struct plan *plan, const struct slices_in *in);

/* What the Endpoints that a person wrote look like as slices (mirroring). */
struct slice_want *endpoints_mirrored(struct arena *a, const struct json *endpoints, size_t *ret_n);

#endif

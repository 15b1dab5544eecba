/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pod asks for in all, by resource: its containers together, or its hungriest init container
 * with the sidecars that run beside it, and the overhead of its runtime (component-helpers'
 * resource.PodRequests and PodLimits).
 */
#ifndef API_POD_RESOURCES_H
#define API_POD_RESOURCES_H

#include "api/quantity.h"
#include "base/arena.h"

struct resource_amount {
    const char *name; /* "cpu", "memory", "example.com/gpu" */
    struct quantity q;
};

struct resource_list {
    struct resource_amount *v;
    size_t n;
};

/* NULL when there is none. */
const struct quantity *resource_list_get(const struct resource_list *l, const char *name);
/* Without memory the arena is failed. The name is copied. */
void resource_list_add(struct arena *a, struct resource_list *l, const char *name,
                       struct quantity q);
void resource_list_add_all(struct arena *a, struct resource_list *l,
                           const struct resource_list *more);

/* resources.requests (a missing one is its limit) or resources.limits of a pod's spec. Malformed
 * amounts are left out. */
struct resource_list pod_requests(struct arena *a, const struct json *spec);
struct resource_list pod_limits(struct arena *a, const struct json *spec);

#endif

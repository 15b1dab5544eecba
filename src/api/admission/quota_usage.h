/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What objects count for in ResourceQuotas, by Kubernetes' names: "pods", "requests.cpu",
 * "services.nodeports", "count/deployments.apps", ... Pure.
 *
 * A table holds what each object of the namespaces that it tracks counts for, so that the sum of a
 * quota needs no parsing. The admission plug-in and the controller that writes status.used each
 * have one.
 */
#ifndef API_QUOTA_USAGE_H
#define API_QUOTA_USAGE_H

#include <stdbool.h>

#include "api/kind.h"
#include "api/pod_resources.h"

enum {
    QUOTA_SCOPE_TERMINATING = 1u << 0, /* has activeDeadlineSeconds */
    QUOTA_SCOPE_BEST_EFFORT = 1u << 1,
    QUOTA_SCOPE_CROSS_AFFINITY = 1u << 2,
    QUOTA_SCOPE_POD = 1u << 3, /* is a pod: scopes apply to nothing else */
};

struct quota_usage {
    struct resource_list amounts;
    unsigned scopes;
    const char *priority_class; /* "" = none */
};

/* "deployments.apps" or "pods". */
const char *quota_resource(struct arena *a, const struct kind *k);
/* What one object counts for; obj NULL: nothing. In the arena. */
struct quota_usage quota_usage_of(struct arena *a, const struct kind *k, const struct json *obj);
/* The object is one of those that the quota counts (its scopes). */
bool quota_scopes_match(const struct json *quota, const struct quota_usage *u);
/* The names of spec.hard that an object of this usage can count for. */
bool quota_concerns(const struct json *quota, const struct quota_usage *u);
/* Some name of spec.hard could count objects of the kind. */
bool quota_concerns_kind(const struct json *quota, const struct kind *k);
/* "must specify limits.cpu for: c1": what a pod has to say where a quota counts it; NULL = fine. */
const char *quota_missing(struct arena *a, const struct json *quota, const struct json *pod);

/* ---- tables ---- */

struct quota_table;

struct quota_table *quota_table_new(void); /* NULL on -ENOMEM */
void quota_table_free(struct quota_table *t);
bool quota_table_tracks(const struct quota_table *t, const char *ns);
int quota_table_track(struct quota_table *t, const char *ns);
void quota_table_untrack(struct quota_table *t, const char *ns);
/* obj NULL: gone. rev: older news than what is known are ignored. Objects of namespaces that are
 * not tracked are ignored. */
int quota_table_set(struct quota_table *t, const struct kind *k, const char *ns, const char *name,
                    const struct json *obj, int64_t rev);
/* The revision of what is known of an object; 0 = nothing. */
int64_t quota_table_rev(const struct quota_table *t, const struct kind *k, const char *ns,
                        const char *name);
/* Forgets what is known of an object, whatever its revision. */
void quota_table_forget(struct quota_table *t, const struct kind *k, const char *ns,
                        const char *name);
/* What the objects of the quota's namespace use, by the names of its spec.hard. */
struct resource_list quota_table_used(const struct quota_table *t, struct arena *a,
                                      const struct json *quota, const char *ns);

#endif

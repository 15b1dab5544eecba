/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request line asks for: the path cut into group, version, namespace, resource, name and
 * subresource (apiserver's RequestInfo), and the query's options. Everything lives in the arena.
 */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include "api/kind.h"
#include "base/arena.h"
#include "base/err.h"

enum route_type {
    ROUTE_RESOURCE,      /* kind is set */
    ROUTE_NO_RESOURCE,   /* a known group and version, but not such a resource: a Status 404 */
    ROUTE_API,           /* /api */
    ROUTE_APIS,          /* /apis */
    ROUTE_GROUP,         /* /apis/apps */
    ROUTE_GROUP_VERSION, /* /api/v1, /apis/apps/v1 */
    ROUTE_OTHER,         /* anything else: health, version, OpenAPI, the routes of other parts */
};

struct route {
    enum route_type type;
    const struct kind *kind;
    const struct kind_subresource *sub; /* NULL = the object itself */
    const char *group, *version;
    const char *ns;          /* "" when the path names none */
    const char *name;        /* "" for a collection */
    const char *subresource; /* "" for none */
    struct str tail;         /* what follows ".../proxy", as received: "", "/", "/a%20b" */
    bool watch;              /* the old form /api/v1/watch/... */
};

/* path as received (escapes are decoded here). 0; -E_INVAL on a bad escape; -E_NOMEM. */
int route_parse(struct arena *a, struct str path, struct route *ret);

enum field_validation { VALIDATION_WARN, VALIDATION_STRICT, VALIDATION_IGNORE };
enum rv_match { RV_MATCH_UNSET, RV_MATCH_NOT_OLDER, RV_MATCH_EXACT };

struct route_options {
    bool watch, bookmarks, dry_run, force, has_force;
    bool has_initial_events, initial_events;
    bool has_grace, has_orphan, orphan;
    int64_t timeout_seconds; /* 0 = not given */
    int64_t limit;           /* 0 = not given */
    int64_t grace_seconds;
    const char *resource_version; /* texts: NULL when absent */
    enum rv_match match;
    const char *cont; /* continue */
    const char *label_selector, *field_selector;
    const char *field_manager;
    const char *propagation;
    const char *include_object;
    enum field_validation validation;
};

/* Unknown names are ignored. -E_INVAL with a sentence for a value that cannot be read. */
int route_options(struct arena *a, struct str query, struct route_options *ret, struct err *err);

#endif

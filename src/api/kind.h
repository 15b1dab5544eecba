/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of kinds: what resources the API serves, declared in kinds/<kind>.yaml and compiled
 * in.
 *
 * A struct kind is a resource in one group and version. Event is served twice (v1 and
 * events.k8s.io/v1): both have the same storage, see kind_storage() and kind_convert(). Types that
 * are only bodies (Scale, Eviction, DeleteOptions, Status) are schema types, not kinds; find them
 * with kind_body_type().
 */
#ifndef API_KIND_H
#define API_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/schema.h"
#include "base/str.h"
#include "codec/json.h"

/* Verbs as discovery names them. */
enum {
    KIND_GET = 1u << 0,
    KIND_LIST = 1u << 1,
    KIND_WATCH = 1u << 2,
    KIND_CREATE = 1u << 3,
    KIND_UPDATE = 1u << 4,
    KIND_PATCH = 1u << 5,
    KIND_DELETE = 1u << 6,
    KIND_DELETECOLLECTION = 1u << 7,
};

enum kind_sync {
    KIND_SYNC_NONE, /* stays where it is */
    KIND_SYNC_ALL,  /* every child has it */
    KIND_SYNC_NODE, /* the child whose name is at sync_path */
    KIND_SYNC_REF,  /* a child that holds an object which refers to it */
    KIND_SYNC_POOL, /* the children of a pool */
};

/* What fills a table cell; the functions behind all but KIND_CELL_PATH stand in table.c. */
enum kind_cell {
#define KIND_CELL(id, text, what) KIND_CELL_##id,
#include "api/kind_cells.def"
#undef KIND_CELL
    KIND_CELL_NR
};

struct kind_column {
    const char *name;   /* "Ready" */
    const char *type;   /* OpenAPI's: "string", "integer", "date", "boolean" */
    const char *format; /* "" or "name" for the column that names the object */
    const char *doc;
    const char *path; /* KIND_CELL_PATH: dotted, "status.phase"; NULL for the others */
    enum kind_cell cell;
    int priority; /* 0, or 1 for -o wide */
};

enum kind_sub {
    KIND_SUB_STATUS,
    KIND_SUB_SCALE,
    KIND_SUB_BINDING,
    KIND_SUB_EVICTION,
    KIND_SUB_FINALIZE,
    KIND_SUB_LOG,
    KIND_SUB_EXEC,
    KIND_SUB_ATTACH,
    KIND_SUB_PORTFORWARD,
    KIND_SUB_EPHEMERALCONTAINERS,
};

struct kind_subresource {
    const char *name; /* "status" */
    enum kind_sub sub;
    unsigned verbs;
    /* What a body is (for status: the kind itself). */
    const char *group, *version, *kind;
    const struct schema_type *body; /* NULL for streams (log, exec, attach, portforward) */
    /* KIND_SUB_SCALE: dotted paths; selector_path holds a LabelSelector object. */
    const char *spec_replicas_path, *status_replicas_path, *selector_path;
};

enum kind_conversion { KIND_CONVERT_NONE, KIND_CONVERT_EVENTS_V1 };

struct kind {
    /* read-only; lists are NULL-terminated and never NULL themselves */
    const char *group; /* "" for core */
    const char *version;
    const char *api_version; /* "v1", "apps/v1" */
    const char *kind;        /* "Deployment" */
    const char *list_kind;   /* "DeploymentList" */
    const char *plural;      /* "deployments" */
    const char *singular;
    const char *doc;
    const char *const *short_names;
    const char *const *categories;
    bool namespaced;
    bool stored;     /* false: only create, nothing is kept (Binding) */
    bool ephemeral;  /* kept in memory, written to disk rarely (leases) */
    bool generation; /* metadata.generation counts changes of the spec */
    unsigned verbs;
    const struct schema_type *type;
    const struct schema_type *list_type; /* NULL when it cannot be listed */
    const struct kind_column *columns;
    size_t columns_n;
    const struct kind_subresource *subs;
    size_t subs_n;
    const char *const *selectable; /* field selectors beyond metadata.name and .namespace */
    enum kind_sync sync;
    const char *sync_path; /* KIND_SYNC_NODE: "spec.nodeName"; else NULL */
    enum kind_conversion conversion;
    const struct kind *storage; /* the kind under which objects are stored; often itself */
};

/* All kinds, in discovery's order of groups; ret_n is required. */
const struct kind *kinds_all(size_t *ret_n);
/* group "" = core. NULL when there is none. */
const struct kind *kind_find(const char *group, const char *version, const char *plural);
const struct kind *kind_find_gvk(const char *group, const char *version, const char *kind);
/* By "v1" / "apps/v1" and kind, as objects and ownerReferences carry them. */
const struct kind *kind_find_api(const char *api_version, const char *kind);
/* NULL when k has no such subresource. */
const struct kind_subresource *kind_subresource(const struct kind *k, const char *name);
static inline bool kind_has_status(const struct kind *k)
{
    return kind_subresource(k, "status") != NULL;
}
/* The kind that holds k's objects in the store (v1 Event for events.k8s.io/v1 Event). */
static inline const struct kind *kind_storage(const struct kind *k)
{
    return k->storage;
}
static inline bool kind_converts(const struct kind *k)
{
    return k->conversion != KIND_CONVERT_NONE;
}
/*
 * Converts an object of storage into the served form of `to`, or an object as served by `from` into
 * storage's form. A kind that does not convert returns obj itself. The result lives in the arena
 * and may share nodes with obj; NULL when the arena failed.
 */
struct json *kind_to_served(struct arena *a, const struct kind *to, struct json *obj);
struct json *kind_to_storage(struct arena *a, const struct kind *from, struct json *obj);

/* The schema of any top-level type by group, version and kind, also those that are only bodies
 * (DeleteOptions, Scale, Eviction, Status, TableOptions...). NULL when there is none. */
const struct schema_type *kind_body_type(const char *group, const char *version, const char *kind);

/* The names of verbs in discovery's order, NULL-terminated; out has room for KIND_VERBS_MAX. */
#define KIND_VERBS_MAX 9
size_t kind_verbs(unsigned verbs, const char *out[KIND_VERBS_MAX]);

#endif

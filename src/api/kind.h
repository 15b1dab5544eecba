/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of kinds: what resources the API serves. Most are declared in kinds/<kind>.yaml and
 * compiled in; custom ones come and go with CustomResourceDefinitions (crd/crd.h).
 *
 * The registry is one for the process and belongs to the loop thread. A pointer to a kind stays
 * valid for good: a custom kind that is retired keeps its (small) struct, and gets new content when
 * its name comes back. What a custom kind points to (schema, columns, texts other than group,
 * version, api_version and plural) may change between two turns of the loop: read it through the
 * kind each time.
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
#include "base/list.h"
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
    KIND_SYNC_NONE,     /* stays where it is */
    KIND_SYNC_ALL,      /* every child has it */
    KIND_SYNC_NODE,     /* the child whose name is at sync_path */
    KIND_SYNC_REF,      /* a child that holds an object which refers to it */
    KIND_SYNC_POOL,     /* the children of a pool */
    KIND_SYNC_SELECTOR, /* the children that spec.nodeName and spec.nodeSelector name */
};

/* What fills a table cell: the value at the column's path, or a function of table_*.c. */
enum kind_cell {
    KIND_CELL_PATH,
#define KIND_CELL(id, name, what) KIND_CELL_##id,
#include "api/kind_cells.def"
#undef KIND_CELL
    KIND_CELL_NR
};

struct jsonpath;
struct store_item;
struct crd_schema;
struct crd_version;

struct kind_column {
    const char *name;   /* "Ready" */
    const char *type;   /* OpenAPI's: "string", "integer", "date", "boolean" */
    const char *format; /* "" or "name" for the column that names the object */
    const char *doc;
    const char *path; /* KIND_CELL_PATH: dotted, "status.phase"; NULL for the others */
    enum kind_cell cell;
    int priority;                    /* 0, or 1 for -o wide */
    const struct jsonpath *jsonpath; /* instead of path, in custom kinds; else NULL */
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
    KIND_SUB_PROXY,
    KIND_SUB_RESIZE,
    KIND_SUB_TOKEN,
    KIND_SUB_APPROVAL,
};

struct kind_subresource {
    const char *name; /* "status" */
    enum kind_sub sub;
    unsigned verbs;
    /* What a body is (for status: the kind itself). */
    const char *group, *version, *kind;
    const struct schema_type *body; /* NULL for streams (log, exec, attach, portforward) */
    /* KIND_SUB_SCALE: dotted paths; selector_path holds what selector_from_owner() reads. */
    const char *spec_replicas_path, *status_replicas_path, *selector_path;
};

enum kind_conversion { KIND_CONVERT_NONE, KIND_CONVERT_EVENTS_V1, KIND_CONVERT_AUTOSCALING_V1 };

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
    /* Custom kinds alone; NULL and false in others. type is then that of the metadata (ObjectMeta)
     * and list_type is NULL. */
    const struct crd_schema *custom; /* crd/schema.h: the type of the whole object */
    const struct crd_version *crd;   /* crd/crd.h */
    bool secondary;                  /* another version of the same objects is the one to watch */
    bool retired;                    /* not served (any more) */
};

/* All served kinds, in discovery's order of groups and versions; ret_n is required. The array is
 * valid until the registry changes: do not keep it over a turn of the loop. */
const struct kind *const *kinds_all(size_t *ret_n);
/* Changes whenever a kind is added, changed or retired. */
uint64_t kinds_generation(void);

/* Told after every change of the registry. Caller-allocated; kinds_unlisten() before it goes. */
struct kinds_listener {
    struct list link; /* private */
    void (*changed)(void *arg);
    void *arg;
};
void kinds_listen(struct kinds_listener *l);
void kinds_unlisten(struct kinds_listener *l);

/* group "" = core. NULL when there is none. */
const struct kind *kind_find(const char *group, const char *version, const char *plural);
const struct kind *kind_find_gvk(const char *group, const char *version, const char *kind);
/* By "v1" / "apps/v1" and kind, as objects and ownerReferences carry them. */
const struct kind *kind_find_api(const char *api_version, const char *kind);
/* The kind that holds the objects of a resource in the store, by "plural" and group; also one that
 * is not served itself. NULL when there is none. */
const struct kind *kind_find_stored(struct str plural, struct str group);
/* Of the kinds that share one storage: the one to watch to see each object once. */
static inline bool kind_is_primary(const struct kind *k)
{
    return k->custom ? !k->secondary : k->storage == k;
}
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
 *
 * The object of a custom kind is kept in the form of the version that is asked for while it is
 * worked on: kind_to_storage() leaves it alone, kind_to_served() brings what was read from the
 * store into that form, and the handler converts it when it is written.
 */
struct json *kind_to_served(struct arena *a, const struct kind *to, struct json *obj);
struct json *kind_to_storage(struct arena *a, const struct kind *from, struct json *obj);

/* Whether the bytes of an item are what k serves, so that they need no parsing. */
bool kind_item_plain(const struct kind *k, const struct store_item *it);

/* The schema of any top-level type by group, version and kind, also those that are only bodies
 * (DeleteOptions, Scale, Eviction, Status, TableOptions...). NULL when there is none. */
const struct schema_type *kind_body_type(const char *group, const char *version, const char *kind);

/* The names of verbs in discovery's order, NULL-terminated; out has room for KIND_VERBS_MAX. */
#define KIND_VERBS_MAX 9
size_t kind_verbs(unsigned verbs, const char *out[KIND_VERBS_MAX]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structural schemas: the openAPIV3Schema of one version of a CustomResourceDefinition, compiled
 * into a tree that prunes, defaults, validates and merges objects (kubernetes.io, "Extend the
 * Kubernetes API with CustomResourceDefinitions", section "Specifying a structural schema").
 *
 *     JSON schema --crd_schema_compile()--> struct crd_schema (read-only, in one arena)
 *
 * A node is 32 bytes and 16 more for every property; what few nodes have lies in struct crd_checks.
 * Texts are shared: a name that occurs a thousand times is stored once, and so is a subtree.
 * Descriptions are not kept: OpenAPI reads them from the stored CustomResourceDefinition.
 *
 * The input was checked by crd_validate() (validate.h): what is not structural is not understood
 * here. Regular expressions hold working memory of their own, so that a compiled schema belongs to
 * one thread.
 */
#ifndef API_CRD_SCHEMA_H
#define API_CRD_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"

struct regex;

enum crd_type {
    CRD_ANY, /* no type is said: int-or-string, preserve-unknown-fields, or a value check */
    CRD_OBJECT,
    CRD_ARRAY,
    CRD_STRING,
    CRD_INTEGER,
    CRD_NUMBER,
    CRD_BOOLEAN,
};

/* x-kubernetes-list-type and -map-type. */
enum crd_merge {
    CRD_MERGE_UNSET,    /* a list: atomic; an object: granular */
    CRD_MERGE_ATOMIC,   /* one value: the last writer owns all of it */
    CRD_MERGE_SET,      /* a list of unique scalars (or of atomic lists and objects) */
    CRD_MERGE_MAP,      /* a list of objects with unique crd_schema_keys() */
    CRD_MERGE_GRANULAR, /* an object: each member for itself */
};

enum {
    CRD_F_NULLABLE = 1u << 0,
    CRD_F_INT_OR_STRING = 1u << 1,
    CRD_F_PRESERVE = 1u << 2,     /* unknown members are kept */
    CRD_F_EMBEDDED = 1u << 3,     /* an object with apiVersion, kind and metadata of its own */
    CRD_F_ANY_MEMBER = 1u << 4,   /* additionalProperties: true: members of any kind are allowed */
    CRD_F_HAS_DEFAULTS = 1u << 5, /* here or below */
    CRD_F_HAS_SETS = 1u << 6,     /* a set or map list, here or below */
    CRD_F_HAS_EMBEDDED = 1u << 7, /* here or below */
    CRD_F_HAS_CHECKS = 1u << 8,   /* struct crd_checks, here or below */
};

struct crd_checks;
struct crd_property;

struct crd_schema {
    /* read-only */
    uint8_t type;  /* enum crd_type */
    uint8_t merge; /* enum crd_merge */
    uint16_t flags;
    uint32_t n_properties;
    const struct crd_property *properties; /* sorted by name, bytewise */
    /* Of an array: its items. Of an object: additionalProperties. NULL: any, or none. */
    const struct crd_schema *items;
    const struct crd_checks *checks; /* NULL = none */
};

struct crd_property {
    const char *name;
    const struct crd_schema *schema;
};

/* What only some nodes have. */
struct crd_checks {
    const struct json *def;       /* the default; NULL = none */
    const char *const *required;  /* NULL-terminated; NULL = none */
    const char *const *list_keys; /* x-kubernetes-list-map-keys, NULL-terminated; NULL = none */
    const char *format;           /* one that is checked; else NULL */
    const char *pattern;
    struct regex *regex;              /* of pattern */
    const struct json *const *values; /* enum, NULL-terminated; NULL = none */
    double minimum, maximum, multiple_of;
    int64_t min_length, max_length, min_items, max_items, min_properties,
        max_properties; /* -1 = none */
    bool has_minimum, has_maximum, exclusive_minimum, exclusive_maximum, has_multiple_of, unique;
    /* Value checks of the same value, NULL-terminated; NULL = none. Their nodes have no type. */
    const struct crd_schema *const *all_of, *const *any_of, *const *one_of;
    const struct crd_schema *not_;
};

/* ---- compilation ---- */

/* All of it lives in a, but for the regular expressions: crd_regexes_fini() before a goes.
 * 0; -E_INVAL with err when a pattern does not compile; -E_LIMIT when the schema is deeper than
 * LIMIT_CRD_DEPTH or has more than LIMIT_CRD_NODES nodes; -E_NOMEM.
 */
struct crd_regexes {
    /* private */
    struct regex **items;
    size_t n, cap;
};
int crd_schema_compile(struct arena *a, const struct json *schema, struct crd_regexes *regexes,
                       const struct crd_schema **ret, struct err *err);
void crd_regexes_fini(struct crd_regexes *r); /* a zeroed one is fine */

/* ---- reading ---- */

/* The schema of a member: the property, else additionalProperties; NULL when there is none (then
 * the member is unknown, unless CRD_F_PRESERVE or CRD_F_ANY_MEMBER). s NULL gives NULL. */
const struct crd_schema *crd_schema_member(const struct crd_schema *s, struct str name);
/* The same without additionalProperties. */
const struct crd_schema *crd_schema_property(const struct crd_schema *s, struct str name);
/* "" list when there are none. */
const char *const *crd_schema_keys(const struct crd_schema *s);
static inline const struct json *crd_schema_default(const struct crd_schema *s)
{
    return s && s->checks ? s->checks->def : NULL;
}

/* ---- what is done to objects ---- */

/* root: s is that of a whole object, whose apiVersion, kind and metadata are not looked at. */

/* Removes members that the schema does not have. unknown (may be NULL) gets texts, `unknown field
 * "spec.foo"`, at most SCHEMA_REPORT_MAX. */
void crd_prune(struct arena *a, const struct crd_schema *s, struct json *obj, bool root,
               struct json *unknown);
/* Removes nulls where null is not allowed, then sets defaults, in place. Ask arena_failed(). */
void crd_defaults(struct arena *a, const struct crd_schema *s, struct json *obj, bool root);
/* Types, values, required members, sets and maps of lists, metadata of embedded resources. With old
 * (may be NULL) what has not changed is not complained of (ratcheting). */
void crd_check(struct field_errors *e, const struct crd_schema *s, const struct json *obj,
               const struct json *old);

#endif

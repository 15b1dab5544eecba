/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schemas of all types that the kinds are made of, compiled in from kinds/<kind>.yaml and
 * kinds/types/<group>.yaml by tools/kinds.
 *
 * The tables are constants without a single pointer (texts and types are offsets), so that they
 * stay clean, shared pages of the program file: nothing here is allocated or relocated. Read the
 * texts through the functions below. They serve validation (schema_check.h), defaults, strategic
 * merge patch, protobuf bodies and OpenAPI alike.
 *
 * Type names are those of Kubernetes' OpenAPI ("io.k8s.api.core.v1.PodSpec").
 */
#ifndef API_SCHEMA_H
#define API_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* What one value is, in JSON and in protobuf. */
enum schema_value {
    SCHEMA_STRING,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_BOOL,
    SCHEMA_DOUBLE,
    SCHEMA_BYTES,         /* JSON: standard base64 */
    SCHEMA_OBJECT,        /* of schema_field_type() */
    SCHEMA_QUANTITY,      /* JSON: string (numbers are accepted); protobuf: message {1: string} */
    SCHEMA_INT_OR_STRING, /* protobuf: message {1: 0 int 1 string, 2: int32, 3: string} */
    SCHEMA_TIME,          /* RFC 3339, seconds; null = unset; protobuf: {1: seconds, 2: nanos} */
    SCHEMA_MICRO_TIME,    /* RFC 3339, microseconds; the same message */
    SCHEMA_FIELDS_V1,     /* any object; protobuf: message {1: its JSON} */
    SCHEMA_RAW,           /* any object with apiVersion and kind; protobuf: message {1: its JSON} */
    SCHEMA_ANY,           /* any JSON value; protobuf: message {1: its JSON} */
    SCHEMA_STRINGS,       /* an array of strings as one value; protobuf: message {1: strings} */
    /* Of schema_field_inner(), or something simpler: */
    SCHEMA_OBJECT_OR_LIST,    /* or an array of them; protobuf: message {1: object, 2: objects} */
    SCHEMA_OBJECT_OR_BOOL,    /* or true, false; protobuf: message {1: bool, 2: object} */
    SCHEMA_OBJECT_OR_STRINGS, /* or an array of strings; protobuf: message {1: object, 2: strings}
                               */
    SCHEMA_VALUE_NR,
};

enum schema_shape { SCHEMA_ONE, SCHEMA_LIST, SCHEMA_MAP /* keys are strings */ };

enum {
    SCHEMA_F_REQUIRED = 1u << 0,    /* must be there (validation is what insists on it) */
    SCHEMA_F_MERGE = 1u << 1,       /* patchStrategy merge: a list merges by its merge key, a list
                                       of plain values as a set */
    SCHEMA_F_RETAIN_KEYS = 1u << 2, /* patchStrategy retainKeys */
    SCHEMA_F_REPLACE = 1u << 3,     /* patchStrategy replace */
    SCHEMA_F_ATOMIC = 1u << 4,      /* server-side apply: a list, map or struct is one value */
    SCHEMA_F_SET = 1u << 5,         /* a list of unique plain values */
    SCHEMA_F_LIST_MAP = 1u << 6,    /* a list of objects with unique keys: schema_field_keys() */
    SCHEMA_F_KEEP_ZERO = 1u << 7, /* a zero in protobuf is a value (a pointer in Go), not absence */
    SCHEMA_F_PB_INLINE = 1u << 8, /* protobuf: the field lies in the message type->pb_inline */
    SCHEMA_F_PB_INLINE_2 = 1u << 10, /* the same, in the message of that number inside that one */
    SCHEMA_F_NULLABLE = 1u << 9,     /* JSON null means "unset" and may be printed */
};

/* Flags of a type. */
enum {
    SCHEMA_T_ATOMIC = 1u << 0,  /* x-kubernetes-map-type: atomic */
    SCHEMA_T_PRESERVE = 1u << 1 /* unknown members are kept without a word */
};

/* All members are read-only; those that are offsets are read by the functions below. */
struct schema_field {
    uint32_t name, doc, def, keys, merge_key;
    uint32_t values; /* the texts it may hold, separated by commas; 0 = any */
    uint16_t pb;     /* protobuf field number; 0 = not in protobuf (apiVersion and kind) */
    uint16_t ref;    /* the type of SCHEMA_OBJECT and SCHEMA_OBJECT_OR_* */
    uint16_t flags;  /* SCHEMA_F_* */
    uint8_t value;   /* enum schema_value */
    uint8_t shape;   /* enum schema_shape */
};

struct schema_type {
    uint32_t name, doc;
    uint16_t first, n; /* its fields in schema_fields[], sorted by name */
    uint16_t
        pb_inline;  /* protobuf number of the embedded message that holds some fields; 0 = none */
    uint16_t flags; /* SCHEMA_T_* */
    uint32_t gvks;  /* "group/version/Kind" of a top-level type, else "" */
};

/* The generated tables. */
extern const char schema_pool[];
extern const struct schema_type schema_types[]; /* sorted by name */
extern const size_t schema_types_n;
extern const struct schema_field schema_fields[];
extern const size_t schema_fields_n;

/* ---- types ---- */

/* NULL when there is none. */
const struct schema_type *schema_type_find(const char *name);
static inline const char *schema_type_name(const struct schema_type *t)
{
    return schema_pool + t->name;
}
/* One or two sentences; "" when there are none. */
static inline const char *schema_type_doc(const struct schema_type *t)
{
    return schema_pool + t->doc;
}
/* The short name: "PodSpec". */
const char *schema_type_short(const struct schema_type *t);

/* ---- fields ---- */

/* NULL when t is NULL or has no such field. Binary search. */
const struct schema_field *schema_field_find(const struct schema_type *t, struct str name);
const struct schema_field *schema_field_get(const struct schema_type *t, const char *name);
/* The field with a protobuf number: level 0 of the message itself, 1 of its embedded message, 2 of
 * the one embedded in that. */
const struct schema_field *schema_field_by_pb(const struct schema_type *t, uint32_t number,
                                              unsigned level);
/* The level of messages in which the field lies. */
static inline unsigned schema_field_level(const struct schema_field *f)
{
    return f->flags & SCHEMA_F_PB_INLINE_2 ? 2 : f->flags & SCHEMA_F_PB_INLINE ? 1 : 0;
}
/* Walks a dotted path ("spec.template.spec.containers"), through lists and maps of objects. */
const struct schema_field *schema_field_path(const struct schema_type *t, const char *path);

/* SCHEMA_FOR_EACH_FIELD(f, type) { f is const struct schema_field *, in the order of names } */
#define SCHEMA_FOR_EACH_FIELD(f, t)                                                        \
    for (const struct schema_field *f = schema_fields + (t)->first, *f##_end = f + (t)->n; \
         f < f##_end; f++)

static inline const char *schema_field_name(const struct schema_field *f)
{
    return schema_pool + f->name;
}
static inline const char *schema_field_doc(const struct schema_field *f)
{
    return schema_pool + f->doc;
}
/* The default as JSON text ("\"TCP\"", "1", "{}"); "" when there is none. */
static inline const char *schema_field_default(const struct schema_field *f)
{
    return schema_pool + f->def;
}
/* x-kubernetes-list-map-keys, separated by commas; "" when there are none. */
static inline const char *schema_field_keys(const struct schema_field *f)
{
    return schema_pool + f->keys;
}
/* x-kubernetes-patch-merge-key; "" when there is none. */
static inline const char *schema_field_merge_key(const struct schema_field *f)
{
    return schema_pool + f->merge_key;
}
/* The texts it may hold, separated by commas; "" when any. */
static inline const char *schema_field_values(const struct schema_field *f)
{
    return schema_pool + f->values;
}
/* The type of an object, of the items of a list or of the values of a map of objects; else NULL. */
static inline const struct schema_type *schema_field_type(const struct schema_field *f)
{
    return f && f->value == SCHEMA_OBJECT ? &schema_types[f->ref] : NULL;
}
/* The type of the object that a SCHEMA_OBJECT_OR_* value may be; NULL for other values. */
static inline const struct schema_type *schema_field_inner(const struct schema_field *f)
{
    return f->value >= SCHEMA_OBJECT_OR_LIST && f->value <= SCHEMA_OBJECT_OR_STRINGS
               ? &schema_types[f->ref]
               : NULL;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the parts of an object merge: one view over the compiled-in schemas (schema.h) and those of
 * custom kinds (crd/schema.h).
 *
 * A struct typing says what is known of one value. It is passed by value and borrows the schemas.
 * What no schema describes is deduced: objects merge member by member, lists are one value.
 */
#ifndef API_APPLY_TYPING_H
#define API_APPLY_TYPING_H

#include "api/kind.h"
#include "codec/json.h"

struct crd_schema;

struct typing {
    /* private; at most one is set, none = deduced */
    const struct schema_type *type;   /* an object of this type */
    const struct schema_field *field; /* a list or map of a field */
    const struct crd_schema *custom;
    const struct kind *root; /* a whole object of this kind */
};

/* How a value is owned. */
enum typing_class {
    TYPING_LEAF,   /* one value: a scalar, or what is atomic */
    TYPING_STRUCT, /* an object whose members are fields */
    TYPING_MAP,    /* an object whose members are items */
    TYPING_SET,    /* a list of unique values */
    TYPING_KEYED,  /* a list of objects with unique keys */
};

struct typing typing_root(const struct kind *k);
/* of an object's member; *ret_field (may be NULL): it is declared as a field */
struct typing typing_member(struct typing t, struct str name, bool *ret_field);
struct typing typing_item(struct typing t); /* of a list's items */
/* v is the value at t; NULL and null are leaves. */
enum typing_class typing_class_of(struct typing t, const struct json *v);
/* The name of an item of a list, "k:{...}" or "v:...": empty when it lacks a key or is no object
 * (of a keyed list), or when the arena failed. */
struct str typing_item_name(struct arena *a, struct typing list, enum typing_class class,
                            const struct json *item);
/* A struct that is always there, so that nobody owns it by itself ("spec", "template"). */
bool typing_is_inherent(struct typing parent, struct str name);

#endif

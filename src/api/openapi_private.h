/* SPDX-License-Identifier: Apache-2.0 */
/* What the writers of versions 2 and 3 share; for openapi*.c alone. */
#ifndef API_OPENAPI_PRIVATE_H
#define API_OPENAPI_PRIVATE_H

#include "api/discovery.h"
#include "api/kind.h"
#include "base/buf.h"

/* Types that are values in JSON but have a name in OpenAPI. Order of their names. */
enum openapi_scalar {
    OPENAPI_JSON,
    OPENAPI_OBJECT_OR_LIST,
    OPENAPI_OBJECT_OR_BOOL,
    OPENAPI_OBJECT_OR_STRINGS,
    OPENAPI_QUANTITY,
    OPENAPI_FIELDS_V1,
    OPENAPI_MICRO_TIME,
    OPENAPI_TIME,
    OPENAPI_RAW,
    OPENAPI_INT_OR_STRING,
    OPENAPI_SCALAR_NR,
};

struct openapi_scalar_info {
    const char *name, *doc;
    const char *type;   /* of version 2; "" for any */
    const char *format; /* NULL for none */
    const char *v3;     /* what version 3 says instead of type and format; NULL for the same */
};
extern const struct openapi_scalar_info openapi_scalars[OPENAPI_SCALAR_NR];

/* The scalar of a value, or -1 when it is an object or has no name. */
int openapi_scalar_of(enum schema_value v);

/* "string", "integer", ...; *ret_format "" when there is none. Not for objects and scalars. */
const char *openapi_primitive(enum schema_value v, const char **ret_format);

/* The types that a document needs: those of the kinds of one group and version (NULL = of all),
 * their lists, bodies and options, and everything that these refer to. */
struct openapi_needs {
    uint8_t *types; /* a byte a type of schema_types[] */
    bool scalars[OPENAPI_SCALAR_NR];
};

int openapi_needs_init(struct openapi_needs *n, const char *group, const char *version);
void openapi_needs_finip(struct openapi_needs *n);

/* Walks the names of all needed types and scalars in the order of their names. */
typedef void openapi_name_fn(void *arg, const struct schema_type *t,
                             const struct openapi_scalar_info *s); /* one of both is NULL */
void openapi_each(const struct openapi_needs *n, openapi_name_fn *fn, void *arg);

/* Path of a kind's collection or item into out, e.g.
 * "/apis/apps/v1/namespaces/{namespace}/deployments" */
enum openapi_path { OPENAPI_ALL_NAMESPACES, OPENAPI_COLLECTION, OPENAPI_ITEM };
void openapi_path(struct buf *out, const struct kind *k, enum openapi_path which);

/* The names of the schemas of a kind and of its list ("" = there is none). */
struct openapi_names {
    char type[576], list[576];
};
void openapi_names_of(const struct kind *k, struct openapi_names *ret);

/* ---- openapi_custom.c: custom kinds, whose schemas are those of their definitions ---- */

/* The schemas of a kind and of its list, as members of components.schemas. */
void openapi_v3_custom(struct buf *out, const struct kind *k);
/* The same as two NamedSchemas of version 2's definitions. */
void openapi_v2_custom(struct buf *out, const struct kind *k);
/* The hash of a document that has custom kinds: made from the generations of their definitions, so
 * that the index need not write all documents. False when it has none. */
bool openapi_custom_hash(const char *group, const char *version, char ret[CONTENT_HASH_SIZE]);

#endif

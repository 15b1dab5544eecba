/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of schema validation share. */
#ifndef API_CRD_SCHEMA_PRIVATE_H
#define API_CRD_SCHEMA_PRIVATE_H

#include "api/crd/schema.h"

/* schema_format.c: a format that crd_schema_compile() keeps; others are true. */
bool crd_format_ok(const char *format, struct str s);

/* schema_lists.c */
/* The item of old (a list of the same schema; may be NULL) with the keys of item, which is the
 * i-th; NULL when there is none or the list is not of type map. */
const struct json *crd_list_match(const struct crd_schema *s, const struct json *old,
                                  const struct json *item, size_t i);
/* The first item that is equal to an earlier one, or -1. */
ptrdiff_t crd_list_duplicate(const struct json *list);
/* Lists of type set and map whose items are not unique. */
void crd_check_lists(struct field_errors *e, const struct crd_schema *s, const struct json *obj,
                     const struct json *old);
/* apiVersion, kind and metadata of embedded resources. */
void crd_check_embedded(struct field_errors *e, const struct crd_schema *s, const struct json *obj);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables (meta.k8s.io/v1 Table) and PartialObjectMetadata: what `kubectl get` and metadata
 * informers ask for instead of objects.
 */
#ifndef API_TABLE_H
#define API_TABLE_H

#include "api/kind.h"
#include "base/clock.h"
#include "codec/json.h"

enum table_include { TABLE_METADATA, TABLE_NONE, TABLE_OBJECT };

/* "", "Metadata", "None", "Object". 0 or -EINVAL. */
int table_include_parse(const char *text, enum table_include *ret);

/* An empty table. metadata (resourceVersion, continue, ...) may be NULL. columns false = a null
 * columnDefinitions, as in the later events of a watch. */
struct json *table_new(struct arena *a, const struct kind *k, struct json *metadata, bool columns);
/* Adds a row. obj is in served form; the row may share its nodes. */
void table_add(struct arena *a, struct json *table, const struct kind *k, struct json *obj,
               enum table_include include, struct wall now);

struct json *partial_metadata(struct arena *a, struct json *obj);

#endif

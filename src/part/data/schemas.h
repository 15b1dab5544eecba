/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of schemas for FORMAT="protobuf": .proto texts by name, as eKuiper's /schemas has
 * them, each compiled to the descriptor set that streams and sinks take. SCHEMAID (schemaId of a
 * sink) is "schema.Message".
 */
#ifndef PART_DATA_SCHEMAS_H
#define PART_DATA_SCHEMAS_H

#include "data_private.h"

/* A new one, or with `replace` a changed one: streams go over to it, sinks when their rule starts
 * again. Not yet kept. -E_EXISTS, -E_INVAL with the line, or what a stream says. */
int schemas_define(struct data *d, struct str name, struct str text, bool replace, struct err *err);
/* -E_NOENT; -E_CONFLICT names the stream or the rule that uses it. */
int schemas_drop(struct data *d, struct str name, struct err *err);
const char *schemas_text(const struct data *d, struct str name); /* NULL = there is none */
/* A schema_find_fn (stream/format/format.h); arg is the struct data. */
int schemas_find(void *arg, struct str name, struct str *ret_set, struct err *err);
void schemas_load(struct data *d); /* before streams and rules */
void schemas_free(struct data *d);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader of .proto texts hands to the writer of descriptors. All lies in one arena; texts
 * are borrowed from the source. */
#ifndef STREAM_FORMAT_PROTOBUF_TEXT_PRIVATE_H
#define STREAM_FORMAT_PROTOBUF_TEXT_PRIVATE_H

#include "base/map.h"
#include "protobuf_schema.h"

enum proto_label { PROTO_OPTIONAL = 1, PROTO_REQUIRED, PROTO_REPEATED }; /* of descriptor.proto */

struct proto_type { /* a message or an enum */
    struct str name;
    struct str full; /* with the package, without a leading dot */
    bool is_enum, map_entry;
    uint32_t n_fields;
    struct proto_field *fields, **last_field;
    struct proto_type *types, **last_type; /* inside it */
    struct proto_type *next, *parent;
};

struct proto_field {
    struct str name;
    uint32_t number, line;
    enum proto_label label;
    enum schema_type type; /* 0: type_name says it */
    struct str type_name;  /* as written */
    bool choice;           /* of a oneof, or a proto3 field with `optional` */
    int packed;            /* -1: not said */
    struct proto_field *next;
};

struct proto_file {
    struct arena *arena;
    struct str package;
    bool proto3;
    struct proto_type root; /* its types are the file's */
    struct map names;       /* full -> struct proto_type */
};

/* protobuf_text.c; the caller ends file->names, also after a failure. */
int proto_read(struct arena *a, struct str text, struct proto_file *file, struct err *err);
/* protobuf_text_write.c: resolves the names of types and writes the set. */
int proto_write(struct proto_file *file, struct buf *out, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a FileDescriptorSet (google/protobuf/descriptor.proto), as `protoc
 * --descriptor_set_out --include_imports` writes it: what decoding and encoding need of them.
 */
#ifndef STREAM_FORMAT_PROTOBUF_SCHEMA_H
#define STREAM_FORMAT_PROTOBUF_SCHEMA_H

#include "base/arena.h"
#include "base/err.h"
#include "codec/protobuf.h"

enum schema_type { /* numbers of FieldDescriptorProto.Type */
                   SCHEMA_DOUBLE = 1,
                   SCHEMA_FLOAT,
                   SCHEMA_INT64,
                   SCHEMA_UINT64,
                   SCHEMA_INT32,
                   SCHEMA_FIXED64,
                   SCHEMA_FIXED32,
                   SCHEMA_BOOL,
                   SCHEMA_STRING,
                   SCHEMA_GROUP,
                   SCHEMA_MESSAGE,
                   SCHEMA_BYTES,
                   SCHEMA_UINT32,
                   SCHEMA_ENUM,
                   SCHEMA_SFIXED32,
                   SCHEMA_SFIXED64,
                   SCHEMA_SINT32,
                   SCHEMA_SINT64
};

struct schema_message;

struct schema_field {
    struct str name;
    uint32_t number;
    enum schema_type type;
    bool repeated, packed;
    bool implicit;                        /* proto3 without presence: left out = zero */
    struct str type_name;                 /* ".package.Message" */
    const struct schema_message *message; /* of SCHEMA_MESSAGE */
};

struct schema_message {
    struct str name; /* full, without the leading dot */
    struct schema_field *fields;
    uint32_t n_fields, cap_fields;
    bool map_entry;
    struct schema_message *next;
};

/* Reads the set and finds the message by its full name, or by its last part where only one has it.
 * All lies in the arena or is borrowed from the bytes. -E_INVAL with a sentence, -ENOMEM. */
int schema_read(struct arena *a, struct str set, struct str message,
                const struct schema_message **ret, struct err *err);

/* Wire type of a scalar; PB_BYTES for texts, bytes and messages. */
enum pb_wire schema_wire(enum schema_type t);

#endif

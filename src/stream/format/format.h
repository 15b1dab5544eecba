/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats: bytes of a source to a batch, rows of a batch to bytes of a sink.
 *
 * Decoders read only the fields that the shape names: JSON is scanned once, on demand, with the
 * order of keys of the last event as the prediction; texts stay in place (the payload is copied
 * into the batch's arena once unless the caller promises that it outlives the batch). Every decoder
 * takes outside bytes: it has limits (limits.def) and a fuzz target.
 *
 *   json       an object, or an array of objects; one payload may hold many events
 *   delimited  CSV (RFC 4180 quoting), DELIMITER one character, an event a line; names from a
 * header line, from the declared columns, or col0, col1, ... as in eKuiper. Cells are texts where
 * no type is declared. binary     the payload is one event {self: bytes} urlencoded key=value pairs
 *   protobuf   by a message of a descriptor set (proto3 and proto2)
 *   batch      our own framed binary batches (format/frame.h) for sources that can do better
 */
#ifndef STREAM_FORMAT_FORMAT_H
#define STREAM_FORMAT_FORMAT_H

#include "stream/batch.h"

struct format_options {
    struct str format;         /* as above, any case; empty = json */
    char delimiter;            /* 0 = ',' */
    bool header;               /* delimited: the first line names the columns */
    const struct str *columns; /* delimited: names in order; NULL = none are declared */
    uint32_t n_columns;
    struct str schema;           /* protobuf: bytes of a FileDescriptorSet */
    struct str message;          /* protobuf: full name of the message */
    struct str timestamp;        /* field that holds the event time; empty = arrival */
    struct str timestamp_format; /* of a text; empty = ISO 8601; numbers are milliseconds */
};

/* The descriptor set of a registered schema, borrowed until something else is called; -E_INVAL. */
typedef int schema_find_fn(void *arg, struct str name, struct str *ret_set, struct err *err);
/* Fills schema and message from eKuiper's SCHEMAID, "schema.Message". Nothing to do for formats
 * without a schema. find NULL: there is no registry. -E_INVAL with a sentence. */
int format_use_schema(struct format_options *opts, struct str schema_id, schema_find_fn *find,
                      void *arg, struct err *err);

struct payload {
    struct str bytes;
    int64_t arrival_us;
    struct value meta; /* VALUE_OBJECT or VALUE_ABSENT; borrowed */
    bool stable;       /* bytes outlive the batch: texts may point into them */
};

struct decoder;

/* -E_INVAL with a sentence for an unknown format or a broken schema. shape is borrowed and may grow
 * between calls; the fields with a declaration that it has now are the columns of CSV. */
int decoder_new(const struct format_options *opts, const struct shape *shape, struct decoder **ret,
                struct err *err);
void decoder_free(struct decoder *d);

/* A payload that is no event, in whole or in part: told once a payload, with the reason; the rest
 * goes on. */
typedef void decoder_error_fn(void *arg, const struct payload *p, const struct err *err);

/* Decodes payloads[*at ...] into the batch, which must be fresh or hold rows of earlier calls,
 * until it is full or all are read; *at moves on (a payload of many events may be left half read:
 * the next call goes on inside it). Give every call a new batch where *at is less than n after it.
 * 0, -ENOMEM or -E_LIMIT (the batch's memory: hand it on and go on with a new one; an event that
 * does not fit into an empty batch is told as no event, and *at has moved on). */
int decoder_decode(struct decoder *d, const struct payload *payloads, uint32_t n, uint32_t *at,
                   struct batch *b, decoder_error_fn *on_error, void *arg);

struct encoder;
int encoder_new(const struct format_options *opts, struct encoder **ret, struct err *err);
void encoder_free(struct encoder *e);
/* Appends the text of rows [first, first + n) of a result. JSON: one object when n is 1 and `array`
 * is false, else an array; delimited: a line each. Absent columns are left out, or null when
 * `nulls`. */
int encoder_encode(struct encoder *e, const struct batch *b, uint32_t first, uint32_t n, bool array,
                   bool nulls, struct buf *out, struct err *err);

#endif

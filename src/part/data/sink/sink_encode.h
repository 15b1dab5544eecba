/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an emission of a rule to messages: the properties that all sinks have.
 *
 *      rows --(sendSingle, or one array)--> --dataField--> --fields, excludeFields--> --format-->
 *      or --dataTemplate--> text            compression
 *
 * Rows that are independent (no window) are messages each: an array of one, or the object alone
 * with sendSingle, as in eKuiper. batchSize and lingerInterval gather rows into one array.
 */
#ifndef PART_DATA_SINK_ENCODE_H
#define PART_DATA_SINK_ENCODE_H

#include "codec/json.h"
#include "io/loop.h"
#include "sink_queue.h"

struct data;
struct sink_encoder;

/* Takes a message that is ready: bytes, or (where the sink wants values) object. */
typedef void sink_ready_fn(void *arg, struct sink_item *it);

/* Wants sink_encoder_flush() in ms milliseconds; 0: no more. */
typedef void sink_linger_fn(void *arg, int64_t ms);

/* conf is borrowed. -E_INVAL with a sentence that names
 * the property. */
int sink_encoder_new(struct data *d, const struct json *conf, bool values, sink_ready_fn *ready,
                     void *arg, sink_linger_fn *linger, struct sink_encoder **ret, struct err *err);
void sink_encoder_free(struct sink_encoder *e); /* what lingers is given up; NULL is fine */
/* 0, or the first failure (of a template, of memory); the other rows are messages nevertheless. */
int sink_encoder_take(struct sink_encoder *e, struct batch *results, bool single, bool nulls,
                      struct err *err);
void sink_encoder_flush(struct sink_encoder *e); /* what lingers is sent now */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inbox of a source that cannot go back by itself (MQTT, HTTP, sockets), for streams that rules
 * with qos > 0 read: what comes is on the disk, in a durable queue (sink_log.h), before its sender
 * is told so and before a rule sees it. It leaves when the checkpoints of all those rules are
 * behind it.
 *
 *      sender --source_deliver--> DIR/inbox/STREAM --a turn of the loop--> engine
 *             <--acknowledged---- source_synced
 *
 *   record:  arrival u64, us since 1970 | bytes of meta u32 | meta as JSON | payload   (little
 * endian)
 *
 * Its place is the sequence of the record that comes next. Full (LIMIT: 256 MB) it takes nothing:
 * the sender is not told, and sends again.
 */
#ifndef PART_DATA_SOURCE_INBOX_H
#define PART_DATA_SOURCE_INBOX_H

#include "source.h"

/* *ret NULL: there is no state folder. */
int inbox_open(struct source *s, struct source_inbox **ret, struct err *err);
void inbox_close(struct source_inbox *b); /* NULL is fine */
void inbox_take(struct source_inbox *b, const struct payload *payloads, uint32_t n);
int inbox_sync(struct source_inbox *b); /* source_synced() */
/* A name of the inbox for all time: as that of an MQTT session. */
void inbox_name(const struct source_inbox *b, char *out, size_t n);

void inbox_place(const struct source_inbox *b, struct source_place *ret);
int inbox_check(const struct source_inbox *b, const struct source_place *p, struct err *err);
void inbox_seek(struct source_inbox *b, const struct source_place *to);
void inbox_covered(struct source_inbox *b, const struct source_place *upto);

#endif

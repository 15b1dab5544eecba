/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An MQTT message as an event, and its form as a record between the broker's plugin and `data`:
 *
 *      0  u8  version (1)         2  u16 bytes of topic        8  u64 arrival, us since 1970
 *      1  u8  qos | retain << 2   4  u32 bytes of payload     16  u16 bytes of client id
 *                                                             18  u16 bytes of user name
 *                                                             20  u32 bytes of user properties
 *     24  topic, client id, user name, user properties, payload
 *
 * Numbers are little-endian. User properties are pairs of (u16 length, bytes), name before value.
 */
#ifndef CODEC_MQTT_EVENT_H
#define CODEC_MQTT_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/str.h"

struct mqtt_event { /* texts are borrowed */
    struct str topic;
    struct str payload;
    struct str client;     /* id of the publisher; empty = not known */
    struct str user;       /* name of the publisher; empty = anonymous or not known */
    struct str properties; /* user properties (MQTT 5): mqtt_property_next() */
    int64_t time_us;       /* arrival, since 1970 */
    uint8_t qos;
    bool retain;
};

#define MQTT_EVENT_HEAD 24
#define MQTT_EVENT_PIECES 6
/* Fills the pieces of a record, which borrow from e and head. -E_TOOBIG: a text is too long. */
int mqtt_event_pieces(const struct mqtt_event *e, uint8_t head[MQTT_EVENT_HEAD],
                      struct iovec ret[MQTT_EVENT_PIECES]);
/* The texts of *ret lie in the record. -E_PROTO: no record of this form. */
int mqtt_event_parse(struct str record, struct mqtt_event *ret);

/* The next pair; false at the end, or where the bytes make no sense. */
bool mqtt_property_next(struct str *properties, struct str *ret_name, struct str *ret_value);

#endif

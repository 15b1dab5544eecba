/* SPDX-License-Identifier: Apache-2.0 */
/* The form of an MQTT message as a record: see the picture in mqtt_event.h. */
#include "mqtt_event.h"

#include "base/err.h"

#define VERSION 1

static void put16(uint8_t *p, size_t n)
{
    p[0] = (uint8_t)n;
    p[1] = (uint8_t)(n >> 8);
}

static void put32(uint8_t *p, size_t n)
{
    put16(p, n & 0xffff);
    put16(p + 2, n >> 16);
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static struct iovec piece(struct str s)
{
    return (struct iovec){.iov_base = (void *)s.p, .iov_len = s.n};
}

int mqtt_event_pieces(const struct mqtt_event *e, uint8_t head[MQTT_EVENT_HEAD],
                      struct iovec ret[MQTT_EVENT_PIECES])
{
    if (e->topic.n > UINT16_MAX || e->client.n > UINT16_MAX || e->user.n > UINT16_MAX ||
        e->payload.n > UINT32_MAX || e->properties.n > UINT32_MAX) {
        return -E_TOOBIG;
    }
    head[0] = VERSION;
    head[1] = (uint8_t)((e->qos & 3) | (e->retain ? 4 : 0));
    put16(head + 2, e->topic.n);
    put32(head + 4, e->payload.n);
    put32(head + 8, (uint64_t)e->time_us & UINT32_MAX);
    put32(head + 12, (uint64_t)e->time_us >> 32);
    put16(head + 16, e->client.n);
    put16(head + 18, e->user.n);
    put32(head + 20, e->properties.n);
    ret[0] = (struct iovec){.iov_base = head, .iov_len = MQTT_EVENT_HEAD};
    ret[1] = piece(e->topic);
    ret[2] = piece(e->client);
    ret[3] = piece(e->user);
    ret[4] = piece(e->properties);
    ret[5] = piece(e->payload);
    return 0;
}

/* Cuts n bytes off the front; the caller has checked the sum of all lengths. */
static struct str take(struct str *rest, size_t n)
{
    struct str s = str_n(rest->p, n);
    rest->p += n;
    rest->n -= n;
    return s;
}

int mqtt_event_parse(struct str record, struct mqtt_event *ret)
{
    const uint8_t *head = (const uint8_t *)record.p;
    if (record.n < MQTT_EVENT_HEAD || head[0] != VERSION || (head[1] & ~7u) != 0 ||
        (head[1] & 3) == 3) {
        return -E_PROTO;
    }
    size_t topic = get16(head + 2), client = get16(head + 16), user = get16(head + 18);
    size_t payload = get32(head + 4), properties = get32(head + 20);
    uint64_t sum = (uint64_t)MQTT_EVENT_HEAD + topic + client + user + payload + properties;
    if (sum != record.n) {
        return -E_PROTO;
    }
    struct str rest = str_n(record.p + MQTT_EVENT_HEAD, record.n - MQTT_EVENT_HEAD);
    ret->topic = take(&rest, topic);
    ret->client = take(&rest, client);
    ret->user = take(&rest, user);
    ret->properties = take(&rest, properties);
    ret->payload = rest;
    ret->time_us = (int64_t)((uint64_t)get32(head + 8) | (uint64_t)get32(head + 12) << 32);
    ret->qos = head[1] & 3;
    ret->retain = (head[1] & 4) != 0;
    return 0;
}

static bool next_text(struct str *rest, struct str *ret)
{
    if (rest->n < 2) {
        return false;
    }
    size_t n = get16((const uint8_t *)rest->p);
    if (rest->n - 2 < n) {
        return false;
    }
    (void)take(rest, 2); /* the length */
    *ret = take(rest, n);
    return true;
}

bool mqtt_property_next(struct str *properties, struct str *ret_name, struct str *ret_value)
{
    return next_text(properties, ret_name) && next_text(properties, ret_value);
}

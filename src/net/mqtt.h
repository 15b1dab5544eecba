/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An MQTT client (3.1.1 and 5) over libmosquitto, on the loop, without threads of its own; names
 * are looked up in the thread pool. TCP, TLS and unix sockets; QoS 0 to 2; a last will. A lost
 * connection is made again with a jittered back-off (250 ms to 30 s), subscriptions are restored,
 * publishes of QoS 1 and 2 that were not acknowledged are sent again.
 *
 * All texts are copied. No callback comes inside a call of this header, none after mqtt_close().
 */
#ifndef NET_MQTT_H
#define NET_MQTT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "codec/mqtt_event.h"

struct io_loop;
struct mqtt_client;

struct mqtt_config {
    struct io_loop *loop;
    const char *host; /* name, address, or the path of a unix socket where port is 0 */
    uint16_t port;
    uint8_t version;                 /* 4 (3.1.1) or 5; 0 = 5 */
    const char *client_id;           /* NULL = made at random; needed where clean is false */
    const char *username, *password; /* NULL = none */
    bool keep_session;               /* by the broker while we are away; version 4 alone, which
                                        is then what 0 means */
    uint16_t keepalive_s;            /* 0 = 60 */
    struct {
        bool on;
        const char *ca_file;              /* NULL = the system's */
        const char *cert_file, *key_file; /* PEM; NULL = no certificate of ours */
        bool insecure; /* the server's certificate is not checked at all: for tests by hand */
    } tls;
    struct {
        const char *topic; /* NULL = no will */
        struct str payload;
        uint8_t qos;
        bool retain;
    } will;
    size_t queue_bytes; /* of publishes that are not done; 0 = 16 MB */
    /* Connected, or not and why (valid in the callback). Comes after the first try and at every
     * change. NULL is fine. */
    void (*on_state)(void *arg, bool connected, const char *why);
    /* A message of a subscription; valid in the callback. May be NULL. */
    void (*on_message)(void *arg, const struct mqtt_event *e);
    /* Where it is given: acknowledgements of messages (QoS 1) that came are sent only after it
     * said 0, once for all that were read in a turn; else the connection is given up, so that the
     * broker sends them again. For who keeps what came on a disk. Subscribe with QoS 1 at most: of
     * QoS 2 the library itself keeps what is under way, in memory. */
    int (*on_acknowledge)(void *arg);
    /* After mqtt_publish() said -E_AGAIN: there is room, or a connection, again. NULL is fine. */
    void (*on_ready)(void *arg);
    void *arg;
};

/* code 0: QoS 0 was handed to the kernel, QoS 1 and 2 were acknowledged. Else why not: -E_CONNRESET
 * (QoS 0 in a connection that broke), or what the broker answered (MQTT 5: -E_ACCESS, ...). */
typedef void mqtt_done_fn(void *arg, int code);

/* Connects in the background. Errors are of the configuration alone. */
int mqtt_open(const struct mqtt_config *cfg, struct mqtt_client **ret, struct err *err);
/* Says DISCONNECT where it is connected (a will is not sent), forgets what is not done. */
void mqtt_close(struct mqtt_client *c); /* NULL is fine */

/* The payload is copied. -E_AGAIN: over queue_bytes, or not connected: again after on_ready.
 * -E_INVAL: no topic. -E_TOOBIG: larger than MQTT or the broker allows. done may be NULL. */
int mqtt_publish(struct mqtt_client *c, const char *topic, struct str payload, uint8_t qos,
                 bool retain, mqtt_done_fn *done, void *arg);
/* Stays until unsubscribed, also over reconnects. Twice the same filter changes its QoS. -E_INVAL:
 * no filter. A subscription that the broker refuses is told by mqtt_refused(). */
int mqtt_subscribe(struct mqtt_client *c, const char *filter, uint8_t qos);
int mqtt_unsubscribe(struct mqtt_client *c, const char *filter); /* -E_NOENT */

/* Reads nothing from the broker meanwhile: for moments, well within the keepalive. */
void mqtt_hold(struct mqtt_client *c, bool hold);

bool mqtt_connected(const struct mqtt_client *c);
size_t mqtt_queued(const struct mqtt_client *c);  /* bytes of publishes that are not done */
size_t mqtt_refused(const struct mqtt_client *c); /* subscriptions that the broker refuses */

#endif

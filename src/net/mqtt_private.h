/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two files of the MQTT client share: mqtt.c is what its user calls, mqtt_link.c the
 * connection and what the library tells.
 */
#ifndef NET_MQTT_PRIVATE_H
#define NET_MQTT_PRIVATE_H

#include <mosquitto.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "io/loop.h"
#include "mqtt.h"

enum client_state { WAITING, STARTING, OPENING, CONNECTED, CLIENT_STATE_NR };

struct publish {
    struct list link;
    int mid;
    uint8_t qos;
    size_t n;
    int code;
    mqtt_done_fn *done;
    void *arg;
};

struct subscription {
    uint8_t qos;
    int mid; /* of the SUBSCRIBE that was sent last */
    bool refused;
};

struct mqtt_client {
    struct mqtt_config cfg; /* texts are not kept here, but host */
    char *host;
    struct mosquitto *mosq;
    enum client_state state;
    bool begun;  /* connected once: it is "reconnect" from now on */
    bool closed; /* freed when the thread is done */
    struct io_work work;
    int work_code, work_errno;
    int fd; /* the duplicate */
    struct io_poll *poll;
    struct io_timer timer;  /* back-off, or the limit of OPENING */
    struct io_timer ticker; /* keepalive */
    struct io_task finish;  /* callbacks that wait */
    struct list waiting;    /* publishes that are not done */
    struct list finished;   /* done, to be told */
    size_t queued;
    bool blocked, ready; /* on_ready is owed; is due */
    bool held;           /* mqtt_hold() */
    bool changed;        /* on_state is due */
    bool unacknowledged; /* a message came since on_acknowledge() */
    int told;            /* what it said last; -1 = nothing yet */
    char why[256];
    int64_t backoff_ms;
    struct map subscriptions; /* filter to struct subscription */
    struct buf properties;
};

/* ---- mqtt.c ---- */

void mqtt_free(struct mqtt_client *c); /* when nothing of it is on the stack */

/* ---- mqtt_link.c ---- */

void mqtt_link_init(struct mqtt_client *c);
void mqtt_set_callbacks(struct mosquitto *m);
void mqtt_open_now(struct mqtt_client *c);
/* The thread of STARTING is done; frees a client that was closed. */
void mqtt_opened(void *arg);
void mqtt_unwatch(struct mqtt_client *c);
void mqtt_watch(struct mqtt_client *c); /* what there is to wait for now */
/* After each call into the library: is there still a socket, what to wait for. */
void mqtt_after_code(struct mqtt_client *c, int rc);
void mqtt_after(struct mqtt_client *c);
void mqtt_send_subscription(struct mqtt_client *c, const char *filter, struct subscription *s);
const char *mqtt_reason_text(int rc, int saved_errno);

#endif

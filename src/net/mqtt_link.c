/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmosquitto on our loop. Its socket is watched through a duplicate, because it closes its own
 * whenever it likes; connecting begins in the thread pool, because it looks names up.
 *
 *      WAITING --back-off--> STARTING --thread done--> OPENING --CONNACK--> CONNECTED
 *         ^______ failed _______/______ lost, late _______/______ lost ________/
 *
 * Callbacks of the user come from a task, except on_message, which comes from the reading of the
 * socket, never from a call of the user.
 */
#include <mqtt_protocol.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/mem.h"
#include "mqtt_private.h"

#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 30000
#define OPEN_MS 15000
#define GATHER 256 /* packets */

/* ---- callbacks that wait ---- */

static void finish(void *arg)
{
    struct mqtt_client *c = arg;
    struct list done;
    list_init(&done);
    list_splice(&done, &c->finished);
    bool changed = c->changed && c->told != (int)(c->state == CONNECTED);
    bool ready = c->ready;
    c->changed = c->ready = false;
    void *user = c->cfg.arg;
    /* Each callback may close the client, which then lives until the next turn; the rest is not
     * told. */
    if (changed) {
        c->told = c->state == CONNECTED;
        if (c->cfg.on_state) {
            c->cfg.on_state(user, c->told == 1, c->why);
        }
    }
    for (struct list *l; (l = list_pop_front(&done));) {
        struct publish *p = CONTAINER_OF(l, struct publish, link);
        if (p->done && !c->closed) {
            p->done(p->arg, p->code);
        }
        mem_free(p);
    }
    if (ready && !c->closed && c->cfg.on_ready) {
        c->cfg.on_ready(user);
    }
}

static void soon(struct mqtt_client *c)
{
    if (!c->closed) {
        loop_defer(c->cfg.loop, &c->finish);
    }
}

static void unblock(struct mqtt_client *c)
{
    if (c->blocked && c->state == CONNECTED && c->queued <= c->cfg.queue_bytes / 2) {
        c->blocked = false;
        c->ready = true;
        soon(c);
    }
}

static void publish_done(struct mqtt_client *c, struct publish *p, int code)
{
    list_del(&p->link);
    c->queued -= p->n;
    p->code = code;
    list_push_back(&c->finished, &p->link);
    unblock(c);
    soon(c);
}

/* MQTT 5's reason codes of PUBACK and the like; 3.1.1 knows none. */
static int code_of(int reason)
{
    switch (reason) {
    case MQTT_RC_NOT_AUTHORIZED:
        return -E_ACCESS;
    case MQTT_RC_QUOTA_EXCEEDED:
        return -E_TOOMANY;
    case MQTT_RC_PACKET_TOO_LARGE:
        return -E_TOOBIG;
    case MQTT_RC_TOPIC_NAME_INVALID:
    case MQTT_RC_PAYLOAD_FORMAT_INVALID:
        return -E_INVAL;
    default:
        return reason < 0x80 ? 0 : -E_IO;
    }
}

/* ---- the connection ---- */

void mqtt_unwatch(struct mqtt_client *c)
{
    io_poll_close(c->poll);
    c->poll = NULL;
    fd_closep(&c->fd);
}

static void wait_again(struct mqtt_client *c)
{
    int64_t jitter = (int64_t)random_below((uint64_t)c->backoff_ms);
    io_timer_start(&c->timer, c->backoff_ms / 2 + jitter, /* repeat_ms= */ 0);
    c->backoff_ms = MIN_OF(c->backoff_ms * 2, BACKOFF_MAX_MS);
}

static void lost(struct mqtt_client *c, const char *why)
{
    mqtt_unwatch(c);
    io_timer_stop(&c->ticker);
    if (c->state == CONNECTED || c->why[0] == 0) {
        (void)cstr_copy(c->why, sizeof(c->why), why); /* may be cut */
    }
    c->state = WAITING;
    LIST_FOR_EACH_SAFE (l, &c->waiting) {
        struct publish *p = CONTAINER_OF(l, struct publish, link);
        if (p->qos == 0) {
            publish_done(c, p, -E_CONNRESET);
        }
    }
    c->changed = true;
    soon(c);
    wait_again(c);
}

const char *mqtt_reason_text(int rc, int saved_errno)
{
    return rc == MOSQ_ERR_ERRNO ? err_text(-saved_errno) : mosquitto_strerror(rc);
}

/* In a handshake of TLS the library takes each failure of the socket, as a refused connection, for
 * "not yet": its end is looked for here. What came before it has been read. */
static bool opening_ended(struct mqtt_client *c)
{
    char byte;
    if (c->state != OPENING) {
        return false;
    }
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN);
}

static bool more_to_read(struct mqtt_client *c)
{
    SSL *ssl = mosquitto_socket(c->mosq) >= 0 ? mosquitto_ssl_get(c->mosq) : NULL;
    return ssl && SSL_pending(ssl) > 0;
}

void mqtt_watch(struct mqtt_client *c)
{
    bool buffered = !c->held && more_to_read(c); /* of TLS: the socket tells of it no more */
    io_poll_set(c->poll, (c->held ? 0 : IO_READABLE) |
                             (mosquitto_want_write(c->mosq) || buffered ? IO_WRITABLE : 0));
}

void mqtt_after_code(struct mqtt_client *c, int rc)
{
    int saved = errno;
    if (c->state != OPENING && c->state != CONNECTED) {
        return;
    }
    if (mosquitto_socket(c->mosq) < 0) {
        lost(c, rc == MOSQ_ERR_SUCCESS ? "the connection is closed" : mqtt_reason_text(rc, saved));
        return;
    }
    if (opening_ended(c)) {
        lost(c, "the broker does not listen, or closed the connection");
        return;
    }
    mqtt_watch(c);
}

void mqtt_after(struct mqtt_client *c)
{
    mqtt_after_code(c, MOSQ_ERR_SUCCESS);
}

/* Messages that are acknowledged together: what waits in the socket is read first. */
static bool gathers(struct mqtt_client *c, unsigned packets)
{
    char byte;
    return c->unacknowledged && packets < GATHER && mosquitto_socket(c->mosq) >= 0 &&
           recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static void on_poll(void *arg, unsigned events, int code)
{
    struct mqtt_client *c = arg;
    int rc = MOSQ_ERR_SUCCESS;
    bool broken = code < 0; /* the watch has ended */
    if (broken) {
        events = IO_READABLE; /* the library finds out why */
    }
    if ((events & IO_READABLE) || (!c->held && more_to_read(c))) {
        unsigned packets = 0;
        do {
            rc = mosquitto_loop_read(c->mosq, 1);
        } while (rc == MOSQ_ERR_SUCCESS && !c->closed && !c->held &&
                 (more_to_read(c) || gathers(c, ++packets)));
    }
    if (!c->closed && rc == MOSQ_ERR_SUCCESS && (events & IO_WRITABLE)) {
        if (c->unacknowledged && c->cfg.on_acknowledge(c->cfg.arg) < 0) {
            lost(c, "messages cannot be kept");
            return;
        }
        c->unacknowledged = false;
        rc = mosquitto_loop_write(c->mosq, 1);
    }
    if (!c->closed) {
        mqtt_after_code(c, rc);
    }
    if (broken && !c->closed && c->poll) { /* it did not */
        lost(c, "the connection failed");
    }
}

static void on_tick(void *arg)
{
    struct mqtt_client *c = arg;
    mqtt_after_code(c, mosquitto_loop_misc(c->mosq));
}

static void connect_in_thread(void *arg)
{
    struct mqtt_client *c = arg;
    int keepalive = c->cfg.keepalive_s ? c->cfg.keepalive_s : 60;
    c->work_code = c->begun ? mosquitto_reconnect_async(c->mosq)
                            : mosquitto_connect_async(c->mosq, c->host, c->cfg.port, keepalive);
    c->work_errno = errno;
}

void mqtt_opened(void *arg)
{
    struct mqtt_client *c = arg;
    if (c->closed) {
        mqtt_free(c);
        return;
    }
    c->begun = true; /* the library has the address now, also where it failed */
    int fd = mosquitto_socket(c->mosq);
    c->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -EBADF;
    if (c->fd < 0 || io_poll_new(c->cfg.loop, c->fd, on_poll, c, &c->poll) < 0) {
        lost(c, mqtt_reason_text(c->work_code, c->work_errno));
        return;
    }
    c->state = OPENING;
    io_timer_start(&c->timer, OPEN_MS, /* repeat_ms= */ 0);
    io_timer_start(&c->ticker, 1000, 1000);
    io_poll_set(c->poll, IO_READABLE | IO_WRITABLE);
}

void mqtt_open_now(struct mqtt_client *c)
{
    c->state = STARTING;
    c->why[0] = 0;
    c->work = (struct io_work){.run = connect_in_thread, .done = mqtt_opened, .arg = c};
    loop_work(c->cfg.loop, &c->work);
}

static void on_timer(void *arg)
{
    struct mqtt_client *c = arg;
    if (c->state == WAITING) {
        mqtt_open_now(c);
    } else if (c->state == OPENING) {
        lost(c, "the broker does not answer");
    }
}

/* ---- what the library tells ---- */

void mqtt_send_subscription(struct mqtt_client *c, const char *filter, struct subscription *s)
{
    /* A failure here is a lost connection, after which it is sent again. */
    (void)mosquitto_subscribe(c->mosq, &s->mid, filter, s->qos);
}

static void on_connect(struct mosquitto *m, void *arg, int rc, int flags,
                       const mosquitto_property *properties)
{
    struct mqtt_client *c = arg;
    if (rc != 0) {
        const char *text =
            c->cfg.version == 5 ? mosquitto_reason_string(rc) : mosquitto_connack_string(rc);
        (void)snprintf(c->why, sizeof(c->why), "refused: %s", text); /* may be cut */
        return;
    }
    io_timer_stop(&c->timer);
    c->state = CONNECTED;
    c->why[0] = 0;
    c->backoff_ms = BACKOFF_FIRST_MS;
    c->changed = true;
    MAP_FOR_EACH (slot, &c->subscriptions) {
        mqtt_send_subscription(c, slot->key, slot->value);
    }
    unblock(c);
    soon(c);
}

static void on_publish(struct mosquitto *m, void *arg, int mid, int reason,
                       const mosquitto_property *properties)
{
    struct mqtt_client *c = arg;
    LIST_FOR_EACH_SAFE (l, &c->waiting) {
        struct publish *p = CONTAINER_OF(l, struct publish, link);
        if (p->mid == mid) {
            publish_done(c, p, code_of(reason));
            return;
        }
    }
}

static void on_subscribe(struct mosquitto *m, void *arg, int mid, int n, const int *granted,
                         const mosquitto_property *properties)
{
    struct mqtt_client *c = arg;
    MAP_FOR_EACH (slot, &c->subscriptions) {
        struct subscription *s = slot->value;
        if (s->mid == mid && n > 0) {
            s->refused = granted[0] >= 0x80;
        }
    }
}

static void put_text(struct buf *b, const char *text)
{
    size_t n = strlen(text); /* at most 65535: its length came in two bytes */
    uint8_t length[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
    /* A failure is sticky and seen by the caller. */
    (void)buf_append(b, length, sizeof(length));
    (void)buf_append(b, text, n);
}

static struct str user_properties(struct mqtt_client *c, const mosquitto_property *list)
{
    char *name = NULL, *value = NULL;
    buf_clear(&c->properties);
    for (bool again = false;; again = true) {
        list = mosquitto_property_read_string_pair(list, MQTT_PROP_USER_PROPERTY, &name, &value,
                                                   again);
        if (!list) {
            break;
        }
        put_text(&c->properties, name);
        put_text(&c->properties, value);
        free(name); /* the interface says free(3) */
        free(value);
    }
    return buf_failed(&c->properties) ? STR_NULL : buf_str(&c->properties);
}

static void on_message(struct mosquitto *m, void *arg, const struct mosquitto_message *message,
                       const mosquitto_property *properties)
{
    struct mqtt_client *c = arg;
    if (!c->cfg.on_message || c->closed) {
        return;
    }
    struct mqtt_event e = {
        .topic = str_of(message->topic),
        .payload = str_n(message->payload, (size_t)message->payloadlen),
        .properties = properties ? user_properties(c, properties) : STR_NULL,
        .time_us = wall_now().us,
        .qos = (uint8_t)message->qos,
        .retain = message->retain,
    };
    c->unacknowledged = c->cfg.on_acknowledge != NULL;
    c->cfg.on_message(c->cfg.arg, &e);
}

void mqtt_link_init(struct mqtt_client *c)
{
    c->fd = -EBADF;
    c->backoff_ms = BACKOFF_FIRST_MS;
    io_task_init(&c->finish, finish, c);
    io_timer_init(c->cfg.loop, &c->timer, on_timer, c);
    io_timer_init(c->cfg.loop, &c->ticker, on_tick, c);
}

void mqtt_set_callbacks(struct mosquitto *m)
{
    mosquitto_connect_v5_callback_set(m, on_connect);
    mosquitto_publish_v5_callback_set(m, on_publish);
    mosquitto_subscribe_v5_callback_set(m, on_subscribe);
    mosquitto_message_v5_callback_set(m, on_message);
}

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
#include "mqtt.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/mqtt_topic.h"
#include "io/loop.h"

#define QUEUE_BYTES ((size_t)16 << 20)
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 30000
#define OPEN_MS 15000
#define INFLIGHT 100

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
    bool changed;        /* on_state is due */
    int told;            /* what it said last; -1 = nothing yet */
    char why[256];
    int64_t backoff_ms;
    struct map subscriptions; /* filter to struct subscription */
    struct buf properties;
};

static void after(struct mqtt_client *c);

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

static void unwatch(struct mqtt_client *c)
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
    unwatch(c);
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

static const char *reason_text(int rc, int saved_errno)
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

/* After each call into the library: is there still a socket, what to wait for. */
static void after_code(struct mqtt_client *c, int rc)
{
    int saved = errno;
    if (c->state != OPENING && c->state != CONNECTED) {
        return;
    }
    if (mosquitto_socket(c->mosq) < 0) {
        lost(c, rc == MOSQ_ERR_SUCCESS ? "the connection is closed" : reason_text(rc, saved));
        return;
    }
    if (opening_ended(c)) {
        lost(c, "the broker does not listen, or closed the connection");
        return;
    }
    io_poll_set(c->poll, IO_READABLE | (mosquitto_want_write(c->mosq) ? IO_WRITABLE : 0));
}

static void after(struct mqtt_client *c)
{
    after_code(c, MOSQ_ERR_SUCCESS);
}

static bool more_to_read(struct mqtt_client *c)
{
    SSL *ssl = mosquitto_socket(c->mosq) >= 0 ? mosquitto_ssl_get(c->mosq) : NULL;
    return ssl && SSL_pending(ssl) > 0;
}

static void on_poll(void *arg, unsigned events, int code)
{
    struct mqtt_client *c = arg;
    int rc = MOSQ_ERR_SUCCESS;
    bool broken = code < 0; /* the watch has ended */
    if (broken) {
        events = IO_READABLE; /* the library finds out why */
    }
    if (events & IO_READABLE) {
        do {
            rc = mosquitto_loop_read(c->mosq, 1);
        } while (rc == MOSQ_ERR_SUCCESS && !c->closed && more_to_read(c));
    }
    if (!c->closed && rc == MOSQ_ERR_SUCCESS && (events & IO_WRITABLE)) {
        rc = mosquitto_loop_write(c->mosq, 1);
    }
    if (!c->closed) {
        after_code(c, rc);
    }
    if (broken && !c->closed && c->poll) { /* it did not */
        lost(c, "the connection failed");
    }
}

static void on_tick(void *arg)
{
    struct mqtt_client *c = arg;
    after_code(c, mosquitto_loop_misc(c->mosq));
}

static void connect_in_thread(void *arg)
{
    struct mqtt_client *c = arg;
    int keepalive = c->cfg.keepalive_s ? c->cfg.keepalive_s : 60;
    c->work_code = c->begun ? mosquitto_reconnect_async(c->mosq)
                            : mosquitto_connect_async(c->mosq, c->host, c->cfg.port, keepalive);
    c->work_errno = errno;
}

static void client_free(struct mqtt_client *c);

static void opened(void *arg)
{
    struct mqtt_client *c = arg;
    if (c->closed) {
        client_free(c);
        return;
    }
    c->begun = true; /* the library has the address now, also where it failed */
    int fd = mosquitto_socket(c->mosq);
    c->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -EBADF;
    if (c->fd < 0 || io_poll_new(c->cfg.loop, c->fd, on_poll, c, &c->poll) < 0) {
        lost(c, reason_text(c->work_code, c->work_errno));
        return;
    }
    c->state = OPENING;
    io_timer_start(&c->timer, OPEN_MS, /* repeat_ms= */ 0);
    io_timer_start(&c->ticker, 1000, 1000);
    io_poll_set(c->poll, IO_READABLE | IO_WRITABLE);
}

static void open_now(struct mqtt_client *c)
{
    c->state = STARTING;
    c->why[0] = 0;
    c->work = (struct io_work){.run = connect_in_thread, .done = opened, .arg = c};
    loop_work(c->cfg.loop, &c->work);
}

static void on_timer(void *arg)
{
    struct mqtt_client *c = arg;
    if (c->state == WAITING) {
        open_now(c);
    } else if (c->state == OPENING) {
        lost(c, "the broker does not answer");
    }
}

/* ---- what the library tells ---- */

static void send_subscription(struct mqtt_client *c, const char *filter, struct subscription *s)
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
        send_subscription(c, slot->key, slot->value);
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
    c->cfg.on_message(c->cfg.arg, &e);
}

/* ---- begin and end ---- */

static int library_failed(int rc, const char *what, struct err *err)
{
    return err_set(err, rc == MOSQ_ERR_NOMEM ? -E_NOMEM : -E_INVAL, "mqtt: %s: %s", what,
                   reason_text(rc, errno));
}

static int set_tls(struct mqtt_client *c, const struct mqtt_config *cfg, struct err *err)
{
    const char *dir = cfg->tls.ca_file ? NULL : "/etc/ssl/certs";
    int rc = mosquitto_tls_set(c->mosq, cfg->tls.ca_file, dir, cfg->tls.cert_file,
                               cfg->tls.key_file, /* pw_callback= */ NULL);
    if (rc == MOSQ_ERR_SUCCESS && cfg->tls.insecure) {
        rc = mosquitto_tls_opts_set(c->mosq, /* cert_reqs= */ 0, NULL, NULL);
        rc = rc == MOSQ_ERR_SUCCESS ? mosquitto_tls_insecure_set(c->mosq, true) : rc;
    }
    return rc == MOSQ_ERR_SUCCESS ? 0 : library_failed(rc, "TLS", err);
}

static int set_options(struct mqtt_client *c, const struct mqtt_config *cfg, struct err *err)
{
    int rc = mosquitto_int_option(c->mosq, MOSQ_OPT_PROTOCOL_VERSION,
                                  c->cfg.version == 5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
    rc = rc ? rc : mosquitto_int_option(c->mosq, MOSQ_OPT_SEND_MAXIMUM, INFLIGHT);
    if (cfg->port != 0) {
        rc = rc ? rc : mosquitto_int_option(c->mosq, MOSQ_OPT_TCP_NODELAY, 1);
    }
    if (rc != MOSQ_ERR_SUCCESS) {
        return library_failed(rc, "options", err);
    }
    if (cfg->username) {
        rc = mosquitto_username_pw_set(c->mosq, cfg->username, cfg->password);
        if (rc != MOSQ_ERR_SUCCESS) {
            return library_failed(rc, "user name", err);
        }
    }
    if (cfg->will.topic) {
        rc = mosquitto_will_set(c->mosq, cfg->will.topic, (int)cfg->will.payload.n,
                                cfg->will.payload.p, cfg->will.qos, cfg->will.retain);
        if (rc != MOSQ_ERR_SUCCESS) {
            return library_failed(rc, "will", err);
        }
    }
    return cfg->tls.on ? set_tls(c, cfg, err) : 0;
}

static int check(const struct mqtt_config *cfg, struct err *err)
{
    if (!cfg->host || !cfg->host[0]) {
        return err_set(err, -E_INVAL, "mqtt: there is no broker's address");
    }
    if (cfg->version != 0 && cfg->version != 4 && cfg->version != 5) {
        return err_set(err, -E_INVAL, "mqtt: version %u is neither 4 (3.1.1) nor 5", cfg->version);
    }
    if (cfg->keep_session && !cfg->client_id) {
        return err_set(err, -E_INVAL, "mqtt: a session that is kept needs a client id");
    }
    if (cfg->keep_session && cfg->version == 5) {
        return err_set(err, -E_NOTSUP, "mqtt: sessions are kept with version 4 (3.1.1) only");
    }
    if (cfg->will.qos > 2) {
        return err_set(err, -E_INVAL, "mqtt: QoS %u is none", cfg->will.qos);
    }
    return 0;
}

static void publishes_free(struct list *head)
{
    for (struct list *l; (l = list_pop_front(head));) {
        mem_free(CONTAINER_OF(l, struct publish, link));
    }
}

static void client_free(struct mqtt_client *c)
{
    mosquitto_destroy(c->mosq);
    (void)mosquitto_lib_cleanup(); /* counted; never fails */
    publishes_free(&c->waiting);
    publishes_free(&c->finished);
    map_fini(&c->subscriptions, mem_free);
    buf_fini(&c->properties);
    mem_free(c->host);
    mem_free(c);
}

static void set_callbacks(struct mosquitto *m)
{
    mosquitto_connect_v5_callback_set(m, on_connect);
    mosquitto_publish_v5_callback_set(m, on_publish);
    mosquitto_subscribe_v5_callback_set(m, on_subscribe);
    mosquitto_message_v5_callback_set(m, on_message);
}

int mqtt_open(const struct mqtt_config *cfg, struct mqtt_client **ret, struct err *err)
{
    char id[24] = "selvedge-";
    int code = check(cfg, err);
    struct mqtt_client *c = code < 0 ? NULL : mem_zalloc(sizeof(*c));
    if (!c) {
        return code < 0 ? code : err_set(err, -E_NOMEM, "mqtt: out of memory");
    }
    random_name(id + strlen(id), 12);
    c->cfg = *cfg;
    c->cfg.queue_bytes = cfg->queue_bytes ? cfg->queue_bytes : QUEUE_BYTES;
    c->cfg.version = cfg->version ? cfg->version : cfg->keep_session ? 4 : 5;
    c->fd = -EBADF;
    c->told = -1;
    c->backoff_ms = BACKOFF_FIRST_MS;
    list_init(&c->waiting);
    list_init(&c->finished);
    io_task_init(&c->finish, finish, c);
    io_timer_init(cfg->loop, &c->timer, on_timer, c);
    io_timer_init(cfg->loop, &c->ticker, on_tick, c);
    (void)mosquitto_lib_init(); /* counted; never fails here */
    c->host = mem_strdup(cfg->host);
    c->mosq = mosquitto_new(cfg->client_id ? cfg->client_id : id, !cfg->keep_session, c);
    if (!c->host || !c->mosq) {
        code = err_set(err, -E_NOMEM, "mqtt: out of memory");
    } else {
        code = set_options(c, cfg, err);
    }
    if (code < 0) {
        client_free(c);
        return code;
    }
    set_callbacks(c->mosq);
    open_now(c);
    *ret = c;
    return 0;
}

void mqtt_close(struct mqtt_client *c)
{
    if (!c) {
        return;
    }
    c->closed = true;
    io_task_cancel(&c->finish);
    io_timer_stop(&c->timer);
    io_timer_stop(&c->ticker);
    if (c->state == STARTING) {
        return; /* opened() frees */
    }
    if (c->state == CONNECTED) {
        (void)mosquitto_disconnect(c->mosq); /* politeness alone */
    }
    unwatch(c);
    /* The library, or finish(), may be on the stack: freed in the next turn. */
    io_task_init(&c->finish, opened, c);
    loop_defer(c->cfg.loop, &c->finish);
}

/* ---- publish and subscribe ---- */

int mqtt_publish(struct mqtt_client *c, const char *topic, struct str payload, uint8_t qos,
                 bool retain, mqtt_done_fn *done, void *arg)
{
    if (!mqtt_topic_valid(str_of(topic)) || qos > 2) {
        return -E_INVAL;
    }
    size_t n = payload.n + strlen(topic) + 64;
    if (payload.n > MQTT_MAX_PAYLOAD) {
        return -E_TOOBIG;
    }
    if (c->state != CONNECTED || (c->queued > 0 && c->queued + n > c->cfg.queue_bytes)) {
        c->blocked = true;
        return -E_AGAIN;
    }
    struct publish *p = mem_zalloc(sizeof(*p));
    if (!p) {
        return -E_NOMEM;
    }
    *p = (struct publish){.qos = qos, .n = n, .done = done, .arg = arg};
    list_push_back(&c->waiting, &p->link);
    c->queued += n;
    /* p->mid is set before on_publish can come. */
    int rc = mosquitto_publish_v5(c->mosq, &p->mid, topic, (int)payload.n, payload.p, qos, retain,
                                  /* properties= */ NULL);
    bool taken = rc == MOSQ_ERR_SUCCESS || (qos > 0 && mosquitto_socket(c->mosq) < 0);
    if (!taken) {
        list_del(&p->link);
        c->queued -= n;
        mem_free(p);
    }
    after_code(c, rc);
    if (taken) {
        return 0;
    }
    c->blocked |= c->state != CONNECTED;
    return rc == MOSQ_ERR_OVERSIZE_PACKET || rc == MOSQ_ERR_PAYLOAD_SIZE ? -E_TOOBIG
           : rc == MOSQ_ERR_NOMEM                                        ? -E_NOMEM
           : c->state == CONNECTED                                       ? -E_INVAL
                                                                         : -E_AGAIN;
}

int mqtt_subscribe(struct mqtt_client *c, const char *filter, uint8_t qos)
{
    if (!mqtt_filter_valid(str_of(filter)) || qos > 2) {
        return -E_INVAL;
    }
    struct subscription *s = map_get(&c->subscriptions, str_of(filter));
    if (!s) {
        s = mem_zalloc(sizeof(*s));
        if (!s || map_put(&c->subscriptions, str_of(filter), s, /* ret_old= */ NULL) < 0) {
            mem_free(s);
            return -E_NOMEM;
        }
    }
    s->qos = qos;
    if (c->state == CONNECTED) {
        send_subscription(c, filter, s);
        after(c);
    }
    return 0;
}

int mqtt_unsubscribe(struct mqtt_client *c, const char *filter)
{
    struct subscription *s = map_del(&c->subscriptions, str_of(filter));
    if (!s) {
        return -E_NOENT;
    }
    mem_free(s);
    if (c->state == CONNECTED) {
        (void)mosquitto_unsubscribe(c->mosq, NULL, filter); /* a lost connection forgets it too */
        after(c);
    }
    return 0;
}

bool mqtt_connected(const struct mqtt_client *c)
{
    return c->state == CONNECTED;
}

size_t mqtt_queued(const struct mqtt_client *c)
{
    return c->queued;
}

size_t mqtt_refused(const struct mqtt_client *c)
{
    size_t n = 0;
    MAP_FOR_EACH (slot, &c->subscriptions) {
        n += ((const struct subscription *)slot->value)->refused;
    }
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of MQTT: open, close, publish, subscribe; the connection is in mqtt_link.c. */
#include "mqtt.h"

#include <mqtt_protocol.h>

#include "base/encode.h"
#include "base/mem.h"
#include "codec/mqtt_topic.h"
#include "mqtt_private.h"

#define QUEUE_BYTES ((size_t)16 << 20)
#define INFLIGHT 100

/* ---- begin and end ---- */

static int library_failed(int rc, const char *what, struct err *err)
{
    return err_set(err, rc == MOSQ_ERR_NOMEM ? -E_NOMEM : -E_INVAL, "mqtt: %s: %s", what,
                   mqtt_reason_text(rc, errno));
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

void mqtt_free(struct mqtt_client *c)
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
    c->told = -1;
    list_init(&c->waiting);
    list_init(&c->finished);
    mqtt_link_init(c);
    (void)mosquitto_lib_init(); /* counted; never fails here */
    c->host = mem_strdup(cfg->host);
    c->mosq = mosquitto_new(cfg->client_id ? cfg->client_id : id, !cfg->keep_session, c);
    if (!c->host || !c->mosq) {
        code = err_set(err, -E_NOMEM, "mqtt: out of memory");
    } else {
        code = set_options(c, cfg, err);
    }
    if (code < 0) {
        mqtt_free(c);
        return code;
    }
    if (cfg->on_acknowledge) { /* nothing is written but by mosquitto_loop_write() */
        (void)mosquitto_threaded_set(c->mosq, true);
    }
    mqtt_set_callbacks(c->mosq);
    mqtt_open_now(c);
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
        return; /* mqtt_opened() frees */
    }
    if (c->state == CONNECTED) {
        (void)mosquitto_disconnect(c->mosq); /* politeness alone */
    }
    mqtt_unwatch(c);
    /* The library, or finish(), may be on the stack: freed in the next turn. */
    io_task_init(&c->finish, mqtt_opened, c);
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
    mqtt_after_code(c, rc);
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
        mqtt_send_subscription(c, filter, s);
        mqtt_after(c);
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
        mqtt_after(c);
    }
    return 0;
}

void mqtt_hold(struct mqtt_client *c, bool hold)
{
    if (c->held != hold) {
        c->held = hold;
        if (c->poll) {
            mqtt_watch(c);
        }
    }
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

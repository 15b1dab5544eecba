/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MQTT source: DATASOURCE is a topic filter. With `server` it subscribes at that broker as a
 * client; without one it takes the messages of the node's own broker from the ring, without a
 * second TCP hop. For rules with qos > 0 it subscribes at the own broker, too, always with QoS 1 at
 * most, in a session that the broker keeps while we are away, and acknowledges what is on the disk
 * (source_inbox.h). Metadata of an event: topic, qos, retained, client, user.
 */
#include "source_mqtt.h"

#include "base/log.h"
#include "base/mem.h"
#include "part/data/broker/broker.h"
#include "codec/mqtt_topic.h"
#include "part/data/data_private.h"
#include "part/data/mqtt_peer.h"
#include "source_inbox.h"

#define META_MEMBERS 5

struct mqtt {
    struct source source;
    struct mqtt_client *client; /* NULL: the node's own broker */
    struct list link;
    struct str filter; /* without $share/GROUP/ */
};

/* ---- events ---- */

static struct value meta_of(const struct mqtt_event *e, struct value_member m[META_MEMBERS])
{
    uint32_t n = 0;
    m[n++] = (struct value_member){STR_LIT("topic"), value_string(e->topic)};
    m[n++] = (struct value_member){STR_LIT("qos"), value_int(e->qos)};
    m[n++] = (struct value_member){STR_LIT("retained"), value_bool(e->retain)};
    if (e->client.n > 0) {
        m[n++] = (struct value_member){STR_LIT("client"), value_string(e->client)};
    }
    if (e->user.n > 0) {
        m[n++] = (struct value_member){STR_LIT("user"), value_string(e->user)};
    }
    return (struct value){.type = VALUE_OBJECT, .n = n, .members = m};
}

static void deliver(struct mqtt *m, const struct mqtt_event *const *events, size_t n)
{
    struct payload payloads[256];
    struct value_member members[256][META_MEMBERS];
    for (size_t at = 0; at < n; at += ARRAY_SIZE(payloads)) {
        size_t part = MIN_OF(n - at, ARRAY_SIZE(payloads));
        for (size_t i = 0; i < part; i++) {
            const struct mqtt_event *e = events[at + i];
            payloads[i] = (struct payload){
                .bytes = e->payload, .arrival_us = e->time_us, .meta = meta_of(e, members[i])};
        }
        source_deliver(&m->source, payloads, (uint32_t)part);
    }
}

static void on_message(void *arg, const struct mqtt_event *e)
{
    struct mqtt *m = arg;
    deliver(m, &e, 1);
    if (!source_ready(&m->source)) {
        mqtt_hold(m->client, true);
    }
}

void mqtt_sources_take(void *arg, const struct mqtt_event *events, size_t n)
{
    struct data *d = arg;
    const struct mqtt_event *mine[BROKER_BURST];
    for (struct list *at = d->mqtt_sources.next, *next; at != &d->mqtt_sources; at = next) {
        struct mqtt *m = CONTAINER_OF(at, struct mqtt, link);
        size_t count = 0;
        next = at->next;
        for (size_t i = 0; i < n && count < BROKER_BURST; i++) {
            if (mqtt_filter_matches(m->filter, events[i].topic)) {
                mine[count++] = &events[i];
            }
        }
        if (count > 0) {
            deliver(m, mine, count);
        }
    }
}

bool mqtt_sources_ready(void *arg)
{
    struct data *d = arg;
    bool ready = true;
    for (struct list *at = d->mqtt_sources.next; at != &d->mqtt_sources; at = at->next) {
        ready = source_ready(&CONTAINER_OF(at, struct mqtt, link)->source) && ready;
    }
    return ready;
}

static void mqtt_source_resume(struct source *s)
{
    struct mqtt *m = (struct mqtt *)s;
    if (m->client) {
        mqtt_hold(m->client, false);
    } else if (s->data->broker) {
        broker_resume(s->data->broker);
    }
}

/* ---- the node's own broker ---- */

static int tell_filters(struct data *d, struct err *err)
{
    size_t n = 0, i = 0;
    for (struct list *at = d->mqtt_sources.next; at != &d->mqtt_sources; at = at->next) {
        n++;
    }
    const char **filters = mem_alloc((n + 1) * sizeof(char *));
    if (!filters) {
        return err_sys(err, -E_NOMEM, "subscribe");
    }
    for (struct list *at = d->mqtt_sources.next; at != &d->mqtt_sources; at = at->next) {
        filters[i++] = CONTAINER_OF(at, struct mqtt, link)->filter.p;
    }
    int rc = broker_topics(d->broker, filters, n, err);
    mem_free(filters);
    return rc;
}

static int open_own(struct mqtt *m, struct err *err)
{
    struct data *d = m->source.data;
    if (!d->broker) {
        return err_set(err, -E_INVAL,
                       "server is required (in CONF_KEY or EXTRA): this node runs no broker of "
                       "its own");
    }
    list_push_back(&d->mqtt_sources, &m->link);
    int rc = tell_filters(d, err);
    if (rc < 0) {
        list_del(&m->link);
        return rc;
    }
    source_told(&m->source, true, NULL);
    return 0;
}

/* ---- as a client: another broker, or what must not be lost ---- */

static int on_acknowledge(void *arg)
{
    struct mqtt *m = arg;
    return source_synced(&m->source);
}

/* A session under a name that is the same after a restart. Sessions that are kept need 3.1.1. */
static int keep_session(struct mqtt *m, struct mqtt_config *cfg, struct err *err)
{
    char name[48];
    inbox_name(m->source.inbox, name, sizeof(name));
    cfg->client_id = cfg->client_id ? cfg->client_id : arena_strdup(&m->source.arena, name);
    cfg->version = 4;
    cfg->keep_session = true;
    cfg->on_acknowledge = on_acknowledge;
    return cfg->client_id ? 0 : err_sys(err, -E_NOMEM, "read the options");
}

static void on_state(void *arg, bool connected, const char *why)
{
    struct mqtt *m = arg;
    source_told(&m->source, connected, why);
}

static int open_client(struct mqtt *m, struct err *err)
{
    struct source *s = &m->source;
    struct mqtt_config cfg;
    int64_t qos = json_i64(json_get(s->conf, "qos"), 1);
    int rc = qos < 0 || qos > 2 ? err_set(err, -E_INVAL, "qos must be 0, 1 or 2")
                                : mqtt_peer_read(s->data, &s->arena, s->conf, &cfg, err);
    if (rc == 0 && s->inbox) {
        qos = 1;
        rc = keep_session(m, &cfg, err);
    }
    if (rc < 0) {
        return rc;
    }
    cfg.on_state = on_state;
    cfg.on_message = on_message;
    cfg.arg = m;
    rc = mqtt_open(&cfg, &m->client, err);
    if (rc == 0) {
        rc = mqtt_subscribe(m->client, s->datasource, (uint8_t)qos);
        rc = rc < 0 ? err_sys(err, rc, "subscribe to '%s'", s->datasource) : 0;
    }
    return rc;
}

static void mqtt_source_close(struct source *s)
{
    struct mqtt *m = (struct mqtt *)s;
    struct err err;
    if (m->client) {
        mqtt_close(m->client);
    } else if (m->link.next && !list_empty(&m->link)) {
        list_del(&m->link);
        if (s->data->broker && tell_filters(s->data, &err) < 0) {
            log_warn("topics of the broker: %s, ignoring", err.text);
        }
    }
}

static int mqtt_source_open(struct source *s, struct err *err)
{
    struct mqtt *m = (struct mqtt *)s;
    list_init(&m->link);
    m->filter = mqtt_filter_unshared(str_of(s->datasource));
    if (!mqtt_filter_valid(m->filter)) {
        return err_set(err, -E_INVAL, "DATASOURCE '%s' is no topic filter", s->datasource);
    }
    bool other = json_text(json_get(s->conf, "server")).n > 0;
    int rc = other || (s->inbox && s->data->broker) ? open_client(m, err) : open_own(m, err);
    if (rc < 0) {
        mqtt_close(TAKE_PTR(m->client));
    }
    return rc;
}

const struct source_ops source_mqtt = {.type = "mqtt",
                                       .size = sizeof(struct mqtt),
                                       .kept = true,
                                       .open = mqtt_source_open,
                                       .close = mqtt_source_close,
                                       .resume = mqtt_source_resume};

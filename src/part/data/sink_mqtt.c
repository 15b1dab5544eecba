/* SPDX-License-Identifier: Apache-2.0 */
/* The MQTT sink: topic, qos, retained; see mqtt_peer.h for the broker. */
#include "base/mem.h"
#include "data_private.h"
#include "mqtt_peer.h"
#include "sink.h"

#define WINDOW 64 /* publishes that wait for their acknowledgement */

struct flight {
    struct mqtt *sink;
    uint64_t sequence;
    bool used;
};

struct mqtt {
    struct sink sink;
    struct mqtt_client *client;
    const char *topic;
    uint8_t qos;
    bool retained;
    struct flight flights[WINDOW];
};

static void on_done(void *arg, int code)
{
    struct flight *f = arg;
    f->used = false;
    sink_done(&f->sink->sink, f->sequence, code, NULL);
}

static int mqtt_sink_open(struct sink *s, struct err *err)
{
    struct mqtt *m = (struct mqtt *)s;
    struct mqtt_config cfg;
    int64_t qos = json_i64(json_get(s->conf, "qos"), 0);
    m->topic = json_cstr(json_get(s->conf, "topic"), "");
    m->qos = (uint8_t)qos;
    m->retained = json_true(json_get(s->conf, "retained"), false);
    if (*m->topic == '\0' || strpbrk(m->topic, "+#")) {
        return err_set(err, -E_INVAL, "topic: a topic without wildcards is required");
    }
    if (qos < 0 || qos > 2) {
        return err_set(err, -E_INVAL, "qos must be 0, 1 or 2");
    }
    int rc = mqtt_peer_read(s->data, &s->arena, s->conf, &cfg, err);
    return rc < 0 ? rc : mqtt_open(&cfg, &m->client, err);
}

static void mqtt_sink_close(struct sink *s)
{
    mqtt_close(((struct mqtt *)s)->client);
}

static void mqtt_send(struct sink *s, const struct sink_message *msg)
{
    struct mqtt *m = (struct mqtt *)s;
    struct flight *f = NULL;
    for (size_t i = 0; i < WINDOW && !f; i++) {
        f = m->flights[i].used ? NULL : &m->flights[i];
    }
    assert(f); /* the frame sends no more than the window */
    *f = (struct flight){.sink = m, .sequence = msg->sequence, .used = true};
    int rc = mqtt_publish(m->client, m->topic, msg->bytes, m->qos, m->retained, on_done, f);
    if (rc < 0) {
        f->used = false;
        sink_done(s, msg->sequence, rc,
                  mqtt_connected(m->client) ? NULL : "the broker is out of reach");
    }
}

const struct sink_ops sink_mqtt = {.type = "mqtt",
                                   .size = sizeof(struct mqtt),
                                   .window = WINDOW,
                                   .open = mqtt_sink_open,
                                   .close = mqtt_sink_close,
                                   .send = mqtt_send};

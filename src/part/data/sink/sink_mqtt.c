/* SPDX-License-Identifier: Apache-2.0 */
/* The MQTT sink: topic, qos, retained; see mqtt_peer.h for the broker. */
#include "base/mem.h"
#include "part/data/data_private.h"
#include "part/data/mqtt_peer.h"
#include "part/data/mqtt_share.h"
#include "sink.h"

struct mqtt {
    struct sink sink;
    struct mqtt_user *user;
    const char *topic;
    uint8_t qos;
    bool retained;
};

static void on_done(void *arg, uint64_t sequence, int code)
{
    sink_done(arg, sequence, code, NULL);
}

static int mqtt_sink_open(struct sink *s, struct err *err)
{
    struct mqtt *m = (struct mqtt *)s;
    struct mqtt_config cfg;
    int64_t qos = json_i64(json_get(s->conf, "qos"), 0);
    m->topic = arena_strdup(&s->arena, json_cstr(json_get(s->conf, "topic"), ""));
    m->qos = (uint8_t)qos;
    m->retained = json_true(json_get(s->conf, "retained"), false);
    if (!m->topic) {
        return err_sys(err, -E_NOMEM, "open a sink");
    }
    if (*m->topic == '\0' || strpbrk(m->topic, "+#")) {
        return err_set(err, -E_INVAL, "topic: a topic without wildcards is required");
    }
    if (qos < 0 || qos > 2) {
        return err_set(err, -E_INVAL, "qos must be 0, 1 or 2");
    }
    int rc = mqtt_peer_read(s->data, &s->arena, s->conf, &cfg, err);
    return rc < 0 ? rc : mqtt_user_open(s->data, &cfg, on_done, m, &m->user, err);
}

static void mqtt_sink_close(struct sink *s)
{
    mqtt_user_close(((struct mqtt *)s)->user);
}

static void mqtt_send(struct sink *s, const struct sink_message *msg)
{
    struct mqtt *m = (struct mqtt *)s;
    int rc = mqtt_user_publish(m->user, msg->sequence, m->topic, msg->bytes, m->qos, m->retained);
    if (rc < 0) {
        sink_done(s, msg->sequence, rc,
                  mqtt_user_connected(m->user) ? NULL : "the broker is out of reach");
    }
}

const struct sink_ops sink_mqtt = {.type = "mqtt",
                                   .size = sizeof(struct mqtt),
                                   .window = MQTT_USER_WINDOW,
                                   .open = mqtt_sink_open,
                                   .close = mqtt_sink_close,
                                   .send = mqtt_send};

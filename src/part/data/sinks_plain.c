/* SPDX-License-Identifier: Apache-2.0 */
/* Sinks without a peer: log (to be read by people), nop (to measure), memory (to other rules). */
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"
#include "sink.h"
#include "topics.h"

static int open_nothing(struct sink *s, struct err *err)
{
    (void)s;
    (void)err;
    return 0;
}

static void close_nothing(struct sink *s)
{
    (void)s; /* it owns nothing */
}

static void log_send(struct sink *s, const struct sink_message *m)
{
    log_info("rule %s: " STR_FMT, s->rule, STR_ARG(m->bytes));
    sink_done(s, m->sequence, 0, NULL);
}

const struct sink_ops sink_log_kind = {.type = "log",
                                       .size = sizeof(struct sink),
                                       .open = open_nothing,
                                       .close = close_nothing,
                                       .send = log_send};

static void nop_send(struct sink *s, const struct sink_message *m)
{
    sink_done(s, m->sequence, 0, NULL);
}

const struct sink_ops sink_nop = {.type = "nop",
                                  .size = sizeof(struct sink),
                                  .open = open_nothing,
                                  .close = close_nothing,
                                  .send = nop_send};

/* ---- memory ---- */

static int memory_open(struct sink *s, struct err *err)
{
    const char *topic = json_cstr(json_get(s->conf, "topic"), "");
    return *topic && !strpbrk(topic, "+#")
               ? 0
               : err_set(err, -E_INVAL, "topic: a memory topic without wildcards is required");
}

static void memory_send(struct sink *s, const struct sink_message *m)
{
    const char *topic = json_cstr(json_get(s->conf, "topic"), "");
    int rc = 0;
    if (m->object->type == VALUE_ARRAY) {
        for (uint32_t i = 0; rc == 0 && i < m->object->n; i++) {
            rc = topics_publish(s->data->topics, topic, &m->object->items[i]);
        }
    } else {
        rc = topics_publish(s->data->topics, topic, m->object);
    }
    sink_done(s, m->sequence, rc, NULL);
}

const struct sink_ops sink_memory = {.type = "memory",
                                     .size = sizeof(struct sink),
                                     .values = true,
                                     .open = memory_open,
                                     .close = close_nothing,
                                     .send = memory_send};

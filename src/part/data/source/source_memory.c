/* SPDX-License-Identifier: Apache-2.0 */
/* The memory source: events of memory topics; DATASOURCE is a topic or a filter with wildcards. */
#include "base/mem.h"
#include "codec/mqtt_topic.h"
#include "part/data/data_private.h"
#include "source.h"
#include "part/data/topics.h"

struct memory {
    struct source source;
    struct topic_subscriber subscriber;
};

static void on_event(void *arg, const char *topic, const struct value *event,
                     const struct value *deleted)
{
    struct memory *m = arg;
    if (deleted && engine_stream_is_lookup(m->source.stream)) {
        engine_delete(m->source.data->engine, m->source.stream, deleted);
        return;
    }
    struct value_member member = {STR_LIT("topic"), value_string(str_of(topic))};
    struct value meta = {.type = VALUE_OBJECT, .n = 1, .members = &member};
    source_deliver_values(&m->source, event, &meta, 1);
}

static bool is_ready(void *arg)
{
    struct memory *m = arg;
    return source_ready(&m->source);
}

static void memory_resume(struct source *s)
{
    topics_resume(s->data->topics);
}

static int memory_open(struct source *s, struct err *err)
{
    struct memory *m = (struct memory *)s;
    if (!mqtt_filter_valid(str_of(s->datasource))) {
        return err_set(err, -E_INVAL, "DATASOURCE '%s' is no topic", s->datasource);
    }
    m->subscriber = (struct topic_subscriber){.fn = on_event, .ready = is_ready, .arg = m};
    source_told(s, true, NULL);
    return topics_subscribe(s->data->topics, &m->subscriber, s->datasource) < 0
               ? err_sys(err, -E_NOMEM, "subscribe")
               : 0;
}

static void memory_close(struct source *s)
{
    struct memory *m = (struct memory *)s;
    topics_unsubscribe(s->data->topics, &m->subscriber);
}

const struct source_ops source_memory = {.type = "memory",
                                         .size = sizeof(struct memory),
                                         .open = memory_open,
                                         .close = memory_close,
                                         .resume = memory_resume};

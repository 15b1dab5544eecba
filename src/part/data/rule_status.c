/* SPDX-License-Identifier: Apache-2.0 */
/* The status of a rule in eKuiper's flat form: counts of its sources, operators and sinks. */
#include "base/mem.h"
#include "data_private.h"
#include "placement.h"
#include "part/data/sink/sink.h"
#include "part/data/source/source.h"

static const char *const state_names[RULE_STATE_NR] = {
    [RULE_STOPPED] = "stopped",
    [RULE_RUNNING] = "running",
    [RULE_FAILED] = "stopped by error",
    [RULE_WAITING] = "stopped: waiting for next schedule.",
};

const char *data_rule_state_name(const struct data_rule *r)
{
    return state_names[r->state];
}

static void count(struct json *o, struct arena *a, const char *kind, const char *name, uint32_t i,
                  const char *what, uint64_t n)
{
    char *key = arena_printf(a, "%s_%s_%u_%s", kind, name, i, what);
    json_set_int(o, key ? key : "", (int64_t)n);
}

static void trouble(struct json *o, struct arena *a, const char *kind, const char *name, uint32_t i,
                    const char *text)
{
    char *key = arena_printf(a, "%s_%s_%u_last_exception", kind, name, i);
    json_set_str(o, key ? key : "", text ? text : "");
}

static void add_sources(struct json *o, const struct data_rule *r, struct arena *a)
{
    const char *name;
    for (uint32_t i = 0; r->rule && (name = rule_stream(r->rule, i)); i++) {
        const struct data_stream *s = map_get(&r->data->streams, str_of(name));
        const struct source *src = s ? s->source : NULL;
        count(o, a, "source", name, 0, "records_in_total", src ? src->events : 0);
        count(o, a, "source", name, 0, "records_out_total", src ? src->events : 0);
        count(o, a, "source", name, 0, "exceptions_total", src ? src->errors : 0);
        count(o, a, "source", name, 0, "records_dropped_total", src ? src->dropped : 0);
        int64_t link = src && src->connected ? 1 : src && src->trouble ? -1 : 0;
        count(o, a, "source", name, 0, "connection_status", (uint64_t)link); /* 0: not yet */
        trouble(o, a, "source", name, 0, src ? src->trouble : s ? s->trouble : NULL);
    }
}

/* "sink_mqtt_0_0_...": kind and number of the action, and an instance, of which there is one. */
static void add_sinks(struct json *o, const struct data_rule *r, struct arena *a)
{
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        const struct sink *s = r->sinks[i];
        const char *numbered = arena_printf(a, "%s_%u", s->ops->type, i);
        const char *name = numbered ? numbered : "";
        count(o, a, "sink", name, 0, "records_in_total", s->in);
        count(o, a, "sink", name, 0, "records_out_total", s->sent);
        count(o, a, "sink", name, 0, "exceptions_total", s->errors);
        count(o, a, "sink", name, 0, "records_dropped_total", s->dropped);
        count(o, a, "sink", name, 0, "retries_total", s->retries);
        trouble(o, a, "sink", name, 0, s->trouble);
    }
}

struct json *data_rule_status(struct data_rule *r, struct arena *a)
{
    struct json *o = json_object(a);
    json_set_str(o, "status", data_rule_state_name(r));
    json_set_str(o, "message", r->reason ? r->reason : "");
    json_set_int(o, "lastStartTimestamp", r->started.us / 1000);
    json_set_int(o, "lastStopTimestamp", r->stopped.us / 1000);
    json_set_int(o, "nextStartTimestamp", rule_schedule_next_ms(r));
    json_set_int(o, "exceptions_total", (int64_t)r->errors);
    json_set_str(o, "last_exception", r->last_error ? r->last_error : "");
    json_set_int(o, "last_exception_time", r->last_error_at.us / 1000);
    json_set_int(o, "checkpoints_total", (int64_t)r->checkpoints);
    json_set_str(o, "checkpoint_last_exception",
                 r->checkpoint_trouble ? r->checkpoint_trouble : "");
    if (r->rule) {
        if (r->data->n_shards > 0) {
            json_set_int(o, "thread", placement_thread(r));
        }
        (void)shard_hold(r->shard);
        json_set_int(o, "memory_bytes", (int64_t)rule_bytes(r->live));
        add_sources(o, r, a);
        JSON_FOR_EACH_MEMBER (m, rule_status(r->live, a)) {
            json_set_n(o, str_n(m->key, m->key_n), m->value);
        }
        shard_release(r->shard);
        add_sinks(o, r, a);
    }
    return o;
}

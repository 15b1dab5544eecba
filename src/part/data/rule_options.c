/* SPDX-License-Identifier: Apache-2.0 */
/* The "options" of a rule, as eKuiper has them and ours beside. */
#include "data_private.h"

#include "codec/mqtt_topic.h"
#include "stream/expr/expr.h"

int data_rule_duration(const struct json *j, const char *name, int64_t *ret_us, struct err *err)
{
    if (!j) {
        return 0;
    }
    if (json_is(j, JSON_STRING)) {
        if (duration_parse(json_text(j), ret_us) < 0) {
            return err_set(err, -E_INVAL, "option %s: '%s' is not a duration such as \"10s\"", name,
                           json_cstr(j, ""));
        }
        return 0;
    }
    int64_t ms = json_i64(j, -1);
    if (ms < 0 || ms > INT64_MAX / 1000) {
        return err_set(err, -E_INVAL, "option %s: not a duration", name);
    }
    *ret_us = ms * 1000;
    return 0;
}

/* What eKuiper has and we have not is refused: a rule must not run otherwise than it says. */
static int refuse_unknown(const struct json *o, struct err *err)
{
    return json_true(json_get(o, "sendMetaToSink"), false)
               ? err_set(err, -E_NOTSUP,
                         "option sendMetaToSink is not supported: select meta(...) in SQL")
               : 0;
}

static int check_late_topic(const struct rule_options *o, struct err *err)
{
    if (!o->late_topic) {
        return 0;
    }
    if (!mqtt_topic_valid(str_of(o->late_topic))) {
        return err_set(err, -E_INVAL, "option lateTopic: '%s' is not the name of a topic",
                       o->late_topic);
    }
    return o->event_time
               ? 0
               : err_set(err, -E_INVAL, "option lateTopic: without isEventTime no event is late");
}

int data_rule_options(const struct json *o, struct rule_options *ret, struct err *err)
{
    int refused = refuse_unknown(o, err);
    if (refused < 0) {
        return refused;
    }
    int64_t qos = json_i64(json_get(o, "qos"), 0);
    int64_t memory = json_i64(json_get(o, "memoryLimit"), 0);
    if (qos < 0 || qos > 2) {
        return err_set(err, -E_INVAL, "option qos: %lld is not 0, 1 or 2", (long long)qos);
    }
    if (memory < 0) {
        return err_set(err, -E_INVAL, "option memoryLimit: not a number of bytes");
    }
    *ret = (struct rule_options){
        .event_time = json_true(json_get(o, "isEventTime"), false),
        .send_error = json_true(json_get(o, "sendError"), false),
        .send_nil = json_true(json_get(o, "sendNilField"), false),
        .qos = (uint32_t)qos,
        .memory_limit = (size_t)memory,
        .zone = json_cstr(json_get(o, "timezone"), NULL),
        .late_topic = json_cstr(json_get(o, "lateTopic"), NULL),
    };
    if (check_late_topic(ret, err) < 0) {
        return -E_INVAL;
    }
    const struct {
        const char *name;
        int64_t *to;
    } durations[] = {
        {"lateTolerance", &ret->late_tolerance_us},
        {"idleTimeout", &ret->idle_timeout_us},
        {"allowedLateness", &ret->allowed_lateness_us},
        {"checkpointInterval", &ret->checkpoint_us},
    };
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        int rc = data_rule_duration(json_get(o, durations[i].name), durations[i].name,
                                    durations[i].to, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

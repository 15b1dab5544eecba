/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds that are served in two forms: Event is stored as v1 Event, and events.k8s.io/v1 gives some
 * of its fields other names; HorizontalPodAutoscaler is stored as version 2
 * (kind_convert_scaler.c).
 */
#include "api/kind_private.h"

#include "api/crd/crd.h"
#include "base/clock.h"

static const struct {
    const char *stored, *served;
} event_names[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"reportingComponent", "reportingController"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
};

static const char *event_name(const char *name, bool to_served)
{
    for (size_t i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++) {
        const char *from = to_served ? event_names[i].stored : event_names[i].served;
        if (cstr_eq(name, from)) {
            return to_served ? event_names[i].served : event_names[i].stored;
        }
    }
    return name;
}

/* events.k8s.io wants a time in every event, and typed clients refuse one without it. Older events
 * have theirs in seconds. */
static void ensure_event_time(struct arena *a, struct json *event)
{
    static const char *const others[] = {"deprecatedFirstTimestamp", "deprecatedLastTimestamp"};
    const struct json *time = json_get(event, "eventTime");
    char text[TIME_TEXT_SIZE];
    struct wall t;
    if (time && time->type != JSON_NULL) {
        return;
    }
    for (size_t i = 0; i <= sizeof(others) / sizeof(others[0]); i++) {
        const char *other = i < sizeof(others) / sizeof(others[0])
                                ? json_path_cstr(event, others[i], "")
                                : json_path_cstr(event, "metadata.creationTimestamp", "");
        if (time_parse(str_of(other), &t) == 0) {
            json_set(event, "eventTime", json_string(a, time_text_micro(t, text)));
            return;
        }
    }
}

static struct json *event_convert(struct arena *a, const struct kind *to, struct json *obj,
                                  bool to_served)
{
    struct json *out = json_object(a);
    JSON_FOR_EACH_MEMBER (m, obj) {
        if (cstr_eq(m->key, "apiVersion")) {
            json_set_str(out, "apiVersion", to->api_version);
        } else {
            json_set(out, event_name(m->key, to_served), m->value);
        }
    }
    if (to_served) {
        ensure_event_time(a, out);
    }
    return out;
}

struct json *kind_to_served(struct arena *a, const struct kind *to, struct json *obj)
{
    if (to->custom) {
        return crd_to_served(a, to, obj);
    }
    switch (to->conversion) {
    case KIND_CONVERT_EVENTS_V1:
        return event_convert(a, to, obj, true);
    case KIND_CONVERT_AUTOSCALING_V1:
        return kind_scaler_to_v1(a, obj);
    default:
        return obj;
    }
}

struct json *kind_to_storage(struct arena *a, const struct kind *from, struct json *obj)
{
    switch (from->conversion) {
    case KIND_CONVERT_EVENTS_V1:
        return event_convert(a, from->storage, obj, false);
    case KIND_CONVERT_AUTOSCALING_V1:
        return kind_scaler_to_v2(a, from->storage, obj);
    default:
        return obj;
    }
}

bool kind_item_plain(const struct kind *k, const struct store_item *it)
{
    return k->custom ? crd_item_plain(k, it) : !kind_converts(k);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds that are served in two groups. Only Event is: it is stored as v1 Event, and
 * events.k8s.io/v1 gives some of its fields other names.
 */
#include "api/kind.h"

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
    return out;
}

struct json *kind_to_served(struct arena *a, const struct kind *to, struct json *obj)
{
    return kind_converts(to) ? event_convert(a, to, obj, true) : obj;
}

struct json *kind_to_storage(struct arena *a, const struct kind *from, struct json *obj)
{
    return kind_converts(from) ? event_convert(a, from->storage, obj, false) : obj;
}

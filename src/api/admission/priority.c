/* SPDX-License-Identifier: Apache-2.0 */
/* Priority: a pod's class gives it the number by which the scheduler orders. */
#include "api/admission/lookup.h"
#include "api/admission/plugins.h"
#include "api/handler_private.h"

static const struct kind *class_kind(void)
{
    static const struct kind *k;
    k = k ? k : kind_find("scheduling.k8s.io", "v1", "priorityclasses");
    return k;
}

/* The class of pods that name none: the default with the lowest value. NULL = none. */
static struct json *default_class(struct admission *ad, const char *but)
{
    struct lookup l =
        lookup_all(ad->op->server, ad->op->arena, class_kind(), NULL, "\"globalDefault\":true");
    struct json *best = NULL;
    for (size_t i = 0; i < l.n; i++) {
        if (json_path_true(l.v[i], "globalDefault", false) && !cstr_eq(obj_name(l.v[i]), but) &&
            (!best || json_path_i64(l.v[i], "value", 0) < json_path_i64(best, "value", 0))) {
            best = l.v[i];
        }
    }
    return best;
}

static bool set_priority(struct admission *ad, struct json *spec, const struct json *class)
{
    struct arena *a = ad->op->arena;
    int64_t value = json_path_i64(class, "value", 0);
    const char *policy = json_path_cstr(class, "preemptionPolicy", "PreemptLowerPriority");
    const struct json *said = json_get(spec, "priority");
    const char *said_policy = json_path_cstr(spec, "preemptionPolicy", policy);
    if (said && json_i64(said, 0) != value) {
        return admission_forbid(
            ad, arena_printf(a,
                             "the integer value of priority (%lld) must not be provided in pod "
                             "spec; priority admission controller computed %lld from the given "
                             "PriorityClass name",
                             (long long)json_i64(said, 0), (long long)value));
    }
    if (!cstr_eq(said_policy, policy)) {
        return admission_forbid(
            ad, arena_printf(a,
                             "the string value of PreemptionPolicy (%s) must not be provided in "
                             "pod spec; priority admission controller computed %s from the given "
                             "PriorityClass name",
                             said_policy, policy));
    }
    json_set_int(spec, "priority", value);
    json_set_str(spec, "preemptionPolicy", policy);
    return true;
}

static bool mutate(struct admission *ad)
{
    if (!ad->obj || *ad->subresource || ad->verb != SERVER_CREATE || *ad->kind->group ||
        !cstr_eq(ad->kind->kind, "Pod")) {
        return true;
    }
    struct json *spec = json_ensure_object(ad->obj, "spec");
    const char *name = json_path_cstr(spec, "priorityClassName", "");
    struct json *class = *name ? admission_get(ad, class_kind(), "", name) : default_class(ad, "");
    if (*name && !class) {
        return admission_forbid(
            ad, arena_printf(ad->op->arena, "no PriorityClass with name %s was found", name));
    }
    if (!*name && class) {
        json_set_str(spec, "priorityClassName", obj_name(class));
    }
    return set_priority(ad, spec, class);
}

static bool validate(struct admission *ad)
{
    if (ad->kind != class_kind() || !ad->obj || !json_path_true(ad->obj, "globalDefault", false)) {
        return true;
    }
    const struct json *other = default_class(ad, obj_name(ad->obj));
    return !other || admission_forbid(ad, arena_printf(ad->op->arena,
                                                       "PriorityClass %s is already marked as "
                                                       "default. Only one default can exist",
                                                       obj_name(other)));
}

const struct admission_plugin priority_plugin = {
    .name = "Priority", .mutate = mutate, .validate = validate};

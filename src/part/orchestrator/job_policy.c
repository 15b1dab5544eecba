/* SPDX-License-Identifier: Apache-2.0 */
/* Failure and success policies of Jobs. */
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "job_private.h"

int64_t job_annotation(const struct json *pod, const char *key)
{
    int64_t v;
    return str_i64(str_of(obj_annotation(pod, key)), &v) == 0 && v > 0 ? v : 0;
}

/* When its last container ended; else when it was asked to go; else now. */
struct wall job_ended_at(const struct job *j, const struct json *pod)
{
    struct wall last = {0}, t;
    JSON_FOR_EACH (status, json_path(pod, "status.containerStatuses")) {
        const char *text = json_path_cstr(status, "state.terminated.finishedAt", "");
        if (time_parse(str_of(text), &t) == 0) {
            last.us = MAX_OF(last.us, t.us);
        }
    }
    if (!last.us &&
        time_parse(str_of(json_path_cstr(pod, "metadata.deletionTimestamp", "")), &t) == 0) {
        last = t;
    }
    return last.us ? last : j->in->now;
}

/* ---- failure ---- */

static bool code_matches(const struct json *rule, int64_t code)
{
    bool in = strcmp(json_path_cstr(rule, "operator", ""), "In") == 0;
    JSON_FOR_EACH (value, json_get(rule, "values")) {
        if (json_i64(value, -1) == code) {
            return in;
        }
    }
    return !in;
}

/* The container that ended with a code that the rule means, or NULL. */
static const struct json *match_codes(const struct json *rule, const struct json *pod)
{
    static const char *const lists[] = {"status.containerStatuses", "status.initContainerStatuses"};
    const char *name = json_path_cstr(rule, "containerName", "");
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        JSON_FOR_EACH (status, json_path(pod, lists[i])) {
            int64_t code = json_path_i64(status, "state.terminated.exitCode", 0);
            bool named = !name[0] || strcmp(json_path_cstr(status, "name", ""), name) == 0;
            if (code != 0 && named && code_matches(rule, code)) {
                return status;
            }
        }
    }
    return NULL;
}

static const struct json *match_condition(const struct json *patterns, const struct json *pod)
{
    JSON_FOR_EACH (pattern, patterns) {
        const struct json *c = obj_condition(pod, json_path_cstr(pattern, "type", ""));
        if (c && strcmp(json_path_cstr(c, "status", ""),
                        json_path_cstr(pattern, "status", "True")) == 0) {
            return c;
        }
    }
    return NULL;
}

static enum policy_action action_of(const struct json *rule)
{
    static const char *const names[] = {[POLICY_NONE] = "",
                                        [POLICY_COUNT] = "Count",
                                        [POLICY_IGNORE] = "Ignore",
                                        [POLICY_FAIL_JOB] = "FailJob",
                                        [POLICY_FAIL_INDEX] = "FailIndex"};
    const char *text = json_path_cstr(rule, "action", "");
    for (size_t i = 1; i < ARRAY_SIZE(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum policy_action)i;
        }
    }
    return POLICY_NONE;
}

enum policy_action job_policy(struct job *j, const struct json *pod, const char **ret_message)
{
    int index = 0;
    JSON_FOR_EACH (rule, json_path(j->job, "spec.podFailurePolicy.rules")) {
        enum policy_action action = action_of(rule);
        const char *name = json_path_cstr(rule, "action", "");
        const struct json *codes = json_get(rule, "onExitCodes");
        const struct json *status = codes ? match_codes(codes, pod) : NULL;
        const struct json *c = match_condition(json_get(rule, "onPodConditions"), pod);
        if (action != POLICY_NONE && status) {
            *ret_message = arena_printf(
                j->arena,
                "Container %s for pod %s/%s failed with exit code %lld matching %s rule "
                "at index %d",
                json_path_cstr(status, "name", ""), obj_ns(pod), obj_name(pod),
                (long long)json_path_i64(status, "state.terminated.exitCode", 0), name, index);
            return action;
        }
        if (action != POLICY_NONE && !codes && c) {
            *ret_message = arena_printf(
                j->arena, "Pod %s/%s has condition %s matching %s rule at index %d", obj_ns(pod),
                obj_name(pod), json_path_cstr(c, "type", ""), name, index);
            return action;
        }
        index++;
    }
    return POLICY_NONE;
}

/* ---- success ---- */

static int64_t count_both(const struct index_set *a, const struct index_set *b)
{
    int64_t n = 0;
    for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
        int64_t first = MAX_OF(a->v[i].first, b->v[k].first);
        int64_t last = MIN_OF(a->v[i].last, b->v[k].last);
        n += last >= first ? last - first + 1 : 0;
        if (a->v[i].last < b->v[k].last) {
            i++;
        } else {
            k++;
        }
    }
    return n;
}

bool job_success_policy(struct job *j, const char **ret_message)
{
    int index = 0;
    if (!j->indexed) {
        return false;
    }
    JSON_FOR_EACH (rule, json_path(j->job, "spec.successPolicy.rules")) {
        const struct json *which = json_get(rule, "succeededIndexes");
        struct index_set set = {0};
        int64_t have = j->done.total, need = json_path_i64(rule, "succeededCount", 0);
        if (which && index_set_parse(&set, j->arena, json_text(which), j->completions)) {
            have = count_both(&j->done, &set);
            need = need > 0 ? need : set.total;
        }
        if (need > 0 && have >= need) {
            *ret_message = arena_printf(j->arena, "Matched rules at index %d", index);
            return true;
        }
        index++;
    }
    return false;
}

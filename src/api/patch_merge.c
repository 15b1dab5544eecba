/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merge patch (RFC 7386). The result is built anew rather than edited, so the time is linear in
 * target and patch whatever the patch deletes.
 */
#include "base/limits.h"
#include "patch.h"

/* depth is left; 0 = too deep. Depth-bound. */
static int merge(struct arena *a, const struct json *target, const struct json *patch,
                 unsigned depth, struct json **ret)
{
    if (depth == 0) {
        return -E_LIMIT;
    }
    if (!json_is(patch, JSON_OBJECT)) {
        *ret = json_clone(a, patch);
        return 0;
    }
    struct json *out = json_object(a);
    if (!json_is(target, JSON_OBJECT)) {
        target = NULL;
    }
    JSON_FOR_EACH_MEMBER (m, target) {
        struct str key = str_n(m->key, m->key_n);
        const struct json *change = json_get_n(patch, key);
        struct json *value = NULL;
        int r = 0;
        if (!change) {
            value = json_clone(a, m->value);
        } else if (change->type != JSON_NULL) {
            r = merge(a, m->value, change, depth - 1, &value);
        }
        if (r < 0) {
            return r;
        }
        json_set_n(out, key, value);
    }
    JSON_FOR_EACH_MEMBER (m, patch) {
        struct str key = str_n(m->key, m->key_n);
        if (m->value->type != JSON_NULL && !json_get_n(target, key)) {
            struct json *value = NULL;
            int r = merge(a, NULL, m->value, depth - 1, &value);
            if (r < 0) {
                return r;
            }
            json_set_n(out, key, value);
        }
    }
    *ret = out;
    return 0;
}

int patch_merge(struct arena *a, const struct json *target, const struct json *patch,
                struct json **ret, struct err *err)
{
    struct json *out = NULL;
    int r = merge(a, target, patch, LIMIT_JSON_DEPTH + 1, &out);
    if (r < 0) {
        return err_set(err, r, "the merge patch nests deeper than %d", LIMIT_JSON_DEPTH);
    }
    if (arena_failed(a) || !out) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    *ret = out;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pod templates: their hash and their equality.
 *
 * The same template can be written in several ways (null, {} or absent; members in any order), so
 * both work on the significant part only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "deployment.h"

#define FNV_START UINT32_C(2166136261)
#define FNV_PRIME UINT32_C(16777619)
#define DEPTH_MAX 64 /* of a pod template; deeper parts do not count */

static bool significant(const struct json *j, unsigned depth)
{
    if (!j || j->type == JSON_NULL || depth == 0) {
        return false;
    }
    if (j->type == JSON_ARRAY) {
        return j->n > 0;
    }
    if (j->type != JSON_OBJECT) {
        return true;
    }
    JSON_FOR_EACH_MEMBER (m, j) {
        if (significant(m->value, depth - 1)) {
            return true;
        }
    }
    return false;
}

static uint32_t fnv(uint32_t hash, const void *p, size_t n)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ c[i]) * FNV_PRIME;
    }
    return hash;
}

static int compare_members(const void *a, const void *b)
{
    const struct json_member *x = *(const struct json_member *const *)a;
    const struct json_member *y = *(const struct json_member *const *)b;
    return str_cmp(str_n(x->key, x->key_n), str_n(y->key, y->key_n));
}

static uint32_t hash_value(uint32_t hash, const struct json *j, unsigned depth);

static uint32_t hash_object(uint32_t hash, const struct json *j, unsigned depth)
{
    const struct json_member **order = mem_alloc((json_len(j) + 1) * sizeof(*order));
    size_t n = 0;
    if (!order) {
        return hash; /* another hash only makes another ReplicaSet name */
    }
    JSON_FOR_EACH_MEMBER (m, j) {
        if (significant(m->value, depth - 1) && strcmp(m->key, TEMPLATE_HASH_LABEL) != 0) {
            order[n++] = m;
        }
    }
    qsort((void *)order, n, sizeof(*order), compare_members);
    hash = fnv(hash, "{", 1);
    for (size_t i = 0; i < n; i++) {
        hash = fnv(hash, order[i]->key, order[i]->key_n + 1);
        hash = hash_value(hash, order[i]->value, depth - 1);
    }
    mem_free((void *)order);
    return fnv(hash, "}", 1);
}

static uint32_t hash_value(uint32_t hash, const struct json *j, unsigned depth)
{
    char text[32];
    if (depth == 0) {
        return hash;
    }
    switch (j->type) {
    case JSON_OBJECT:
        return hash_object(hash, j, depth);
    case JSON_ARRAY:
        hash = fnv(hash, "[", 1);
        JSON_FOR_EACH (item, j) {
            hash = hash_value(hash, item, depth - 1);
        }
        return fnv(hash, "]", 1);
    case JSON_STRING:
    case JSON_REAL:
        return fnv(hash, j->s, j->n + 1);
    case JSON_INT:
        (void)snprintf(text, sizeof(text), "%lld", (long long)j->i);
        return fnv(hash, text, strlen(text) + 1);
    case JSON_BOOL:
        return fnv(hash, j->b ? "t" : "f", 2);
    case JSON_NULL:
        break;
    }
    return fnv(hash, "n", 2);
}

char *template_hash(const struct json *pod_template, int64_t collisions,
                    char out[TEMPLATE_HASH_SIZE])
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    uint32_t hash = pod_template ? hash_value(FNV_START, pod_template, DEPTH_MAX) : FNV_START;
    if (collisions > 0) {
        hash = fnv(hash, &collisions, sizeof(collisions));
    }
    (void)snprintf(out, TEMPLATE_HASH_SIZE, "%u", hash);
    for (char *c = out; *c; c++) {
        *c = alphabet[(unsigned char)*c % (sizeof(alphabet) - 1)];
    }
    return out;
}

/* ---- equality ---- */

static bool equal(const struct json *a, const struct json *b, unsigned depth);

/* Every significant member of a has an equal one in b. */
static bool covered(const struct json *a, const struct json *b, unsigned depth)
{
    JSON_FOR_EACH_MEMBER (m, a) {
        if (strcmp(m->key, TEMPLATE_HASH_LABEL) != 0 &&
            !equal(m->value, json_get_n(b, str_n(m->key, m->key_n)), depth - 1)) {
            return false;
        }
    }
    return true;
}

static bool equal(const struct json *a, const struct json *b, unsigned depth)
{
    bool some = significant(a, depth), other = significant(b, depth);
    if (!some || !other) {
        return some == other;
    }
    if (a->type == JSON_OBJECT && b->type == JSON_OBJECT) {
        return covered(a, b, depth) && covered(b, a, depth);
    }
    if (a->type == JSON_ARRAY && b->type == JSON_ARRAY) {
        bool same = json_len(a) == json_len(b);
        for (size_t i = 0; same && i < json_len(a); i++) {
            same = equal(json_at(a, i), json_at(b, i), depth - 1);
        }
        return same;
    }
    return json_equal(a, b);
}

/* The label may be the only one, so labels are compared without it. */
static bool labels_equal(const struct json *a, const struct json *b)
{
    const struct json *x = json_path(a, "metadata.labels"), *y = json_path(b, "metadata.labels");
    return covered(x, y, DEPTH_MAX) && covered(y, x, DEPTH_MAX);
}

bool template_equal(const struct json *a, const struct json *b)
{
    const struct json *x = json_get(a, "metadata"), *y = json_get(b, "metadata");
    return equal(json_get(a, "spec"), json_get(b, "spec"), DEPTH_MAX) && labels_equal(a, b) &&
           equal(json_get(x, "annotations"), json_get(y, "annotations"), DEPTH_MAX) &&
           equal(json_get(x, "finalizers"), json_get(y, "finalizers"), DEPTH_MAX);
}

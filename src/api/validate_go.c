/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values in refusals as Kubernetes prints them: by Go's %#v, which users know for labels and for
 * selectors. Other values are told as JSON.
 */
#include "api/validate.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static int by_key(const void *x, const void *y)
{
    const struct json_member *a = *(const struct json_member *const *)x;
    const struct json_member *b = *(const struct json_member *const *)y;
    return strcmp(a->key, b->key);
}

/* Go prints a map in the order of its keys. What fails stays in the buffer. */
static void put_map(struct buf *b, const struct json *map)
{
    size_t n = 0;
    if (!json_is(map, JSON_OBJECT)) {
        (void)buf_append_str(b, STR_LIT("map[string]string(nil)"));
        return;
    }
    CLEANUP(mem_freep) void *memory = mem_alloc((json_len(map) + 1) * sizeof(void *));
    const struct json_member **all = memory;
    if (!all) {
        return; /* the refusal is told without it */
    }
    JSON_FOR_EACH_MEMBER (m, map) {
        all[n++] = m;
    }
    qsort(all, n, sizeof(*all), by_key);
    (void)buf_append_str(b, STR_LIT("map[string]string{"));
    for (size_t i = 0; i < n; i++) {
        (void)buf_printf(b, "%s\"%s\":", i ? ", " : "", all[i]->key);
        (void)json_print(b, all[i]->value);
    }
    (void)buf_append_str(b, STR_LIT("}"));
}

static void put_strings(struct buf *b, const struct json *list)
{
    if (!json_is(list, JSON_ARRAY)) {
        (void)buf_append_str(b, STR_LIT("[]string(nil)"));
        return;
    }
    (void)buf_append_str(b, STR_LIT("[]string{"));
    for (size_t i = 0; i < json_len(list); i++) {
        (void)buf_append_str(b, i ? STR_LIT(", ") : STR_LIT(""));
        (void)json_print(b, json_at(list, i));
    }
    (void)buf_append_str(b, STR_LIT("}"));
}

static void put_expressions(struct buf *b, const struct json *list)
{
    if (!json_is(list, JSON_ARRAY)) {
        (void)buf_append_str(b, STR_LIT("[]v1.LabelSelectorRequirement(nil)"));
        return;
    }
    (void)buf_append_str(b, STR_LIT("[]v1.LabelSelectorRequirement{"));
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *x = json_at(list, i);
        (void)buf_printf(
            b, "%sv1.LabelSelectorRequirement{Key:\"%s\", Operator:\"%s\", Values:", i ? ", " : "",
            json_cstr(json_get(x, "key"), ""), json_cstr(json_get(x, "operator"), ""));
        put_strings(b, json_get(x, "values"));
        (void)buf_append_str(b, STR_LIT("}"));
    }
    (void)buf_append_str(b, STR_LIT("}"));
}

static void refuse(struct field_errors *e, const char *path, struct buf *b, const char *detail)
{
    const char *text = arena_strndup(e->arena, buf_data(b), buf_len(b));
    field_error_raw(e, FIELD_INVALID, path, text, detail);
}

void validate_refuse_labels(struct field_errors *e, const char *path, const struct json *labels,
                            const char *detail)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    put_map(&b, labels);
    refuse(e, path, &b, detail);
}

void validate_refuse_selector(struct field_errors *e, const char *path, const struct json *selector,
                              const char *detail)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    (void)buf_append_str(&b, STR_LIT("v1.LabelSelector{MatchLabels:"));
    put_map(&b, json_get(selector, "matchLabels"));
    (void)buf_append_str(&b, STR_LIT(", MatchExpressions:"));
    put_expressions(&b, json_get(selector, "matchExpressions"));
    (void)buf_append_str(&b, STR_LIT("}"));
    refuse(e, path, &b, detail);
}

void validate_immutable_selector(struct field_errors *e, const char *path, const struct json *now,
                                 const struct json *old)
{
    if (now && old ? !json_equal(now, old) : now != old) {
        validate_refuse_selector(e, path, now, "field is immutable");
    }
}

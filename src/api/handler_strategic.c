/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a strategic merge patch is told whose values do not fit the kind. kube-apiserver converts
 * the patched object without JSON in between, so its words are others than those of a body, and
 * show the patch as Go prints a map.
 */
#include "api/handler_private.h"

#include <stdlib.h>
#include <string.h>

#include "api/status.h"

/* The patch was parsed, so its depth is bounded by LIMIT_JSON_DEPTH. */
static void put_value(struct buf *b, struct arena *a, const struct json *v);

static int by_key(const void *x, const void *y)
{
    const struct json_member *a = *(const struct json_member *const *)x;
    const struct json_member *b = *(const struct json_member *const *)y;
    return strcmp(a->key, b->key);
}

static void put_map(struct buf *b, struct arena *a, const struct json *map)
{
    size_t n = 0;
    const struct json_member **all = arena_alloc(a, (json_len(map) + 1) * sizeof(*all));
    if (!all) {
        return; /* the request fails for want of memory */
    }
    JSON_FOR_EACH_MEMBER (m, map) {
        all[n++] = m;
    }
    qsort(all, n, sizeof(*all), by_key);
    (void)buf_puts(b, "map[");
    for (size_t i = 0; i < n; i++) {
        (void)buf_printf(b, "%s%s:", i ? " " : "", all[i]->key);
        put_value(b, a, all[i]->value);
    }
    (void)buf_putc(b, ']');
}

static void put_value(struct buf *b, struct arena *a, const struct json *v)
{
    if (json_is(v, JSON_OBJECT)) {
        put_map(b, a, v);
    } else if (json_is(v, JSON_ARRAY)) {
        (void)buf_putc(b, '[');
        for (size_t i = 0; i < json_len(v); i++) {
            (void)buf_puts(b, i ? " " : "");
            put_value(b, a, json_at(v, i));
        }
        (void)buf_putc(b, ']');
    } else if (json_is(v, JSON_STRING)) {
        (void)buf_append_str(b, json_text(v));
    } else if (json_is(v, JSON_NULL)) {
        (void)buf_puts(b, "<nil>");
    } else {
        (void)json_print(b, v);
    }
}

void handler_fail_strategic(struct handler_op *op, const char *why)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct field_errors e;
    field_errors_init(&e, op->arena);
    put_value(&b, op->arena, op->body);
    field_error_text(&e, FIELD_INVALID, "patch",
                     arena_strndup(op->arena, buf_data(&b), buf_len(&b)), why);
    handler_fail(op, status_invalid(op->arena, &(struct status_about){0}, &e));
}

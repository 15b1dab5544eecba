/* SPDX-License-Identifier: Apache-2.0 */
/* Create: a name, metadata, admission, and a place in the store. */
#include "api/handler_private.h"

#include "api/admission/admission.h"
#include "api/server_private.h"
#include "api/strategy.h"
#include "base/clock.h"
#include "base/encode.h"

#define GENERATE_ATTEMPTS 8
#define GENERATE_BASE 58

static void create_metadata(struct handler_op *op, struct json *obj)
{
    static const char *const cleared[] = {"resourceVersion",
                                          "uid",
                                          "creationTimestamp",
                                          "deletionTimestamp",
                                          "deletionGracePeriodSeconds",
                                          "generation"};
    char uid[UUID_TEXT_SIZE], now[TIME_TEXT_SIZE];
    struct json *meta = obj_meta(obj);
    for (size_t i = 0; i < ARRAY_SIZE(cleared); i++) {
        (void)json_del(meta, cleared[i]);
    }
    handler_drop_foreign(meta);
    uuid_make(uid);
    json_set_str(meta, "uid", uid);
    json_set_str(meta, "resourceVersion", ""); /* its place; the value comes with the revision */
    if (op->kind->generation) {
        json_set_int(meta, "generation", 1);
    }
    json_set_str(meta, "creationTimestamp", time_text(wall_now(), now));
}

static void generate_name(struct handler_op *op, struct json *obj)
{
    char tail[6];
    struct json *meta = obj_meta(obj);
    const char *base = json_path_cstr(meta, "generateName", "");
    random_name(tail, 5);
    const char *name = arena_printf(op->arena, "%.*s%s", GENERATE_BASE, base, tail);
    json_set_str(meta, "name", name);
    op->name = name ? name : "";
}

static void create_submit(struct handler_op *op, struct json *obj)
{
    struct store *store = op->server->store;
    bool generated = op->attempts > 0;
    for (; generated && op->attempts < GENERATE_ATTEMPTS; op->attempts++) {
        const char *key = api_key(op->arena, op->kind, op->ns, op->name);
        if (!key || !store_get_latest(store, str_of(key))) {
            break;
        }
        generate_name(op, obj);
    }
    const char *key = api_key(op->arena, op->kind, op->ns, op->name);
    if (key && store_get_latest(store, str_of(key))) {
        struct status_about about = handler_about(op);
        handler_fail(op, status_exists(op->arena, &about));
        return;
    }
    if (op->opt.dry_run) {
        (void)json_del(obj_meta(obj), "resourceVersion");
        handler_dry(op, 201, obj);
        return;
    }
    handler_put(op, obj, 0, 201, NULL);
}

/* kind, apiVersion and metadata first, whatever the client's order was: people read raw answers. */
static struct json *in_order(struct arena *a, struct json *obj)
{
    static const char *const first[] = {"kind", "apiVersion", "metadata"};
    struct json *o = json_object(a);
    for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
        json_set(o, first[i], json_get(obj, first[i]));
    }
    JSON_FOR_EACH_MEMBER (m, obj) {
        if (!json_get(o, m->key)) {
            json_set_n(o, str_n(m->key, m->key_n), m->value);
        }
    }
    return o;
}

static void create_check(struct handler_op *op, struct json *obj)
{
    if (handler_check_rules(op, obj, NULL)) {
        admission_validate(op, obj, create_submit);
    }
}

void handler_create(struct handler_op *op)
{
    struct json *body = op->body;
    if (!handler_check_identity(op, body) || !handler_check_schema(op, body)) {
        return;
    }
    if (*obj_rv(body)) {
        handler_fail(op,
                     status_failure(op->arena, 500, NULL,
                                    "resourceVersion should not be set on objects to be created",
                                    /* about= */ NULL));
        return;
    }
    op->name = obj_name(body);
    if (!*op->name && *json_path_cstr(body, "metadata.generateName", "")) {
        generate_name(op, body);
        op->attempts = 1;
    }
    if (!handler_guard(op, SERVER_CREATE, NULL) || !handler_namespace_open(op)) {
        return;
    }
    struct json *obj = in_order(op->arena, kind_to_storage(op->arena, op->kind, body));
    const struct kind *k = handler_form(op);
    handler_set_defaults(op, obj);
    create_metadata(op, obj);
    if (!handler_track(op, obj)) { /* what the server adds from here on is nobody's */
        return;
    }
    strategy_create(op->arena, k, obj);
    if (arena_failed(op->arena)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    admission_mutate(op, obj, create_check);
}

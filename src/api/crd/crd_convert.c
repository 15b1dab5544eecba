/* SPDX-License-Identifier: Apache-2.0 */
/* One ConversionReview: what is asked, what is accepted. See crd_convert.h. */
#include "api/crd/crd_convert.h"

#include "api/crd/crd_private.h"
#include "api/object.h"
#include "api/webhook_client.h"
#include "base/encode.h"
#include "base/mem.h"

#define TIMEOUT_MS 30000

struct crd_conversion {
    struct webhook_call *call;
    struct arena *arena;
    struct json **objs;
    size_t n;
    const struct kind *wanted;
    char *from; /* "stable.example.com/v1, Kind=CronTab", for errors */
    char uid[UUID_TEXT_SIZE];
    crd_converted_fn *done;
    void *arg;
};

static bool by_webhook(const struct kind *k)
{
    const struct crd *crd = k->crd ? k->crd->crd : NULL;
    return crd && crd->body && crd->body->webhook;
}

bool crd_object_foreign(const struct kind *k, const struct json *obj, const struct kind *wanted)
{
    return by_webhook(k) && !cstr_eq(obj_api_version(obj), wanted->api_version);
}

bool crd_item_foreign(const struct kind *k, const struct store_item *it)
{
    struct arena a;
    struct json *obj = NULL;
    bool foreign = false;
    if (!k->custom || !by_webhook(k) || crd_item_plain(k, it)) {
        return false;
    }
    arena_init(&a, 0);
    if (json_parse(&a, store_item_value(it), NULL, &obj, NULL) == 0) {
        foreign = crd_object_foreign(k, obj, k);
    }
    arena_fini(&a);
    return foreign;
}

/* ---- the question ---- */

static bool foreign(const struct crd_conversion *c, const struct json *obj)
{
    return !cstr_eq(obj_api_version(obj), c->wanted->api_version);
}

static const char *review_version(const struct json *conversion)
{
    JSON_FOR_EACH (v, json_path(conversion, "webhook.conversionReviewVersions")) {
        const char *s = json_cstr(v, "");
        if (cstr_eq(s, "v1") || cstr_eq(s, "v1beta1")) {
            return s;
        }
    }
    return "v1";
}

static struct json *review(struct crd_conversion *c, const struct json *conversion)
{
    struct arena *a = c->arena;
    struct json *r = json_object(a);
    json_set_str(r, "kind", "ConversionReview");
    json_set(r, "apiVersion",
             json_printf(a, "apiextensions.k8s.io/%s", review_version(conversion)));
    struct json *request = json_set(r, "request", json_object(a));
    json_set_str(request, "uid", c->uid);
    json_set_str(request, "desiredAPIVersion", c->wanted->api_version);
    struct json *objects = json_set(request, "objects", json_array(a));
    for (size_t i = 0; i < c->n; i++) {
        if (foreign(c, c->objs[i])) {
            json_push(objects, c->objs[i]);
        }
    }
    return r;
}

/* ---- the answer ---- */

static int refuse(const struct crd_conversion *c, struct err *err, const char *why)
{
    return err_set(err, -E_INTERNAL, "conversion webhook for %s failed: %s", c->from, why);
}

/* Only labels and annotations are the webhook's to change. */
static struct json *with_metadata(struct arena *a, const struct json *was, struct json *now)
{
    static const char *const free_members[] = {"labels", "annotations"};
    struct json *meta = json_clone(a, json_get(was, "metadata"));
    for (size_t i = 0; i < ARRAY_SIZE(free_members); i++) {
        struct json *v = json_get(json_get(now, "metadata"), free_members[i]);
        (void)json_del(meta, free_members[i]);
        json_set(meta, free_members[i], v);
    }
    json_set(now, "metadata", meta);
    return now;
}

static int take_one(struct crd_conversion *c, size_t i, struct json *now, struct err *err)
{
    const struct json *was = c->objs[i];
    if (!json_is(now, JSON_OBJECT) || foreign(c, now)) {
        return refuse(c, err,
                      arena_printf(c->arena,
                                   "response.convertedObjects has an object of version "
                                   "%s, expected %s",
                                   obj_api_version(now), c->wanted->api_version));
    }
    if (!cstr_eq(obj_kind(now), obj_kind(was)) || !cstr_eq(obj_name(now), obj_name(was)) ||
        !cstr_eq(obj_ns(now), obj_ns(was)) || !cstr_eq(obj_uid(now), obj_uid(was))) {
        return refuse(c, err, "the webhook changed the identity of an object");
    }
    c->objs[i] = with_metadata(c->arena, was, now);
    return 0;
}

static int take(struct crd_conversion *c, struct str body, struct err *err)
{
    struct json *r = NULL;
    if (json_parse(c->arena, body, NULL, &r, NULL) < 0) {
        return refuse(c, err, "the response is no JSON");
    }
    const struct json *answer = json_get(r, "response");
    const struct json *list = json_get(answer, "convertedObjects");
    if (!cstr_eq(json_path_cstr(answer, "uid", ""), c->uid)) {
        return refuse(c, err, "response.uid is not that of the request");
    }
    if (!cstr_eq(json_path_cstr(answer, "result.status", ""), "Success")) {
        return refuse(c, err, json_path_cstr(answer, "result.message", "no message provided"));
    }
    size_t at = 0;
    int code = 0;
    for (size_t i = 0; i < c->n && code == 0; i++) {
        if (foreign(c, c->objs[i])) {
            code = take_one(c, i, json_at(list, at++), err);
        }
    }
    if (code == 0 && at != json_len(list)) {
        code = refuse(c, err, "response.convertedObjects has another number of objects");
    }
    return code == 0 && arena_failed(c->arena) ? err_set(err, -E_NOMEM, "out of memory") : code;
}

static void conversion_free(struct crd_conversion *c)
{
    mem_free(c->from);
    mem_free(c);
}

static void answered(void *arg, int code, struct str body, const struct err *call_err)
{
    struct crd_conversion *c = arg;
    struct err err = {0};
    if (code == 0) {
        code = take(c, body, &err);
    } else {
        static const char prefix[] = "failed to call webhook: ";
        const char *why = call_err->text;
        why += str_starts(str_of(why), prefix) ? strlen(prefix) : 0;
        code = refuse(c, &err, why);
    }
    c->done(c->arg, code, c->objs, c->n, &err);
    conversion_free(c);
}

struct crd_conversion *crd_convert_start(const struct kind *k, const struct kind *wanted,
                                         struct arena *a, struct json **objs, size_t n,
                                         crd_converted_fn *done, void *arg)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    struct crd_conversion *c = mem_zalloc(sizeof(*c));
    const struct crd *crd = k->crd->crd;
    if (!c) {
        return NULL;
    }
    *c = (struct crd_conversion){
        .arena = a, .objs = objs, .n = n, .wanted = wanted, .done = done, .arg = arg};
    uuid_make(c->uid);
    for (size_t i = 0; i < n && !c->from; i++) {
        c->from = foreign(c, objs[i]) ? mem_printf("%s, Kind=%s", obj_api_version(objs[i]), k->kind)
                                      : NULL;
    }
    struct json *r = review(c, crd->body->conversion);
    if (arena_failed(a) || !c->from || json_print(&text, r) < 0) {
        conversion_free(c);
        return NULL;
    }
    c->call = webhook_call_start(crd->set->webhooks,
                                 json_path(crd->body->conversion, "webhook.clientConfig"),
                                 buf_str(&text), TIMEOUT_MS, answered, c);
    if (!c->call) {
        conversion_free(c);
        return NULL;
    }
    return c;
}

void crd_convert_cancel(struct crd_conversion *c)
{
    if (c) {
        webhook_call_cancel(c->call);
        conversion_free(c);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of custom objects on their way in and out: see crd.h. */
#include "api/crd/crd_private.h"

#include <stdio.h>

#include "api/object.h"
#include "api/schema_check.h"
#include "base/mem.h"

/* ---- on the way in ---- */

/* `unknown field "x"` of metadata as `unknown field "metadata.x"`. */
static void report_metadata(struct arena *a, const struct json *texts, struct json *unknown)
{
    JSON_FOR_EACH (t, texts) {
        struct str head, tail;
        if (str_cut(json_text(t), '"', &head, &tail)) {
            json_push(unknown,
                      json_printf(a, STR_FMT "\"metadata." STR_FMT, STR_ARG(head), STR_ARG(tail)));
        }
    }
}

int crd_decode(struct arena *a, const struct kind *k, struct json *body, struct json *unknown,
               struct err *err)
{
    struct schema_report report = {0};
    const struct schema_type *type =
        schema_type_find("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    int code = schema_check(a, type, json_ensure_object(body, "metadata"), &report, err);
    if (code < 0) {
        return code;
    }
    report_metadata(a, report.unknown, unknown);
    crd_prune(a, k->custom, body, true, unknown);
    crd_defaults(a, k->custom, body, true);
    return arena_failed(a) ? err_set(err, -E_NOMEM, "out of memory") : 0;
}

int crd_wrap_body_error(const struct kind *k, struct err *err)
{
    return err_wrap(err, -E_INVAL, "%s in version \"%s\" cannot be handled as a %s", k->kind,
                    k->version, k->kind);
}

/* ---- validation ---- */

void crd_rule_problem(void *arg, const struct cel_problem *problem)
{
    static const enum field_error_type types[] = {[CEL_CAUSE_INVALID] = FIELD_INVALID,
                                                  [CEL_CAUSE_REQUIRED] = FIELD_REQUIRED,
                                                  [CEL_CAUSE_FORBIDDEN] = FIELD_FORBIDDEN,
                                                  [CEL_CAUSE_DUPLICATE] = FIELD_DUPLICATE};
    struct field_errors *e = arg;
    field_error_raw(e, types[problem->cause], problem->path, problem->value, problem->detail);
}

/* After these errors rules are not asked: values are missing or of another type. */
static bool blocks_rules(const struct field_errors *e, size_t from)
{
    for (size_t i = from; i < e->n; i++) {
        switch (e->items[i].type) {
        case FIELD_REQUIRED:
        case FIELD_TOO_LONG:
        case FIELD_TOO_MANY:
        case FIELD_TYPE_INVALID:
        case FIELD_NOT_SUPPORTED:
            return true;
        default:
            break;
        }
    }
    return false;
}

void crd_validate_object(struct field_errors *e, const struct kind *k, const struct json *obj,
                         const struct json *old)
{
    size_t from = e->n;
    crd_check(e, k->custom, obj, old);
    if (!k->crd->rules) {
        return;
    }
    if (blocks_rules(e, from)) {
        field_error(e, FIELD_INVALID, "<nil>", NULL,
                    "some validation rules were not checked because the object was invalid; "
                    "correct the existing errors to complete validation");
        return;
    }
    if (cel_rules_check(k->crd->rules, e->arena, obj, old, "", crd_rule_problem, e) == -ENOMEM) {
        field_error(e, FIELD_INVALID, "<nil>", NULL, "out of memory");
    }
}

/* ---- on the way out ---- */

bool crd_item_plain(const struct kind *k, const struct store_item *it)
{
    const struct crd *crd = k->crd->crd;
    return !crd || (crd->body && it->rev > crd->body->since && k->storage == k);
}

/* The version in which an object was stored; NULL when the definition does not know it any more. */
static const struct crd_version *version_of(const struct crd_body *b, const struct json *obj)
{
    struct str group, version;
    if (!str_cut(str_of(obj_api_version(obj)), '/', &group, &version)) {
        return NULL;
    }
    for (size_t i = 0; i < b->n; i++) {
        if (str_is(version, b->versions[i].name)) {
            return &b->versions[i];
        }
    }
    return NULL;
}

struct json *crd_to_served(struct arena *a, const struct kind *k, struct json *obj)
{
    const struct crd *crd = k->crd->crd;
    if (!crd || !crd->body || !json_is(obj, JSON_OBJECT)) {
        return obj;
    }
    const struct crd_version *v = version_of(crd->body, obj);
    const struct crd_schema *schema = v ? v->schema : k->custom;
    crd_prune(a, schema, obj, true, NULL);
    crd_defaults(a, schema, obj, true);
    if (!crd->body->webhook) {
        json_set_str(obj, "apiVersion", k->api_version);
        json_set_str(obj, "kind", k->kind);
    }
    return obj;
}

struct json *crd_to_storage(struct arena *a, const struct kind *k, struct json *obj)
{
    (void)a;
    if (k->storage != k && !(k->crd->crd && k->crd->crd->body && k->crd->crd->body->webhook)) {
        json_set_str(obj, "apiVersion", k->storage->api_version);
    }
    return obj;
}

bool crd_match_fields(const struct kind *k, const struct store_item *it,
                      const struct selector *fields)
{
    struct arena a;
    struct json *obj = NULL;
    bool fits = true;
    arena_init(&a, 0);
    if (json_parse(&a, store_item_value(it), NULL, &obj, NULL) == 0) {
        obj = crd_to_served(&a, k, obj);
    }
    for (size_t i = 0; fits && i < fields->n; i++) {
        const struct selector_term *t = &fields->terms[i];
        const struct json *v = json_path(obj, t->key);
        char number[24] = "";
        const char *text = json_is(v, JSON_STRING) ? json_text(v).p : "";
        if (json_is(v, JSON_BOOL)) {
            text = v->b ? "true" : "false";
        } else if (json_is(v, JSON_INT)) {
            (void)snprintf(number, sizeof(number), "%lld", (long long)v->i); /* it fits */
            text = number;
        }
        fits = selector_term_match(t, text);
    }
    arena_fini(&a);
    return fits && !fields->nothing;
}

/* ---- for OpenAPI ---- */

void crd_identity(const struct kind *k, struct buf *out)
{
    const struct crd *crd = k->crd->crd;
    if (crd) {
        buf_printf(out, "%s/%s/%s/%lld ", k->version, crd->name, crd->uid,
                   (long long)crd->generation);
    }
}

struct json *crd_schema_json(struct arena *a, const struct kind *k)
{
    const struct json *obj = k->crd->crd ? crd_read(a, k->crd->crd) : NULL;
    JSON_FOR_EACH (v, json_path(obj, "spec.versions")) {
        if (cstr_eq(json_path_cstr(v, "name", ""), k->version)) {
            return json_path(v, "schema.openAPIV3Schema");
        }
    }
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Status objects and field errors: see status.h. */
#include "api/status.h"

#include "base/clock.h"
#include "base/mem.h"

#define FIELD_ERRORS_MAX 100

static bool given(const char *s)
{
    return s && *s;
}

static void set_given(struct json *o, const char *key, const char *value)
{
    if (given(value)) {
        json_set_str(o, key, value);
    }
}

static void set_details(struct arena *a, struct json *s, const struct status_about *about)
{
    if (!about || (!given(about->name) && !given(about->kind))) {
        return;
    }
    struct json *d = json_set(s, "details", json_object(a));
    set_given(d, "name", about->name);
    set_given(d, "group", about->group);
    set_given(d, "kind", about->kind);
    set_given(d, "uid", about->uid);
}

static struct json *status_start(struct arena *a, const char *outcome)
{
    struct json *s = json_object(a);
    json_set_str(s, "kind", "Status");
    json_set_str(s, "apiVersion", "v1");
    json_set(s, "metadata", json_object(a));
    json_set_str(s, "status", outcome);
    return s;
}

struct json *status_failure(struct arena *a, int http, const char *reason, const char *message,
                            const struct status_about *about)
{
    struct json *s = status_start(a, "Failure");
    set_given(s, "message", message);
    set_given(s, "reason", reason);
    set_details(a, s, about);
    json_set_int(s, "code", http);
    return s;
}

struct json *status_code(struct arena *a, int code, const char *message)
{
    return status_failure(a, err_http_status(code), err_reason(code), message, /* about= */ NULL);
}

struct json *status_success(struct arena *a, int http, const struct status_about *about)
{
    struct json *s = status_start(a, "Success");
    set_details(a, s, about);
    if (http != 200) {
        json_set_int(s, "code", http);
    }
    return s;
}

void status_cause(struct json *status, const char *reason, const char *message, const char *field)
{
    if (!status) {
        return;
    }
    struct json *causes = json_ensure_array(json_ensure_object(status, "details"), "causes");
    struct json *c = json_push(causes, json_object(status->arena));
    set_given(c, "reason", reason);
    set_given(c, "message", message);
    set_given(c, "field", field);
}

const char *status_resource(struct arena *a, const struct status_about *about)
{
    if (!given(about->group)) {
        return about->kind ? about->kind : "";
    }
    return arena_printf(a, "%s.%s", about->kind, about->group);
}

int status_http(const struct json *status)
{
    return (int)json_path_i64(status, "code", 200);
}

struct json *status_not_found(struct arena *a, const struct status_about *about)
{
    const char *text =
        arena_printf(a, "%s \"%s\" not found", status_resource(a, about), about->name);
    return status_failure(a, 404, "NotFound", text, about);
}

struct json *status_exists(struct arena *a, const struct status_about *about)
{
    const char *text =
        arena_printf(a, "%s \"%s\" already exists", status_resource(a, about), about->name);
    return status_failure(a, 409, "AlreadyExists", text, about);
}

struct json *status_conflict(struct arena *a, const struct status_about *about, const char *why)
{
    const char *text = arena_printf(a, "Operation cannot be fulfilled on %s \"%s\": %s",
                                    status_resource(a, about), about->name, why);
    return status_failure(a, 409, "Conflict", text, about);
}

struct json *status_outdated(struct arena *a, const struct status_about *about)
{
    return status_conflict(a, about,
                           "the object has been modified; please apply your changes to the latest "
                           "version and try again");
}

struct json *status_forbidden(struct arena *a, const struct status_about *about, const char *why)
{
    const char *text;
    if (given(about->name)) {
        text = arena_printf(a, "%s \"%s\" is forbidden: %s", status_resource(a, about), about->name,
                            why);
    } else {
        text = arena_printf(a, "%s is forbidden: %s", status_resource(a, about), why);
    }
    return status_failure(a, 403, "Forbidden", text, about);
}

struct json *status_too_large_rv(struct arena *a, int64_t wanted, int64_t current)
{
    const char *text = arena_printf(a, "Timeout: Too large resource version: %lld, current: %lld",
                                    (long long)wanted, (long long)current);
    struct json *s = status_failure(a, 504, "Timeout", text, /* about= */ NULL);
    status_cause(s, "ResourceVersionTooLarge", "Too large resource version", /* field= */ NULL);
    json_set_int(json_get(s, "details"), "retryAfterSeconds", 1);
    return s;
}

/* ---- field errors ---- */

static const struct {
    const char *reason, *text;
    bool shows_value;
} error_types[FIELD_ERROR_TYPE_NR] = {
    [FIELD_REQUIRED] = {"FieldValueRequired", "Required value", false},
    [FIELD_INVALID] = {"FieldValueInvalid", "Invalid value", true},
    [FIELD_FORBIDDEN] = {"FieldValueForbidden", "Forbidden", false},
    [FIELD_DUPLICATE] = {"FieldValueDuplicate", "Duplicate value", true},
    [FIELD_NOT_SUPPORTED] = {"FieldValueNotSupported", "Unsupported value", true},
    [FIELD_TYPE_INVALID] = {"FieldValueTypeInvalid", "Invalid value", true},
    [FIELD_TOO_LONG] = {"FieldValueTooLong", "Too long", false},
    [FIELD_TOO_MANY] = {"FieldValueTooMany", "Too many", true},
    [FIELD_NOT_FOUND] = {"FieldValueNotFound", "Not found", true},
};

void field_errors_init(struct field_errors *e, struct arena *a)
{
    *e = (struct field_errors){.arena = a};
}

static void add(struct field_errors *e, enum field_error_type type, const char *path,
                const char *value, const char *detail)
{
    struct arena *a = e->arena;
    if (e->n == FIELD_ERRORS_MAX) {
        return;
    }
    if (e->n == e->cap) {
        size_t cap = e->cap ? e->cap * 2 : 8;
        struct field_error *items =
            arena_grow(a, e->items, e->cap * sizeof(*e->items), cap * sizeof(*e->items));
        if (!items) {
            return;
        }
        e->items = items;
        e->cap = cap;
    }
    const char *body = error_types[type].text;
    if (error_types[type].shows_value) {
        body = arena_printf(a, "%s: %s", body, value ? value : "null");
    }
    if (given(detail)) {
        body = arena_printf(a, "%s: %s", body, detail);
    }
    e->items[e->n++] = (struct field_error){type, arena_strdup(a, path), body};
}

void field_error(struct field_errors *e, enum field_error_type type, const char *path,
                 const struct json *value, const char *detail)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    const char *text = NULL;
    if (value && error_types[type].shows_value) {
        if (json_print(&b, value) == 0) {
            text = arena_strndup(e->arena, buf_data(&b), buf_len(&b));
        }
    }
    add(e, type, path, text, detail);
}

void field_error_text(struct field_errors *e, enum field_error_type type, const char *path,
                      const char *value, const char *detail)
{
    field_error(e, type, path, json_string(e->arena, value ? value : ""), detail);
}

void field_error_raw(struct field_errors *e, enum field_error_type type, const char *path,
                     const char *value, const char *detail)
{
    add(e, type, path, value, detail);
}

void field_error_body(struct field_errors *e, enum field_error_type type, const char *path,
                      const char *body)
{
    size_t n = e->n;
    add(e, type, path, NULL, NULL);
    if (e->n > n) {
        e->items[n].body = arena_strdup(e->arena, body);
    }
}

void field_error_supported(struct field_errors *e, const char *path, const char *value,
                           const char *const *supported)
{
    const char *list = "supported values: ";
    for (size_t i = 0; supported[i]; i++) {
        list = arena_printf(e->arena, "%s%s\"%s\"", list, i ? ", " : "", supported[i]);
    }
    field_error_text(e, FIELD_NOT_SUPPORTED, path, value, list);
}

struct json *status_invalid(struct arena *a, const struct status_about *about,
                            const struct field_errors *e)
{
    const char *list = "";
    for (size_t i = 0; i < e->n; i++) {
        list =
            arena_printf(a, "%s%s%s: %s", list, i ? ", " : "", e->items[i].path, e->items[i].body);
    }
    const char *kind =
        status_resource(a, &(struct status_about){.group = about->group, .kind = about->kind});
    const char *text =
        arena_printf(a, e->n > 1 ? "%s \"%s\" is invalid: [%s]" : "%s \"%s\" is invalid: %s", kind,
                     about->name ? about->name : "", list);
    struct json *s = status_failure(a, 422, "Invalid", text, about);
    for (size_t i = 0; i < e->n; i++) {
        status_cause(s, error_types[e->items[i].type].reason, e->items[i].body, e->items[i].path);
    }
    return s;
}

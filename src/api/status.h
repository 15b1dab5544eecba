/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes' Status objects, the answer to every failed request, and the field errors of a 422.
 *
 * Texts and shapes are those of apimachinery's api/errors and util/validation/field, because
 * clients and people's scripts match on them. Everything lives in the arena that is given.
 */
#ifndef API_STATUS_H
#define API_STATUS_H

#include "base/arena.h"
#include "codec/json.h"

/* What a Status is about; any member may be NULL or "". */
struct status_about {
    const char *group;
    const char *kind; /* the resource ("pods"); the kind ("Pod") in a 422 */
    const char *name;
    const char *uid;
};

/* {"kind":"Status",...,"status":"Failure"} with the details of `about` (NULL = none). reason may be
 * NULL. */
struct json *status_failure(struct arena *a, int http, const char *reason, const char *message,
                            const struct status_about *about);
/* For a code of errors.def: its status and reason. */
struct json *status_code(struct arena *a, int code, const char *message);
/* status: Success; http goes to code unless it is 200. */
struct json *status_success(struct arena *a, int http, const struct status_about *about);
/* Appends to details.causes; empty texts are left out. */
void status_cause(struct json *status, const char *reason, const char *message, const char *field);
/* "pods", or "deployments.apps": how Kubernetes names a resource in messages. */
const char *status_resource(struct arena *a, const struct status_about *about);
int status_http(const struct json *status); /* its code; 200 for a Success without one */

/* The golden texts. about->kind is the resource. */
struct json *status_not_found(struct arena *a, const struct status_about *about);
struct json *status_exists(struct arena *a, const struct status_about *about);
struct json *status_conflict(struct arena *a, const struct status_about *about, const char *why);
struct json *status_forbidden(struct arena *a, const struct status_about *about, const char *why);
/* The conflict of an outdated resourceVersion. */
struct json *status_outdated(struct arena *a, const struct status_about *about);
struct json *status_too_large_rv(struct arena *a, int64_t wanted, int64_t current);

/* ---- field errors ---- */

enum field_error_type {
    FIELD_REQUIRED,
    FIELD_INVALID,
    FIELD_FORBIDDEN,
    FIELD_DUPLICATE,
    FIELD_NOT_SUPPORTED,
    FIELD_TYPE_INVALID,
    FIELD_TOO_LONG,
    FIELD_TOO_MANY,
    FIELD_NOT_FOUND,
    FIELD_ERROR_TYPE_NR,
};

struct field_error {
    enum field_error_type type;
    const char *path;
    const char *body; /* "Invalid value: \"x\": must be ..." */
};

struct field_errors {
    /* read-only */
    struct arena *arena;
    struct field_error *items;
    size_t n, cap;
};

void field_errors_init(struct field_errors *e, struct arena *a);
/* value is printed as Kubernetes does for simple types and as JSON for others; it is ignored by
 * types that show none (required, forbidden, too long). detail may be NULL. More than 100 errors
 * are not kept. */
void field_error(struct field_errors *e, enum field_error_type type, const char *path,
                 const struct json *value, const char *detail);
void field_error_text(struct field_errors *e, enum field_error_type type, const char *path,
                      const char *value, const char *detail);
/* value is shown as it stands; NULL = none where the type needs none. */
void field_error_raw(struct field_errors *e, enum field_error_type type, const char *path,
                     const char *value, const char *detail);
/* body is the whole text, "Invalid value: ...". */
void field_error_body(struct field_errors *e, enum field_error_type type, const char *path,
                      const char *body);
/* NULL-terminated list of what is supported. */
void field_error_supported(struct field_errors *e, const char *path, const char *value,
                           const char *const *supported);
/* The 422: `Pod "x" is invalid: ...`. about->kind is the kind. */
struct json *status_invalid(struct arena *a, const struct status_about *about,
                            const struct field_errors *e);

#endif

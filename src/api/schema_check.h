/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a JSON tree against a schema type, and brings it into the form in which Kubernetes would
 * hold it.
 *
 * What happens to the tree, in place, is what decoding into Go's structs and encoding again does:
 *   - members that the type does not have are reported and removed;
 *   - null means absent (in a map or a list of texts it is "");
 *   - zero values ("", 0, false, [], {} of a map) of fields that are neither required nor pointers
 *     in Go go away; an empty object stays, for {} differs from absent there (emptyDir: {});
 *   - quantities get their canonical text, times are written in UTC.
 * The result is therefore the same whether a client sent JSON or protobuf.
 *
 * Required fields are not insisted on here: validation does, with better words.
 */
#ifndef API_SCHEMA_CHECK_H
#define API_SCHEMA_CHECK_H

#include "api/schema.h"
#include "base/err.h"
#include "codec/json.h"

/* What a check found that is no failure by itself. */
struct schema_report {
    /* read-only: an array of texts, `unknown field "spec.template.spec.containers[0].foo"`, at most
     * SCHEMA_REPORT_MAX of them, in the arena of the check. The caller warns or refuses. */
    struct json *unknown;
    /* Of a value with the wrong type: what Go says that converts it without JSON in between
     * ("unrecognized type: int32"), as for strategic merge patches; NULL: nothing special. */
    const char *conversion;
};

#define SCHEMA_REPORT_MAX 100

/*
 * 0, -E_INVAL for the first wrong type with Go's text ("json: cannot unmarshal string into Go
 * struct field DeploymentSpec.spec.replicas of type int32"), -E_LIMIT when too deep, or -E_NOMEM.
 * The tree is half-normalised after a failure. report may be NULL; it is filled in any case. a
 * takes new nodes; use the arena of obj.
 *
 * schema_check_object() puts `Deployment in version "v1" cannot be handled as a Deployment: `
 * before the text, as the API server does for bodies.
 */
int schema_check(struct arena *a, const struct schema_type *t, struct json *obj,
                 struct schema_report *report, struct err *err);
int schema_check_object(struct arena *a, const struct schema_type *t, struct json *obj,
                        struct schema_report *report, struct err *err);

/* Puts that prefix before a text of err; also for the caller's own "strict decoding error: ...".
 * Returns err->code, or code when err is NULL. */
int schema_wrap_body_error(const struct schema_type *t, int code, struct err *err);

/* What Go calls the kind of a JSON value in its messages: "bool", "number", "object", ... */
const char *schema_go_kind(const struct json *j);

#endif

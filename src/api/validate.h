/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an object must obey beyond its schema, with Kubernetes' words (pkg/apis/..., package
 * validation).
 *
 * The functions only add field errors; they change nothing. Types were checked against the schema
 * and defaults are set before, so a member that is there has its right type.
 */
#ifndef API_VALIDATE_H
#define API_VALIDATE_H

#include "api/status.h"
#include "codec/json.h"

struct kind;

/* NULL when fine, else what is wrong (see name.h). */
typedef const char *validate_name_fn(struct str s);

/* metadata of a new or changed object: names, labels, annotations, owners, finalizers. */
void validate_metadata(struct field_errors *e, const struct json *obj, bool namespaced,
                       validate_name_fn *check_name);
/* What an update may not change in metadata. */
void validate_metadata_update(struct field_errors *e, const struct json *obj,
                              const struct json *old);

void validate_labels(struct field_errors *e, const char *path, const struct json *labels);
void validate_label_selector(struct field_errors *e, const char *path, const struct json *selector);
/* A number that must be >= 0; absent is fine. */
void validate_not_negative(struct field_errors *e, const char *path, const struct json *n);
/* Text that must be one of a NULL-terminated list; absent is fine. */
void validate_one_of(struct field_errors *e, const char *path, const struct json *value,
                     const char *const *supported);
/* "field is immutable" when the two differ. */
void validate_immutable(struct field_errors *e, const char *path, const struct json *now,
                        const struct json *old);

/* The same of a label selector. Refusals that show labels or a selector do so as Go prints them. */
void validate_immutable_selector(struct field_errors *e, const char *path, const struct json *now,
                                 const struct json *old);
void validate_refuse_selector(struct field_errors *e, const char *path, const struct json *selector,
                              const char *detail);
void validate_refuse_labels(struct field_errors *e, const char *path, const struct json *labels,
                            const char *detail);

/* Whether ".." stands in a path as a whole element. */
bool validate_has_backstep(const char *path);

/* A pod's spec at `path` ("spec", "spec.template.spec"). */
void validate_pod_spec(struct field_errors *e, const char *path, const struct json *spec);
/* The whole update of a pod: what may change in its spec. */
void validate_pod_update(struct field_errors *e, const struct json *pod, const struct json *old);

/* pods/ephemeralcontainers and pods/resize (validate_pod_parts.c). */
void validate_ephemeral_containers(struct field_errors *e, const struct json *pod,
                                   const struct json *old);
void validate_pod_resize(struct field_errors *e, const struct json *pod, const struct json *old);

/* By kind; old is NULL for a create. */
void validate_deployment(struct field_errors *e, const struct json *obj, const struct json *old);
void validate_replication_controller(struct field_errors *e, const struct json *obj,
                                     const struct json *old);
void validate_replicaset(struct field_errors *e, const struct json *obj, const struct json *old);
void validate_namespace(struct field_errors *e, const struct json *obj, const struct json *old);
void validate_configmap(struct field_errors *e, const struct json *obj, const struct json *old);
void validate_secret(struct field_errors *e, const struct json *obj, const struct json *old);
void validate_node(struct field_errors *e, const struct json *obj, const struct json *old);
void validate_lease(struct field_errors *e, const struct json *obj, const struct json *old);
void validate_event(struct field_errors *e, const struct json *obj, const struct json *old);

#endif

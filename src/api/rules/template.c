/* SPDX-License-Identifier: Apache-2.0 */
/* PodTemplates (pkg/registry/core/podtemplate). */
#include "api/rules/rules.h"

static void validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    (void)old; /* everything may change */
    const struct json *template = json_get(obj, "template");
    validate_labels(e, "template.labels", json_path(template, "metadata.labels"));
    validate_pod_spec(e, "template.spec", json_get(template, "spec"));
}

const struct strategy rules_pod_template = {
    .kind = "PodTemplate", .group = "", .validate = validate};

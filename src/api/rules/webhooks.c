/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations of webhooks (pkg/apis/admissionregistration/validation). */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/admission.h"
#include "api/rules/rules.h"
#include "base/mem.h"

#define GROUP "admissionregistration.k8s.io"

static void hook_name(struct field_errors *e, const char *path, const struct json *list, size_t i)
{
    const struct json *name = json_get(json_at(list, i), "name");
    struct str s = json_text(name);
    const char *p = rule_path(e, "%s.name", path);
    unsigned dots = 0;
    for (size_t k = 0; k < s.n; k++) {
        dots += s.p[k] == '.';
    }
    if (s.n == 0) {
        field_error(e, FIELD_REQUIRED, p, NULL, NULL);
        return;
    }
    if (name_check_dns_subdomain(s)) {
        field_error(e, FIELD_INVALID, p, name, name_check_dns_subdomain(s));
    } else if (dots < 2) {
        field_error(e, FIELD_INVALID, p, name,
                    "should be a domain with at least three segments separated by dots");
    }
    for (size_t k = 0; k < i; k++) {
        if (str_eq(json_text(json_get(json_at(list, k), "name")), s)) {
            field_error(e, FIELD_DUPLICATE, p, name, NULL);
            break;
        }
    }
}

static void service(struct field_errors *e, const char *path, const struct json *service)
{
    const struct json *port = json_get(service, "port"), *url = json_get(service, "path");
    if (!json_text(json_get(service, "name")).n) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.name", path), NULL,
                    "service name is required");
    }
    if (!json_text(json_get(service, "namespace")).n) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.namespace", path), NULL,
                    "service namespace is required");
    }
    if (port && (json_i64(port, 0) < 1 || json_i64(port, 0) > 65535)) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.port", path), port,
                    "port is not valid: must be between 1 and 65535, inclusive");
    }
    if (json_text(url).n && json_text(url).p[0] != '/') {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.path", path), url, "must start with a '/'");
    }
}

static void client_config(struct field_errors *e, const char *path, const struct json *config)
{
    const struct json *url = json_get(config, "url"), *s = json_get(config, "service");
    if (!url == !s) {
        field_error(e, FIELD_REQUIRED, path, NULL, "exactly one of url or service is required");
    }
    if (url && !str_starts(json_text(url), "https://")) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.url", path), url,
                    "'https' is the only allowed URL scheme, desired format: "
                    "https://host[:port]/path");
    }
    if (s) {
        service(e, rule_path(e, "%s.service", path), s);
    }
}

static bool holds(const struct json *list, const char *text)
{
    JSON_FOR_EACH (item, list) {
        if (cstr_eq(json_cstr(item, ""), text)) {
            return true;
        }
    }
    return false;
}

static void review_versions(struct field_errors *e, const char *path, const struct json *versions)
{
    if (json_len(versions) == 0) {
        field_error(e, FIELD_REQUIRED, path, NULL, "must specify one of v1, v1beta1");
    } else if (!holds(versions, "v1") && !holds(versions, "v1beta1")) {
        field_error(e, FIELD_INVALID, path, versions, "must include at least one of v1, v1beta1");
    }
}

static void hook(struct field_errors *e, const char *path, const struct json *h)
{
    static const char *const failures[] = {"Fail", "Ignore", NULL};
    static const char *const matches[] = {"Equivalent", "Exact", NULL};
    static const char *const effects[] = {"None", "NoneOnDryRun", NULL};
    static const char *const again[] = {"IfNeeded", "Never", NULL};
    const struct json *seconds = json_get(h, "timeoutSeconds");
    int i = 0;
    client_config(e, rule_path(e, "%s.clientConfig", path), json_get(h, "clientConfig"));
    JSON_FOR_EACH (r, json_get(h, "rules")) {
        rule_of_operations(e, rule_path(e, "%s.rules[%d]", path, i++), r);
    }
    validate_one_of(e, rule_path(e, "%s.failurePolicy", path), json_get(h, "failurePolicy"),
                    failures);
    validate_one_of(e, rule_path(e, "%s.matchPolicy", path), json_get(h, "matchPolicy"), matches);
    validate_one_of(e, rule_path(e, "%s.reinvocationPolicy", path),
                    json_get(h, "reinvocationPolicy"), again);
    if (!json_get(h, "sideEffects")) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.sideEffects", path), NULL,
                    "must specify one of None, NoneOnDryRun");
    } else {
        validate_one_of(e, rule_path(e, "%s.sideEffects", path), json_get(h, "sideEffects"),
                        effects);
    }
    if (seconds && (json_i64(seconds, 0) < 1 || json_i64(seconds, 0) > 30)) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.timeoutSeconds", path), seconds,
                    "the timeout value must be between 1 and 30 seconds");
    }
    review_versions(e, rule_path(e, "%s.admissionReviewVersions", path),
                    json_get(h, "admissionReviewVersions"));
    validate_label_selector(e, rule_path(e, "%s.namespaceSelector", path),
                            json_get(h, "namespaceSelector"));
    validate_label_selector(e, rule_path(e, "%s.objectSelector", path),
                            json_get(h, "objectSelector"));
    rule_match_conditions(e, rule_path(e, "%s.matchConditions", path),
                          json_get(h, "matchConditions"), NULL);
}

static void validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *list = json_get(obj, "webhooks");
    (void)old; /* everything may change */
    for (size_t i = 0; i < json_len(list); i++) {
        const char *path = rule_path(e, "webhooks[%zu]", i);
        hook_name(e, path, list, i);
        hook(e, path, json_at(list, i));
    }
}

const struct strategy rules_mutating_webhooks = {.group = GROUP,
                                                 .kind = "MutatingWebhookConfiguration",
                                                 .validate = validate,
                                                 .needs_version = true};
const struct strategy rules_validating_webhooks = {.group = GROUP,
                                                   .kind = "ValidatingWebhookConfiguration",
                                                   .validate = validate,
                                                   .needs_version = true};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams, tables and rules of the nodes. The SQL itself is judged by the node that runs it, whose
 * program may know more or less of the language than this server does; its sentence stands in
 * status.nodes and in the condition Ready.
 */
#include "api/name.h"
#include "api/rules/rules.h"
#include "base/limits.h"

static void check_place(struct field_errors *e, const struct json *spec)
{
    const struct json *name = json_get(spec, "nodeName");
    if (json_text(name).n > 0) {
        rule_name(e, "spec.nodeName", name, name_check_dns_subdomain);
    }
    validate_labels(e, "spec.nodeSelector", json_get(spec, "nodeSelector"));
}

static void check_sql(struct field_errors *e, const struct json *spec)
{
    if (rule_required(e, "spec.sql", spec, "sql") &&
        json_text(json_get(spec, "sql")).n > LIMIT_SQL_SOURCE) {
        field_error(e, FIELD_TOO_LONG, "spec.sql", NULL,
                    rule_path(e, "may not be more than %d bytes", LIMIT_SQL_SOURCE));
    }
}

static void check_action(struct field_errors *e, int i, const struct json *action)
{
    if (!json_is(action, JSON_OBJECT) || json_len(action) == 0) {
        field_error(e, FIELD_INVALID, rule_path(e, "spec.actions[%d]", i), NULL,
                    "an action is an object {kind: {options}}");
        return;
    }
    JSON_FOR_EACH_MEMBER (m, action) {
        if (!json_is(m->value, JSON_OBJECT)) {
            field_error(e, FIELD_INVALID, rule_path(e, "spec.actions[%d].%s", i, m->key), NULL,
                        "the options of an action are an object");
        }
    }
}

static void validate_source(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    (void)old;
    check_sql(e, spec);
    check_place(e, spec);
}

static void validate_rule(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec"), *options = json_get(spec, "options");
    int i = 0;
    validate_source(e, obj, old);
    if (json_len(json_get(spec, "actions")) == 0) {
        field_error(e, FIELD_REQUIRED, "spec.actions", NULL, "where results go");
    }
    JSON_FOR_EACH (action, json_get(spec, "actions")) {
        check_action(e, i++, action);
    }
    if (options && !json_is(options, JSON_OBJECT) && !json_is(options, JSON_NULL)) {
        field_error(e, FIELD_INVALID, "spec.options", NULL, "options are an object");
    }
}

const struct strategy rules_rule = {.group = "data.selvedge.dev",
                                    .kind = "Rule",
                                    .create = rule_status_reset,
                                    .validate = validate_rule};
const struct strategy rules_stream = {.group = "data.selvedge.dev",
                                      .kind = "Stream",
                                      .create = rule_status_reset,
                                      .validate = validate_source};
const struct strategy rules_table = {.group = "data.selvedge.dev",
                                     .kind = "Table",
                                     .create = rule_status_reset,
                                     .validate = validate_source};

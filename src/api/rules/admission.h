/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules of webhooks and of admission policies share. */
#ifndef API_RULES_ADMISSION_H
#define API_RULES_ADMISSION_H

#include "api/cel/cel_admission.h"
#include "api/status.h"

/* A RuleWithOperations: operations, groups, versions, resources, scope. */
void rule_of_operations(struct field_errors *e, const char *path, const struct json *rule);
/* A list of {name, expression}; env: what the expressions see, NULL = what a webhook's do. */
void rule_match_conditions(struct field_errors *e, const char *path, const struct json *list,
                           const struct cel_admission_env *env);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x-kubernetes-validations: the rules of a CustomResourceDefinition's schema.
 *
 * The input is the openAPIV3Schema as JSON (structural, checked before); all rules of the tree are
 * compiled once, with costs estimated from maxItems, maxLength and maxProperties, and then checked
 * against objects. Covers rule, message, messageExpression, reason, fieldPath and optionalOldSelf;
 * transition rules (those that read oldSelf) run when there is an old value, matched through lists
 * of type map by their keys; and ratcheting: a rule whose value is unchanged since the old object
 * does not fail an update (unless it reads oldSelf).
 */
#ifndef API_CEL_CEL_RULES_H
#define API_CEL_CEL_RULES_H

#include "cel.h"

/* Fields by which a rule can refuse (the causes of a 422 Status). */
enum cel_cause { CEL_CAUSE_INVALID, CEL_CAUSE_REQUIRED, CEL_CAUSE_FORBIDDEN, CEL_CAUSE_DUPLICATE };

struct cel_problem {
    enum cel_cause cause;
    const char *path;   /* "spec.list[0].name", relative to the root that was given */
    const char *detail; /* the text after "Invalid value: ...: " */
    /* Of CEL_CAUSE_INVALID and CEL_CAUSE_DUPLICATE: what to show as the value, ready for print
     * ("\"object\"", "apiextensions.ValidationRule{...}"); else NULL. */
    const char *value;
};

/* Called once a problem; what it is given lives only during the call. */
typedef void cel_problem_fn(void *arg, const struct cel_problem *problem);

struct cel_rules;

/* The CEL type of a structural schema, in the arena, with no pointers into schema; NULL for a
 * schema without a type (such a field is not accessible) and when the arena failed. root: also
 * apiVersion, kind and metadata (name and generateName) are declared, as for an embedded resource.
 */
const struct cel_type *cel_type_from_schema(struct arena *a, const struct json *schema, bool root);

/* Compiles the rules below schema, the root schema of one version. Problems (a rule that does not
 * compile, is not bool, costs too much, a bad fieldPath ...) are reported with paths below `path`
 * ("spec.validation.openAPIV3Schema"). Returns 0 and *ret, which is NULL when the schema has no
 * rules; -E_INVALID when problems were reported; -ENOMEM. */
int cel_rules_compile(const struct json *schema, const char *path, cel_problem_fn *report,
                      void *arg, struct cel_rules **ret);
void cel_rules_free(struct cel_rules *r); /* NULL is fine */

/* What Kubernetes allows all rules of one object together. */
#define CEL_COST_PER_OBJECT 10000000u

/* Checks obj; old is NULL on create. rules NULL passes. Problems are reported with paths below
 * `path` ("" = the object itself). Returns the number of problems, or -ENOMEM. */
int cel_rules_check(const struct cel_rules *r, struct arena *a, const struct json *obj,
                    const struct json *old, const char *path, cel_problem_fn *report, void *arg);

#endif

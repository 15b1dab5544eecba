/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roles and bindings (rbac.authorization.k8s.io/v1) as an index in memory, kept up to date by the
 * store's events in the loop that serves requests: when a write of a role is acknowledged, it
 * holds.
 *
 *     subject (user, group, service account) -> its bindings -> the role of each -> rules
 *
 * A decision that does not depend on the object's name is remembered under (user, groups, verb,
 * group, resource, namespace) until any role or binding changes; looking one up takes one hash and
 * one comparison. Semantics: pkg/registry/rbac/validation and plugin/pkg/auth/authorizer/rbac of
 * Kubernetes.
 */
#ifndef API_AUTH_RBAC_H
#define API_AUTH_RBAC_H

#include "api/auth/authz.h"
#include "codec/json.h"
#include "store/store.h"

struct rbac;

/* One rule; every list is NULL-terminated and never NULL itself. */
struct rbac_rule {
    const char *const *verbs, *const *groups, *const *resources, *const *names, *const *urls;
};

/* Loads what the store holds and follows it. store is borrowed. 0, -E_NOMEM. */
int rbac_new(struct store *store, struct rbac **ret);
void rbac_free(struct rbac *r); /* NULL is fine */

/* Adds an object that is in no store: an edge has the default roles this way. A Role, ClusterRole,
 * RoleBinding or ClusterRoleBinding. */
int rbac_add(struct rbac *r, const struct json *obj);

/* Whether the rules of the user allow it. No memory is kept or needed. */
bool rbac_allows(struct rbac *r, const struct authz_attrs *attrs);
/* The same, unremembered, with the words that Kubernetes gives as reason: `RBAC: allowed by ...`,
 * or what could not be resolved; "" when there is nothing to say. In the arena. */
bool rbac_explain(struct rbac *r, struct arena *a, const struct authz_attrs *attrs,
                  const char **ret_reason);
/* Every rule that holds for the user in the namespace (with ns "": cluster-wide ones only); fn
 * returns false to end. A rule may come more than once. It is borrowed until fn returns. */
void rbac_visit(struct rbac *r, const struct api_user *user, const char *ns,
                bool (*fn)(void *arg, const struct rbac_rule *rule), void *arg);

/* ---- rules (rbac_rules.c); all lives in the arena ---- */

/* The rules of a role's JSON. *ret is NULL when there are none or the arena failed. */
size_t rbac_rules_parse(struct arena *a, const struct json *rules, struct rbac_rule **ret);
struct json *rbac_rule_json(struct arena *a, const struct rbac_rule *rule);
/* A request against one rule. with_name false: as if the rule had no resourceNames. */
bool rbac_rule_matches(const struct rbac_rule *rule, const struct authz_attrs *attrs,
                       bool with_name);
/* Whether the rules of an owner allow everything that the wanted rules do; what is missing is
 * appended to *ret_missing as rules of one verb, group and resource each (*ret_n). -E_LIMIT when
 * the rules are too many to be compared (LIMIT_RBAC_PARTS). */
int rbac_rules_missing(struct arena *a, const struct rbac_rule *owner, size_t n_owner,
                       const struct rbac_rule *wanted, size_t n_wanted,
                       struct rbac_rule **ret_missing, size_t *ret_n);
/* Rules of equal groups, resources, names and URLs become one with all their verbs. In place. */
size_t rbac_rules_compact(struct arena *a, struct rbac_rule *rules, size_t n);
/* {APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]} */
const char *rbac_rule_text(struct arena *a, const struct rbac_rule *rule);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The default roles and bindings: see rbac_defaults.h. */
#include "api/auth/rbac_defaults.h"

#include "api/auth/rbac.h"
#include "api/object.h"
#include "api/server_boot.h"
#include "api/server_private.h"

#define GROUP "rbac.authorization.k8s.io"
#define AUTOUPDATE "rbac.authorization.kubernetes.io/autoupdate"
#define AGGREGATE GROUP "/aggregate-to-"

#define READ "get,list,watch"
#define WRITE "create,delete,deletecollection,patch,update"
#define ALL_VERBS "create,delete,deletecollection,get,list,patch,update,watch"
#define HEALTH_URLS "/healthz,/livez,/readyz,/version,/version/"

/* Comma-separated lists; NULL = none. core stands for the group "". */
struct rule_def {
    const char *verbs, *groups, *resources, *urls;
};

#define RULES_MAX 14

struct role_def {
    const char *name;
    const char *label;     /* aggregated to: "admin", "edit,view" */
    const char *aggregate; /* made of the roles aggregated to this */
    struct rule_def rules[RULES_MAX];
};

/* Sorted by name, as the rules of aggregated roles are. */
static const struct role_def roles[] = {
    {"admin", .aggregate = "admin"},
    {"cluster-admin", .rules = {{"*", "*", "*", NULL}, {"*", NULL, NULL, "*"}}},
    {"edit", .label = "admin", .aggregate = "edit"},
    {"system:aggregate-to-admin", .label = "admin",
     .rules = {{"create", "authorization.k8s.io", "localsubjectaccessreviews", NULL},
               {ALL_VERBS, GROUP, "rolebindings,roles", NULL}}},
    {"system:aggregate-to-edit", .label = "edit",
     .rules = {{READ, "core",
                "pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy", NULL},
               {"impersonate", "core", "serviceaccounts", NULL},
               {WRITE, "core", "pods,pods/attach,pods/exec,pods/portforward,pods/proxy", NULL},
               {"create", "core", "pods/eviction", NULL},
               {WRITE, "core",
                "configmaps,events,persistentvolumeclaims,replicationcontrollers,"
                "replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy",
                NULL},
               {"create", "core", "serviceaccounts/token", NULL},
               {WRITE, "apps",
                "daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,"
                "replicasets/scale,statefulsets,statefulsets/scale",
                NULL},
               {WRITE, "autoscaling", "horizontalpodautoscalers", NULL},
               {WRITE, "batch", "cronjobs,jobs", NULL},
               {WRITE, "data.selvedge.dev", "rules,streams,tables", NULL},
               {WRITE, "extensions",
                "daemonsets,deployments,deployments/rollback,deployments/scale,ingresses,"
                "networkpolicies,replicasets,replicasets/scale,replicationcontrollers/scale",
                NULL},
               {WRITE, "policy", "poddisruptionbudgets", NULL},
               {WRITE, "networking.k8s.io", "ingresses,networkpolicies", NULL},
               {ALL_VERBS, "coordination.k8s.io", "leases", NULL}}},
    {"system:aggregate-to-view", .label = "view",
     .rules = {{READ, "core",
                "configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,"
                "replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,"
                "services/status",
                NULL},
               {READ, "core",
                "bindings,events,limitranges,namespaces/status,pods/log,pods/status,"
                "replicationcontrollers/status,resourcequotas,resourcequotas/status",
                NULL},
               {READ, "core", "namespaces", NULL},
               {READ, "discovery.k8s.io", "endpointslices", NULL},
               {READ, "apps",
                "controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,"
                "deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,"
                "statefulsets/scale,statefulsets/status",
                NULL},
               {READ, "autoscaling", "horizontalpodautoscalers,horizontalpodautoscalers/status",
                NULL},
               {READ, "batch", "cronjobs,cronjobs/status,jobs,jobs/status", NULL},
               {READ, "data.selvedge.dev",
                "rules,rules/status,streams,streams/status,tables,tables/status", NULL},
               {READ, "extensions",
                "daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,"
                "ingresses,ingresses/status,networkpolicies,replicasets,replicasets/scale,"
                "replicasets/status,replicationcontrollers/scale",
                NULL},
               {READ, "policy", "poddisruptionbudgets,poddisruptionbudgets/status", NULL},
               {READ, "networking.k8s.io", "ingresses,ingresses/status,networkpolicies", NULL}}},
    {"system:aggregated-metrics-reader", .label = "admin,edit,view",
     .rules = {{READ, "metrics.k8s.io", "nodes,pods", NULL}}},
    {"system:auth-delegator",
     .rules = {{"create", "authentication.k8s.io", "tokenreviews", NULL},
               {"create", "authorization.k8s.io", "subjectaccessreviews", NULL}}},
    {"system:basic-user",
     .rules = {{"create", "authorization.k8s.io",
                "selfsubjectaccessreviews,selfsubjectrulesreviews", NULL},
               {"create", "authentication.k8s.io", "selfsubjectreviews", NULL}}},
    {"system:discovery",
     .rules = {{"get", NULL, NULL,
                "/api,/api/*,/apis,/apis/*," HEALTH_URLS ",/openapi,/openapi/*"}}},
    {"system:monitoring",
     .rules = {{"get", NULL, NULL,
                "/healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*"}}},
    {"system:node",
     .rules = {{"create", "authentication.k8s.io", "tokenreviews", NULL},
               {"create", "authorization.k8s.io", "localsubjectaccessreviews,subjectaccessreviews",
                NULL},
               {READ, "core", "services", NULL},
               {"create,get,list,watch", "core", "nodes", NULL},
               {"patch,update", "core", "nodes,nodes/status", NULL},
               {"create,patch,update", "core", "events", NULL},
               {READ, "core", "pods", NULL},
               {"create,delete", "core", "pods", NULL},
               {"patch,update", "core", "pods/status", NULL},
               {"create", "core", "pods/eviction", NULL},
               {READ, "core", "configmaps,secrets", NULL},
               {"get", "core", "persistentvolumeclaims,persistentvolumes,serviceaccounts", NULL},
               {"create", "core", "serviceaccounts/token", NULL},
               {"create,delete,get,patch,update", "coordination.k8s.io", "leases", NULL}}},
    {"system:public-info-viewer", .rules = {{"get", NULL, NULL, HEALTH_URLS}}},
    {"system:service-account-issuer-discovery",
     .rules = {{"get", NULL, NULL,
                "/.well-known/openid-configuration,/.well-known/openid-configuration/,"
                "/openid/v1/jwks,/openid/v1/jwks/"}}},
    {"view", .label = "edit", .aggregate = "view"},
};

/* A binding has the name of its role. */
static const struct binding_def {
    const char *name, *groups;
} bindings[] = {
    {"cluster-admin", "system:masters"},
    {"system:basic-user", "system:authenticated"},
    {"system:discovery", "system:authenticated"},
    {"system:monitoring", "system:monitoring"},
    {"system:node", NULL},
    {"system:public-info-viewer", "system:authenticated,system:unauthenticated"},
    {"system:service-account-issuer-discovery", "system:serviceaccounts"},
};

/* ---- trees ---- */

static void put_texts(struct json *obj, const char *key, const char *list)
{
    struct json *out = list ? json_ensure_array(obj, key) : NULL;
    struct str rest = str_of(list), one;
    while (out && rest.n) {
        (void)str_cut(rest, ',', &one, &rest); /* without a comma, all of it */
        json_push(out, json_string_n(obj->arena, str_is(one, "core") ? STR_NULL : one));
    }
}

static struct json *head(struct arena *a, const char *kind, const char *name)
{
    struct json *o = json_object(a);
    json_set_str(o, "kind", kind);
    json_set_str(o, "apiVersion", GROUP "/v1");
    struct json *meta = json_ensure_object(o, "metadata");
    json_set_str(meta, "name", name);
    json_set_str(json_ensure_object(meta, "labels"), "kubernetes.io/bootstrapping",
                 "rbac-defaults");
    json_set_str(json_ensure_object(meta, "annotations"), AUTOUPDATE, "true");
    return o;
}

static void put_labels(struct json *o, const char *list)
{
    struct json *labels = json_get(obj_meta(o), "labels");
    struct str rest = str_of(list), one;
    while (rest.n && labels) {
        (void)str_cut(rest, ',', &one, &rest);
        json_set_str(labels, arena_printf(o->arena, AGGREGATE STR_FMT, STR_ARG(one)), "true");
    }
}

static void put_rules(struct json *rules, const struct role_def *def)
{
    for (size_t i = 0; i < RULES_MAX && def->rules[i].verbs; i++) {
        struct json *rule = json_push(rules, json_object(rules ? rules->arena : NULL));
        put_texts(rule, "verbs", def->rules[i].verbs);
        put_texts(rule, "apiGroups", def->rules[i].groups);
        put_texts(rule, "resources", def->rules[i].resources);
        put_texts(rule, "nonResourceURLs", def->rules[i].urls);
    }
}

static bool has_word(const char *list, const char *word)
{
    struct str rest = str_of(list), one;
    while (rest.n) {
        (void)str_cut(rest, ',', &one, &rest);
        if (str_is(one, word)) {
            return true;
        }
    }
    return false;
}

/* What the controller will find, so that the roles serve from the first moment: the rules of the
 * roles that are aggregated, of which some are themselves (view in edit in admin: depth ends it).
 */
static void put_aggregated(struct json *rules, const char *to, int depth)
{
    static const int depth_max = 3;
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        if (!has_word(roles[i].label, to)) {
            continue;
        }
        if (roles[i].aggregate && depth < depth_max) {
            put_aggregated(rules, roles[i].aggregate, depth + 1);
        } else {
            put_rules(rules, &roles[i]);
        }
    }
}

/* The first of equal ones stays. */
static void drop_repeated(struct json *rules)
{
    for (size_t i = 0; i < json_len(rules); i++) {
        for (size_t k = json_len(rules) - 1; k > i; k--) {
            if (json_equal(json_at(rules, i), json_at(rules, k))) {
                json_remove(rules, k);
            }
        }
    }
}

static struct json *role_tree(struct arena *a, const struct role_def *def)
{
    struct json *o = head(a, "ClusterRole", def->name);
    put_labels(o, def->label);
    if (def->aggregate) {
        struct json *selectors =
            json_ensure_array(json_ensure_object(o, "aggregationRule"), "clusterRoleSelectors");
        struct json *selector = json_push(selectors, json_object(a));
        json_set_str(json_ensure_object(selector, "matchLabels"),
                     arena_printf(a, AGGREGATE "%s", def->aggregate), "true");
    }
    struct json *rules = json_ensure_array(o, "rules");
    if (def->aggregate) {
        put_aggregated(rules, def->aggregate, 0);
        drop_repeated(rules);
    } else {
        put_rules(rules, def);
    }
    return arena_failed(a) ? NULL : o;
}

static struct json *binding_tree(struct arena *a, const struct binding_def *def)
{
    struct json *o = head(a, "ClusterRoleBinding", def->name);
    struct json *ref = json_ensure_object(o, "roleRef");
    json_set_str(ref, "apiGroup", GROUP);
    json_set_str(ref, "kind", "ClusterRole");
    json_set_str(ref, "name", def->name);
    struct json *subjects = def->groups ? json_ensure_array(o, "subjects") : NULL;
    struct str rest = str_of(def->groups), one;
    while (subjects && rest.n) {
        (void)str_cut(rest, ',', &one, &rest);
        struct json *subject = json_push(subjects, json_object(a));
        json_set_str(subject, "kind", "Group");
        json_set_str(subject, "apiGroup", GROUP);
        json_set(subject, "name", json_string_n(a, one));
    }
    return arena_failed(a) ? NULL : o;
}

/* ---- giving back what is missing ---- */

/* Labels and annotations that are not there; true when there were some. */
static bool add_pairs(struct json *obj, const struct json *wanted, const char *member)
{
    bool changed = false;
    struct json *now = json_ensure_object(obj_meta(obj), member);
    JSON_FOR_EACH_MEMBER (m, json_get(json_get(wanted, "metadata"), member)) {
        if (!json_get(now, m->key)) {
            json_set_n(now, str_n(m->key, m->key_n), m->value);
            changed = true;
        }
    }
    return changed;
}

static bool add_rules(struct arena *a, struct json *obj, const struct json *wanted)
{
    struct rbac_rule *have, *want, *missing = NULL;
    size_t n_have = rbac_rules_parse(a, json_get(obj, "rules"), &have);
    size_t n_want = rbac_rules_parse(a, json_get(wanted, "rules"), &want), n = 0;
    if (rbac_rules_missing(a, have, n_have, want, n_want, &missing, &n) < 0 || n == 0) {
        return false;
    }
    n = rbac_rules_compact(a, missing, n);
    struct json *rules = json_ensure_array(obj, "rules");
    for (size_t i = 0; i < n; i++) {
        json_push(rules, rbac_rule_json(a, &missing[i]));
    }
    return true;
}

static bool add_subjects(struct json *obj, const struct json *wanted)
{
    bool changed = false;
    JSON_FOR_EACH (want, json_get(wanted, "subjects")) {
        bool found = false;
        JSON_FOR_EACH (have, json_get(obj, "subjects")) {
            found |= json_equal(have, want);
        }
        if (!found) {
            json_push(json_ensure_array(obj, "subjects"), want);
            changed = true;
        }
    }
    return changed;
}

static int reconcile(struct api_server *s, struct arena *a, const struct kind *k,
                     struct json *wanted)
{
    const char *key = api_key(a, k, "", obj_name(wanted));
    struct store_item *it = key ? store_get(s->store, str_of(key)) : NULL;
    if (!it) {
        return key ? server_boot_write(s, HANDLER_CREATE, k, wanted) : -E_NOMEM;
    }
    struct json *obj = handler_item_tree(a, k, it);
    if (!obj || cstr_eq(obj_annotation(obj, AUTOUPDATE), "false")) {
        return obj ? 0 : -E_NOMEM;
    }
    bool changed = add_pairs(obj, wanted, "labels");
    changed |= add_pairs(obj, wanted, "annotations");
    changed |= add_rules(a, obj, wanted);
    changed |= add_subjects(obj, wanted);
    return arena_failed(a) ? -E_NOMEM : changed ? server_boot_write(s, HANDLER_UPDATE, k, obj) : 0;
}

int rbac_defaults_boot(struct api_server *s)
{
    const struct kind *role = kind_find(GROUP, "v1", "clusterroles");
    const struct kind *binding = kind_find(GROUP, "v1", "clusterrolebindings");
    struct arena a;
    int rc = 0;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(roles) && rc == 0; i++) {
        struct json *wanted = role_tree(&a, &roles[i]);
        rc = wanted ? reconcile(s, &a, role, wanted) : -E_NOMEM;
    }
    for (size_t i = 0; i < ARRAY_SIZE(bindings) && rc == 0; i++) {
        struct json *wanted = binding_tree(&a, &bindings[i]);
        rc = wanted ? reconcile(s, &a, binding, wanted) : -E_NOMEM;
    }
    arena_fini(&a);
    return rc;
}

int rbac_defaults_builtin(struct rbac *r)
{
    struct arena a;
    int rc = 0;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(roles) && rc == 0; i++) {
        struct json *role = role_tree(&a, &roles[i]);
        rc = role ? rbac_add(r, role) : -E_NOMEM;
    }
    for (size_t i = 0; i < ARRAY_SIZE(bindings) && rc == 0; i++) {
        struct json *binding = binding_tree(&a, &bindings[i]);
        rc = binding ? rbac_add(r, binding) : -E_NOMEM;
    }
    arena_fini(&a);
    return rc;
}

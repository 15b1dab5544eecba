/* SPDX-License-Identifier: Apache-2.0 */
/* What objects count for in quotas: see quota_usage.h. */
#include "api/admission/quota_usage.h"

#include <stdio.h>
#include <string.h>

#include "api/object.h"
#include "base/map.h"
#include "base/mem.h"

const char *quota_resource(struct arena *a, const struct kind *k)
{
    return *k->group ? arena_printf(a, "%s.%s", k->plural, k->group) : k->plural;
}

static bool is_core(const struct kind *k, const char *kind)
{
    return !*k->group && cstr_eq(k->kind, kind);
}

static struct quantity number(int64_t n)
{
    return quantity_of(n, QUANTITY_DECIMAL_SI);
}

/* ---- pods ---- */

static bool is_basic(const char *name)
{
    return cstr_eq(name, "cpu") || cstr_eq(name, "memory") || cstr_eq(name, "ephemeral-storage");
}

static void count_requests(struct arena *a, struct quota_usage *u, const struct resource_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const char *name = l->v[i].name;
        const char *prefixed = arena_printf(a, "requests.%s", name);
        bool huge = str_starts(str_of(name), "hugepages-");
        if (is_basic(name) || huge) {
            resource_list_add(a, &u->amounts, name, l->v[i].q);
        }
        if ((is_basic(name) || huge || strchr(name, '/')) && prefixed) {
            resource_list_add(a, &u->amounts, prefixed, l->v[i].q);
        }
    }
}

static void count_limits(struct arena *a, struct quota_usage *u, const struct resource_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const char *prefixed = arena_printf(a, "limits.%s", l->v[i].name);
        if (is_basic(l->v[i].name) && prefixed) {
            resource_list_add(a, &u->amounts, prefixed, l->v[i].q);
        }
    }
}

static bool best_effort(const struct resource_list *requests, const struct resource_list *limits)
{
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const struct quantity *r = resource_list_get(requests, names[i]);
        const struct quantity *l = resource_list_get(limits, names[i]);
        if ((r && !quantity_is_zero(*r)) || (l && !quantity_is_zero(*l))) {
            return false;
        }
    }
    return true;
}

static bool looks_abroad(const struct json *spec)
{
    static const char *const paths[] = {"affinity.podAffinity", "affinity.podAntiAffinity"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        const struct json *aff = json_path(spec, paths[i]);
        JSON_FOR_EACH (t, json_get(aff, "requiredDuringSchedulingIgnoredDuringExecution")) {
            if (json_len(json_get(t, "namespaces")) || json_get(t, "namespaceSelector")) {
                return true;
            }
        }
        JSON_FOR_EACH (w, json_get(aff, "preferredDuringSchedulingIgnoredDuringExecution")) {
            const struct json *t = json_get(w, "podAffinityTerm");
            if (json_len(json_get(t, "namespaces")) || json_get(t, "namespaceSelector")) {
                return true;
            }
        }
    }
    return false;
}

/* A pod that has ended uses nothing any more. */
static bool pod_counts(const struct json *pod)
{
    const char *phase = json_path_cstr(pod, "status.phase", "");
    return !cstr_eq(phase, "Succeeded") && !cstr_eq(phase, "Failed");
}

static void count_pod(struct arena *a, struct quota_usage *u, const struct json *pod)
{
    const struct json *spec = json_get(pod, "spec");
    struct resource_list requests = pod_requests(a, spec), limits = pod_limits(a, spec);
    u->scopes = QUOTA_SCOPE_POD;
    u->scopes |= best_effort(&requests, &limits) ? QUOTA_SCOPE_BEST_EFFORT : 0;
    u->scopes |= json_get(spec, "activeDeadlineSeconds") ? QUOTA_SCOPE_TERMINATING : 0;
    u->scopes |= looks_abroad(spec) ? QUOTA_SCOPE_CROSS_AFFINITY : 0;
    u->priority_class = arena_strdup(a, json_path_cstr(spec, "priorityClassName", ""));
    if (pod_counts(pod)) {
        resource_list_add(a, &u->amounts, "pods", number(1));
        count_requests(a, u, &requests);
        count_limits(a, u, &limits);
    }
}

/* ---- others ---- */

static void count_service(struct arena *a, struct quota_usage *u, const struct json *svc)
{
    const char *type = json_path_cstr(svc, "spec.type", "ClusterIP");
    bool balancer = cstr_eq(type, "LoadBalancer");
    int64_t ports = 0;
    JSON_FOR_EACH (p, json_path(svc, "spec.ports")) {
        ports += cstr_eq(type, "NodePort") ||
                 (balancer && (json_path_true(svc, "spec.allocateLoadBalancerNodePorts", true) ||
                               json_path_i64(p, "nodePort", 0) > 0));
    }
    resource_list_add(a, &u->amounts, "services", number(1));
    resource_list_add(a, &u->amounts, "services.loadbalancers", number(balancer));
    resource_list_add(a, &u->amounts, "services.nodeports", number(ports));
}

static void count_claim(struct arena *a, struct quota_usage *u, const struct json *claim)
{
    const char *class = json_path_cstr(claim, "spec.storageClassName", "");
    struct quantity q = number(0);
    (void)quantity_from_json(json_path(claim, "spec.resources.requests.storage"), &q, NULL);
    resource_list_add(a, &u->amounts, "persistentvolumeclaims", number(1));
    resource_list_add(a, &u->amounts, "requests.storage", q);
    if (*class) {
        const char *of = arena_printf(a, "%s.storageclass.storage.k8s.io/", class);
        const char *n = arena_printf(a, "%spersistentvolumeclaims", of ? of : "");
        const char *s = arena_printf(a, "%srequests.storage", of ? of : "");
        if (n && s) {
            resource_list_add(a, &u->amounts, n, number(1));
            resource_list_add(a, &u->amounts, s, q);
        }
    }
}

struct quota_usage quota_usage_of(struct arena *a, const struct kind *k, const struct json *obj)
{
    static const char *const plain[] = {"ConfigMap", "Secret", "ReplicationController",
                                        "ResourceQuota"};
    struct quota_usage u = {.priority_class = ""};
    if (!obj) {
        return u;
    }
    const char *resource = quota_resource(a, k);
    const char *count = arena_printf(a, "count/%s", resource ? resource : "");
    if (count) {
        resource_list_add(a, &u.amounts, count, number(1));
    }
    if (is_core(k, "Pod")) {
        count_pod(a, &u, obj);
    } else if (is_core(k, "Service")) {
        count_service(a, &u, obj);
    } else if (is_core(k, "PersistentVolumeClaim")) {
        count_claim(a, &u, obj);
    }
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        if (is_core(k, plain[i])) {
            resource_list_add(a, &u.amounts, k->plural, number(1));
        }
    }
    return u;
}

/* ---- quotas ---- */

static bool holds(bool has, const char *operator, const struct json * values, const char *value)
{
    bool among = false;
    JSON_FOR_EACH (v, values) {
        among = among || cstr_eq(json_cstr(v, ""), value);
    }
    if (cstr_eq(operator, "DoesNotExist")) {
        return !has;
    }
    if (cstr_eq(operator, "In")) {
        return has && among;
    }
    return cstr_eq(operator, "NotIn") ? !(has && among) : has;
}

static bool scope_matches(const char *scope, const char *operator, const struct json * values,
                          const struct quota_usage *u)
{
    if (cstr_eq(scope, "Terminating")) {
        return u->scopes & QUOTA_SCOPE_TERMINATING;
    }
    if (cstr_eq(scope, "NotTerminating")) {
        return !(u->scopes & QUOTA_SCOPE_TERMINATING);
    }
    if (cstr_eq(scope, "BestEffort")) {
        return u->scopes & QUOTA_SCOPE_BEST_EFFORT;
    }
    if (cstr_eq(scope, "NotBestEffort")) {
        return !(u->scopes & QUOTA_SCOPE_BEST_EFFORT);
    }
    if (cstr_eq(scope, "CrossNamespacePodAffinity")) {
        return u->scopes & QUOTA_SCOPE_CROSS_AFFINITY;
    }
    return cstr_eq(scope, "PriorityClass") &&
           holds(*u->priority_class != '\0', operator, values, u->priority_class);
}

bool quota_scopes_match(const struct json *quota, const struct quota_usage *u)
{
    const struct json *scopes = json_path(quota, "spec.scopes");
    const struct json *exprs = json_path(quota, "spec.scopeSelector.matchExpressions");
    if (json_len(scopes) + json_len(exprs) > 0 && !(u->scopes & QUOTA_SCOPE_POD)) {
        return false;
    }
    JSON_FOR_EACH (s, scopes) {
        if (!scope_matches(json_cstr(s, ""), "Exists", NULL, u)) {
            return false;
        }
    }
    JSON_FOR_EACH (e, exprs) {
        if (!scope_matches(json_path_cstr(e, "scopeName", ""), json_path_cstr(e, "operator", ""),
                           json_get(e, "values"), u)) {
            return false;
        }
    }
    return true;
}

bool quota_concerns(const struct json *quota, const struct quota_usage *u)
{
    JSON_FOR_EACH_MEMBER (m, json_path(quota, "spec.hard")) {
        if (resource_list_get(&u->amounts, m->key)) {
            return quota_scopes_match(quota, u);
        }
    }
    return false;
}

static bool is_of_pods(const char *name)
{
    return cstr_eq(name, "pods") || is_basic(name) || str_starts(str_of(name), "limits.") ||
           str_starts(str_of(name), "hugepages-") ||
           (str_starts(str_of(name), "requests.") && !cstr_eq(name, "requests.storage"));
}

bool quota_concerns_kind(const struct json *quota, const struct kind *k)
{
    bool pods = is_core(k, "Pod"), services = is_core(k, "Service");
    bool claims = is_core(k, "PersistentVolumeClaim");
    JSON_FOR_EACH_MEMBER (m, json_path(quota, "spec.hard")) {
        struct str name = str_n(m->key, m->key_n), plural, group;
        if (str_starts(name, "count/")) {
            (void)str_cut(str_n(name.p + 6, name.n - 6), '.', &plural, &group);
            if (str_is(plural, k->plural) && str_is(group, k->group)) {
                return true;
            }
        } else if (!*k->group && (cstr_eq(m->key, k->plural) || (pods && is_of_pods(m->key)) ||
                                  (services && str_starts(name, "services.")) ||
                                  (claims && (cstr_eq(m->key, "requests.storage") ||
                                              strstr(m->key, ".storageclass.storage.k8s.io/"))))) {
            return true;
        }
    }
    return false;
}

/* ---- what pods must say ---- */

static const struct json *said(const struct json *container, const char *name)
{
    const struct json *limits = json_path(container, "resources.limits");
    if (str_starts(str_of(name), "limits.")) {
        return json_get(limits, name + 7);
    }
    name = str_starts(str_of(name), "requests.") ? name + 9 : name;
    const struct json *r = json_get(json_path(container, "resources.requests"), name);
    return r ? r : json_get(limits, name);
}

const char *quota_missing(struct arena *a, const struct json *quota, const struct json *pod)
{
    static const char *const names[] = {"cpu",    "limits.cpu",   "limits.memory",
                                        "memory", "requests.cpu", "requests.memory"};
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    const char *all = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *who = NULL;
        for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
            JSON_FOR_EACH (c, json_path(pod, lists[l])) {
                if (json_get(json_path(quota, "spec.hard"), names[i]) && !said(c, names[i])) {
                    const char *name = json_path_cstr(c, "name", "");
                    who = who ? arena_printf(a, "%s,%s", who, name) : name;
                }
            }
        }
        if (who) {
            all = all ? arena_printf(a, "%s; %s for: %s", all, names[i], who)
                      : arena_printf(a, "must specify %s for: %s", names[i], who);
        }
    }
    return all;
}

/* ---- tables ---- */

struct entry {
    struct arena arena;
    struct quota_usage usage;
    int64_t rev;
    bool gone;
};

struct tracked {
    struct map entries; /* "resource.group/name" -> struct entry */
};

struct quota_table {
    struct map spaces; /* namespace -> struct tracked */
};

struct quota_table *quota_table_new(void)
{
    return mem_zalloc(sizeof(struct quota_table));
}

static void free_entry(void *value)
{
    struct entry *e = value;
    if (e) {
        arena_fini(&e->arena);
        mem_free(e);
    }
}

static void free_tracked(void *value)
{
    struct tracked *t = value;
    if (t) {
        map_fini(&t->entries, free_entry);
        mem_free(t);
    }
}

void quota_table_free(struct quota_table *t)
{
    if (t) {
        map_fini(&t->spaces, free_tracked);
        mem_free(t);
    }
}

bool quota_table_tracks(const struct quota_table *t, const char *ns)
{
    return map_get(&t->spaces, str_of(ns)) != NULL;
}

int quota_table_track(struct quota_table *t, const char *ns)
{
    if (quota_table_tracks(t, ns)) {
        return 0;
    }
    struct tracked *space = mem_zalloc(sizeof(*space));
    if (!space || map_put(&t->spaces, str_of(ns), space, NULL) < 0) {
        mem_free(space);
        return -E_NOMEM;
    }
    return 0;
}

void quota_table_untrack(struct quota_table *t, const char *ns)
{
    free_tracked(map_del(&t->spaces, str_of(ns)));
}

#define KEY_SIZE 640

static struct str entry_key(char *buf, const struct kind *k, const char *name)
{
    int n = snprintf(buf, KEY_SIZE, "%s.%s/%s", k->plural, k->group, name);
    return str_n(buf, n < 0 ? 0 : MIN_OF((size_t)n, (size_t)KEY_SIZE - 1));
}

int quota_table_set(struct quota_table *t, const struct kind *k, const char *ns, const char *name,
                    const struct json *obj, int64_t rev)
{
    struct tracked *space = map_get(&t->spaces, str_of(ns));
    char buf[KEY_SIZE];
    struct str key = entry_key(buf, k, name);
    struct entry *e = space ? map_get(&space->entries, key) : NULL;
    if (!space || (e && e->rev > rev) || (!e && !obj)) {
        return 0;
    }
    if (!e) {
        e = mem_zalloc(sizeof(*e));
        if (!e || map_put(&space->entries, key, e, NULL) < 0) {
            mem_free(e);
            return -E_NOMEM;
        }
        arena_init(&e->arena, /* cap= */ 0);
    }
    struct arena scratch;
    arena_init(&scratch, /* cap= */ 0);
    struct quota_usage u = quota_usage_of(&scratch, k, obj);
    arena_fini(&e->arena);
    e->usage = (struct quota_usage){.scopes = u.scopes};
    e->usage.priority_class = arena_strdup(&e->arena, u.priority_class ? u.priority_class : "");
    resource_list_add_all(&e->arena, &e->usage.amounts, &u.amounts);
    e->rev = rev;
    e->gone = !obj;
    bool failed = arena_failed(&scratch) || arena_failed(&e->arena);
    arena_fini(&scratch);
    if (failed) {
        free_entry(map_del(&space->entries, key));
    }
    return failed ? -E_NOMEM : 0;
}

int64_t quota_table_rev(const struct quota_table *t, const struct kind *k, const char *ns,
                        const char *name)
{
    const struct tracked *space = map_get(&t->spaces, str_of(ns));
    char buf[KEY_SIZE];
    const struct entry *e = space ? map_get(&space->entries, entry_key(buf, k, name)) : NULL;
    return e ? e->rev : 0;
}

void quota_table_forget(struct quota_table *t, const struct kind *k, const char *ns,
                        const char *name)
{
    struct tracked *space = map_get(&t->spaces, str_of(ns));
    char buf[KEY_SIZE];
    if (space) {
        free_entry(map_del(&space->entries, entry_key(buf, k, name)));
    }
}

struct resource_list quota_table_used(const struct quota_table *t, struct arena *a,
                                      const struct json *quota, const char *ns)
{
    const struct tracked *space = map_get(&t->spaces, str_of(ns));
    const struct json *hard = json_path(quota, "spec.hard");
    struct resource_list used = {0};
    JSON_FOR_EACH_MEMBER (m, hard) {
        struct quantity zero = number(0);
        if (quantity_from_json(m->value, &zero, NULL) == 0) {
            zero.nano = 0; /* in the format of the bound */
        }
        resource_list_add(a, &used, m->key, zero);
    }
    if (!space) {
        return used;
    }
    MAP_FOR_EACH (slot, &space->entries) {
        const struct entry *e = slot->value;
        if (e->gone || !quota_scopes_match(quota, &e->usage)) {
            continue;
        }
        for (size_t i = 0; i < used.n; i++) {
            const struct quantity *q = resource_list_get(&e->usage.amounts, used.v[i].name);
            if (q) {
                used.v[i].q = quantity_add(used.v[i].q, *q);
            }
        }
    }
    return used;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ClusterRoles with an aggregationRule: their rules are those of all ClusterRoles that one of its
 * selectors matches, in the order of names, each rule once
 * (pkg/controller/clusterroleaggregation).
 */
#include <stdlib.h>

#include "api/object.h"
#include "api/selector.h"
#include "orchestrator_private.h"

static const struct kind *role_kind(void)
{
    static const struct kind *k;
    k = k ? k : kind_find_api("rbac.authorization.k8s.io/v1", "ClusterRole");
    return k;
}

static bool add_aggregated(void *arg, struct api_item *item)
{
    if (memmem(item->text.p, item->text.n, "\"aggregationRule\"", 17)) {
        controller_add(arg, "", item->name);
    }
    return true;
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == role_kind()) {
        informer_each(orchestrator_informer(c->o, change->kind), NULL, add_aggregated, c);
    }
}

/* ---- the roles that are matched ---- */

struct gather {
    struct arena *arena;
    const struct selector *const *selectors;
    size_t n_selectors;
    const char *self;
    struct json **roles;
    size_t n, cap;
};

static bool take(struct gather *g, struct json *role)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 16, size = sizeof(*g->roles);
        struct json **grown = arena_grow(g->arena, (void *)g->roles, g->cap * size, cap * size);
        if (!grown) {
            return false;
        }
        g->roles = grown;
        g->cap = cap;
    }
    g->roles[g->n++] = role;
    return true;
}

static bool offer(void *arg, struct api_item *item)
{
    struct gather *g = arg;
    struct json *role = cstr_eq(item->name, g->self) ? NULL : api_item_parse(item, g->arena);
    for (size_t i = 0; role && i < g->n_selectors; i++) {
        if (selector_match_labels(g->selectors[i], obj_labels(role))) {
            return take(g, role);
        }
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(obj_name(*(struct json *const *)a), obj_name(*(struct json *const *)b));
}

static bool holds(const struct json *rules, const struct json *rule)
{
    JSON_FOR_EACH (r, rules) {
        if (json_equal(r, rule)) {
            return true;
        }
    }
    return false;
}

static struct json *union_of(struct gather *g)
{
    struct json *rules = json_array(g->arena);
    if (g->n) {
        qsort(g->roles, g->n, sizeof(*g->roles), by_name);
    }
    for (size_t i = 0; i < g->n; i++) {
        JSON_FOR_EACH (rule, json_get(g->roles[i], "rules")) {
            if (!holds(rules, rule)) {
                json_push(rules, rule);
            }
        }
    }
    return rules;
}

static int read_selectors(struct gather *g, const struct json *list)
{
    struct selector **all =
        arena_zalloc(g->arena, (json_len(list) + 1) * sizeof(struct selector *));
    if (!all) {
        return -E_NOMEM;
    }
    JSON_FOR_EACH (s, list) {
        int rc = selector_from_json(g->arena, s, &all[g->n_selectors], NULL);
        if (rc == -E_NOMEM) {
            return rc;
        }
        g->n_selectors += rc == 0; /* one that is malformed matches nothing */
    }
    g->selectors = (const struct selector *const *)all;
    return 0;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *role = orchestrator_get(c->o, plan->arena, role_kind(), NULL, name);
    const struct json *selectors = json_path(role, "aggregationRule.clusterRoleSelectors");
    struct gather g = {.arena = plan->arena, .self = name};
    if (!role || obj_deleting(role) || !json_get(role, "aggregationRule")) {
        return 0;
    }
    if (read_selectors(&g, selectors) < 0) {
        return -E_NOMEM;
    }
    informer_each(orchestrator_informer(c->o, role_kind()), NULL, offer, &g);
    struct json *rules = union_of(&g);
    const struct json *have = json_get(role, "rules");
    bool same = json_len(have) == json_len(rules) && (!json_len(rules) || json_equal(have, rules));
    if (!same) {
        json_set(role, "rules", rules);
        plan_update(plan, role_kind(), role, NULL);
    }
    return 0;
}

const struct controller_ops role_aggregation_controller = {
    .name = "clusterrole-aggregation-controller",
    .size = sizeof(struct controller),
    .workers = 1,
    .changed = changed,
    .reconcile = reconcile,
};

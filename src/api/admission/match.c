/* SPDX-License-Identifier: Apache-2.0 */
/* Matching of writes by rules and selectors: see match.h. */
#include "api/admission/match.h"

#include "api/admission/review.h"

struct admission_match admission_match_read(struct arena *a, const struct json *j,
                                            const char *rules)
{
    const struct json *namespaces = json_get(j, "namespaceSelector");
    const struct json *objects = json_get(j, "objectSelector");
    struct admission_match m = {
        .rules = json_get(j, rules),
        .exclude = json_get(j, "excludeResourceRules"),
        .exact = cstr_eq(json_path_cstr(j, "matchPolicy", "Equivalent"), "Exact")};
    /* A selector that does not parse was refused by validation. */
    if (json_len(namespaces) > 0) {
        (void)selector_from_json(a, namespaces, &m.namespaces, NULL);
    }
    if (json_len(objects) > 0) {
        (void)selector_from_json(a, objects, &m.objects, NULL);
    }
    return m;
}

/* ---- rules ---- */

static bool lists(const struct json *list, const char *value)
{
    JSON_FOR_EACH (j, list) {
        const char *s = json_cstr(j, "");
        if (cstr_eq(s, "*") || cstr_eq(s, value)) {
            return true;
        }
    }
    return false;
}

/* "pods", "pods/status", all of a resource, one subresource of all, "*" (no subresources). */
static bool resource_fits(struct str pattern, const char *plural, const char *sub)
{
    struct str head, tail;
    bool has_sub = str_cut(pattern, '/', &head, &tail);
    if (!str_is(head, "*") && !str_is(head, plural)) {
        return false;
    }
    return has_sub ? str_is(tail, "*") || str_is(tail, sub) : *sub == '\0';
}

static bool name_fits(const struct json *names, const char *name)
{
    JSON_FOR_EACH (n, names) {
        if (cstr_eq(json_cstr(n, ""), name)) {
            return true;
        }
    }
    return json_len(names) == 0;
}

static bool rule_fits(const struct json *rule, const struct admission *ad, const struct kind *k)
{
    const char *scope = json_path_cstr(rule, "scope", "*");
    if (!lists(json_get(rule, "operations"), admission_operation(ad)) ||
        !lists(json_get(rule, "apiGroups"), k->group) ||
        !lists(json_get(rule, "apiVersions"), k->version) ||
        !name_fits(json_get(rule, "resourceNames"), ad->op->name) ||
        (cstr_eq(scope, "Cluster") && *ad->op->ns) ||
        (cstr_eq(scope, "Namespaced") && !*ad->op->ns)) {
        return false;
    }
    JSON_FOR_EACH (r, json_get(rule, "resources")) {
        if (resource_fits(json_text(r), k->plural, ad->subresource)) {
            return true;
        }
    }
    return false;
}

static bool one_fits(const struct json *rules, const struct admission *ad, const struct kind *k)
{
    JSON_FOR_EACH (rule, rules) {
        if (rule_fits(rule, ad, k)) {
            return true;
        }
    }
    return false;
}

/* The kind under which one of the rules fits: the operation's own first. */
static const struct kind *fitting_kind(const struct json *rules, const struct admission *ad,
                                       bool exact)
{
    const struct kind *own = ad->op->kind;
    size_t n;
    if (one_fits(rules, ad, own)) {
        return own;
    }
    if (exact || own->custom) { /* other versions of custom objects may need a webhook */
        return NULL;
    }
    const struct kind *const *all = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        bool same = !all[i]->custom && all[i] != own && kind_storage(all[i]) == kind_storage(own);
        if (same && one_fits(rules, ad, all[i])) {
            return all[i];
        }
    }
    return NULL;
}

/* ---- selectors ---- */

static bool namespace_fits(const struct selector *s, const struct admission *ad)
{
    const struct kind *namespaces = kind_find("", "v1", "namespaces");
    const struct json *ns;
    if (!s) {
        return true;
    }
    if (ad->kind == namespaces && ad->verb != SERVER_CONNECT) {
        ns = ad->obj ? ad->obj : ad->old;
    } else if (*ad->op->ns) {
        ns = admission_get((struct admission *)ad, namespaces, "", ad->op->ns);
    } else {
        return true; /* a cluster-scoped object has no namespace to select by */
    }
    return selector_match_labels(s, json_path(ns, "metadata.labels"));
}

static bool object_fits(const struct selector *s, const struct admission *ad)
{
    return !s || (ad->obj && selector_match_labels(s, json_path(ad->obj, "metadata.labels"))) ||
           (ad->old && selector_match_labels(s, json_path(ad->old, "metadata.labels")));
}

const struct kind *admission_matches(const struct admission_match *m, const struct admission *ad)
{
    const struct kind *k =
        m->any && json_len(m->rules) == 0 ? ad->op->kind : fitting_kind(m->rules, ad, m->exact);
    if (!k || fitting_kind(m->exclude, ad, m->exact)) {
        return NULL;
    }
    return namespace_fits(m->namespaces, ad) && object_fits(m->objects, ad) ? k : NULL;
}

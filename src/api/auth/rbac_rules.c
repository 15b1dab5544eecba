/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: reading, matching, comparing and printing them; see rbac.h. */
#include <stdlib.h>

#include "api/auth/rbac.h"
#include "base/limits.h"
#include "base/mem.h"

static const char *const none[] = {NULL};

/* ---- JSON ---- */

static const char *const *texts(struct arena *a, const struct json *list)
{
    size_t n = 0;
    const char **out = json_len(list) ? arena_zalloc(a, (json_len(list) + 1) * sizeof(*out)) : NULL;
    if (!out) {
        return none;
    }
    JSON_FOR_EACH (item, list) {
        out[n++] = arena_strdup(a, json_cstr(item, ""));
    }
    return arena_failed(a) ? none : out;
}

size_t rbac_rules_parse(struct arena *a, const struct json *rules, struct rbac_rule **ret)
{
    size_t n = 0;
    *ret = json_len(rules) ? arena_zalloc(a, json_len(rules) * sizeof(**ret)) : NULL;
    JSON_FOR_EACH (rule, *ret ? rules : NULL) {
        (*ret)[n++] = (struct rbac_rule){.verbs = texts(a, json_get(rule, "verbs")),
                                         .groups = texts(a, json_get(rule, "apiGroups")),
                                         .resources = texts(a, json_get(rule, "resources")),
                                         .names = texts(a, json_get(rule, "resourceNames")),
                                         .urls = texts(a, json_get(rule, "nonResourceURLs"))};
    }
    return arena_failed(a) ? 0 : n;
}

static void set_texts(struct json *obj, const char *key, const char *const *list)
{
    struct json *out = *list ? json_ensure_array(obj, key) : NULL;
    for (; *list; list++) {
        json_push(out, obj ? json_string(obj->arena, *list) : NULL);
    }
}

struct json *rbac_rule_json(struct arena *a, const struct rbac_rule *rule)
{
    struct json *o = json_object(a);
    set_texts(o, "verbs", rule->verbs);
    set_texts(o, "apiGroups", rule->groups);
    set_texts(o, "resources", rule->resources);
    set_texts(o, "resourceNames", rule->names);
    set_texts(o, "nonResourceURLs", rule->urls);
    return o;
}

/* ---- matching a request ---- */

static bool has(const char *const *list, const char *text)
{
    for (; *list; list++) {
        if (strcmp(*list, text) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_or_all(const char *const *list, const char *text)
{
    return has(list, "*") || has(list, text);
}

/* "pods/log" against "*", "pods/log" and "*" "/log". */
static bool names_resource(const char *entry, const char *resource, const char *sub)
{
    size_t n = strlen(resource);
    if (!*sub) {
        return strcmp(entry, resource) == 0;
    }
    if (entry[0] == '*' && entry[1] == '/') {
        return strcmp(entry + 2, sub) == 0;
    }
    return strncmp(entry, resource, n) == 0 && entry[n] == '/' && strcmp(entry + n + 1, sub) == 0;
}

static bool matches_resource(const struct rbac_rule *rule, const struct authz_attrs *q)
{
    for (const char *const *r = rule->resources; *r; r++) {
        if (strcmp(*r, "*") == 0 || names_resource(*r, q->resource, q->subresource)) {
            return true;
        }
    }
    return false;
}

/* "/healthz/" followed by "*" takes everything below. */
static bool url_covers(const char *entry, const char *path)
{
    size_t n = strlen(entry);
    if (n > 0 && entry[n - 1] == '*') {
        return strncmp(path, entry, n - 1) == 0;
    }
    return strcmp(entry, path) == 0;
}

static bool matches_url(const struct rbac_rule *rule, const char *path)
{
    for (const char *const *u = rule->urls; *u; u++) {
        if (url_covers(*u, path)) {
            return true;
        }
    }
    return false;
}

bool rbac_rule_matches(const struct rbac_rule *rule, const struct authz_attrs *q, bool with_name)
{
    if (!has_or_all(rule->verbs, q->verb)) {
        return false;
    }
    if (q->path) {
        return matches_url(rule, q->path);
    }
    return has_or_all(rule->groups, q->group) && matches_resource(rule, q) &&
           (!with_name || !*rule->names || has(rule->names, q->name));
}

/* ---- comparing rules ---- */

/* One thing that a rule allows. */
struct part {
    const char *verb;
    const char *url; /* NULL: a resource */
    const char *group, *resource, *name;
};

static bool resource_covered(const struct rbac_rule *owner, const char *wanted)
{
    const char *slash = strchr(wanted, '/');
    for (const char *const *r = owner->resources; *r; r++) {
        bool of_all = slash && (*r)[0] == '*' && strcmp(*r + 1, slash) == 0;
        if (strcmp(*r, "*") == 0 || strcmp(*r, wanted) == 0 || of_all) {
            return true;
        }
    }
    return false;
}

static bool part_covered(const struct rbac_rule *owner, const struct part *p)
{
    if (!has_or_all(owner->verbs, p->verb)) {
        return false;
    }
    if (p->url) {
        return matches_url(owner, p->url);
    }
    return has_or_all(owner->groups, p->group) && resource_covered(owner, p->resource) &&
           (!*owner->names || (p->name && has(owner->names, p->name)));
}

struct comparison {
    struct arena *arena;
    const struct rbac_rule *owner;
    size_t n_owner;
    struct rbac_rule *missing;
    size_t n, cap;
    size_t steps;
};

static const char *const *one(struct arena *a, const char *text)
{
    const char **list = text ? arena_zalloc(a, 2 * sizeof(*list)) : NULL;
    if (!list) {
        return none;
    }
    list[0] = text;
    return list;
}

static void add_missing(struct comparison *c, const struct part *p)
{
    struct arena *a = c->arena;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        struct rbac_rule *grown =
            arena_grow(a, c->missing, c->cap * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            return; /* seen by arena_failed() */
        }
        c->missing = grown;
        c->cap = cap;
    }
    c->missing[c->n++] = (struct rbac_rule){.verbs = one(a, p->verb),
                                            .groups = one(a, p->group),
                                            .resources = one(a, p->resource),
                                            .names = one(a, p->name),
                                            .urls = one(a, p->url)};
}

static bool judge(struct comparison *c, const struct part *p)
{
    if (++c->steps > LIMIT_RBAC_PARTS) {
        return false;
    }
    for (size_t i = 0; i < c->n_owner; i++) {
        if (part_covered(&c->owner[i], p)) {
            return true;
        }
    }
    add_missing(c, p);
    return true;
}

static bool judge_names(struct comparison *c, const struct rbac_rule *rule, struct part p)
{
    if (!*rule->names) {
        return judge(c, &p);
    }
    for (const char *const *name = rule->names; *name; name++) {
        p.name = *name;
        if (!judge(c, &p)) {
            return false;
        }
    }
    return true;
}

static bool judge_resources(struct comparison *c, const struct rbac_rule *rule, const char *verb)
{
    for (const char *const *group = rule->groups; *group; group++) {
        for (const char *const *resource = rule->resources; *resource; resource++) {
            struct part p = {.verb = verb, .group = *group, .resource = *resource};
            if (!judge_names(c, rule, p)) {
                return false;
            }
        }
    }
    return true;
}

static bool judge_rule(struct comparison *c, const struct rbac_rule *rule)
{
    for (const char *const *verb = rule->verbs; *verb; verb++) {
        if (!judge_resources(c, rule, *verb)) {
            return false;
        }
        for (const char *const *url = rule->urls; *url; url++) {
            if (!judge(c, &(struct part){.verb = *verb, .url = *url})) {
                return false;
            }
        }
    }
    return true;
}

int rbac_rules_missing(struct arena *a, const struct rbac_rule *owner, size_t n_owner,
                       const struct rbac_rule *wanted, size_t n_wanted,
                       struct rbac_rule **ret_missing, size_t *ret_n)
{
    struct comparison c = {.arena = a, .owner = owner, .n_owner = n_owner};
    for (size_t i = 0; i < n_wanted; i++) {
        if (!judge_rule(&c, &wanted[i])) {
            return -E_LIMIT;
        }
    }
    *ret_missing = c.missing;
    *ret_n = c.n;
    return arena_failed(a) ? -E_NOMEM : 0;
}

static bool same_list(const char *const *a, const char *const *b)
{
    while (*a && *b && strcmp(*a, *b) == 0) {
        a++;
        b++;
    }
    return !*a && !*b;
}

static bool same_but_verbs(const struct rbac_rule *a, const struct rbac_rule *b)
{
    return same_list(a->groups, b->groups) && same_list(a->resources, b->resources) &&
           same_list(a->names, b->names) && same_list(a->urls, b->urls);
}

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list[n]) {
        n++;
    }
    return n;
}

static void take_verbs(struct arena *a, struct rbac_rule *into, const struct rbac_rule *from)
{
    size_t n = count(into->verbs);
    const char **all = arena_zalloc(a, (n + count(from->verbs) + 1) * sizeof(*all));
    if (!all) {
        return;
    }
    memcpy(all, into->verbs, n * sizeof(*all));
    for (const char *const *v = from->verbs; *v; v++) {
        if (!has(all, *v)) {
            all[n++] = *v;
        }
    }
    into->verbs = all;
}

size_t rbac_rules_compact(struct arena *a, struct rbac_rule *rules, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t same = 0;
        while (same < kept && !same_but_verbs(&rules[same], &rules[i])) {
            same++;
        }
        if (same < kept) {
            take_verbs(a, &rules[same], &rules[i]);
        } else {
            rules[kept++] = rules[i];
        }
    }
    return kept;
}

/* ---- printing ---- */

static void put_list(struct buf *b, const char *name, const char *const *list)
{
    if (!*list) {
        return;
    }
    (void)buf_printf(b, "%s%s:[", buf_len(b) > 1 ? ", " : "", name); /* sticky, here and below */
    for (const char *const *t = list; *t; t++) {
        (void)buf_puts(b, t == list ? "" : " ");
        (void)json_print_string(b, str_of(*t));
    }
    (void)buf_putc(b, ']');
}

const char *rbac_rule_text(struct arena *a, const struct rbac_rule *rule)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    (void)buf_putc(&b, '{');
    put_list(&b, "APIGroups", rule->groups);
    put_list(&b, "Resources", rule->resources);
    put_list(&b, "NonResourceURLs", rule->urls);
    put_list(&b, "ResourceNames", rule->names);
    put_list(&b, "Verbs", rule->verbs);
    (void)buf_putc(&b, '}');
    return buf_failed(&b) ? NULL : arena_str(a, buf_str(&b));
}

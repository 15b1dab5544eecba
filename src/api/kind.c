/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry: the generated table of kinds, and the custom kinds of those who serve some. Kinds
 * are a hundred or two, so linear searches do.
 */
#include "api/kind.h"

#include <string.h>

#include "api/kind_private.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"

#define KINDS_COMPILED_MAX 160

static struct {
    const struct kind **all; /* the compiled ones and those of all sets; NULL: the former alone */
    size_t n;
    uint64_t generation;
    struct list sets, listeners;
    struct map shells; /* "plural.group/version" -> struct kind */
} registry = {.sets = {&registry.sets, &registry.sets},
              .listeners = {&registry.listeners, &registry.listeners}};

/* ---- the list of all ---- */

/* The compiled kinds as a list of pointers, before any custom kind has come. */
static const struct kind *const *compiled(void)
{
    static const struct kind *list[KINDS_COMPILED_MAX];
    assert(kind_table_n <= KINDS_COMPILED_MAX);
    for (size_t i = 0; i < kind_table_n && !list[i]; i++) {
        list[i] = &kind_table[i];
    }
    return list;
}

const struct kind *const *kinds_all(size_t *ret_n)
{
    *ret_n = registry.all ? registry.n : kind_table_n;
    return registry.all ? (const struct kind *const *)registry.all : compiled();
}

uint64_t kinds_generation(void)
{
    return registry.generation;
}

/* Behind the last kind of the same group and version, of the same group, or at the end. */
static size_t place_of(const struct kind *const *all, size_t n, const struct kind *k)
{
    size_t group = n, version = n;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i]->group, k->group) == 0) {
            group = i + 1;
            if (strcmp(all[i]->version, k->version) == 0) {
                version = i + 1;
            }
        }
    }
    return version < n ? version : group;
}

static bool has(const struct kind *const *all, size_t n, const struct kind *k)
{
    for (size_t i = 0; i < n; i++) {
        if (all[i] == k) {
            return true;
        }
    }
    return false;
}

static int rebuild(void)
{
    size_t n = kind_table_n;
    LIST_FOR_EACH (l, &registry.sets) {
        n += CONTAINER_OF(l, struct kind_set, link)->n_served;
    }
    const struct kind **all = mem_alloc((n + 1) * sizeof(struct kind *));
    if (!all) {
        return -ENOMEM;
    }
    memcpy(all, compiled(), kind_table_n * sizeof(struct kind *));
    n = kind_table_n;
    LIST_FOR_EACH (l, &registry.sets) {
        const struct kind_set *set = CONTAINER_OF(l, struct kind_set, link);
        for (size_t i = 0; i < set->n_served; i++) {
            const struct kind *k = set->served[i];
            if (has(all + kind_table_n, n - kind_table_n, k)) {
                continue; /* two servers of one process serve it */
            }
            size_t at = place_of(all, n, k);
            memmove(&all[at + 1], &all[at], (n - at) * sizeof(struct kind *));
            all[at] = k;
            n++;
        }
    }
    mem_free(registry.all);
    registry.all = all;
    registry.n = n;
    return 0;
}

int kinds_changed(void)
{
    int code = rebuild();
    registry.generation++;
    LIST_FOR_EACH_SAFE (l, &registry.listeners) {
        struct kinds_listener *listener = CONTAINER_OF(l, struct kinds_listener, link);
        listener->changed(listener->arg);
    }
    return code;
}

void kinds_listen(struct kinds_listener *l)
{
    list_push_back(&registry.listeners, &l->link);
}

void kinds_unlisten(struct kinds_listener *l)
{
    if (l->link.next) {
        list_del(&l->link);
    }
}

/* ---- custom kinds ---- */

void kind_set_add(struct kind_set *set)
{
    list_push_back(&registry.sets, &set->link);
}

void kind_set_remove(struct kind_set *set)
{
    if (!set->link.next) {
        return;
    }
    list_del(&set->link);
    if (list_empty(&registry.sets)) {
        mem_free(registry.all); /* the compiled ones alone are left */
        registry.all = NULL;
        registry.generation++;
    } else {
        (void)
            kinds_changed(); /* without memory the last list stays: its kinds are valid for good */
    }
}

struct shell {
    struct kind kind;
    struct kind_subresource subs[2];
    char texts[]; /* group, version, plural, api_version */
};

struct kind_subresource *kind_shell_subs(struct kind *k)
{
    return CONTAINER_OF(k, struct shell, kind)->subs;
}

struct kind *kind_shell(const char *group, const char *version, const char *plural)
{
    CLEANUP(mem_freep) char *key = mem_printf("%s.%s/%s", plural, group, version);
    struct kind *k = key ? map_get(&registry.shells, str_of(key)) : NULL;
    if (!key || k) {
        return k;
    }
    size_t g = strlen(group) + 1, v = strlen(version) + 1, p = strlen(plural) + 1;
    struct shell *shell = mem_zalloc(sizeof(*shell) + 2 * g + 2 * v + p);
    if (!shell || map_put(&registry.shells, str_of(key), &shell->kind, NULL) < 0) {
        mem_free(shell);
        return NULL;
    }
    k = &shell->kind;
    char *at = shell->texts;
    k->group = memcpy(at, group, g);
    k->version = memcpy(at + g, version, v);
    k->plural = memcpy(at + g + v, plural, p);
    at += g + v + p;
    memcpy(at, group, g);
    at[g - 1] = '/';
    memcpy(at + g, version, v);
    k->api_version = at;
    k->retired = true;
    return k;
}

/* "v2beta11": major 2, stage 1 (alpha 0, beta 1, none 2), minor 11. False for other forms. */
static bool version_parts(const char *s, uint64_t part[3])
{
    struct str rest = str_of(s);
    size_t n = 1;
    while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9') {
        n++;
    }
    if (rest.n < 2 || rest.p[0] != 'v' || rest.p[1] == '0' ||
        str_u64(str_n(rest.p + 1, n - 1), &part[0]) < 0) {
        return false;
    }
    rest = str_n(rest.p + n, rest.n - n);
    part[1] = 2;
    part[2] = 0;
    if (rest.n == 0) {
        return true;
    }
    part[1] = str_starts(rest, "beta") ? 1 : 0;
    size_t skip = part[1] ? 4 : 5;
    return (part[1] || str_starts(rest, "alpha")) && rest.n > skip && rest.p[skip] != '0' &&
           str_u64(str_n(rest.p + skip, rest.n - skip), &part[2]) == 0;
}

int kind_version_priority(const char *a, const char *b)
{
    uint64_t pa[3], pb[3];
    bool ka = version_parts(a, pa), kb = version_parts(b, pb);
    if (!ka || !kb) {
        return ka ? 1 : kb ? -1 : strcmp(b, a);
    }
    static const size_t order[] = {1, 0, 2}; /* the stage counts most */
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        if (pa[order[i]] != pb[order[i]]) {
            return pa[order[i]] > pb[order[i]] ? 1 : -1;
        }
    }
    return 0;
}

int kind_cmp(const struct kind *a, const struct kind *b)
{
    int c = strcmp(a->group, b->group);
    c = c ? c : -kind_version_priority(a->version, b->version);
    return c ? c : strcmp(a->plural, b->plural);
}

/* ---- look-ups ---- */

const struct kind *kind_find(const char *group, const char *version, const char *plural)
{
    size_t n;
    const struct kind *const *all = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = all[i];
        if (cstr_eq(k->plural, plural) && cstr_eq(k->version, version) &&
            cstr_eq(k->group, group ? group : "")) {
            return k;
        }
    }
    return NULL;
}

const struct kind *kind_find_gvk(const char *group, const char *version, const char *kind)
{
    size_t n;
    const struct kind *const *all = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = all[i];
        if (cstr_eq(k->kind, kind) && cstr_eq(k->version, version) &&
            cstr_eq(k->group, group ? group : "")) {
            return k;
        }
    }
    return NULL;
}

const struct kind *kind_find_api(const char *api_version, const char *kind)
{
    size_t n;
    const struct kind *const *all = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = all[i];
        if (cstr_eq(k->kind, kind) && cstr_eq(k->api_version, api_version)) {
            return k;
        }
    }
    return NULL;
}

const struct kind *kind_find_stored(struct str plural, struct str group)
{
    for (size_t i = 0; i < kind_table_n; i++) {
        const struct kind *k = &kind_table[i];
        if (k->storage == k && str_is(plural, k->plural) && str_is(group, k->group)) {
            return k;
        }
    }
    LIST_FOR_EACH (l, &registry.sets) {
        const struct kind_set *set = CONTAINER_OF(l, struct kind_set, link);
        for (size_t i = 0; i < set->n_stored; i++) {
            const struct kind *k = set->stored[i];
            if (str_is(plural, k->plural) && str_is(group, k->group)) {
                return k;
            }
        }
    }
    return NULL;
}

const struct kind_subresource *kind_subresource(const struct kind *k, const char *name)
{
    for (size_t i = 0; k && name && i < k->subs_n; i++) {
        if (strcmp(k->subs[i].name, name) == 0) {
            return &k->subs[i];
        }
    }
    return NULL;
}

/* gvk is "group/version/Kind" of the table. */
static bool gvk_is(const char *gvk, struct str group, struct str version, struct str kind)
{
    struct str g, v, k = str_of(gvk);
    return str_cut(k, '/', &g, &k) && str_cut(k, '/', &v, &k) && str_eq(g, group) &&
           str_eq(v, version) && str_eq(k, kind);
}

const struct schema_type *kind_body_type(const char *group, const char *version, const char *kind)
{
    /* DeleteOptions is part of every group; clients write the group of the resource. */
    if (cstr_eq(kind, "DeleteOptions")) {
        group = "";
        version = "v1";
    }
    for (size_t i = 0; i < schema_types_n; i++) {
        const struct schema_type *t = &schema_types[i];
        if (t->gvks != 0 &&
            gvk_is(schema_pool + t->gvks, str_of(group), str_of(version), str_of(kind))) {
            return t;
        }
    }
    return NULL;
}

size_t kind_verbs(unsigned verbs, const char *out[KIND_VERBS_MAX])
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {KIND_CREATE, "create"},
        {KIND_DELETE, "delete"},
        {KIND_DELETECOLLECTION, "deletecollection"},
        {KIND_GET, "get"},
        {KIND_LIST, "list"},
        {KIND_PATCH, "patch"},
        {KIND_UPDATE, "update"},
        {KIND_WATCH, "watch"},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (verbs & names[i].bit) {
            out[n++] = names[i].name;
        }
    }
    out[n] = NULL;
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery documents from the registry: see discovery.h. */
#include "api/discovery.h"

#include <stdio.h>
#include <string.h>

#include "api/kind.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

void content_hash(struct str content, char out[CONTENT_HASH_SIZE])
{
    /* FNV-1a, 64 bits, twice with different starts. */
    uint64_t h[2] = {UINT64_C(0xcbf29ce484222325), UINT64_C(0x9e3779b97f4a7c15)};
    for (size_t i = 0; i < content.n; i++) {
        h[0] = (h[0] ^ (uint8_t)content.p[i]) * UINT64_C(0x100000001b3);
        h[1] = (h[1] ^ (uint8_t)content.p[i]) * UINT64_C(0x100000001b3);
        h[1] ^= h[1] >> 29;
    }
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(h[i / 8] >> (56 - 8 * (i % 8)));
    }
    hex_encode(bytes, sizeof(bytes), out);
}

/* ---- groups and versions: kinds are sorted by group, so equal ones stand together ---- */

static bool new_group(const struct kind *const *kinds, size_t i)
{
    return i == 0 || strcmp(kinds[i]->group, kinds[i - 1]->group) != 0;
}

static bool new_version(const struct kind *const *kinds, size_t i)
{
    return new_group(kinds, i) || strcmp(kinds[i]->version, kinds[i - 1]->version) != 0;
}

static struct json *texts(struct arena *a, const char *const *list)
{
    struct json *out = json_array(a);
    for (; *list; list++) {
        json_push(out, json_string(a, *list));
    }
    return out;
}

static struct json *verb_texts(struct arena *a, unsigned verbs)
{
    const char *names[KIND_VERBS_MAX];
    (void)kind_verbs(verbs, names); /* the number; the list ends in NULL */
    return texts(a, names);
}

/* ---- the old form ---- */

static struct json *group_version(struct arena *a, const struct kind *k)
{
    struct json *v = json_object(a);
    json_set_str(v, "groupVersion", k->api_version);
    json_set_str(v, "version", k->version);
    return v;
}

/* The APIGroup whose first kind is kinds[i]-> */
static struct json *group(struct arena *a, const struct kind *const *kinds, size_t n, size_t i)
{
    struct json *g = json_object(a);
    const char *name = kinds[i]->group;
    json_set_str(g, "name", name);
    struct json *versions = json_set(g, "versions", json_array(a));
    json_set(g, "preferredVersion", group_version(a, kinds[i]));
    for (; i < n && strcmp(kinds[i]->group, name) == 0; i++) {
        if (new_version(kinds, i)) {
            json_push(versions, group_version(a, kinds[i]));
        }
    }
    return g;
}

static struct json *document(struct arena *a, const char *kind)
{
    struct json *d = json_object(a);
    json_set_str(d, "kind", kind);
    json_set_str(d, "apiVersion", "v1");
    return d;
}

static struct json *core_versions(struct arena *a, const char *host)
{
    struct json *d = document(a, "APIVersions");
    json_push(json_set(d, "versions", json_array(a)), json_string(a, "v1"));
    struct json *address =
        json_push(json_set(d, "serverAddressByClientCIDRs", json_array(a)), json_object(a));
    json_set_str(address, "clientCIDR", "0.0.0.0/0");
    json_set_str(address, "serverAddress", host ? host : "");
    return d;
}

static struct json *group_list(struct arena *a)
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    struct json *d = document(a, "APIGroupList");
    struct json *groups = json_set(d, "groups", json_array(a));
    for (size_t i = 0; i < n; i++) {
        if (*kinds[i]->group && new_group(kinds, i)) {
            json_push(groups, group(a, kinds, n, i));
        }
    }
    return d;
}

static struct json *one_group(struct arena *a, const char *name)
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(kinds[i]->group, name) == 0) {
            struct json *d = document(a, "APIGroup");
            JSON_FOR_EACH_MEMBER (m, group(a, kinds, n, i)) {
                json_set(d, m->key, m->value);
            }
            return d;
        }
    }
    return NULL;
}

static void push_resource(struct arena *a, struct json *list, const struct kind *k)
{
    struct json *r = json_push(list, json_object(a));
    json_set_str(r, "name", k->plural);
    json_set_str(r, "singularName", k->singular);
    json_set_bool(r, "namespaced", k->namespaced);
    json_set_str(r, "kind", k->kind);
    json_set(r, "verbs", verb_texts(a, k->verbs));
    if (k->short_names[0]) {
        json_set(r, "shortNames", texts(a, k->short_names));
    }
    if (k->categories[0]) {
        json_set(r, "categories", texts(a, k->categories));
    }
    for (size_t i = 0; i < k->subs_n; i++) {
        const struct kind_subresource *s = &k->subs[i];
        r = json_push(list, json_object(a));
        json_set(r, "name", json_printf(a, "%s/%s", k->plural, s->name));
        json_set_str(r, "singularName", "");
        json_set_bool(r, "namespaced", k->namespaced);
        if (strcmp(s->group, k->group) != 0 || strcmp(s->version, k->version) != 0) {
            json_set_str(r, "group", s->group);
            json_set_str(r, "version", s->version);
        }
        json_set_str(r, "kind", s->kind);
        json_set(r, "verbs", verb_texts(a, s->verbs));
    }
}

static struct json *resource_list(struct arena *a, const char *group_name, const char *version)
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    struct json *d = document(a, "APIResourceList"), *resources = NULL;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(kinds[i]->group, group_name) == 0 && strcmp(kinds[i]->version, version) == 0) {
            if (!resources) {
                json_set_str(d, "groupVersion", kinds[i]->api_version);
                resources = json_set(d, "resources", json_array(a));
            }
            push_resource(a, resources, kinds[i]);
        }
    }
    return resources || arena_failed(a) ? d : NULL;
}

/* ---- the aggregated form ---- */

static struct json *response_kind(struct arena *a, const struct kind *k, const char *group_name,
                                  const char *version, const char *kind)
{
    bool same = strcmp(group_name, k->group) == 0 && strcmp(version, k->version) == 0;
    struct json *r = json_object(a);
    json_set_str(r, "group", same ? "" : group_name);
    json_set_str(r, "version", same ? "" : version);
    json_set_str(r, "kind", kind);
    return r;
}

static struct json *aggregated_resource(struct arena *a, const struct kind *k)
{
    struct json *r = json_object(a);
    json_set_str(r, "resource", k->plural);
    json_set(r, "responseKind", response_kind(a, k, k->group, k->version, k->kind));
    json_set_str(r, "scope", k->namespaced ? "Namespaced" : "Cluster");
    json_set_str(r, "singularResource", k->singular);
    json_set(r, "verbs", verb_texts(a, k->verbs));
    if (k->short_names[0]) {
        json_set(r, "shortNames", texts(a, k->short_names));
    }
    if (k->categories[0]) {
        json_set(r, "categories", texts(a, k->categories));
    }
    struct json *subs = k->subs_n ? json_set(r, "subresources", json_array(a)) : NULL;
    for (size_t i = 0; i < k->subs_n; i++) {
        const struct kind_subresource *s = &k->subs[i];
        struct json *sub = json_push(subs, json_object(a));
        json_set_str(sub, "subresource", s->name);
        json_set(sub, "responseKind", response_kind(a, k, s->group, s->version, s->kind));
        json_set(sub, "verbs", verb_texts(a, s->verbs));
    }
    return r;
}

/* core: /api, which holds the group without a name; else /apis, which holds the others. */
static struct json *aggregated(struct arena *a, bool core, const char *api_version)
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    struct json *d = json_object(a), *versions = NULL, *resources = NULL;
    json_set_str(d, "kind", "APIGroupDiscoveryList");
    json_set(d, "apiVersion", json_printf(a, "apidiscovery.k8s.io/%s", api_version));
    json_set(d, "metadata", json_object(a));
    struct json *items = json_set(d, "items", json_array(a));
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = kinds[i];
        if (!*k->group != core) {
            continue;
        }
        if (new_group(kinds, i)) {
            struct json *g = json_push(items, json_object(a));
            struct json *metadata = json_set(g, "metadata", json_object(a));
            json_set_str(metadata, "name", core ? NULL : k->group);
            json_set(metadata, "creationTimestamp", json_null(a));
            versions = json_set(g, "versions", json_array(a));
        }
        if (new_version(kinds, i)) {
            struct json *v = json_push(versions, json_object(a));
            json_set_str(v, "version", k->version);
            resources = json_set(v, "resources", json_array(a));
            json_set_str(v, "freshness", "Current");
        }
        json_push(resources, aggregated_resource(a, k));
    }
    return d;
}

/* ---- choosing ---- */

/* "v2", "v2beta1", or NULL for the old form: the first clause of Accept that we can answer. */
static const char *wanted_version(const char *accept)
{
    struct str rest = str_of(accept), clause;
    bool more = rest.n > 0;
    while (more) {
        more = str_cut(rest, ',', &clause, &rest);
        struct str params = STR_NULL, type, param;
        (void)str_cut(clause, ';', &type, &params); /* without parameters: the old form */
        bool group_fits = false, as_fits = false, plain = true;
        const char *version = NULL;
        for (bool again = params.n > 0; again;) {
            again = str_cut(params, ';', &param, &params);
            param = str_trim(param);
            group_fits |= str_is(param, "g=apidiscovery.k8s.io");
            as_fits |= str_is(param, "as=APIGroupDiscoveryList");
            version = str_is(param, "v=v2") ? "v2" : version;
            version = str_is(param, "v=v2beta1") ? "v2beta1" : version;
            plain &= !str_starts(param, "as=");
        }
        if (group_fits && as_fits && version) {
            return version;
        }
        type = str_trim(type);
        if (plain && (str_is(type, "application/json") || str_is(type, "*/*"))) {
            return NULL;
        }
    }
    return NULL;
}

static struct json *below_apis(struct arena *a, struct str rest)
{
    struct str name, version;
    if (str_ends(rest, "/")) {
        rest.n--;
    }
    if (!str_cut(rest, '/', &name, &version)) {
        return name.n ? one_group(a, arena_str(a, name)) : NULL;
    }
    const char *g = arena_str(a, name), *v = arena_str(a, version);
    return name.n && g && v ? resource_list(a, g, v) : NULL;
}

static struct json *answer(struct arena *a, const char *path, const char *host, const char *wanted,
                           bool *ret_aggregated)
{
    struct str p = str_of(path);
    bool core = str_is(p, "/api") || str_is(p, "/api/");
    bool groups = str_is(p, "/apis") || str_is(p, "/apis/");
    *ret_aggregated = (core || groups) && wanted;
    if (*ret_aggregated) {
        return aggregated(a, core, wanted);
    }
    if (core || groups) {
        return core ? core_versions(a, host) : group_list(a);
    }
    if (str_is(p, "/api/v1") || str_is(p, "/api/v1/")) {
        return resource_list(a, "", "v1");
    }
    return str_starts(p, "/apis/") ? below_apis(a, str_n(p.p + 6, p.n - 6)) : NULL;
}

int discovery_get(struct arena *a, const char *path, const char *accept, const char *host,
                  struct buf *out, struct discovery_reply *ret)
{
    static const char *const types[] = {
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    bool is_aggregated;
    const char *wanted = wanted_version(accept);
    struct json *d = answer(a, path, host, wanted, &is_aggregated);
    if (arena_failed(a)) {
        return -E_NOMEM;
    }
    if (!d) {
        return -E_NOENT;
    }
    size_t from = buf_len(out);
    if (json_print(out, d) < 0) {
        return -E_NOMEM;
    }
    *ret = (struct discovery_reply){.content_type = "application/json"};
    if (is_aggregated) {
        char hash[CONTENT_HASH_SIZE];
        content_hash(str_n(buf_data(out) + from, buf_len(out) - from), hash);
        ret->content_type = types[strcmp(wanted, "v2") == 0 ? 0 : 1];
        (void)snprintf(ret->etag, sizeof(ret->etag), "\"%s\"", hash); /* it fits */
    }
    return 0;
}

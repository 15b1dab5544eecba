/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups in the generated table of kinds. It has a dozen or two rows: linear searches do. */
#include "api/kind.h"

#include <string.h>

#include "api/kind_private.h"

const struct kind *kinds_all(size_t *ret_n)
{
    *ret_n = kind_table_n;
    return kind_table;
}

const struct kind *kind_find(const char *group, const char *version, const char *plural)
{
    for (size_t i = 0; i < kind_table_n; i++) {
        const struct kind *k = &kind_table[i];
        if (cstr_eq(k->plural, plural) && cstr_eq(k->version, version) &&
            cstr_eq(k->group, group ? group : "")) {
            return k;
        }
    }
    return NULL;
}

const struct kind *kind_find_gvk(const char *group, const char *version, const char *kind)
{
    for (size_t i = 0; i < kind_table_n; i++) {
        const struct kind *k = &kind_table[i];
        if (cstr_eq(k->kind, kind) && cstr_eq(k->version, version) &&
            cstr_eq(k->group, group ? group : "")) {
            return k;
        }
    }
    return NULL;
}

const struct kind *kind_find_api(const char *api_version, const char *kind)
{
    for (size_t i = 0; i < kind_table_n; i++) {
        const struct kind *k = &kind_table[i];
        if (cstr_eq(k->kind, kind) && cstr_eq(k->api_version, api_version)) {
            return k;
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

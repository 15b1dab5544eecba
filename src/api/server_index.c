/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of objects in the store, and the small index beside every item: its labels and the fields
 * that selectors may name. One block an item, no parsing when a selector is matched.
 *
 *     struct object_index | pairs: offset of key, offset of value | texts: uid, namespace, pairs
 */
#include "api/crd/crd.h"
#include "api/object.h"
#include "api/selector.h"
#include "api/server_private.h"

struct index_pair {
    uint32_t key, value; /* offsets into the block */
};

struct object_index {
    uint32_t uid, ns; /* offsets of texts */
    uint32_t n_labels, n_fields;
    struct index_pair pairs[]; /* labels, then fields (metadata.name and .namespace not included) */
};

/* The tree from which the value at hand was just printed: spares parsing it again. Set only around
 * a submission to the store (server_index_hint). */
static __thread const struct json *hint;

const char *api_key(struct arena *a, const struct kind *k, const char *ns, const char *name)
{
    k = kind_storage(k);
    const char *dot = *k->group ? "." : "";
    if (!ns && !name) {
        return arena_printf(a, "%s%s%s/", k->plural, dot, k->group);
    }
    return arena_printf(a, "%s%s%s/%s/%s", k->plural, dot, k->group, ns ? ns : "",
                        name ? name : "");
}

static const struct kind *kind_of_resource(struct str resource)
{
    struct str plural, group;
    (void)str_cut(resource, '.', &plural, &group); /* without a dot: core */
    return kind_find_stored(plural, group);
}

const struct kind *api_key_parse(struct str key, struct str *ret_ns, struct str *ret_name)
{
    struct str resource, ns, name;
    if (!str_cut(key, '/', &resource, &ns) || !str_cut(ns, '/', &ns, &name)) {
        return NULL;
    }
    const struct kind *k = kind_of_resource(resource);
    if (k && ret_ns) {
        *ret_ns = ns;
    }
    if (k && ret_name) {
        *ret_name = name;
    }
    return k;
}

/* ---- making ---- */

void server_index_hint(const struct json *tree)
{
    hint = tree;
}

struct builder {
    struct object_index *index;
    size_t used, cap;
};

static uint32_t put_text(struct builder *b, struct str s)
{
    uint32_t at = (uint32_t)b->used;
    char *p = (char *)b->index + at;
    memcpy(p, s.p ? s.p : "", s.n);
    p[s.n] = '\0';
    b->used += s.n + 1;
    return at;
}

static size_t text_size(const struct json *obj, const struct kind *k, size_t *ret_fields)
{
    size_t n = strlen(obj_uid(obj)) + strlen(obj_ns(obj)) + 2;
    JSON_FOR_EACH_MEMBER (m, obj_labels(obj)) {
        n += m->key_n + json_text(m->value).n + 2;
    }
    *ret_fields = 0;
    for (; k && k->selectable[*ret_fields]; (*ret_fields)++) {
        const char *path = k->selectable[*ret_fields];
        n += strlen(path) + strlen(selector_field_get(obj, path)) + 2;
    }
    return n;
}

static int build(const struct kind *k, const struct json *obj, void **ret)
{
    size_t n_fields, n_labels = json_len(obj_labels(obj));
    size_t texts = text_size(obj, k, &n_fields);
    struct builder b = {0};
    size_t head = sizeof(struct object_index) + (n_labels + n_fields) * sizeof(struct index_pair);
    b.index = mem_alloc(head + texts);
    if (!b.index) {
        return -ENOMEM;
    }
    b.used = head;
    b.index->uid = put_text(&b, str_of(obj_uid(obj)));
    b.index->ns = put_text(&b, str_of(obj_ns(obj)));
    struct index_pair *pair = b.index->pairs;
    JSON_FOR_EACH_MEMBER (m, obj_labels(obj)) {
        pair->key = put_text(&b, str_n(m->key, m->key_n));
        pair->value = put_text(&b, json_text(m->value));
        pair++;
    }
    for (size_t i = 0; i < n_fields; i++, pair++) {
        pair->key = put_text(&b, str_of(k->selectable[i]));
        pair->value = put_text(&b, str_of(selector_field_get(obj, k->selectable[i])));
    }
    b.index->n_labels = (uint32_t)n_labels;
    b.index->n_fields = (uint32_t)n_fields;
    *ret = b.index;
    return 0;
}

/* "plural.group/..." with a dot in the group: an object of a custom kind, which need not be known
 * yet when the store is loaded. */
static bool is_custom(struct str key)
{
    struct str resource, group;
    return str_cut(key, '/', &resource, NULL) && str_cut(resource, '.', NULL, &group) &&
           memchr(group.p, '.', group.n);
}

static int index_make(void *arg, struct str key, struct str value, void **ret)
{
    (void)arg;
    const struct kind *k = api_key_parse(key, NULL, NULL);
    if (!k && !is_custom(key)) {
        *ret = NULL; /* not an object: other parts keep their own keys in the store */
        return 0;
    }
    k = k && k->custom ? NULL : k; /* its selectable fields may change: they are not in the index */
    if (hint) {
        return build(k, hint, ret);
    }
    struct arena a;
    struct json *obj = NULL;
    arena_init(&a, 0);
    int code = json_parse(&a, value, NULL, &obj, NULL);
    if (code == 0) {
        code = build(k, obj, ret);
    }
    arena_fini(&a);
    return code;
}

const struct store_index_ops api_store_index = {.make = index_make, .free = mem_free};

const char *server_item_uid(const struct store_item *it)
{
    const struct object_index *ix = it->index;
    return ix ? (const char *)ix + ix->uid : "";
}

const char *server_item_ns(const struct store_item *it)
{
    const struct object_index *ix = it->index;
    return ix ? (const char *)ix + ix->ns : "";
}

/* ---- matching ---- */

static const char *pair_find(const struct object_index *ix, size_t from, size_t n, const char *key)
{
    for (size_t i = from; i < from + n; i++) {
        if (strcmp((const char *)ix + ix->pairs[i].key, key) == 0) {
            return (const char *)ix + ix->pairs[i].value;
        }
    }
    return NULL;
}

static const char *index_label(const void *arg, const char *key)
{
    const struct object_index *ix = arg;
    return ix ? pair_find(ix, 0, ix->n_labels, key) : NULL;
}

/* Whether a field is named that is not in the key. */
static bool selects_members(const struct selector *fields)
{
    for (size_t i = 0; i < fields->n; i++) {
        const char *key = fields->terms[i].key;
        if (!cstr_eq(key, "metadata.name") && !cstr_eq(key, "metadata.namespace")) {
            return true;
        }
    }
    return false;
}

static bool match_fields(const struct store_item *it, const struct selector *fields)
{
    const struct object_index *ix = it->index;
    struct str ns = STR_NULL, name = STR_NULL;
    const struct kind *k = api_key_parse(store_item_key(it), &ns, &name);
    if (k && k->custom && selects_members(fields)) {
        return crd_match_fields(k, it, fields);
    }
    for (size_t i = 0; i < fields->n; i++) {
        const struct selector_term *t = &fields->terms[i];
        char text[256];
        const char *value;
        if (cstr_eq(t->key, "metadata.name") || cstr_eq(t->key, "metadata.namespace")) {
            struct str s = cstr_eq(t->key, "metadata.name") ? name : ns;
            size_t n = MIN_OF(s.n, sizeof(text) - 1);
            memcpy(text, s.n ? s.p : "", n);
            text[n] = '\0';
            value = text;
        } else {
            value = ix ? pair_find(ix, ix->n_labels, ix->n_fields, t->key) : NULL;
        }
        if (!selector_term_match(t, value ? value : "")) {
            return false;
        }
    }
    return !fields->nothing;
}

bool api_item_match(const struct store_item *it, const struct selector *labels,
                    const struct selector *fields)
{
    if (labels && !selector_match(labels, index_label, it->index)) {
        return false;
    }
    return !fields || match_fields(it, fields);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strategic merge patch (apimachinery pkg/util/strategicpatch, the applying half of it).
 *
 * The result is built anew rather than edited, and list items are found by an index over their
 * merge keys, so the time is linear in target and patch. An item is addressed by the text of its
 * merge key; when a list holds the same key twice (ports 53/TCP and 53/UDP), the first one is
 * meant, as in Kubernetes, and the others are kept.
 *
 * Where it differs: {"$patch": "merge"} is accepted in a map (it is the default), and a directive
 * inside a part that target does not have is carried out against nothing instead of being stored.
 */
#include <string.h>

#include "base/limits.h"
#include "patch.h"
#include "schema.h"

#define PATCH_KEY "$patch"
#define RETAIN_KEY "$retainKeys"
#define DELETE_PREFIX "$deleteFromPrimitiveList/"
#define ORDER_PREFIX "$setElementOrder/"

/* What the schema says of one member. */
struct rule {
    const struct schema_type *type; /* of the value, or of a list's items; NULL = unknown */
    const char *merge_key;          /* NULL = a list of primitives, or unknown */
    bool merge_list;                /* lists merge rather than replace */
    bool replace;                   /* even a map is replaced as a whole */
};

struct smp {
    struct arena *arena;
    struct err *err;
};

/* The lists under construction: items in order, and where each merge key is. */
struct slots {
    struct json *items;
    struct json *index; /* object: text of the key -> position */
};

static int merge_map(struct smp *s, const struct schema_type *type, const struct json *target,
                     const struct json *patch, unsigned depth, struct json **ret);

static struct rule rule_of(const struct schema_type *type, struct str name)
{
    struct rule rule = {0};
    const struct schema_field *f = schema_field_find(type, name);
    if (f) {
        const char *merge_key = schema_field_merge_key(f);
        /* The members of a map have arbitrary names, so nothing is known of them by name. */
        rule.type = f->shape == SCHEMA_MAP ? NULL : schema_field_type(f);
        rule.merge_key = merge_key[0] ? merge_key : NULL;
        rule.merge_list = f->flags & SCHEMA_F_MERGE;
        rule.replace = f->flags & SCHEMA_F_REPLACE;
    }
    return rule;
}

static bool is_directive(struct str key)
{
    return str_is(key, PATCH_KEY) || str_is(key, RETAIN_KEY) || str_starts(key, DELETE_PREFIX) ||
           str_starts(key, ORDER_PREFIX);
}

static struct json *member_with_prefix(struct smp *s, const struct json *patch, const char *prefix,
                                       struct str name)
{
    const char *key = arena_printf(s->arena, "%s" STR_FMT, prefix, STR_ARG(name));
    return key ? json_get(patch, key) : NULL;
}

/* The text by which items are told apart; p NULL when j is no primitive. */
static struct str key_text(struct smp *s, const struct json *j)
{
    if (json_is(j, JSON_STRING)) {
        return json_text(j);
    }
    if (json_is(j, JSON_INT)) {
        return str_of(arena_printf(s->arena, "%lld", (long long)j->i));
    }
    if (json_is(j, JSON_REAL)) {
        return str_n(j->s, j->n);
    }
    if (json_is(j, JSON_BOOL)) {
        return j->b ? STR_LIT("true") : STR_LIT("false");
    }
    return STR_NULL;
}

/* The key of an item of a list: its merge key's value, or the primitive itself. */
static struct str item_key(struct smp *s, const struct json *item, const char *merge_key)
{
    return key_text(s, merge_key ? json_get(item, merge_key) : item);
}

/* ---- lists ---- */

static int slot_of(const struct slots *slots, struct str key)
{
    return key.p ? (int)json_i64(json_get_n(slots->index, key), -1) : -1;
}

static void slots_push(struct smp *s, struct slots *slots, struct str key, struct json *item)
{
    if (key.p && !json_get_n(slots->index, key)) {
        json_set_n(slots->index, key, json_int(s->arena, (int64_t)json_len(slots->items)));
    }
    json_push(slots->items, item);
}

static int no_merge_key(struct smp *s, const char *merge_key)
{
    return err_set(s->err, -E_INVAL, "map: map does not contain declared merge key: %s", merge_key);
}

/* Which keys go away, and whether the whole list is replaced. */
static int read_list_directives(struct smp *s, const struct json *patch, const char *merge_key,
                                struct json *ret_deleted, bool *ret_replace)
{
    JSON_FOR_EACH (item, patch) {
        const struct json *directive = json_get(item, PATCH_KEY);
        if (!directive) {
            continue;
        }
        const char *text = json_cstr(directive, "");
        if (strcmp(text, "replace") == 0) {
            *ret_replace = true;
        } else if (strcmp(text, "delete") == 0) {
            struct str key = item_key(s, item, merge_key);
            if (!key.p) {
                return no_merge_key(s, merge_key);
            }
            json_set_n(ret_deleted, key, json_bool(s->arena, true));
        } else if (strcmp(text, "merge") == 0) {
            return err_set(s->err, -E_INVAL, "merging lists cannot yet be specified in the patch");
        } else {
            return err_set(s->err, -E_INVAL, "unknown patch type: %s in map", text);
        }
    }
    return 0;
}

static int merge_item(struct smp *s, const struct rule *rule, struct slots *slots,
                      const struct json *item, unsigned depth)
{
    if (!json_is(item, JSON_OBJECT)) {
        return err_set(s->err, -E_INVAL, "expected a list of maps with merge key %s",
                       rule->merge_key);
    }
    struct str key = item_key(s, item, rule->merge_key);
    if (!key.p) {
        return no_merge_key(s, rule->merge_key);
    }
    int at = slot_of(slots, key);
    struct json *merged = NULL;
    int r = merge_map(s, rule->type, at >= 0 ? json_at(slots->items, (size_t)at) : NULL, item,
                      depth, &merged);
    if (r < 0) {
        return r;
    }
    if (at >= 0) {
        json_replace(slots->items, (size_t)at, merged);
    } else {
        slots_push(s, slots, key, merged);
    }
    return 0;
}

static int merge_list_of_maps(struct smp *s, const struct rule *rule, const struct json *target,
                              const struct json *patch, unsigned depth, struct slots *slots)
{
    struct json *deleted = json_object(s->arena);
    bool replace = false;
    int r = read_list_directives(s, patch, rule->merge_key, deleted, &replace);
    if (r < 0) {
        return r;
    }
    JSON_FOR_EACH (item, target) {
        struct str key = item_key(s, item, rule->merge_key);
        if (!replace && !(key.p && json_get_n(deleted, key))) {
            slots_push(s, slots, key, json_clone(s->arena, item));
        }
    }
    JSON_FOR_EACH (item, patch) {
        if (!json_get(item, PATCH_KEY)) {
            r = merge_item(s, rule, slots, item, depth);
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

static void merge_list_of_primitives(struct smp *s, const struct json *target,
                                     const struct json *patch, const struct json *delete_list,
                                     struct slots *slots)
{
    struct json *deleted = json_object(s->arena);
    JSON_FOR_EACH (item, delete_list) {
        struct str key = key_text(s, item);
        if (key.p) {
            json_set_n(deleted, key, json_bool(s->arena, true));
        }
    }
    JSON_FOR_EACH (item, target) {
        struct str key = key_text(s, item);
        if (!(key.p && json_get_n(deleted, key))) {
            slots_push(s, slots, key, json_clone(s->arena, item));
        }
    }
    JSON_FOR_EACH (item, patch) {
        struct str key = key_text(s, item);
        if (slot_of(slots, key) < 0) {
            slots_push(s, slots, key, json_clone(s->arena, item));
        }
    }
}

/* ---- $setElementOrder ---- */

/* Every item of the patch (but deletions) must stand in the order list, in the same relative order.
 */
static int check_order(struct smp *s, const struct json *patch, const struct json *order,
                       const char *merge_key)
{
    size_t at = 0;
    JSON_FOR_EACH (item, patch) {
        if (json_get(item, PATCH_KEY)) {
            continue;
        }
        struct str key = item_key(s, item, merge_key);
        while (at < json_len(order) && !str_eq(item_key(s, json_at(order, at), merge_key), key)) {
            at++;
        }
        if (at++ >= json_len(order)) {
            return err_set(s->err, -E_INVAL,
                           "The order in patch list doesn't match $setElementOrder list: '" STR_FMT
                           "' is not where it should be",
                           STR_ARG(key));
        }
    }
    return 0;
}

/* Positions of the keys of a list as an object. */
static struct json *positions(struct smp *s, const struct json *list, const char *merge_key)
{
    struct json *index = json_object(s->arena);
    int64_t at = 0;
    JSON_FOR_EACH (item, list) {
        struct str key = item_key(s, item, merge_key);
        if (key.p && !json_get_n(index, key)) {
            json_set_n(index, key, json_int(s->arena, at));
        }
        at++;
    }
    return index;
}

/*
 * The items that the order names stand in its order; those that only the server has are woven in
 * where they stood in relation to the next named one that the server had, too (Kubernetes'
 * mergeSortedSlice).
 */
static struct json *weave(struct smp *s, const struct json *named, const struct json *others,
                          const struct json *target, const char *merge_key)
{
    const struct json *was = positions(s, target, merge_key);
    struct json *out = json_array(s->arena);
    size_t i = 0, k = 0;
    while (i < json_len(named) || k < json_len(others)) {
        bool take_named = k >= json_len(others);
        if (!take_named && i < json_len(named)) {
            int64_t left = json_i64(json_get_n(was, item_key(s, json_at(named, i), merge_key)), -1);
            int64_t right =
                json_i64(json_get_n(was, item_key(s, json_at(others, k), merge_key)), -1);
            take_named = left >= 0 && right >= 0 && left < right;
        }
        json_push(out, take_named ? json_at(named, i++) : json_at(others, k++));
    }
    return out;
}

static struct json *set_order(struct smp *s, const struct slots *slots, const struct json *order,
                              const struct json *target, const char *merge_key)
{
    const struct json *wanted = positions(s, order, merge_key);
    struct json *named = json_array(s->arena), *others = json_array(s->arena);
    for (size_t i = 0; i < json_len(order); i++) {
        struct str key = item_key(s, json_at(order, i), merge_key);
        int at = slot_of(slots, key);
        bool first = key.p && json_i64(json_get_n(wanted, key), -1) == (int64_t)i;
        if (first && at >= 0) {
            json_push(named, json_at(slots->items, (size_t)at));
        }
    }
    JSON_FOR_EACH (item, slots->items) {
        struct str key = item_key(s, item, merge_key);
        if (!key.p || !json_get_n(wanted, key)) {
            json_push(others, item);
        } else if (json_at(slots->items, (size_t)slot_of(slots, key)) != item) {
            json_push(named, item); /* a further item of the same key */
        }
    }
    return weave(s, named, others, target, merge_key);
}

/* ---- maps ---- */

static int as_list(struct smp *s, const char *what, struct str name, const struct json *j)
{
    return !j || j->type == JSON_ARRAY
               ? 0
               : err_set(s->err, -E_INVAL, "%s" STR_FMT " must be a list", what, STR_ARG(name));
}

/* A list that merges: target and patch may each be absent (NULL). */
static int merge_list(struct smp *s, const struct rule *rule, struct str name,
                      const struct json *target, const struct json *patch,
                      const struct json *patch_map, unsigned depth, struct json **ret)
{
    struct slots slots = {json_array(s->arena), json_object(s->arena)};
    const struct json *delete_list = member_with_prefix(s, patch_map, DELETE_PREFIX, name);
    const struct json *order = member_with_prefix(s, patch_map, ORDER_PREFIX, name);
    int r = as_list(s, DELETE_PREFIX, name, delete_list);
    if (r == 0) {
        r = as_list(s, ORDER_PREFIX, name, order);
    }
    if (r == 0 && order) {
        r = check_order(s, patch, order, rule->merge_key);
    }
    if (r == 0 && rule->merge_key) {
        r = merge_list_of_maps(s, rule, target, patch, depth, &slots);
    } else if (r == 0) {
        merge_list_of_primitives(s, target, patch, delete_list, &slots);
    }
    if (r == 0) {
        *ret = order ? set_order(s, &slots, order, target, rule->merge_key) : slots.items;
    }
    return r;
}

/* The new value of one member; *ret NULL = it goes away. target or patch may be absent. */
static int merge_member(struct smp *s, const struct schema_type *type, struct str name,
                        const struct json *target, const struct json *patch,
                        const struct json *patch_map, unsigned depth, struct json **ret)
{
    struct rule rule = rule_of(type, name);
    bool list = json_is(patch, JSON_ARRAY) || (!patch && json_is(target, JSON_ARRAY));
    if (json_is(patch, JSON_NULL)) {
        *ret = NULL;
        return 0;
    }
    if (rule.merge_list && list && !rule.replace) {
        return merge_list(s, &rule, name, json_is(target, JSON_ARRAY) ? target : NULL, patch,
                          patch_map, depth, ret);
    }
    if (!patch) {
        *ret = json_clone(s->arena, target);
        return 0;
    }
    if (patch->type == JSON_OBJECT) {
        bool fresh = rule.replace || !json_is(target, JSON_OBJECT);
        return merge_map(s, rule.type, fresh ? NULL : target, patch, depth, ret);
    }
    *ret = json_clone(s->arena, patch);
    return 0;
}

/* The set of names of $retainKeys, or NULL. */
static int read_retain_keys(struct smp *s, const struct json *patch, struct json **ret)
{
    const struct json *list = json_get(patch, RETAIN_KEY);
    *ret = NULL;
    if (!list) {
        return 0;
    }
    struct json *set = json_object(s->arena);
    bool bad = list->type != JSON_ARRAY;
    JSON_FOR_EACH (item, list) {
        bad = bad || item->type != JSON_STRING;
        if (!bad) {
            json_set_n(set, json_text(item), json_bool(s->arena, true));
        }
    }
    JSON_FOR_EACH_MEMBER (m, patch) {
        struct str key = str_n(m->key, m->key_n);
        bad = bad || (!is_directive(key) && m->value->type != JSON_NULL && !json_get_n(set, key));
    }
    *ret = set;
    return bad ? err_set(s->err, -E_INVAL, "invalid patch format of retainKeys") : 0;
}

/* True when the directive settles the map. */
static int read_map_directive(struct smp *s, const struct json *patch, bool *ret_empty,
                              bool *ret_fresh)
{
    const struct json *directive = json_get(patch, PATCH_KEY);
    const char *text = directive ? json_cstr(directive, "") : "merge";
    *ret_empty = strcmp(text, "delete") == 0;
    *ret_fresh = strcmp(text, "replace") == 0;
    if (!*ret_empty && !*ret_fresh && strcmp(text, "merge") != 0) {
        return err_set(s->err, -E_INVAL, "unknown patch type: %s in map", text);
    }
    return 0;
}

/* Does a list directive of the patch name this member? */
static bool has_list_directive(struct smp *s, const struct json *patch, struct str name)
{
    return member_with_prefix(s, patch, DELETE_PREFIX, name) ||
           member_with_prefix(s, patch, ORDER_PREFIX, name);
}

static int merge_known(struct smp *s, const struct schema_type *type, const struct json *target,
                       const struct json *patch, const struct json *retain, unsigned depth,
                       struct json *out)
{
    JSON_FOR_EACH_MEMBER (m, target) {
        struct str key = str_n(m->key, m->key_n);
        const struct json *change = json_get_n(patch, key);
        struct json *value = NULL;
        if (retain && !json_get_n(retain, key)) {
            continue;
        }
        if (!change && !(m->value->type == JSON_ARRAY && has_list_directive(s, patch, key))) {
            json_set_n(out, key, json_clone(s->arena, m->value));
            continue;
        }
        int r = merge_member(s, type, key, m->value, change, patch, depth - 1, &value);
        if (r < 0) {
            return r;
        }
        json_set_n(out, key, value);
    }
    return 0;
}

static int merge_new(struct smp *s, const struct schema_type *type, const struct json *target,
                     const struct json *patch, unsigned depth, struct json *out)
{
    JSON_FOR_EACH_MEMBER (m, patch) {
        struct str key = str_n(m->key, m->key_n);
        struct json *value = NULL;
        if (is_directive(key) || json_get_n(target, key)) {
            continue;
        }
        int r = merge_member(s, type, key, NULL, m->value, patch, depth - 1, &value);
        if (r < 0) {
            return r;
        }
        json_set_n(out, key, value);
    }
    return 0;
}

/* target NULL = nothing there yet. Depth-bound. */
static int merge_map(struct smp *s, const struct schema_type *type, const struct json *target,
                     const struct json *patch, unsigned depth, struct json **ret)
{
    bool empty, fresh;
    struct json *retain = NULL;
    if (depth == 0) {
        return err_set(s->err, -E_LIMIT, "the patch nests deeper than %d", LIMIT_JSON_DEPTH);
    }
    if (arena_failed(s->arena)) {
        return err_set(s->err, -E_NOMEM, "out of memory");
    }
    int r = read_map_directive(s, patch, &empty, &fresh);
    if (r == 0) {
        r = read_retain_keys(s, patch, &retain);
    }
    if (r < 0) {
        return r;
    }
    struct json *out = json_object(s->arena);
    if (!empty) {
        const struct json *base = fresh ? NULL : target;
        r = merge_known(s, type, base, patch, retain, depth, out);
        if (r == 0) {
            r = merge_new(s, type, base, patch, depth, out);
        }
    }
    *ret = out;
    return r;
}

int patch_strategic(struct arena *a, const struct schema_type *type, const struct json *target,
                    const struct json *patch, struct json **ret, struct err *err)
{
    struct smp s = {.arena = a, .err = err};
    struct json *out = NULL;
    if (!json_is(patch, JSON_OBJECT)) {
        return err_set(err, -E_INVAL, "a strategic merge patch must be an object");
    }
    int r = merge_map(&s, type, json_is(target, JSON_OBJECT) ? target : NULL, patch,
                      LIMIT_JSON_DEPTH + 1, &out);
    if (arena_failed(a)) {
        r = err_set(err, -E_NOMEM, "out of memory"); /* whatever else it led to */
    }
    if (r == 0) {
        *ret = out;
    }
    return r;
}

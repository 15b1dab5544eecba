/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of objects, differences, merging and pruning: see walk.h. */
#include "api/apply/walk.h"

#include "api/apply/field_set.h"
#include "base/mem.h"

struct json *walk_stripped(struct arena *a, const struct json *obj)
{
    static const char *const server[] = {"name",       "namespace",     "creationTimestamp",
                                         "selfLink",   "uid",           "clusterName",
                                         "generation", "managedFields", "resourceVersion"};
    struct json *out = json_object(a), *meta = json_object(a);
    JSON_FOR_EACH_MEMBER (m, obj) {
        if (!cstr_eq(m->key, "apiVersion") && !cstr_eq(m->key, "kind")) {
            json_set_n(out, str_n(m->key, m->key_n), m->value);
        }
    }
    JSON_FOR_EACH_MEMBER (m, json_get(obj, "metadata")) {
        bool strip = false;
        for (size_t i = 0; i < ARRAY_SIZE(server) && !strip; i++) {
            strip = cstr_eq(m->key, server[i]);
        }
        if (!strip) {
            json_set_n(meta, str_n(m->key, m->key_n), m->value);
        }
    }
    (void)json_del(out, "metadata");
    if (json_len(meta) > 0) {
        json_set(out, "metadata", meta);
    }
    return out;
}

/* "f:" before a member's name. */
static struct str field_name(struct arena *a, const struct json_member *m)
{
    char *s = arena_alloc(a, m->key_n + 3);
    if (!s) {
        return STR_NULL;
    }
    memcpy(s, "f:", 2);
    memcpy(s + 2, m->key, m->key_n);
    s[m->key_n + 2] = '\0';
    return str_n(s, m->key_n + 2);
}

/* The items of a list by their names; items without one are left out. */
static struct json *by_name(struct arena *a, struct typing t, enum typing_class class,
                            const struct json *list)
{
    struct json *out = json_object(a);
    JSON_FOR_EACH (item, list) {
        struct str name = typing_item_name(a, t, class, item);
        if (name.n > 0 && !json_get_n(out, name)) {
            json_set_n(out, name, item);
        }
    }
    return out;
}

/* ---- the set of an applied configuration ---- */

struct applied {
    struct arena *arena;
    struct err *err;
    int code;
};

static struct json *applied_below(struct applied *w, struct typing t, const struct json *v,
                                  const char *path);

static struct json *applied_items(struct applied *w, struct typing t, enum typing_class class,
                                  const struct json *list, const char *path)
{
    struct arena *a = w->arena;
    struct json *out = json_object(a);
    size_t i = 0;
    JSON_FOR_EACH (item, list) {
        struct str name = typing_item_name(a, t, class, item);
        if (name.n == 0 && w->code == 0) {
            w->code = err_set(w->err, -E_INVAL,
                              "failed to create typed patch object: %s: element %zu: associative "
                              "list with keys has an element that omits key field (and doesn't "
                              "have default value)",
                              path, i);
        } else if (json_get_n(out, name) && w->code == 0) {
            w->code = err_set(w->err, -E_INVAL,
                              "failed to create typed patch object: %s: duplicate entries for key "
                              "[" STR_FMT "]",
                              path, STR_ARG(str_n(name.p + 2, name.n - 2)));
        } else {
            set_put(out, name, true, applied_below(w, typing_item(t), item, path));
        }
        i++;
    }
    return out;
}

static struct json *applied_below(struct applied *w, struct typing t, const struct json *v,
                                  const char *path)
{
    struct arena *a = w->arena;
    enum typing_class class = typing_class_of(t, v);
    if (class == TYPING_LEAF || w->code < 0) {
        return NULL;
    }
    if (class == TYPING_SET || class == TYPING_KEYED) {
        return applied_items(w, t, class, v, path);
    }
    struct json *out = json_object(a);
    JSON_FOR_EACH_MEMBER (m, v) {
        bool field = false;
        struct typing child = typing_member(t, str_n(m->key, m->key_n), &field);
        const char *at = arena_printf(a, "%s.%s", path, m->key);
        struct json *below = applied_below(w, child, m->value, at ? at : "");
        bool empty = m->value->type == JSON_OBJECT && m->value->n == 0;
        bool leaf = typing_class_of(child, m->value) == TYPING_LEAF;
        set_put(out, field_name(a, m), leaf || empty || !field, below);
    }
    return out;
}

int walk_applied_set(struct arena *a, const struct kind *k, const struct json *config,
                     struct json **ret, struct err *err)
{
    struct applied w = {.arena = a, .err = err};
    *ret = applied_below(&w, typing_root(k), walk_stripped(a, config), "");
    return w.code;
}

/* ---- comparing ---- */

/* A struct that every object has is only a way to its fields. */
static bool owned_itself(struct typing parent, struct str name, const struct json *value)
{
    bool container = value->type == JSON_OBJECT || value->type == JSON_ARRAY;
    return !container || !typing_is_inherent(parent, name);
}

static struct json *all_below(struct arena *a, struct typing t, const struct json *v)
{
    enum typing_class class = typing_class_of(t, v);
    if (class == TYPING_LEAF) {
        return NULL;
    }
    struct json *out = json_object(a);
    if (class == TYPING_SET || class == TYPING_KEYED) {
        JSON_FOR_EACH_MEMBER (m, by_name(a, t, class, v)) {
            set_put(out, str_n(m->key, m->key_n), true, all_below(a, typing_item(t), m->value));
        }
        return out;
    }
    JSON_FOR_EACH_MEMBER (m, v) {
        struct str name = str_n(m->key, m->key_n);
        struct typing child = typing_member(t, name, NULL);
        struct json *below = all_below(a, child, m->value);
        set_put(out, field_name(a, m), owned_itself(t, name, m->value), below);
    }
    return out;
}

struct sides {
    struct arena *arena;
    struct json *sets[3]; /* added, modified, removed */
};
enum { ADDED, MODIFIED, REMOVED };

static void compare_children(struct arena *a, struct typing t, enum typing_class class,
                             const struct json *old, const struct json *now, struct sides *out);

static void put_side(struct sides *out, int side, struct str name, bool member, struct json *below)
{
    if (!out->sets[side]) {
        out->sets[side] = json_object(out->arena);
    }
    set_put(out->sets[side], name, member, below);
}

/* One child; either may be NULL. */
static void compare_child(struct arena *a, struct typing t, struct str name, bool owned,
                          const struct json *old, const struct json *now, struct sides *out)
{
    if (old && now) {
        enum typing_class class = typing_class_of(t, now);
        if (json_equal(old, now)) {
            return;
        }
        if (class == TYPING_LEAF || typing_class_of(t, old) != class) {
            put_side(out, MODIFIED, name, true, all_below(a, t, now));
            return;
        }
        struct sides below = {.arena = a};
        compare_children(a, t, class, old, now, &below);
        for (int side = 0; side < 3; side++) {
            if (below.sets[side]) {
                put_side(out, side, name, false, below.sets[side]);
            }
        }
        return;
    }
    struct json *below = all_below(a, t, now ? now : old);
    put_side(out, now ? ADDED : REMOVED, name, owned, below);
}

static void compare_members(struct arena *a, struct typing t, const struct json *old,
                            const struct json *now, struct sides *out)
{
    for (int pass = 0; pass < 2; pass++) {
        JSON_FOR_EACH_MEMBER (m, pass ? old : now) {
            struct str name = str_n(m->key, m->key_n);
            const struct json *other = json_get_n(pass ? now : old, name);
            if (pass && other) {
                continue;
            }
            compare_child(a, typing_member(t, name, NULL), field_name(a, m),
                          owned_itself(t, name, m->value), pass ? m->value : other,
                          pass ? NULL : m->value, out);
        }
    }
}

static void compare_children(struct arena *a, struct typing t, enum typing_class class,
                             const struct json *old, const struct json *now, struct sides *out)
{
    if (class == TYPING_STRUCT || class == TYPING_MAP) {
        compare_members(a, t, old, now, out);
        return;
    }
    const struct json *sides[2] = {by_name(a, t, class, now), by_name(a, t, class, old)};
    for (int pass = 0; pass < 2; pass++) {
        JSON_FOR_EACH_MEMBER (m, sides[pass]) {
            struct str name = str_n(m->key, m->key_n);
            const struct json *other = json_get_n(sides[1 - pass], name);
            if (!pass || !other) {
                compare_child(a, typing_item(t), name, true, pass ? m->value : other,
                              pass ? NULL : m->value, out);
            }
        }
    }
}

void walk_compare(struct arena *a, const struct kind *k, const struct json *old,
                  const struct json *now, struct walk_difference *ret)
{
    struct sides out = {.arena = a};
    compare_members(a, typing_root(k), old ? walk_stripped(a, old) : NULL, walk_stripped(a, now),
                    &out);
    *ret = (struct walk_difference){out.sets[ADDED], out.sets[MODIFIED], out.sets[REMOVED]};
}

/* ---- merging ---- */

static struct json *merge(struct arena *a, struct typing t, const struct json *live,
                          const struct json *config);

/* The next member of `ours` from m on that is in `theirs` as well, or end. */
static const struct json_member *
next_common(const struct json_member *m, const struct json_member *end, const struct json *theirs)
{
    while (m < end && !json_get_n(theirs, str_n(m->key, m->key_n))) {
        m++;
    }
    return m;
}

static bool is_named(const struct json_member *m, struct str name)
{
    return str_eq(str_n(m->key, m->key_n), name);
}

/* Both lists are walked side by side: what live has alone comes as soon as it is met, what both
 * have comes in the order of config (structured-merge-diff, visitListItems). */
static struct json *merge_lists(struct arena *a, struct typing t, enum typing_class class,
                                const struct json *live, const struct json *config)
{
    struct json *out = json_array(a), *done = json_object(a);
    struct json *theirs = by_name(a, t, class, live), *ours = by_name(a, t, class, config);
    struct json_member *end, *m = json_members_(ours, &end);
    const struct json_member *common = next_common(m, end, theirs);
    size_t at = 0, n = json_len(live);
    while (at < n || m < end) {
        const struct json *item = at < n ? json_at(live, at) : NULL;
        struct str name = item ? typing_item_name(a, t, class, item) : STR_LIT("");
        if (item && (name.n == 0 || !json_get_n(ours, name))) {
            json_push(out, json_clone(a, item));
            at++;
            continue;
        }
        bool met = item && m < end && is_named(m, name);
        if (item && !met && (json_get_n(done, name) || (common < end && !is_named(common, name)))) {
            at++; /* it comes, or came, where config has it */
            continue;
        }
        struct str mine = str_n(m->key, m->key_n);
        json_push(out, merge(a, typing_item(t), json_get_n(theirs, mine), m->value));
        json_set_n(done, mine, m->value);
        common = m == common ? next_common(m + 1, end, theirs) : common;
        m++;
        at += met;
    }
    return out;
}

static struct json *merge(struct arena *a, struct typing t, const struct json *live,
                          const struct json *config)
{
    enum typing_class class = typing_class_of(t, config);
    if (!live || class == TYPING_LEAF || typing_class_of(t, live) != class) {
        return json_clone(a, config);
    }
    if (class == TYPING_SET || class == TYPING_KEYED) {
        return merge_lists(a, t, class, live, config);
    }
    struct json *out = json_object(a);
    JSON_FOR_EACH_MEMBER (m, live) {
        struct str name = str_n(m->key, m->key_n);
        const struct json *mine = json_get_n(config, name);
        json_set_n(out, name,
                   mine ? merge(a, typing_member(t, name, NULL), m->value, mine)
                        : json_clone(a, m->value));
    }
    JSON_FOR_EACH_MEMBER (m, config) {
        struct str name = str_n(m->key, m->key_n);
        if (!json_get_n(live, name)) {
            json_set_n(out, name, json_clone(a, m->value));
        }
    }
    return out;
}

struct json *walk_merge(struct arena *a, const struct kind *k, const struct json *live,
                        const struct json *config)
{
    return merge(a, typing_root(k), live, config);
}

/* ---- pruning ---- */

static void prune(struct arena *a, struct typing t, struct json *v, struct json *mine,
                  struct json *kept);

/* Whether the child goes altogether. */
static bool prune_child(struct arena *a, struct typing t, struct json *child, struct json *mine,
                        struct json *kept, bool item)
{
    if (!kept && set_is_member(mine)) {
        return true;
    }
    if (typing_class_of(t, child) == TYPING_LEAF) {
        return false;
    }
    size_t before = json_len(child);
    prune(a, t, child, mine, kept);
    return !kept && !item && before > 0 && json_len(child) == 0;
}

static void prune_members(struct arena *a, struct typing t, struct json *v, struct json *mine,
                          struct json *kept)
{
    JSON_FOR_EACH_MEMBER (m, mine) {
        struct str name = str_n(m->key, m->key_n);
        if (!str_starts(name, "f:")) {
            continue;
        }
        struct str member = str_n(name.p + 2, name.n - 2);
        struct json *child = json_get_n(v, member);
        if (child && prune_child(a, typing_member(t, member, NULL), child, m->value,
                                 json_get_n(kept, name), false)) {
            (void)json_del_n(v, member);
        }
    }
}

static void prune(struct arena *a, struct typing t, struct json *v, struct json *mine,
                  struct json *kept)
{
    enum typing_class class = typing_class_of(t, v);
    if (class == TYPING_STRUCT || class == TYPING_MAP) {
        prune_members(a, t, v, mine, kept);
        return;
    }
    for (size_t i = json_len(v); class != TYPING_LEAF && i-- > 0;) {
        struct str name = typing_item_name(a, t, class, json_at(v, i));
        struct json *owned = name.n > 0 ? json_get_n(mine, name) : NULL;
        if (owned &&
            prune_child(a, typing_item(t), json_at(v, i), owned, json_get_n(kept, name), true)) {
            json_remove(v, i);
        }
    }
}

void walk_prune(struct arena *a, const struct kind *k, struct json *obj, struct json *mine,
                struct json *kept)
{
    prune(a, typing_root(k), obj, mine, kept);
}

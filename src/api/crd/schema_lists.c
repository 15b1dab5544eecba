/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists whose items must be unique (x-kubernetes-list-type set and map), and embedded resources.
 * Duplicates are found through a hash map of printed items, so that long lists cost no square.
 */
#include "api/crd/schema_private.h"

#include <ctype.h>

#include "api/name.h"
#include "base/map.h"
#include "base/mem.h"

/* Items of longer lists are matched at their own place alone: looking through both is a square. */
#define MATCH_MAX 1000

/* ---- keys ---- */

/* The key of an item: its printed form, or that of its key members. NULL when memory is short. */
static const char *key_text(struct buf *out, const struct json *item, const char *const *keys)
{
    buf_clear(out);
    if (!keys) {
        (void)json_print(out, item); /* a failure sticks */
    }
    for (; keys && *keys; keys++) {
        const struct json *v = json_get(item, *keys);
        if (v) {
            (void)json_print(out, v); /* a failure sticks */
        }
        buf_putc(out, ',');
    }
    return buf_failed(out) ? NULL : buf_data(out);
}

/* Calls for every item that repeats an earlier one; stops when it returns false. */
static void each_duplicate(const struct json *list, const char *const *keys,
                           bool (*fn)(void *arg, size_t i, const struct json *item), void *arg)
{
    struct map seen = MAP_INIT;
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    size_t i = 0;
    bool more = true;
    JSON_FOR_EACH (item, list) {
        if (!more || !key_text(&text, item, keys)) {
            break;
        }
        if (map_get(&seen, buf_str(&text))) {
            more = fn(arg, i, item);
        } else if (map_put(&seen, buf_str(&text), &seen, NULL) < 0) {
            break;
        }
        i++;
    }
    map_fini(&seen, NULL);
}

static bool first_found(void *arg, size_t i, const struct json *item)
{
    (void)item;
    *(ptrdiff_t *)arg = (ptrdiff_t)i;
    return false;
}

ptrdiff_t crd_list_duplicate(const struct json *list)
{
    ptrdiff_t found = -1;
    each_duplicate(list, NULL, first_found, &found);
    return found;
}

static bool same_keys(const struct json *item, const struct json *was, const char *const *keys)
{
    for (; was && *keys; keys++) {
        const struct json *a = json_get(item, *keys), *b = json_get(was, *keys);
        if (a != b && !(a && b && json_equal(a, b))) {
            return false;
        }
    }
    return was;
}

const struct json *crd_list_match(const struct crd_schema *s, const struct json *old,
                                  const struct json *item, size_t i)
{
    const char *const *keys = crd_schema_keys(s);
    if (s->merge != CRD_MERGE_MAP || !json_is(old, JSON_ARRAY) || !*keys) {
        return NULL;
    }
    if (same_keys(item, json_at(old, i), keys)) {
        return json_at(old, i);
    }
    JSON_FOR_EACH (was, old) {
        if (json_len(old) > MATCH_MAX) {
            break;
        }
        if (same_keys(item, was, keys)) {
            return was;
        }
    }
    return NULL;
}

/* ---- a walk through what is below ---- */

struct walk {
    struct field_errors *e;
    const char *path; /* of the list at hand */
    const char *const *keys;
};

static const char *member_path(struct arena *a, const char *path, const char *name)
{
    const char *p = arena_printf(a, "%s%s%s", path, *path ? "." : "", name);
    return p ? p : "";
}

static const char *item_path(struct arena *a, const char *path, size_t i)
{
    const char *p = arena_printf(a, "%s[%zu]", path, i);
    return p ? p : "";
}

/* The keys of an item as Go prints a map. */
static const char *go_map(struct arena *a, const struct json *item, const char *const *keys)
{
    const char *text = "map[string]interface {}{";
    for (size_t i = 0; keys[i]; i++) {
        CLEANUP(buf_finip) struct buf v = BUF_INIT;
        if (json_get(item, keys[i]) && json_print(&v, json_get(item, keys[i])) == 0) {
            const char *comma = str_ends(str_of(text), "{") ? "" : ", ";
            text =
                arena_printf(a, "%s%s\"%s\":" STR_FMT, text, comma, keys[i], STR_ARG(buf_str(&v)));
        }
        text = text ? text : "";
    }
    return arena_printf(a, "%s}", text);
}

static bool complain(void *arg, size_t i, const struct json *item)
{
    struct walk *w = arg;
    const char *path = item_path(w->e->arena, w->path, i);
    if (!w->keys) {
        field_error(w->e, FIELD_DUPLICATE, path, item, NULL);
        return true;
    }
    field_error_raw(w->e, FIELD_DUPLICATE, path, go_map(w->e->arena, item, w->keys), NULL);
    return true;
}

static void lists(struct field_errors *e, const struct crd_schema *s, const struct json *j,
                  const struct json *old, const char *path)
{
    if (!s || !(s->flags & CRD_F_HAS_SETS) || (old && json_equal(j, old))) {
        return;
    }
    if (json_is(j, JSON_OBJECT)) {
        JSON_FOR_EACH_MEMBER (m, j) {
            struct str key = str_n(m->key, m->key_n);
            const struct crd_schema *below = crd_schema_member(s, key);
            if (below && (below->flags & CRD_F_HAS_SETS)) {
                lists(e, below, m->value, json_get_n(old, key),
                      member_path(e->arena, path, m->key));
            }
        }
    } else if (json_is(j, JSON_ARRAY) && s->type != CRD_OBJECT) {
        if (s->merge == CRD_MERGE_SET || s->merge == CRD_MERGE_MAP) {
            struct walk w = {.e = e,
                             .path = path,
                             .keys = s->merge == CRD_MERGE_MAP ? crd_schema_keys(s) : NULL};
            each_duplicate(j, w.keys, complain, &w);
        }
        size_t i = 0;
        JSON_FOR_EACH (item, j) {
            if (s->items && (s->items->flags & CRD_F_HAS_SETS)) {
                lists(e, s->items, item, NULL, item_path(e->arena, path, i));
            }
            i++;
        }
    }
}

void crd_check_lists(struct field_errors *e, const struct crd_schema *s, const struct json *obj,
                     const struct json *old)
{
    lists(e, s, obj, old, "");
}

/* ---- embedded resources ---- */

static void lower(char *text)
{
    for (; *text; text++) {
        *text = (char)tolower((unsigned char)*text);
    }
}

static void embedded_kind(struct field_errors *e, const struct json *kind, const char *path)
{
    char *text = arena_str(e->arena, json_text(kind));
    if (!json_is(kind, JSON_STRING)) {
        field_error(e, FIELD_INVALID, path, kind, "must be a string");
        return;
    }
    if (text) {
        lower(text);
        const char *why = name_check_dns_label(str_of(text));
        if (why) {
            field_error(
                e, FIELD_INVALID, path, kind,
                arena_printf(e->arena, "may have mixed case, but should otherwise match: %s", why));
        }
    }
}

static void embedded_here(struct field_errors *e, const struct json *j, const char *path)
{
    static const char *const members[] = {"apiVersion", "kind"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const char *at = member_path(e->arena, path, members[i]);
        const struct json *v = json_get(j, members[i]);
        if (!v) {
            field_error(e, FIELD_REQUIRED, at, NULL, "must not be empty");
        } else if (i == 1) {
            embedded_kind(e, v, at);
        } else if (!json_is(v, JSON_STRING)) {
            field_error(e, FIELD_INVALID, at, v, "must be a string");
        }
    }
    const struct json *meta = json_get(j, "metadata");
    if (meta && !json_is(meta, JSON_OBJECT)) {
        field_error(e, FIELD_INVALID, member_path(e->arena, path, "metadata"), meta,
                    "must be an object");
    }
}

static void embedded(struct field_errors *e, const struct crd_schema *s, const struct json *j,
                     const char *path)
{
    if (!s || !(s->flags & CRD_F_HAS_EMBEDDED)) {
        return;
    }
    if (json_is(j, JSON_OBJECT)) {
        if (s->flags & CRD_F_EMBEDDED) {
            embedded_here(e, j, path);
        }
        JSON_FOR_EACH_MEMBER (m, j) {
            const struct crd_schema *below = crd_schema_member(s, str_n(m->key, m->key_n));
            if (below && (below->flags & CRD_F_HAS_EMBEDDED)) {
                embedded(e, below, m->value, member_path(e->arena, path, m->key));
            }
        }
    } else if (json_is(j, JSON_ARRAY) && s->type != CRD_OBJECT) {
        size_t i = 0;
        JSON_FOR_EACH (item, j) {
            embedded(e, s->items, item, item_path(e->arena, path, i++));
        }
    }
}

void crd_check_embedded(struct field_errors *e, const struct crd_schema *s, const struct json *obj)
{
    embedded(e, s, obj, "");
}

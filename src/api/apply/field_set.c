/* SPDX-License-Identifier: Apache-2.0 */
/* Field sets: see field_set.h. */
#include "api/apply/field_set.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

static struct json *dot(struct arena *a)
{
    return json_object(a);
}

/* The value of a name: a member or not, with what is below; NULL for neither. */
static struct json *value_of(struct arena *a, bool member, struct json *below)
{
    if (set_empty(below)) {
        return member ? json_object(a) : NULL;
    }
    if (!member) {
        return below;
    }
    struct json *v = json_object(a);
    json_set(v, ".", dot(a));
    JSON_FOR_EACH_MEMBER (m, below) {
        json_set_n(v, str_n(m->key, m->key_n), m->value);
    }
    return v;
}

/* What is below a value: itself, without the mark. */
static struct json *below_of(struct arena *a, struct json *value)
{
    if (!json_get(value, ".")) {
        return value;
    }
    struct json *v = json_object(a);
    JSON_FOR_EACH_MEMBER (m, value) {
        if (!(m->key_n == 1 && m->key[0] == '.')) {
            json_set_n(v, str_n(m->key, m->key_n), m->value);
        }
    }
    return v;
}

void set_put(struct json *s, struct str name, bool member, struct json *below)
{
    if (s) {
        json_set_n(s, name, value_of(s->arena, member, below));
    }
}

struct json *set_union(struct arena *a, struct json *x, struct json *y)
{
    if (set_empty(x) || set_empty(y) || x == y) {
        return set_empty(x) ? y : x;
    }
    struct json *out = json_object(a);
    JSON_FOR_EACH_MEMBER (m, x) {
        struct str name = str_n(m->key, m->key_n);
        struct json *other = json_get_n(y, name);
        if (!other || other == m->value) {
            json_set_n(out, name, m->value);
            continue;
        }
        bool member = set_is_member(m->value) || set_is_member(other);
        set_put(out, name, member, set_union(a, below_of(a, m->value), below_of(a, other)));
    }
    JSON_FOR_EACH_MEMBER (m, y) {
        struct str name = str_n(m->key, m->key_n);
        if (!json_get_n(x, name)) {
            json_set_n(out, name, m->value);
        }
    }
    return out;
}

struct json *set_intersection(struct arena *a, struct json *x, struct json *y)
{
    if (set_empty(x) || set_empty(y)) {
        return NULL;
    }
    struct json *out = json_object(a);
    JSON_FOR_EACH_MEMBER (m, x) {
        struct str name = str_n(m->key, m->key_n);
        struct json *other = json_get_n(y, name);
        if (other) {
            set_put(out, name, set_is_member(m->value) && set_is_member(other),
                    set_intersection(a, below_of(a, m->value), below_of(a, other)));
        }
    }
    return out;
}

struct json *set_difference(struct arena *a, struct json *x, struct json *y)
{
    if (set_empty(x) || set_empty(y)) {
        return x;
    }
    struct json *out = json_object(a);
    JSON_FOR_EACH_MEMBER (m, x) {
        struct str name = str_n(m->key, m->key_n);
        struct json *other = json_get_n(y, name);
        if (!other) {
            json_set_n(out, name, m->value);
            continue;
        }
        set_put(out, name, set_is_member(m->value) && !set_is_member(other),
                set_difference(a, below_of(a, m->value), below_of(a, other)));
    }
    return out;
}

struct json *set_without(struct arena *a, struct json *x, struct json *y)
{
    if (set_empty(x) || set_empty(y)) {
        return x;
    }
    struct json *out = json_object(a);
    JSON_FOR_EACH_MEMBER (m, x) {
        struct str name = str_n(m->key, m->key_n);
        struct json *other = json_get_n(y, name);
        if (!other) {
            json_set_n(out, name, m->value);
        } else if (!set_is_member(other)) {
            set_put(out, name, set_is_member(m->value),
                    set_without(a, below_of(a, m->value), below_of(a, other)));
        }
    }
    return out;
}

bool set_equal(const struct json *x, const struct json *y)
{
    return x == y || (set_empty(x) && set_empty(y)) || (x && y && json_equal(x, y));
}

/* ---- order and form ---- */

static int by_name(const void *a, const void *b)
{
    const struct json_member *x = a, *y = b;
    bool x_index = x->key[0] == 'i', y_index = y->key[0] == 'i';
    return x_index != y_index ? x_index - y_index
                              : str_cmp(str_n(x->key, x->key_n), str_n(y->key, y->key_n));
}

struct json *set_sorted(struct arena *a, const struct json *s)
{
    struct json *out = json_object(a);
    size_t n = json_len(s);
    struct json_member *members = n ? arena_alloc(a, n * sizeof(*members)) : NULL;
    size_t i = 0;
    if (!members) {
        return out;
    }
    JSON_FOR_EACH_MEMBER (m, s) {
        members[i++] = *m;
    }
    if (n > 1) {
        qsort(members, n, sizeof(*members), by_name);
    }
    for (i = 0; i < n; i++) {
        json_set_n(out, str_n(members[i].key, members[i].key_n), set_sorted(a, members[i].value));
    }
    return out;
}

static bool valid_at(const struct json *s, unsigned depth)
{
    if (!json_is(s, JSON_OBJECT) || depth > LIMIT_FIELD_SET_DEPTH) {
        return false;
    }
    JSON_FOR_EACH_MEMBER (m, s) {
        bool mark = m->key_n == 1 && m->key[0] == '.';
        bool named = m->key_n >= 2 && m->key[1] == ':' && strchr("fkvi", m->key[0]);
        if ((!mark && !named) || !valid_at(m->value, depth + 1) || (mark && m->value->n > 0)) {
            return false;
        }
    }
    return true;
}

bool set_valid(const struct json *s)
{
    return valid_at(s, 0);
}

/* ---- paths ---- */

struct paths {
    struct arena *arena;
    size_t left;
    set_path_fn *fn;
    void *arg;
};

/* `[name="c",protocol="TCP"]` from the JSON of the keys. */
static const char *key_text(struct arena *a, struct str name)
{
    struct json *keys = NULL;
    const char *out = "";
    if (json_parse(a, name, NULL, &keys, NULL) < 0) {
        return arena_printf(a, "[" STR_FMT "]", STR_ARG(name));
    }
    JSON_FOR_EACH_MEMBER (m, keys) {
        CLEANUP(buf_finip) struct buf b = BUF_INIT;
        (void)json_print(&b, m->value); /* short of memory it is empty */
        out =
            arena_printf(a, "%s%s%s=" STR_FMT, out, *out ? "," : "", m->key, STR_ARG(buf_str(&b)));
        if (!out) {
            return "";
        }
    }
    return arena_printf(a, "[%s]", out);
}

static const char *element_text(struct arena *a, struct str name)
{
    struct str rest = str_n(name.p + 2, name.n - 2);
    switch (name.p[0]) {
    case 'f':
        return arena_printf(a, "." STR_FMT, STR_ARG(rest));
    case 'k':
        return key_text(a, rest);
    case 'v':
        return arena_printf(a, "[=" STR_FMT "]", STR_ARG(rest));
    default:
        return arena_printf(a, "[" STR_FMT "]", STR_ARG(rest));
    }
}

static void walk_paths(struct paths *p, const struct json *s, const char *prefix)
{
    for (int below = 0; below < 2; below++) {
        JSON_FOR_EACH_MEMBER (m, s) {
            if (m->key_n < 2 || (below ? !set_has_below(m->value) : !set_is_member(m->value))) {
                continue;
            }
            const char *path = arena_printf(p->arena, "%s%s", prefix,
                                            element_text(p->arena, str_n(m->key, m->key_n)));
            if (!path || p->left == 0) {
                return;
            }
            if (below) {
                walk_paths(p, m->value, path);
            } else {
                p->left--;
                p->fn(p->arg, path);
            }
        }
    }
}

void set_paths(struct arena *a, const struct json *s, size_t max, set_path_fn *fn, void *arg)
{
    struct paths p = {.arena = a, .left = max, .fn = fn, .arg = arg};
    walk_paths(&p, set_sorted(a, s), "");
}

size_t set_count(const struct json *s)
{
    size_t n = 0;
    JSON_FOR_EACH_MEMBER (m, s) {
        if (m->key_n >= 2) {
            n += set_is_member(m->value) + set_count(m->value);
        }
    }
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON patch (RFC 6902) with pointers of RFC 6901. Texts of failures are those of
 * evanphx/json-patch, which Kubernetes uses.
 *
 * Bounds: LIMIT_PATCH_OPS operations; a value may not come to lie deeper than LIMIT_JSON_DEPTH;
 * copies may not add up to more than COPIES_MAX values (a few copies of the root would
 * double it each time); list items that had to move are counted, too.
 */
#include "api/schema_check.h"
#include "base/limits.h"
#include "patch.h"

#include <string.h>

#define COPIES_MAX (LIMIT_JSON_VALUES / 8)
#define MOVES_MAX 100000000u /* list items shifted by inserts and removals, about half a second */

struct json_patch {
    struct arena *arena;
    struct json *doc;
    size_t copied; /* values */
    size_t moved;  /* list items */
    struct err *err;
};

/* A place in the document: a member of an object, an item of an array, or the root (parent NULL).
 */
struct place {
    struct json *parent;
    struct str key; /* unescaped */
    size_t depth;   /* tokens of the pointer */
};

/* Counts values; false when deeper than `depth` allows. Depth-bound. */
static bool measure(const struct json *j, size_t depth, size_t *count)
{
    ++*count;
    if (depth == 0) {
        return false;
    }
    JSON_FOR_EACH (item, j) {
        if (!measure(item, depth - 1, count)) {
            return false;
        }
    }
    JSON_FOR_EACH_MEMBER (m, j) {
        if (!measure(m->value, depth - 1, count)) {
            return false;
        }
    }
    return true;
}

/* "~1" is '/', "~0" is '~'; false on any other escape. */
static bool unescape(struct arena *a, struct str token, struct str *ret)
{
    if (!token.n || !memchr(token.p, '~', token.n)) {
        *ret = token;
        return true;
    }
    char *out = arena_alloc(a, token.n + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < token.n; i++) {
        char c = token.p[i];
        if (c == '~') {
            c = i + 1 < token.n ? token.p[++i] : '\0';
            if (c != '0' && c != '1') {
                return false;
            }
            c = c == '0' ? '~' : '/';
        }
        out[n++] = c;
    }
    *ret = str_n(out ? out : "", n);
    return true;
}

/* An index of RFC 6901: digits without leading zeros. */
static bool array_index(struct str s, size_t *ret)
{
    uint64_t v;
    if (s.n == 0 || s.n > 9 || (s.n > 1 && s.p[0] == '0') || str_u64(s, &v) < 0) {
        return false;
    }
    *ret = (size_t)v;
    return true;
}

static struct json *child(const struct json *parent, struct str key)
{
    size_t i;
    if (json_is(parent, JSON_ARRAY)) {
        return array_index(key, &i) ? json_at(parent, i) : NULL;
    }
    return json_get_n(parent, key);
}

/* Walks to the parent of the last token. -E_INVAL: bad pointer; -E_INVALID: a token on the way is
 * not there. */
static int locate(struct json_patch *p, const char *op, struct str path, struct place *ret)
{
    *ret = (struct place){0};
    if (path.n == 0) {
        return 0;
    }
    if (path.p[0] != '/') {
        return err_set(p->err, -E_INVAL, "%s operation: path '" STR_FMT "' must start with '/'", op,
                       STR_ARG(path));
    }
    struct str rest = str_n(path.p + 1, path.n - 1);
    struct json *at = p->doc;
    for (;;) {
        struct str token;
        bool more = str_cut(rest, '/', &token, &rest);
        ret->depth++;
        if (!unescape(p->arena, token, &ret->key)) {
            return err_set(p->err, -E_INVAL, "%s operation: bad escape in path '" STR_FMT "'", op,
                           STR_ARG(path));
        }
        if (!more) {
            break;
        }
        at = child(at, ret->key);
    }
    ret->parent = at;
    if (!json_is(at, JSON_OBJECT) && !json_is(at, JSON_ARRAY)) {
        return err_set(p->err, -E_INVALID,
                       "%s operation does not apply: doc is missing path: \"" STR_FMT
                       "\": missing value",
                       op, STR_ARG(path));
    }
    return 0;
}

static struct json *value_at(const struct json_patch *p, const struct place *at)
{
    return at->parent ? child(at->parent, at->key) : p->doc;
}

static int charge_moves(struct json_patch *p, size_t n)
{
    p->moved += n;
    return p->moved > MOVES_MAX ? err_set(p->err, -E_LIMIT, "the JSON patch moves too many items")
                                : 0;
}

static int bad_index(struct json_patch *p, struct str key)
{
    return err_set(p->err, -E_INVALID,
                   "Unable to access invalid index: " STR_FMT ": invalid index referenced",
                   STR_ARG(key));
}

static int put(struct json_patch *p, const struct place *at, struct json *value)
{
    size_t i, count = 0;
    if (at->depth >= LIMIT_JSON_DEPTH || !measure(value, LIMIT_JSON_DEPTH - at->depth, &count)) {
        return err_set(p->err, -E_LIMIT, "the JSON patch nests deeper than %d", LIMIT_JSON_DEPTH);
    }
    if (!at->parent) {
        p->doc = value;
    } else if (at->parent->type == JSON_OBJECT) {
        json_set_n(at->parent, at->key, value);
    } else if (str_is(at->key, "-")) {
        json_push(at->parent, value);
    } else if (array_index(at->key, &i) && i <= json_len(at->parent)) {
        int r = charge_moves(p, json_len(at->parent) - i);
        if (r < 0) {
            return r;
        }
        json_insert(at->parent, i, value);
    } else {
        return bad_index(p, at->key);
    }
    return 0;
}

static int take_away(struct json_patch *p, const char *op, struct str path, const struct place *at)
{
    size_t i = 0;
    if (!at->parent) {
        return err_set(p->err, -E_INVALID,
                       "%s operation does not apply: the root cannot be removed", op);
    }
    if (!value_at(p, at)) {
        return err_set(p->err, -E_INVALID,
                       "error in %s for path: '" STR_FMT
                       "': Unable to remove nonexistent key: " STR_FMT ": missing value",
                       op, STR_ARG(path), STR_ARG(at->key));
    }
    if (at->parent->type == JSON_OBJECT) {
        int r = charge_moves(p, json_len(at->parent));
        json_del_n(at->parent, at->key);
        return r;
    }
    (void)array_index(at->key, &i); /* value_at() has found it by this index */
    int r = charge_moves(p, json_len(at->parent) - i);
    json_remove(at->parent, i);
    return r;
}

static int op_add(struct json_patch *p, struct str path, const struct json *value)
{
    struct place at;
    int r = locate(p, "add", path, &at);
    return r < 0 ? r : put(p, &at, json_clone(p->arena, value));
}

static int op_remove(struct json_patch *p, struct str path)
{
    struct place at;
    int r = locate(p, "remove", path, &at);
    return r < 0 ? r : take_away(p, "remove", path, &at);
}

static int op_replace(struct json_patch *p, struct str path, const struct json *value)
{
    struct place at;
    size_t i = 0;
    int r = locate(p, "replace", path, &at);
    if (r < 0) {
        return r;
    }
    if (!value_at(p, &at)) {
        return err_set(p->err, -E_INVALID,
                       "replace operation does not apply: doc is missing key: " STR_FMT
                       ": missing value",
                       STR_ARG(path));
    }
    struct json *copy = json_clone(p->arena, value);
    if (json_is(at.parent, JSON_ARRAY)) {
        size_t count = 0;
        if (at.depth >= LIMIT_JSON_DEPTH || !measure(copy, LIMIT_JSON_DEPTH - at.depth, &count)) {
            return err_set(p->err, -E_LIMIT, "the JSON patch nests deeper than %d",
                           LIMIT_JSON_DEPTH);
        }
        (void)array_index(at.key, &i); /* value_at() has found it by this index */
        json_replace(at.parent, i, copy);
        return 0;
    }
    return put(p, &at, copy);
}

static int op_test(struct json_patch *p, struct str path, const struct json *value)
{
    struct place at;
    int r = locate(p, "test", path, &at);
    if (r < 0) {
        return r;
    }
    const struct json *have = value_at(p, &at);
    bool equal = have ? json_equal(have, value) : json_is(value, JSON_NULL);
    return equal ? 0
                 : err_set(p->err, -E_INVALID, "testing path " STR_FMT " failed: test failed",
                           STR_ARG(path));
}

static int find_from(struct json_patch *p, const char *op, struct str from, struct place *at,
                     struct json **ret)
{
    int r = locate(p, op, from, at);
    if (r < 0) {
        return r;
    }
    *ret = value_at(p, at);
    return *ret ? 0
                : err_set(p->err, -E_INVALID, "error in %s for path: '" STR_FMT "': missing value",
                          op, STR_ARG(from));
}

static int op_copy(struct json_patch *p, struct str from, struct str path)
{
    struct place at;
    struct json *value;
    int r = find_from(p, "copy", from, &at, &value);
    if (r < 0) {
        return r;
    }
    (void)measure(value, LIMIT_JSON_DEPTH, &p->copied); /* put() refuses what is too deep */
    if (p->copied > COPIES_MAX) {
        return err_set(p->err, -E_LIMIT, "the JSON patch copies more than %d values", COPIES_MAX);
    }
    r = locate(p, "copy", path, &at);
    return r < 0 ? r : put(p, &at, json_clone(p->arena, value));
}

static int op_move(struct json_patch *p, struct str from, struct str path)
{
    struct place at;
    struct json *value;
    if (path.n > from.n && path.p[from.n] == '/' && str_eq(str_n(path.p, from.n), from)) {
        return err_set(p->err, -E_INVALID,
                       "move operation: '" STR_FMT "' lies inside '" STR_FMT "'", STR_ARG(path),
                       STR_ARG(from));
    }
    int r = find_from(p, "move", from, &at, &value);
    if (r == 0 && !str_eq(from, path)) {
        r = take_away(p, "move", from, &at);
        if (r == 0) {
            r = locate(p, "move", path, &at);
        }
        if (r == 0) {
            r = put(p, &at, value);
        }
    }
    return r;
}

static int need_text(struct json_patch *p, const struct json *op, const char *field,
                     struct str *ret)
{
    const struct json *j = json_get(op, field);
    *ret = json_text(j);
    return json_is(j, JSON_STRING)
               ? 0
               : err_set(p->err, -E_INVAL, "a JSON patch operation needs the text '%s'", field);
}

static int apply(struct json_patch *p, const struct json *op)
{
    struct str name, path, from;
    int r = need_text(p, op, "op", &name);
    if (r == 0) {
        r = need_text(p, op, "path", &path);
    }
    if (r < 0) {
        return r;
    }
    if (str_is(name, "remove")) {
        return op_remove(p, path);
    }
    if (str_is(name, "copy") || str_is(name, "move")) {
        r = need_text(p, op, "from", &from);
        return r < 0 ? r : name.p[0] == 'c' ? op_copy(p, from, path) : op_move(p, from, path);
    }
    const struct json *value = json_get(op, "value");
    bool known = str_is(name, "add") || str_is(name, "replace") || str_is(name, "test");
    if (!known) {
        return err_set(p->err, -E_INVALID, "Unexpected kind: " STR_FMT, STR_ARG(name));
    }
    if (!value) {
        return err_set(p->err, -E_INVAL, "the JSON patch operation '" STR_FMT "' needs a value",
                       STR_ARG(name));
    }
    switch (name.p[0]) {
    case 'a':
        return op_add(p, path, value);
    case 'r':
        return op_replace(p, path, value);
    default:
        return op_test(p, path, value);
    }
}

int patch_json(struct arena *a, const struct json *target, const struct json *ops,
               struct json **ret, struct err *err)
{
    if (!json_is(ops, JSON_ARRAY)) {
        return err_set(err, -E_INVAL,
                       "error decoding patch: json: cannot unmarshal %s into Go value of type "
                       "[]interface {}",
                       schema_go_kind(ops));
    }
    if (json_len(ops) > LIMIT_PATCH_OPS) {
        return err_set(err, -E_LIMIT,
                       "The allowed maximum operations in a JSON patch is %d, got %zu",
                       LIMIT_PATCH_OPS, json_len(ops));
    }
    struct json_patch p = {.arena = a, .doc = json_clone(a, target), .err = err};
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_len(ops) && !arena_failed(a); i++) {
        r = apply(&p, json_at(ops, i));
    }
    if (r < 0 && !arena_failed(a)) {
        return r;
    }
    if (arena_failed(a) || !p.doc) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    *ret = p.doc;
    return 0;
}

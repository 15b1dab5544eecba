/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON paths: the walk. Places are visited depth first; the number of visits is bounded, since
 * several ".." multiply. Depth is bounded by the segments of the path and the depth of the value.
 */
#include "path.h"

#include "base/limits.h"
#include "base/mem.h"
#include "path_private.h"

struct walk {
    struct arena *arena;
    const struct value *root;
    struct value *items;
    uint32_t n, cap;
    uint32_t *visits; /* left, for inner paths too */
    int rc;
};

static int start(struct walk *outer, const struct path *p, const struct value *v,
                 struct value *ret);

/* ---- filters ---- */

static bool truth(const struct value *v)
{
    return v->type == VALUE_BOOL ? v->b : !value_is_null(v);
}

static struct value compute(struct walk *w, const struct filter *f, const struct value *at);

/* What cannot be computed is absent: the filter does not hold. */
static struct value compute_op(struct walk *w, const struct filter *f, const struct value *at)
{
    struct value a = compute(w, f->a, at), b, ret;
    if (f->op == VALUE_AND || f->op == VALUE_OR) {
        if (truth(&a) == (f->op == VALUE_OR)) {
            return value_bool(truth(&a));
        }
        b = compute(w, f->b, at);
        return value_bool(truth(&b));
    }
    b = compute(w, f->b, at);
    if ((f->op == VALUE_EQ || f->op == VALUE_NE) &&
        (a.type != VALUE_ABSENT && b.type != VALUE_ABSENT)) {
        return value_bool(value_same(&a, &b) == (f->op == VALUE_EQ));
    }
    return value_apply(f->op, &a, &b, &ret, NULL) == 0 ? ret : (struct value){.type = VALUE_ABSENT};
}

static struct value compute(struct walk *w, const struct filter *f, const struct value *at)
{
    struct value v = {.type = VALUE_ABSENT}, ret;
    const struct value zero = value_int(0);
    switch (f->kind) {
    case FILTER_VALUE:
        return f->value;
    case FILTER_PATH:
        return start(w, f->path, f->path->root ? w->root : at, &v) == 0
                   ? v
                   : (struct value){.type = VALUE_ABSENT};
    case FILTER_NOT:
        v = compute(w, f->a, at);
        return value_bool(!truth(&v));
    case FILTER_MINUS:
        v = compute(w, f->a, at);
        return value_apply(VALUE_SUB, &zero, &v, &ret, NULL) == 0 ? ret : v;
    case FILTER_OP:
        break;
    }
    return compute_op(w, f, at);
}

/* ---- places ---- */

static void visit(struct walk *w, const struct path_segment *seg, const struct value *v);

static void add(struct walk *w, const struct value *v)
{
    if (w->n == w->cap) {
        uint32_t cap = w->cap ? w->cap * 2 : 8;
        struct value *more =
            arena_grow(w->arena, w->items, w->cap * sizeof(*more), cap * sizeof(*more));
        if (!more) {
            w->rc = -E_NOMEM;
            return;
        }
        w->items = more;
        w->cap = cap;
    }
    w->items[w->n++] = *v;
}

static void go_on(struct walk *w, const struct path_segment *seg, const struct value *v)
{
    if (w->rc < 0) {
        return;
    }
    if (*w->visits == 0) {
        w->rc = -E_LIMIT;
        return;
    }
    --*w->visits;
    if (seg->next) {
        visit(w, seg->next, v);
    } else {
        add(w, v);
    }
}

static const struct value *child(const struct value *v, uint32_t i)
{
    return v->type == VALUE_ARRAY ? &v->items[i] : &v->members[i].value;
}

static uint32_t children(const struct value *v)
{
    return v->type == VALUE_ARRAY || v->type == VALUE_OBJECT ? v->n : 0;
}

static const struct value *item(const struct value *v, int64_t i)
{
    i = i < 0 ? i + v->n : i;
    return v->type == VALUE_ARRAY && i >= 0 && i < v->n ? &v->items[i] : NULL;
}

/* A member; of an array, "2" is the item 2. */
static const struct value *named(const struct value *v, struct str name)
{
    int64_t i;
    return v->type == VALUE_ARRAY && str_i64(name, &i) == 0 ? item(v, i) : value_get(v, name);
}

static int64_t clamp(int64_t i, int64_t low, int64_t high)
{
    return i < low ? low : i > high ? high : i;
}

static void slice(struct walk *w, const struct path_segment *seg, const struct path_selector *s,
                  const struct value *v)
{
    if (v->type != VALUE_ARRAY) {
        return;
    }
    int64_t n = v->n, low = s->step > 0 ? 0 : -1, high = s->step > 0 ? n : n - 1;
    int64_t from = s->has_from ? s->from : s->step > 0 ? 0 : n - 1;
    int64_t to = s->has_to ? s->to : s->step > 0 ? n : -n - 1;
    from = clamp(from < 0 && s->has_from ? from + n : from, low, high);
    to = clamp(to < 0 ? to + n : to, low, high);
    while (w->rc == 0 && (s->step > 0 ? from < to : from > to)) {
        go_on(w, seg, &v->items[from]);
        if (__builtin_add_overflow(from, s->step, &from)) {
            return;
        }
    }
}

static void select_places(struct walk *w, const struct path_segment *seg,
                          const struct path_selector *s, const struct value *v)
{
    const struct value *found = NULL;
    switch (s->kind) {
    case SELECT_NAME:
        found = named(v, s->name);
        break;
    case SELECT_INDEX:
        found = item(v, s->from);
        break;
    case SELECT_SLICE:
        slice(w, seg, s, v);
        break;
    case SELECT_ALL:
    case SELECT_FILTER:
        for (uint32_t i = 0; w->rc == 0 && i < children(v); i++) {
            struct value holds = s->filter ? compute(w, s->filter, child(v, i)) : value_bool(true);
            if (truth(&holds)) {
                go_on(w, seg, child(v, i));
            }
        }
        break;
    }
    if (found) {
        go_on(w, seg, found);
    }
}

static void visit(struct walk *w, const struct path_segment *seg, const struct value *v)
{
    for (const struct path_selector *s = seg->selectors; s && w->rc == 0; s = s->next) {
        select_places(w, seg, s, v);
    }
    for (uint32_t i = 0; seg->deep && w->rc == 0 && i < children(v); i++) {
        if (*w->visits == 0) {
            w->rc = -E_LIMIT;
            return;
        }
        --*w->visits;
        visit(w, seg, child(v, i));
    }
}

/* ---- whole paths ---- */

static const struct value *step(const struct path_selector *s, const struct value *v)
{
    return s->kind == SELECT_NAME ? named(v, s->name) : item(v, s->from);
}

static int missing(const struct path_selector *s, struct err *err)
{
    return s->kind == SELECT_NAME ? err_set(err, -E_NOENT, "unknown key " STR_FMT, STR_ARG(s->name))
                                  : err_set(err, -E_NOENT, "unknown key %lld", (long long)s->from);
}

static int follow(const struct path *p, const struct value *v, struct value *ret, struct err *err)
{
    for (const struct path_segment *seg = p->segments; seg; seg = seg->next) {
        const struct value *next = step(seg->selectors, v);
        if (!next) {
            return missing(seg->selectors, err);
        }
        v = next;
    }
    *ret = *v;
    return 0;
}

static int walk_all(const struct path *p, struct walk *w, const struct value *v, struct value *ret)
{
    visit(w, p->segments, v);
    *ret = (struct value){.type = VALUE_ARRAY, .n = w->n, .items = w->items};
    return w->rc;
}

/* A path inside a filter: one that leads to several places is there when it leads to any. */
static int start(struct walk *outer, const struct path *p, const struct value *v, struct value *ret)
{
    if (p->definite) {
        return follow(p, v, ret, NULL);
    }
    struct walk w = {.arena = outer->arena, .root = outer->root, .visits = outer->visits};
    int rc = walk_all(p, &w, v, ret);
    outer->rc = rc < 0 ? rc : outer->rc;
    return rc < 0 ? rc : ret->n > 0 ? 0 : -E_NOENT;
}

int path_eval(const struct path *p, struct arena *a, const struct value *v, struct value *ret,
              struct err *err)
{
    uint32_t visits = LIMIT_SQL_ITEMS;
    struct walk w = {.arena = a, .root = v, .visits = &visits};
    if (p->definite) {
        return follow(p, v, ret, err);
    }
    int rc = walk_all(p, &w, v, ret);
    return rc == -E_LIMIT
               ? err_set(err, rc, "the json path visits more than %d places", LIMIT_SQL_ITEMS)
               : rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The algebra of types: unification as cel-spec ("langdef.md", "Gradual Type Checking") and cel-go
 * do it. Variables are bound in place; what a failed overload bound is undone from a trail.
 */
#include "cel_checker.h"

/* The type itself, behind bound variables. */
const struct cel_type *cel_type_resolve(const struct cel_type *t)
{
    while (t->kind == CEL_PARAM && ((const struct cel_type_var *)t)->bound) {
        t = ((const struct cel_type_var *)t)->bound;
    }
    return t;
}

static bool bind(struct cel_checker *k, const struct cel_type *var, const struct cel_type *to)
{
    struct cel_type_var *v = (struct cel_type_var *)(uintptr_t)var;
    if (k->n_trail == k->cap_trail) {
        uint32_t cap = k->cap_trail ? k->cap_trail * 2 : 32;
        struct cel_bound *grown =
            arena_grow(&k->c->a, k->trail, k->cap_trail * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            return false;
        }
        k->trail = grown;
        k->cap_trail = cap;
    }
    k->trail[k->n_trail++] = (struct cel_bound){v, v->bound};
    v->bound = to;
    return true;
}

void cel_unify_undo(struct cel_checker *k, uint32_t to)
{
    while (k->n_trail > to) {
        k->n_trail--;
        k->trail[k->n_trail].var->bound = k->trail[k->n_trail].before;
    }
}

bool cel_is_parameterised(enum cel_kind kind)
{
    return kind == CEL_LIST || kind == CEL_MAP || kind == CEL_OPTIONAL;
}

static bool occurs(const struct cel_type *var, const struct cel_type *in)
{
    in = cel_type_resolve(in);
    if (in == var) {
        return true;
    }
    if (!cel_is_parameterised(in->kind) && in->kind != CEL_TYPE) {
        return false;
    }
    return occurs(var, cel_type_elem(in)) || (in->kind == CEL_MAP && occurs(var, cel_type_key(in)));
}

static bool same_object(const struct cel_type *a, const struct cel_type *b)
{
    return a == b || (a->name && b->name && cstr_eq(a->name, b->name) && a->fields == b->fields);
}

/* a says as little as b or less: dyn stands for anything. */
bool cel_type_is_general(const struct cel_type *a, const struct cel_type *b)
{
    a = cel_type_resolve(a);
    b = cel_type_resolve(b);
    if (a->kind == CEL_DYN || a->kind == CEL_PARAM) {
        return true;
    }
    if (b->kind == CEL_DYN || b->kind == CEL_PARAM || a->kind != b->kind) {
        return false;
    }
    if (a->kind == CEL_OBJECT) {
        return same_object(a, b);
    }
    return !cel_is_parameterised(a->kind) ||
           (cel_type_is_general(cel_type_elem(a), cel_type_elem(b)) &&
            (a->kind != CEL_MAP || cel_type_is_general(cel_type_key(a), cel_type_key(b))));
}

const struct cel_type *cel_type_most_general(const struct cel_type *a, const struct cel_type *b)
{
    return cel_type_is_general(a, b) ? a : b;
}

/* Kinds that null may stand for: messages, well-known and abstract types. */
static bool takes_null(enum cel_kind kind)
{
    return kind == CEL_NULL || kind == CEL_OBJECT || kind == CEL_TIMESTAMP ||
           kind == CEL_DURATION || (kind >= CEL_OPTIONAL && kind < CEL_KIND_NR);
}

/* Makes the variable stand for t; keeps the more general of two that fit. */
static bool assign_var(struct cel_checker *k, const struct cel_type *var, const struct cel_type *t)
{
    const struct cel_type *bound = ((const struct cel_type_var *)var)->bound;
    if (cel_type_resolve(t) == cel_type_resolve(var)) {
        return true;
    }
    if (bound && cel_type_resolve(bound)->kind != CEL_PARAM) {
        return cel_unify(k, t, bound) && bind(k, var, cel_type_most_general(t, bound));
    }
    if (bound) {
        return assign_var(k, cel_type_resolve(bound), t);
    }
    return !occurs(var, t) && bind(k, var, t);
}

bool cel_unify(struct cel_checker *k, const struct cel_type *a, const struct cel_type *b)
{
    if (b->kind == CEL_PARAM) {
        return assign_var(k, b, a);
    }
    if (a->kind == CEL_PARAM) {
        return assign_var(k, a, b);
    }
    if (a->kind == CEL_DYN || b->kind == CEL_DYN || a->kind == CEL_ERROR || b->kind == CEL_ERROR) {
        return true;
    }
    if (a->kind == CEL_NULL || b->kind == CEL_NULL) {
        return takes_null(a->kind) && takes_null(b->kind);
    }
    if (a->kind == CEL_OBJECT && b->kind == CEL_OBJECT) {
        return same_object(a, b);
    }
    if (a->kind != b->kind) {
        return false;
    }
    if (!cel_is_parameterised(a->kind)) {
        return true;
    }
    return (a->kind != CEL_MAP || cel_unify(k, cel_type_key(a), cel_type_key(b))) &&
           cel_unify(k, cel_type_elem(a), cel_type_elem(b));
}

bool cel_unify_try(struct cel_checker *k, const struct cel_type *a, const struct cel_type *b)
{
    uint32_t trail = k->n_trail;
    if (cel_unify(k, a, b)) {
        return true;
    }
    cel_unify_undo(k, trail);
    return false;
}

const struct cel_type *cel_type_fresh(struct cel_checker *k)
{
    struct cel_type_var *v = arena_zalloc(&k->c->a, sizeof(*v));
    if (!v) {
        return &cel_type_error;
    }
    v->type.kind = CEL_PARAM;
    v->type.name = arena_printf(&k->c->a, "_var%u", k->c->next_var++);
    return &v->type;
}

const char *cel_type_name(struct cel_checker *k, const struct cel_type *t)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    cel_type_print(&out, t);
    const char *text = arena_str(&k->c->a, buf_str(&out));
    return text ? text : "";
}

/* Replaces variables by what they stand for, unbound ones by dyn. Types of the caller, which hold
 * none, are shared. */
const struct cel_type *cel_type_finish(struct arena *a, const struct cel_type *t)
{
    t = cel_type_resolve(t);
    if (t->kind == CEL_PARAM) {
        return &cel_type_dyn;
    }
    bool simple = !cel_is_parameterised(t->kind) && t->kind != CEL_TYPE;
    if (simple || !t->elem) {
        return t;
    }
    const struct cel_type *elem = cel_type_finish(a, t->elem),
                          *key = t->key ? cel_type_finish(a, t->key) : NULL;
    if (elem == t->elem && key == t->key) {
        return t;
    }
    return t->kind == CEL_MAP ? cel_type_map(a, key, elem) : cel_type_of(a, t->kind, elem);
}

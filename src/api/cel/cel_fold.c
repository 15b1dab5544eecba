/* SPDX-License-Identifier: Apache-2.0 */
/* The macros that walk lists and maps, and those that bind a name. */
#include "cel_eval.h"

struct fold {
    struct cel_value range;
    uint32_t n, i;
    bool is_list;
    struct cel_value *vars; /* locals: one or two */
    uint32_t n_vars;
    const uint32_t *bodies;
    uint32_t n_bodies;
};

static bool fold_open(struct cel_run *r, const struct node *n, struct fold *f)
{
    const uint32_t *args = &r->p->args[n->b];
    if (!cel_eval_node(r, n->a, &f->range)) {
        return false;
    }
    if (f->range.kind != CEL_LIST && !cel_is_map(&f->range)) {
        return cel_no_overload(r);
    }
    f->is_list = f->range.kind == CEL_LIST;
    f->n = cel_length(&f->range);
    f->i = 0;
    f->vars = &r->locals[args[0]];
    f->n_vars = args[1];
    f->n_bodies = args[2];
    f->bodies = args + 3;
    return true;
}

/* Sets the variables to the next element. *more false at the end. */
static bool fold_next(struct cel_run *r, struct fold *f, bool *more)
{
    *more = f->i < f->n;
    if (!*more) {
        return true;
    }
    uint32_t i = f->i++;
    bool two = f->n_vars == 2;
    if (f->is_list) {
        f->vars[0] = cel_int(i);
        return cel_spend(r, 1) && cel_take(r, cel_item(&f->range, i), &f->vars[two]);
    }
    f->vars[0] = cel_key_at(&f->range, i);
    return cel_spend(r, 1) && (!two || cel_take(r, cel_value_at(&f->range, i), &f->vars[1]));
}

/* all and exists: the first element that decides ends it, errors wait until none does. */
static bool fold_logic(struct cel_run *r, struct fold *f, bool decides, struct cel_value *ret)
{
    struct cel_pending error;
    bool more, failed = false, b;
    error.code = 0;
    error.pos = 0;
    error.text[0] = 0;
    for (;;) {
        if (!fold_next(r, f, &more)) {
            return false;
        }
        if (!more) {
            break;
        }
        if (cel_eval_bool(r, f->bodies[0], &b)) {
            if (b == decides) {
                *ret = cel_bool(b);
                return true;
            }
        } else if (!cel_absorbable(r)) {
            return false;
        } else if (!failed) {
            failed = true;
            cel_set_aside(r, &error);
        } else {
            r->pos = UINT32_MAX;
        }
    }
    *ret = cel_bool(!decides);
    return !failed || cel_put_back(r, &error);
}

static bool fold_one(struct cel_run *r, struct fold *f, struct cel_value *ret)
{
    uint32_t hits = 0;
    bool more, b;
    while (fold_next(r, f, &more) && more) {
        if (!cel_eval_bool(r, f->bodies[0], &b)) {
            return false;
        }
        hits += b;
    }
    *ret = cel_bool(hits == 1);
    return !more;
}

/* map, filter and transformList. */
static bool fold_list(struct cel_run *r, struct fold *f, bool filter, struct cel_value *ret)
{
    struct cel_values items = {0};
    bool more, keep;
    while (fold_next(r, f, &more) && more) {
        struct cel_value v = f->vars[0];
        keep = true;
        if ((filter || f->n_bodies == 2) && !cel_eval_bool(r, f->bodies[0], &keep)) {
            return false;
        }
        if (keep && ((!filter && !cel_eval_node(r, f->bodies[f->n_bodies - 1], &v)) ||
                     !cel_values_add(r, &items, filter && !f->is_list ? f->vars[0] : v))) {
            return false;
        }
    }
    return !more && cel_values_list(r, &items, ret);
}

/* transformMap (the value changes) and transformMapEntry (a map of one entry comes in its place).
 */
static bool fold_map(struct cel_run *r, struct fold *f, bool entries, struct cel_value *ret)
{
    struct cel_map *m = arena_zalloc(r->a, sizeof(*m));
    bool more, keep;
    if (!m) {
        return cel_no_memory(r);
    }
    while (fold_next(r, f, &more) && more) {
        struct cel_value key = f->vars[0], v;
        keep = true;
        if (f->n_bodies == 2 && !cel_eval_bool(r, f->bodies[0], &keep)) {
            return false;
        }
        if (!keep) {
            continue;
        }
        if (!cel_eval_node(r, f->bodies[f->n_bodies - 1], &v)) {
            return false;
        }
        if (!entries) {
            if (!cel_add_entry(r, m, key, v)) {
                return false;
            }
            continue;
        }
        if (!cel_is_map(&v)) {
            return cel_no_overload(r);
        }
        for (uint32_t i = 0; i < cel_length(&v); i++) {
            if (!cel_add_entry(r, m, cel_key_at(&v, i), cel_value_at(&v, i))) {
                return false;
            }
        }
    }
    *ret = cel_map_value(m);
    return !more;
}

bool cel_eval_fold(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    struct fold f;
    if (!fold_open(r, n, &f)) {
        return false;
    }
    switch ((enum fold_kind)n->x) {
    case FOLD_ALL:
        return fold_logic(r, &f, false, ret);
    case FOLD_EXISTS:
        return fold_logic(r, &f, true, ret);
    case FOLD_EXISTS_ONE:
        return fold_one(r, &f, ret);
    case FOLD_MAP:
    case FOLD_TRANSFORM_LIST:
        return fold_list(r, &f, false, ret);
    case FOLD_FILTER:
        return fold_list(r, &f, true, ret);
    case FOLD_TRANSFORM_MAP:
        return fold_map(r, &f, false, ret);
    case FOLD_TRANSFORM_ENTRY:
        return fold_map(r, &f, true, ret);
    }
    return cel_no_overload(r);
}

/* cel.bind is lazy in cel-go: a value that fails does so where it is read. */
bool cel_eval_bind(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    struct cel_value *slot = &r->locals[r->p->args[n->b]];
    uint32_t body = r->p->args[n->b + 1];
    if (!cel_eval_node(r, n->a, slot)) {
        if (n->x != BIND_PLAIN || !cel_absorbable(r)) {
            return false;
        }
        const char *text = arena_strdup(r->a, r->text);
        if (!text) {
            return cel_no_memory(r);
        }
        *slot = cel_error(str_of(text));
        r->pos = UINT32_MAX;
        return cel_eval_node(r, body, ret);
    }
    if (n->x == BIND_PLAIN) {
        return cel_eval_node(r, body, ret);
    }
    if (slot->kind != CEL_OPTIONAL) {
        return cel_no_overload(r);
    }
    if (!slot->optional) {
        *ret = *slot;
        return true;
    }
    *slot = *slot->optional;
    if (!cel_eval_node(r, body, ret)) {
        return false;
    }
    return n->x == BIND_OPT_FLAT_MAP || cel_finish_optional(r, true, true, *ret, ret);
}

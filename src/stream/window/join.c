/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins of the rows of a window, one after the other: what stands left, with the rows of the next
 * source.
 *
 * Order of results, as in eKuiper: by left tuple and then by right row; a RIGHT join by right row
 * and then by left tuple; a FULL join has its lone right rows at the end. Where ON has equalities
 * between the two sides (`a.x = b.y AND ...`) candidates are found by hash, and ON is computed for
 * them only. Values of kinds that cannot be compared are an error of the whole join, so hashing is
 * left where both sides are not all numbers, all text or all booleans.
 */
#include "window_private.h"

#define EQUALITIES_MAX 8
#define SIDE_LEFT 1u
#define SIDE_RIGHT 2u
#define SIDE_UNKNOWN 4u

struct side {
    struct joined **items;
    uint32_t n;
    uint64_t *hashes; /* of the keys; 0 in valid[] = a null among them, which equals nothing */
    bool *valid;
    uint32_t *next; /* rights: chain, index + 1 */
};

struct joining {
    struct window *w;
    const struct join_spec *spec;
    uint32_t right; /* source */
    const struct expr *left_keys[EQUALITIES_MAX], *right_keys[EQUALITIES_MAX];
    uint32_t n_keys;
    struct side lefts, rights;
    bool hashed;
    uint32_t *heads; /* by hash of the inner side, index + 1; NULL = all pairs */
    uint32_t mask;
    struct joined **out;
    uint32_t n_out, cap_out;
    struct err *err;
};

/* ---- results ---- */

static struct joined *new_joined(struct window *w)
{
    uint32_t n = w->spec.n_sources;
    struct joined *j = arena_zalloc(&w->scratch, sizeof(*j) + n * sizeof(j->tuple.rows[0]));
    if (j) {
        j->tuple.n = n;
    }
    return j;
}

static struct joined *pair(struct joining *jn, const struct joined *left,
                           const struct joined *right)
{
    struct joined *j = new_joined(jn->w);
    if (j && left) {
        j->computed = left->computed;
        for (uint32_t i = 0; i < jn->right; i++) {
            j->tuple.rows[i] = left->tuple.rows[i];
        }
    }
    if (j && right) {
        j->tuple.rows[jn->right] = right->tuple.rows[jn->right];
    }
    return j;
}

static int add(struct joining *jn, struct joined *j)
{
    if (jn->n_out == jn->cap_out) {
        uint32_t cap = jn->cap_out ? jn->cap_out * 2 : 64;
        jn->out = arena_grow(&jn->w->scratch, jn->out, jn->cap_out * sizeof(*jn->out),
                             cap * sizeof(*jn->out));
        jn->cap_out = cap;
    }
    if (!j || !jn->out) {
        return -ENOMEM;
    }
    jn->out[jn->n_out++] = j;
    return 0;
}

static void set_eval(struct joining *jn, const struct joined *j, struct eval *ev)
{
    *ev = (struct eval){.arena = &jn->w->scratch,
                        .tuple = &j->tuple,
                        .computed = j->computed ? j->computed->cells : NULL,
                        .rule = jn->w->spec.rule,
                        .now_us = jn->w->now_us};
}

/* Whether ON is true for it: 1, 0 or an error. */
static int holds(struct joining *jn, const struct joined *j)
{
    bool yes = true;
    if (jn->spec->on && jn->spec->kind != AST_JOIN_CROSS) {
        struct eval ev;
        set_eval(jn, j, &ev);
        int rc = expr_test(jn->spec->on, &ev, &yes, jn->err);
        if (rc < 0) {
            return err_wrap(jn->err, rc, "run Join error");
        }
    }
    return yes;
}

/* Adds the pair when ON is true for it: 1, 0 or an error. */
static int try_pair(struct joining *jn, const struct joined *left, const struct joined *right,
                    bool keep)
{
    struct joined *j = pair(jn, left, right);
    if (!j) {
        return -ENOMEM;
    }
    int rc = holds(jn, j);
    if (rc > 0 && keep) {
        int code = add(jn, j);
        rc = code < 0 ? code : rc;
    }
    return rc;
}

/* ---- equalities of ON ---- */

static unsigned sides_of(const struct expr *e, uint32_t right)
{
    if (!e) {
        return 0;
    }
    unsigned s = 0;
    if (e->kind == EXPR_FIELD || e->kind == EXPR_META || e->kind == EXPR_ALL) {
        s = e->source < 0 || (uint32_t)e->source > right ? SIDE_UNKNOWN
            : (uint32_t)e->source == right               ? SIDE_RIGHT
                                                         : SIDE_LEFT;
    } else if (e->kind == EXPR_COMPUTED ||
               (e->kind == EXPR_CALL && !(e->function->flags & FUNCTION_F_PURE))) {
        s = SIDE_UNKNOWN;
    }
    for (uint32_t i = 0; i < e->n_list; i++) {
        s |= sides_of(e->list[i], right);
    }
    return s | sides_of(e->a, right) | sides_of(e->b, right) | sides_of(e->c, right);
}

/* Depth is that of the parser. */
static void find_equalities(struct joining *jn, const struct expr *e)
{
    if (!e || e->kind != EXPR_BINARY) {
        return;
    }
    if (e->op == VALUE_AND) {
        find_equalities(jn, e->a);
        find_equalities(jn, e->b);
        return;
    }
    if (e->op != VALUE_EQ || jn->n_keys == EQUALITIES_MAX) {
        return;
    }
    unsigned a = sides_of(e->a, jn->right), b = sides_of(e->b, jn->right);
    if ((a == SIDE_LEFT && b == SIDE_RIGHT) || (a == SIDE_RIGHT && b == SIDE_LEFT)) {
        jn->left_keys[jn->n_keys] = a == SIDE_LEFT ? e->a : e->b;
        jn->right_keys[jn->n_keys++] = a == SIDE_LEFT ? e->b : e->a;
    }
}

static enum value_type class_of(const struct value *v)
{
    return value_is_number(v) ? VALUE_FLOAT : (enum value_type)v->type;
}

/* Hashes one side by its keys; classes[] holds the kind of values of each key seen so far. False:
 * not by hash. */
static bool hash_side(struct joining *jn, struct side *s, const struct expr *const *keys,
                      enum value_type classes[])
{
    s->hashes = arena_alloc(&jn->w->scratch, (s->n + 1) * sizeof(*s->hashes));
    s->valid = arena_zalloc(&jn->w->scratch, (s->n + 1) * sizeof(*s->valid));
    if (!s->hashes || !s->valid) {
        return false;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        struct eval ev;
        set_eval(jn, s->items[i], &ev);
        uint64_t hash = 0;
        bool valid = true;
        for (uint32_t k = 0; k < jn->n_keys; k++) {
            struct value v;
            if (expr_eval(keys[k], &ev, &v, NULL) < 0) {
                return false;
            }
            enum value_type c = class_of(&v);
            valid = valid && !value_is_null(&v);
            if (!value_is_null(&v) && classes[k] != VALUE_NULL && c != classes[k]) {
                return false;
            }
            classes[k] = value_is_null(&v) ? classes[k] : c;
            hash = value_hash(&v, hash);
        }
        s->hashes[i] = hash;
        s->valid[i] = valid;
    }
    return true;
}

/* Small joins are done by pairs: a table would cost more. */
static bool prepare_hash(struct joining *jn)
{
    if (jn->lefts.n < 2 || jn->rights.n < 2 || jn->spec->kind == AST_JOIN_CROSS) {
        return false;
    }
    find_equalities(jn, jn->spec->on);
    enum value_type classes[EQUALITIES_MAX] = {0};
    for (uint32_t k = 0; k < jn->n_keys; k++) {
        classes[k] = VALUE_NULL;
    }
    if (jn->n_keys == 0 || !hash_side(jn, &jn->lefts, jn->left_keys, classes) ||
        !hash_side(jn, &jn->rights, jn->right_keys, classes)) {
        return false;
    }
    for (uint32_t k = 0; k < jn->n_keys; k++) {
        if (classes[k] > VALUE_STRING || classes[k] == VALUE_TIME) {
            return false;
        }
    }
    return true;
}

static void index_side(struct joining *jn, struct side *s)
{
    jn->heads = NULL;
    if (!jn->hashed) {
        return;
    }
    uint32_t cap = 16;
    while (cap < s->n * 2) {
        cap *= 2;
    }
    uint32_t *heads = arena_zalloc(&jn->w->scratch, cap * sizeof(*heads));
    s->next = arena_zalloc(&jn->w->scratch, (s->n + 1) * sizeof(*s->next));
    if (!heads || !s->next) {
        return;
    }
    jn->mask = cap - 1;
    for (uint32_t i = s->n; i-- > 0;) { /* backwards: chains are ascending */
        if (s->valid[i]) {
            uint32_t at = (uint32_t)(s->hashes[i] ^ s->hashes[i] >> 32) & jn->mask;
            s->next[i] = heads[at];
            heads[at] = i + 1;
        }
    }
    jn->heads = heads;
}

/* ---- the join ---- */

/* The pairs of outer row i with the rows of `inner`; 1 when there was one. */
static int join_one(struct joining *jn, const struct side *outer, uint32_t i,
                    const struct side *inner, bool outer_is_left, bool keep)
{
    int any = 0;
    bool hashed = jn->heads != NULL;
    uint64_t hash = hashed ? outer->hashes[i] : 0;
    uint32_t at = !hashed           ? 1
                  : outer->valid[i] ? jn->heads[(uint32_t)(hash ^ hash >> 32) & jn->mask]
                                    : 0;
    while (at != 0 && at <= inner->n) {
        const struct joined *in = inner->items[at - 1], *out = outer->items[i];
        if (!hashed || inner->hashes[at - 1] == hash) {
            int rc = outer_is_left ? try_pair(jn, out, in, keep) : try_pair(jn, in, out, keep);
            if (rc < 0) {
                return rc;
            }
            any |= rc;
            if (any && !keep) {
                return 1;
            }
        }
        at = hashed ? inner->next[at - 1] : at + 1;
    }
    return any;
}

static int join_left_major(struct joining *jn)
{
    enum ast_join_kind kind = jn->spec->kind;
    index_side(jn, &jn->rights);
    for (uint32_t i = 0; i < jn->lefts.n; i++) {
        int rc = join_one(jn, &jn->lefts, i, &jn->rights, true, true);
        if (rc == 0 && (kind == AST_JOIN_LEFT || kind == AST_JOIN_FULL)) {
            rc = add(jn, pair(jn, jn->lefts.items[i], NULL));
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int join_right_major(struct joining *jn, bool keep)
{
    index_side(jn, &jn->lefts);
    for (uint32_t i = 0; i < jn->rights.n; i++) {
        int rc = join_one(jn, &jn->rights, i, &jn->lefts, false, keep);
        if (rc == 0) {
            rc = add(jn, pair(jn, NULL, jn->rights.items[i]));
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int join_next(struct joining *jn)
{
    jn->hashed = prepare_hash(jn);
    if (jn->spec->kind == AST_JOIN_RIGHT) {
        return join_right_major(jn, true);
    }
    int rc = join_left_major(jn);
    if (rc >= 0 && jn->spec->kind == AST_JOIN_FULL) {
        rc = join_right_major(jn, false);
    }
    return rc;
}

/* ---- lookup tables ---- */

/* What is to be the table's key, of `left = table.key` in ON; NULL: it is not said. */
static const struct expr *key_of(struct joining *jn)
{
    find_equalities(jn, jn->spec->on);
    for (uint32_t i = 0; i < jn->n_keys; i++) {
        const struct expr *right = jn->right_keys[i];
        if (right->kind == EXPR_FIELD && (int)right->slot == jn->spec->lookup->key_slot) {
            return jn->left_keys[i];
        }
    }
    return NULL;
}

/* The rows that the left tuple may go with: the one of its key, or all. */
static int candidates(struct joining *jn, const struct expr *key, const struct joined *left,
                      const struct row ***ret, uint32_t *ret_n)
{
    const struct join_lookup *l = jn->spec->lookup;
    struct eval ev;
    struct value v;
    if (!key) {
        return l->every(l->arg, &jn->w->scratch, ret, ret_n);
    }
    set_eval(jn, left, &ev);
    int rc = expr_eval(key, &ev, &v, jn->err);
    if (rc < 0) {
        return err_wrap(jn->err, rc, "run Join error");
    }
    rc = value_is_null(&v) ? 0 : l->one(l->arg, &v, *ret);
    *ret_n = rc == 0 && !value_is_null(&v) && **ret != NULL;
    return rc;
}

static int join_looked_up(struct joining *jn)
{
    const struct expr *key = key_of(jn);
    const struct row *one = NULL, **rows = &one;
    struct joined *probe = new_joined(jn->w), *right = new_joined(jn->w);
    uint32_t n = 0;
    if (!probe || !right) {
        return -ENOMEM;
    }
    int rc = key ? 0 : candidates(jn, NULL, NULL, &rows, &n);
    for (uint32_t i = 0; rc >= 0 && i < jn->lefts.n; i++) {
        const struct joined *left = jn->lefts.items[i];
        int any = 0;
        rc = key ? candidates(jn, key, left, &rows, &n) : 0;
        for (uint32_t k = 0; rc >= 0 && k < n; k++) {
            right->tuple.rows[jn->right] = probe->tuple.rows[jn->right] = rows[k];
            probe->computed = left->computed;
            memcpy(probe->tuple.rows, left->tuple.rows, jn->right * sizeof(rows[0]));
            rc = holds(jn, probe); /* memory is for what fits, not for all that is looked through */
            if (rc > 0) {
                any = 1;
                rc = add(jn, pair(jn, left, right));
            }
        }
        if (rc >= 0 && !any && jn->spec->kind == AST_JOIN_LEFT) {
            rc = add(jn, pair(jn, left, NULL));
        }
    }
    return rc;
}

/* The rows of a source as tuples. */
static int as_tuples(struct window *w, const struct row_list *rows, uint32_t source,
                     struct side *ret)
{
    ret->n = rows->n;
    ret->items = arena_alloc(&w->scratch, (rows->n + 1) * sizeof(struct joined *));
    for (uint32_t i = 0; ret->items && i < rows->n; i++) {
        struct joined *j = ret->items[i] = new_joined(w);
        if (!j) {
            return -ENOMEM;
        }
        j->tuple.rows[source] = rows->items[i]->row;
        j->computed = source == 0 ? rows->items[i]->computed : NULL;
    }
    return ret->items ? 0 : -ENOMEM;
}

int join_rows(struct window *w, const struct row_list *sources, struct joined ***ret,
              uint32_t *ret_n, struct err *err)
{
    struct side lefts = {0};
    int rc = as_tuples(w, &sources[0], 0, &lefts);
    for (uint32_t i = 1; rc >= 0 && i < w->spec.n_sources; i++) {
        struct joining jn = {
            .w = w, .spec = &w->spec.joins[i - 1], .right = i, .lefts = lefts, .err = err};
        rc = jn.spec->lookup ? join_looked_up(&jn) : as_tuples(w, &sources[i], i, &jn.rights);
        if (rc >= 0 && !jn.spec->lookup) {
            rc = join_next(&jn);
        }
        lefts = (struct side){.items = jn.out, .n = jn.n_out};
    }
    if (rc == -ENOMEM) {
        err_set(err, rc, "run Join error: out of memory");
    }
    *ret = lefts.items;
    *ret_n = lefts.n;
    return rc < 0 ? rc : 0;
}

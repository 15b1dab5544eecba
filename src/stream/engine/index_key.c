/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key of a WHERE: one of the conditions that AND joins. Equality is preferred to bounds; bounds
 * of the same field are united. Depth is bounded by the parser.
 */
#include "base/mem.h"
#include "index_private.h"

void index_key_fini(struct index_key *k)
{
    mem_free(k->values);
    k->values = NULL;
    k->n = 0;
}

static bool field_of(const struct expr *e, struct index_field *ret)
{
    if (!e || e->source > 0) {
        return false;
    }
    *ret = (struct index_field){.meta = e->kind == EXPR_META, .slot = e->slot, .name = e->name};
    return e->kind == EXPR_FIELD || (e->kind == EXPR_META && e->name.n > 0);
}

static bool is_number(const struct expr *e)
{
    return e && e->kind == EXPR_CONST &&
           (e->value.type == VALUE_INT || (e->value.type == VALUE_FLOAT && !isnan(e->value.f)));
}

static bool is_scalar(const struct expr *e)
{
    return is_number(e) || (e && e->kind == EXPR_CONST &&
                            (e->value.type == VALUE_STRING || e->value.type == VALUE_BOOL));
}

static int add_value(struct index_key *k, const struct value *v)
{
    struct value *grown = mem_realloc(k->values, (k->n + 1) * sizeof(*grown));
    if (!grown) {
        return -ENOMEM;
    }
    k->values = grown;
    k->values[k->n++] = index_normal(v);
    return 0;
}

/* The functions below: 1 = the condition can be a key and is in *k, 0 = it cannot, -ENOMEM. k is
 * empty before. */

static int equal_key(const struct expr *e, struct index_key *k)
{
    const struct expr *constant = is_scalar(e->b) ? e->b : e->a;
    const struct expr *field = constant == e->b ? e->a : e->b;
    if (!is_scalar(constant) || !field_of(field, &k->field)) {
        return 0;
    }
    k->kind = INDEX_EQUAL;
    return add_value(k, &constant->value) < 0 ? -ENOMEM : 1;
}

static int in_key(const struct expr *e, struct index_key *k)
{
    if (e->negated || e->n_list == 0 || !field_of(e->a, &k->field)) {
        return 0;
    }
    for (uint32_t i = 0; i < e->n_list; i++) {
        if (!is_scalar(e->list[i])) {
            return 0;
        }
    }
    k->kind = INDEX_EQUAL;
    for (uint32_t i = 0; i < e->n_list; i++) {
        if (add_value(k, &e->list[i]->value) < 0) {
            return -ENOMEM;
        }
    }
    return 1;
}

static int bound_key(const struct expr *e, struct index_key *k)
{
    bool turned = is_number(e->a);
    const struct expr *constant = turned ? e->a : e->b, *field = turned ? e->b : e->a;
    if (!is_number(constant) || !field_of(field, &k->field)) {
        return 0;
    }
    bool less = (e->op == VALUE_LT || e->op == VALUE_LE) != turned;
    struct index_bound *b = less ? &k->high : &k->low;
    *b = (struct index_bound){constant->value, e->op == VALUE_LT || e->op == VALUE_GT};
    k->kind = INDEX_RANGE;
    return 1;
}

static int between_key(const struct expr *e, struct index_key *k)
{
    if (e->negated || !is_number(e->b) || !is_number(e->c) || !field_of(e->a, &k->field)) {
        return 0;
    }
    k->kind = INDEX_RANGE;
    k->low.value = e->b->value;
    k->high.value = e->c->value;
    return 1;
}

static int key_of(const struct expr *e, struct index_key *k);

/* Equalities of one field. */
static int or_key(const struct expr *e, struct index_key *k)
{
    struct index_key other = {0};
    int rc = key_of(e->a, k);
    rc = rc == 1 && k->kind == INDEX_EQUAL ? key_of(e->b, &other) : MIN_OF(rc, 0);
    if (rc == 1 && (other.kind != INDEX_EQUAL || !index_same_field(&k->field, &other.field))) {
        rc = 0;
    }
    for (uint32_t i = 0; rc == 1 && i < other.n; i++) {
        rc = add_value(k, &other.values[i]) < 0 ? -ENOMEM : 1;
    }
    index_key_fini(&other);
    return rc;
}

static int key_of(const struct expr *e, struct index_key *k)
{
    if (e->kind == EXPR_IN) {
        return in_key(e, k);
    }
    if (e->kind == EXPR_BETWEEN) {
        return between_key(e, k);
    }
    if (e->kind != EXPR_BINARY) {
        return 0;
    }
    switch (e->op) {
    case VALUE_EQ:
        return equal_key(e, k);
    case VALUE_LT:
    case VALUE_LE:
    case VALUE_GT:
    case VALUE_GE:
        return bound_key(e, k);
    case VALUE_OR:
        return or_key(e, k);
    default:
        return 0;
    }
}

/* The stricter of two lower bounds; sign -1: of two upper bounds. */
static void tighten(struct index_bound *b, const struct index_bound *by, int sign)
{
    if (by->value.type == VALUE_ABSENT) {
        return;
    }
    int c = b->value.type == VALUE_ABSENT ? 1 : sign * value_order(&by->value, &b->value);
    if (c > 0 || (c == 0 && by->open)) {
        *b = *by;
    }
}

/* Takes in one of the conditions that AND joins: whether it is part of the key comes back. */
static bool take(struct index_key *best, struct index_key *k)
{
    if (best->kind == INDEX_PLAIN || (best->kind == INDEX_RANGE && k->kind == INDEX_EQUAL)) {
        index_key_fini(best);
        bool first = best->kind == INDEX_PLAIN;
        *best = *k;
        k->values = NULL;
        return first;
    }
    if (best->kind == INDEX_RANGE && k->kind == INDEX_RANGE &&
        index_same_field(&best->field, &k->field)) {
        tighten(&best->low, &k->low, 1);
        tighten(&best->high, &k->high, -1);
        return true;
    }
    return false;
}

static int walk(const struct expr *e, struct index_key *best, bool *all)
{
    if (e->kind == EXPR_BINARY && e->op == VALUE_AND) {
        int rc = walk(e->a, best, all);
        return rc < 0 ? rc : walk(e->b, best, all);
    }
    struct index_key k = {0};
    int rc = key_of(e, &k);
    if (rc != 1 || !take(best, &k)) {
        *all = false;
    }
    index_key_fini(&k);
    return MIN_OF(rc, 0);
}

int index_key_of(const struct expr *where, struct index_key *ret)
{
    bool all = true;
    *ret = (struct index_key){.kind = INDEX_PLAIN};
    int rc = where ? walk(where, ret, &all) : 0;
    if (rc < 0) {
        index_key_fini(ret);
        return rc;
    }
    ret->exact = where ? all && ret->kind != INDEX_PLAIN : true;
    return 0;
}

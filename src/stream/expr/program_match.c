/* SPDX-License-Identifier: Apache-2.0 */
/* IN with constants and LIKE with a constant pattern, over columns. */
#include "program_private.h"

static bool in_ints(const struct expr *e, int64_t x)
{
    for (uint32_t i = 0; i < e->n_list; i++) {
        if (e->list[i]->value.i == x) {
            return true;
        }
    }
    return false;
}

static bool in_values(const struct expr *e, const struct value *x)
{
    for (uint32_t i = 0; i < e->n_list; i++) {
        const struct value *item = &e->list[i]->value;
        if (item->type == VALUE_STRING && x->type == VALUE_STRING) {
            if (item->n == x->n && memcmp(item->s, x->s, x->n) == 0) {
                return true;
            }
        } else if (value_same(x, item)) {
            return true;
        }
    }
    return false;
}

static bool all_ints(const struct expr *e)
{
    for (uint32_t i = 0; i < e->n_list; i++) {
        if (e->list[i]->value.type != VALUE_INT) {
            return false;
        }
    }
    return true;
}

int in_filter(const struct expr *e, const struct column *c, struct selection *sel)
{
    bool ints = c->kind == COLUMN_INT && all_ints(e);
    uint32_t k = 0;
    for (uint32_t i = 0; i < sel->n; i++) {
        struct value v;
        uint16_t row = sel->rows[i];
        bool known = true, found;
        if (ints) {
            known = !column_misses(c, row);
            found = in_ints(e, c->i[row]);
        } else {
            column_get(c, row, &v);
            known = !value_is_null(&v);
            found = known && in_values(e, &v);
        }
        sel->rows[k] = row;
        k += known && found != e->negated;
    }
    sel->n = k;
    return 1;
}

int like_filter(const struct expr *e, const struct column *c, struct selection *sel)
{
    if (c->kind != COLUMN_VALUE) {
        return 0;
    }
    for (uint32_t i = 0; i < sel->n; i++) {
        uint32_t t = c->v[sel->rows[i]].type;
        if (t != VALUE_STRING && t > VALUE_NULL) {
            return 0; /* an error, which the row evaluator tells */
        }
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < sel->n; i++) {
        uint16_t row = sel->rows[i];
        const struct value *v = &c->v[row];
        sel->rows[k] = row;
        k += v->type == VALUE_STRING && expr_like_match(e->compiled, value_text(v)) != e->negated;
    }
    sel->n = k;
    return 1;
}

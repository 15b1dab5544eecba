/* SPDX-License-Identifier: Apache-2.0 */
/* Vector programs; see program.h. */
#include "program.h"

#include "base/mem.h"
#include "program_private.h"

struct program {
    const struct expr *e;
    struct needs needs;
};

int program_compile(const struct expr *e, struct program **ret, struct err *err)
{
    struct program *p = mem_zalloc(sizeof(*p));
    if (p) {
        p->e = e;
    }
    if (!p || program_collect(&p->needs, e) < 0) {
        program_free(p);
        return err_set(err, -ENOMEM, "no memory for an expression");
    }
    *ret = p;
    return 0;
}

void program_free(struct program *p)
{
    if (p) {
        needs_fini(&p->needs);
        mem_free(p);
    }
}

int program_filter(struct program *p, const struct program_input *in, struct selection *sel)
{
    struct rows rows;
    int rc = rows_begin(&rows, &p->needs, in);
    uint32_t n = 0;
    for (uint32_t i = 0; rc == 0 && i < sel->n; i++) {
        struct err err;
        bool yes = false;
        rows_load(&rows, sel->rows[i]);
        int failed = expr_test(p->e, &rows.ev, &yes, &err);
        if (failed == -ENOMEM || arena_failed(&in->batch->arena)) {
            return failed == -ENOMEM ? -ENOMEM : -E_LIMIT;
        }
        if (failed < 0 && in->on_error) {
            in->on_error(in->arg, sel->rows[i], &err);
        }
        sel->rows[n] = sel->rows[i];
        n += failed == 0 && yes;
    }
    sel->n = rc == 0 ? n : sel->n;
    return rc;
}

int program_column(struct program *p, const struct program_input *in, struct selection *sel,
                   struct column *ret)
{
    struct rows rows;
    int rc = rows_begin(&rows, &p->needs, in);
    struct value *values = arena_alloc(&in->batch->arena, BATCH_ROWS * sizeof(*values));
    if (rc < 0 || !values) {
        return -E_LIMIT;
    }
    for (uint32_t i = 0; i < in->batch->rows; i++) {
        values[i] = (struct value){.type = VALUE_ABSENT};
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < sel->n; i++) {
        struct err err;
        rows_load(&rows, sel->rows[i]);
        int failed = expr_eval(p->e, &rows.ev, &values[sel->rows[i]], &err);
        if (failed == -ENOMEM || arena_failed(&in->batch->arena)) {
            return failed == -ENOMEM ? -ENOMEM : -E_LIMIT;
        }
        if (failed < 0 && in->on_error) {
            in->on_error(in->arg, sel->rows[i], &err);
        }
        sel->rows[n] = sel->rows[i];
        n += failed == 0;
    }
    sel->n = n;
    *ret = (struct column){.kind = COLUMN_VALUE, .v = values};
    return 0;
}

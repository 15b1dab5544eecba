/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Analytic functions: a state for each call and each value of its PARTITION BY. Rows are taken one
 * after the other, in order; a row that does not meet WHEN is a step that takes nothing in.
 */
#include "base/limits.h"
#include "engine_private.h"

struct part {        /* of one call */
    struct row *key; /* cells are the PARTITION BY values; NULL without */
    uint64_t hash;
    void *state;
};

struct call {
    struct part *parts;
    uint32_t n, cap;
    uint32_t *slots; /* hash table of indexes + 1; n_slots a power of two */
    uint32_t n_slots;
};

struct analytic_state {
    uint32_t n;
    struct call calls[];
};

int analytic_new(const struct plan *plan, struct analytic_state **ret)
{
    struct analytic_state *s = mem_zalloc(sizeof(*s) + plan->n_analytics * sizeof(struct call));
    if (!s) {
        return -E_NOMEM;
    }
    s->n = plan->n_analytics;
    *ret = s;
    return 0;
}

static void part_fini(struct part *p, const struct function *f)
{
    if (p->state && f->state->fini) {
        f->state->fini(p->state);
    }
    mem_free(p->state);
    row_unref(p->key);
}

void analytic_free(struct analytic_state *s, const struct plan *plan)
{
    for (uint32_t i = 0; s && i < s->n; i++) {
        for (uint32_t k = 0; k < s->calls[i].n; k++) {
            part_fini(&s->calls[i].parts[k], plan->analytics[i].function);
        }
        mem_free(s->calls[i].parts);
        mem_free(s->calls[i].slots);
    }
    mem_free(s);
}

/* ---- partitions ---- */

static bool same_key(const struct row *key, const struct value *cells, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!value_same(&key->cells[i], &cells[i])) {
            return false;
        }
    }
    return true;
}

static int rehash(struct call *c)
{
    uint32_t n = c->n_slots ? c->n_slots * 2 : 16;
    uint32_t *slots = mem_zalloc(n * sizeof(*slots));
    if (!slots) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t at = (uint32_t)c->parts[i].hash & (n - 1);
        while (slots[at]) {
            at = (at + 1) & (n - 1);
        }
        slots[at] = i + 1;
    }
    mem_free(c->slots);
    c->slots = slots;
    c->n_slots = n;
    return 0;
}

static int add_part(struct call *c, const struct function *f, const struct value *cells, uint32_t n,
                    uint64_t hash, struct part **ret)
{
    if (c->n >= LIMIT_RULE_PARTITIONS) {
        return -E_LIMIT;
    }
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 4;
        struct part *parts = mem_realloc(c->parts, cap * sizeof(*parts));
        if (!parts) {
            return -E_NOMEM;
        }
        c->parts = parts;
        c->cap = cap;
    }
    if ((c->n + 1) * 2 > c->n_slots && rehash(c) < 0) {
        return -E_NOMEM;
    }
    struct part *p = &c->parts[c->n];
    *p = (struct part){.hash = hash};
    p->state = mem_zalloc(f->state->size);
    p->key = n > 0 ? row_new(cells, n, NULL, NULL, 0, 0) : NULL;
    if (!p->state || (n > 0 && !p->key)) {
        part_fini(p, f);
        return -E_NOMEM;
    }
    uint32_t at = (uint32_t)hash & (c->n_slots - 1);
    while (c->slots[at]) {
        at = (at + 1) & (c->n_slots - 1);
    }
    c->slots[at] = ++c->n;
    *ret = p;
    return 0;
}

static int find_part(struct call *c, const struct function *f, const struct value *cells,
                     uint32_t n, struct part **ret)
{
    uint64_t hash = 1;
    for (uint32_t i = 0; i < n; i++) {
        hash = value_hash(&cells[i], hash);
    }
    for (uint32_t at = (uint32_t)hash & (c->n_slots - 1); c->n_slots && c->slots[at];
         at = (at + 1) & (c->n_slots - 1)) {
        struct part *p = &c->parts[c->slots[at] - 1];
        if (p->hash == hash && (n == 0 || same_key(p->key, cells, n))) {
            *ret = p;
            return 0;
        }
    }
    return add_part(c, f, cells, n, hash, ret);
}

/* ---- rows ---- */

static int eval_list(struct expr *const *list, uint32_t n, struct eval *ev, struct value **ret,
                     struct err *err)
{
    struct value *out = arena_alloc(ev->arena, (n + 1) * sizeof(*out));
    int rc = out ? 0 : err_sys(err, -E_NOMEM, "analytic function");
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = expr_eval(list[i], ev, &out[i], err);
    }
    *ret = out;
    return rc;
}

static int run_call(const struct plan_analytic *a, struct call *c, struct eval *ev,
                    struct value *ret, struct err *err)
{
    struct value *key, *args;
    struct part *p = NULL;
    bool counts = true;
    int rc = eval_list(a->partition, a->n_partition, ev, &key, err);
    rc = rc < 0 || !a->when ? rc : expr_test(a->when, ev, &counts, err);
    if (rc == 0) {
        rc = find_part(c, a->function, key, a->n_partition, &p);
        rc = rc < 0 ? err_sys(err, rc, "partitions of %s", a->function->name) : 0;
    }
    rc = rc < 0 ? rc : eval_list(a->args, a->n_args, ev, &args, err);
    if (rc == 0) {
        struct value v = VALUE_OF_NULL;
        ev->skip = !counts;
        rc = a->function->state->step(p->state, ev, args, a->n_args, &v, err);
        ev->skip = false;
        *ret = value_copy(ev->arena, &v); /* it may point into the state or the row */
    }
    return rc;
}

struct one_tuple {
    uint32_t n;
    const struct row *rows[1];
};

static struct column *new_columns(struct arena *a, uint32_t n)
{
    struct column *columns = arena_zalloc(a, n * sizeof(*columns));
    for (uint32_t i = 0; columns && i < n; i++) {
        columns[i].kind = COLUMN_VALUE;
        columns[i].v = arena_zalloc(a, BATCH_ROWS * sizeof(struct value));
    }
    return columns;
}

int analytic_run(struct pipeline *p, struct batch *b, struct selection *sel,
                 struct column **columns)
{
    const struct plan *plan = p->plan;
    uint32_t n = plan->n_analytics, left = 0;
    struct value *computed = arena_alloc(&b->arena, n * sizeof(*computed));
    *columns = *columns ? *columns : new_columns(&b->arena, n);
    if (arena_failed(&b->arena)) {
        return -E_NOMEM;
    }
    for (uint32_t s = 0; s < sel->n; s++) {
        uint32_t at = sel->rows[s];
        struct row *row = batch_row(b, at);
        struct one_tuple tuple = {1, {row}};
        struct eval ev = {.arena = &b->arena,
                          .tuple = (const struct tuple *)(const void *)&tuple,
                          .computed = computed,
                          .rule = &p->rule->eval,
                          .now_us = p->rule->engine->now_us};
        struct err err;
        int rc = row ? 0 : err_sys(&err, -E_NOMEM, "analytic function");
        for (uint32_t i = 0; rc == 0 && i < n; i++) {
            rc = run_call(&plan->analytics[i], &p->analytics->calls[i], &ev, &computed[i], &err);
            (*columns)[i].v[at] = rc == 0 ? computed[i] : VALUE_OF_NULL;
        }
        row_unref(row);
        if (rc < 0) {
            pipeline_error(p, "run AnalyticFuncs error", &err);
        } else {
            sel->rows[left++] = (uint16_t)at;
        }
    }
    p->op_analytic.in += sel->n;
    p->op_analytic.out += left;
    p->op_analytic.errors += sel->n - left;
    sel->n = left;
    return arena_failed(&b->arena) ? -E_NOMEM : 0;
}

/* ---- checkpoints ---- */

/* [key as a row or null, state] of each partition */
static int save_part(const struct part *p, const struct function *f, struct arena *a,
                     struct value *ret)
{
    struct value *items = arena_alloc(a, 2 * sizeof(*items));
    if (!items) {
        return -E_NOMEM;
    }
    items[0] = p->key ? row_save(a, p->key) : VALUE_OF_NULL;
    *ret = (struct value){.type = VALUE_ARRAY, .n = 2, .items = items};
    return f->state->save(p->state, a, &items[1]);
}

int analytic_save(const struct analytic_state *s, const struct plan *plan, struct arena *a,
                  struct value *ret)
{
    struct value *calls = arena_alloc(a, (s->n + 1) * sizeof(*calls));
    int rc = calls ? 0 : -E_NOMEM;
    for (uint32_t i = 0; rc == 0 && i < s->n; i++) {
        const struct call *c = &s->calls[i];
        struct value *parts = arena_alloc(a, (c->n + 1) * sizeof(*parts));
        rc = parts ? 0 : -E_NOMEM;
        for (uint32_t k = 0; rc == 0 && k < c->n; k++) {
            rc = save_part(&c->parts[k], plan->analytics[i].function, a, &parts[k]);
        }
        calls[i] = (struct value){.type = VALUE_ARRAY, .n = c->n, .items = parts};
    }
    *ret = (struct value){.type = VALUE_ARRAY, .n = s->n, .items = calls};
    return rc;
}

static int load_part(struct call *c, const struct plan_analytic *a, const struct value *saved)
{
    struct part *p;
    struct row *key = NULL;
    uint64_t hash = 1;
    if (saved->type != VALUE_ARRAY || saved->n != 2) {
        return -E_INVAL;
    }
    if (a->n_partition > 0) {
        key = row_load(&saved->items[0]);
        if (!key || key->n_cells != a->n_partition) {
            row_unref(key);
            return -E_INVAL;
        }
        for (uint32_t i = 0; i < key->n_cells; i++) {
            hash = value_hash(&key->cells[i], hash);
        }
    }
    int rc = add_part(c, a->function, key ? key->cells : NULL, a->n_partition, hash, &p);
    row_unref(key);
    return rc < 0 ? rc : a->function->state->load(p->state, &saved->items[1]);
}

int analytic_load(struct analytic_state *s, const struct plan *plan, const struct value *saved)
{
    if (saved->type != VALUE_ARRAY || saved->n != s->n) {
        return -E_INVAL;
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < s->n; i++) {
        const struct value *parts = &saved->items[i];
        rc = parts->type == VALUE_ARRAY ? 0 : -E_INVAL;
        for (uint32_t k = 0; rc == 0 && k < parts->n; k++) {
            rc = load_part(&s->calls[i], &plan->analytics[i], &parts->items[k]);
        }
    }
    return rc;
}

size_t analytic_bytes(const struct analytic_state *s, const struct plan *plan)
{
    size_t n = 0;
    for (uint32_t i = 0; s && i < s->n; i++) {
        const struct function_state_ops *ops = plan->analytics[i].function->state;
        for (uint32_t k = 0; k < s->calls[i].n; k++) {
            const struct part *p = &s->calls[i].parts[k];
            n += sizeof(*p) + ops->size + (ops->bytes ? ops->bytes(p->state) : 0) +
                 (p->key ? p->key->bytes : 0);
        }
    }
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two stacks a group. New rows are folded into the `back` state. When the oldest row leaves and the
 * front stack is empty, all rows of the group move to it: each with the state of itself and all
 * rows behind it, so that the top is the whole group and popping it is dropping the oldest row.
 */
#include "slide.h"

#include <stdlib.h>

#include "fold.h"
#include "group.h"

/* Indices of rows count from the first row that the window ever saw. */
struct slide_group {
    struct slide_group *next; /* in its slot */
    uint64_t hash;
    struct row *keys;
    uint64_t *rows; /* ring: its rows, oldest first */
    uint32_t first, n, cap;
    uint32_t n_back; /* of n: rows that the back states hold */
    char *front;     /* n - n_back blocks of states, the top last; NULL when all states drop */
    uint32_t cap_front;
    char *states; /* back states; running ones of what drops */
};

struct slide {
    struct slide_group **slots;
    uint32_t n_groups, cap_slots;
    uint64_t base;         /* index of row 0 of w->rows */
    uint64_t head, folded; /* rows [head, folded) are in states */
    bool stacks;           /* some aggregate cannot drop */
};

static bool drops(const struct window *w, uint32_t aggregate)
{
    return w->spec.aggregates[aggregate].function->state->drop != NULL;
}

bool slide_possible(const struct window_spec *s)
{
    if (s->kind != AST_WINDOW_SLIDING && s->kind != AST_WINDOW_COUNT) {
        return false;
    }
    for (uint32_t i = 0; i < s->n_aggregates; i++) {
        const struct function_state_ops *ops = s->aggregates[i].function->state;
        if (!ops->drop && !ops->merge) {
            return false;
        }
    }
    return fold_reads_rows_only(s);
}

int slide_new(const struct window *w, struct slide **ret)
{
    struct slide *s = mem_zalloc(sizeof(*s));
    struct slide_group **slots = mem_zalloc(16 * sizeof(struct slide_group *));
    if (!s || !slots) {
        mem_free(s);
        mem_free(slots);
        return -ENOMEM;
    }
    s->slots = slots;
    s->cap_slots = 16;
    for (uint32_t i = 0; i < w->spec.n_aggregates; i++) {
        s->stacks = s->stacks || !drops(w, i);
    }
    *ret = s;
    return 0;
}

/* ---- groups ---- */

static size_t group_bytes(const struct window *w, const struct slide_group *g)
{
    return sizeof(*g) + g->keys->bytes + w->states_size * (1 + (size_t)g->cap_front) +
           g->cap * sizeof(*g->rows);
}

static void group_free(struct window *w, struct slide_group *g)
{
    w->bytes -= group_bytes(w, g);
    for (uint32_t i = 0; i < g->n - g->n_back && g->front; i++) {
        states_fini(w, g->front + i * w->states_size);
    }
    states_fini(w, g->states);
    row_unref(g->keys);
    mem_free(g->rows);
    mem_free(g->front);
    mem_free(g->states);
    mem_free(g);
}

void slide_free(struct window *w, struct slide *s)
{
    if (!s) {
        return;
    }
    for (uint32_t i = 0; i < s->cap_slots; i++) {
        for (struct slide_group *g = s->slots[i], *next; g; g = next) {
            next = g->next;
            group_free(w, g);
        }
    }
    mem_free(s->slots);
    mem_free(s);
}

static int grow_slots(struct slide *s)
{
    uint32_t cap = s->cap_slots * 4;
    struct slide_group **slots = mem_zalloc(cap * sizeof(struct slide_group *));
    if (!slots) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < s->cap_slots; i++) {
        for (struct slide_group *g = s->slots[i], *next; g; g = next) {
            next = g->next;
            g->next = slots[g->hash & (cap - 1)];
            slots[g->hash & (cap - 1)] = g;
        }
    }
    mem_free(s->slots);
    s->slots = slots;
    s->cap_slots = cap;
    return 0;
}

static bool same_keys(const struct row *a, const struct value *b)
{
    for (uint32_t i = 0; i < a->n_cells; i++) {
        if (!value_same(&a->cells[i], &b[i])) {
            return false;
        }
    }
    return true;
}

static struct slide_group *find_group(struct window *w, const struct value *keys)
{
    struct slide *s = w->slide;
    uint64_t hash = fold_hash(w, keys);
    for (struct slide_group *g = s->slots[hash & (s->cap_slots - 1)]; g; g = g->next) {
        if (g->hash == hash && same_keys(g->keys, keys)) {
            return g;
        }
    }
    if (s->n_groups >= s->cap_slots && grow_slots(s) < 0) {
        return NULL;
    }
    struct slide_group *g = mem_zalloc(sizeof(*g));
    if (!g) {
        return NULL;
    }
    g->hash = hash;
    g->keys = row_new(keys, w->spec.n_keys, NULL, NULL, 0, 0);
    g->states = mem_zalloc(w->states_size + 1);
    if (!g->keys || !g->states) {
        row_unref(g->keys);
        mem_free(g->states);
        mem_free(g);
        return NULL;
    }
    w->bytes += group_bytes(w, g);
    g->next = s->slots[hash & (s->cap_slots - 1)];
    s->slots[hash & (s->cap_slots - 1)] = g;
    s->n_groups++;
    return g;
}

static void remove_group(struct window *w, struct slide_group *g)
{
    struct slide *s = w->slide;
    struct slide_group **at = &s->slots[g->hash & (s->cap_slots - 1)];
    while (*at != g) {
        at = &(*at)->next;
    }
    *at = g->next;
    s->n_groups--;
    group_free(w, g);
}

static uint64_t row_index(const struct slide_group *g, uint32_t i)
{
    return g->rows[(g->first + i) & (g->cap - 1)];
}

static int append_row(struct window *w, struct slide_group *g, uint64_t index)
{
    if (g->n == g->cap) {
        uint32_t cap = g->cap ? g->cap * 2 : 8;
        uint64_t *rows = mem_alloc(cap * sizeof(*rows));
        if (!rows) {
            return -ENOMEM;
        }
        for (uint32_t i = 0; i < g->n; i++) {
            rows[i] = row_index(g, i);
        }
        w->bytes += (cap - g->cap) * sizeof(*rows);
        mem_free(g->rows);
        g->rows = rows;
        g->cap = cap;
        g->first = 0;
    }
    g->rows[(g->first + g->n++) & (g->cap - 1)] = index;
    return 0;
}

static struct kept *kept_of(struct window *w, uint64_t index)
{
    return rowq_at(&w->rows, (size_t)(index - w->slide->base));
}

/* ---- one row ---- */

enum what { STEP, DROP };

static void tell(struct window *w, const struct kept *k, struct err *err, int rc)
{
    err_wrap(err, rc, "run Select error");
    window_report(w, k->row, err);
}

/* Aggregate i takes the row into `state`, or drops it. What fails is told when it is taken, and is
 * not there to be dropped. */
static int change(struct window *w, const struct kept *k, uint32_t i, void *state, enum what what,
                  bool told)
{
    const struct aggregate_call *call = &w->spec.aggregates[i];
    const struct function_state_ops *ops = call->function->state;
    struct value *args = arena_alloc(&w->scratch, (call->n_args + 1) * sizeof(*args)), none;
    struct eval ev;
    struct err err;
    bool yes = true;
    window_eval_for(w, k, &ev);
    ev.rule = w->spec.rule;
    int rc = args ? 0 : -ENOMEM;
    if (args && call->filter) {
        rc = expr_test(call->filter, &ev, &yes, &err);
    }
    for (uint32_t a = 0; rc >= 0 && yes && a < call->n_args; a++) {
        rc = expr_eval(call->args[a], &ev, &args[a], &err);
    }
    if (rc >= 0 && yes && what == DROP) {
        (void)ops->drop(state, &ev, args, call->n_args); /* the row was taken: it can be dropped */
    } else if (rc >= 0 && yes) {
        rc = ops->step(state, &ev, args, call->n_args, &none, &err);
    }
    if (rc < 0 && rc != -ENOMEM && told) {
        err_wrap(&err, rc, "call func %s error", call->function->name);
        tell(w, k, &err, rc);
    }
    return rc == -ENOMEM ? rc : 0;
}

/* The group of a row, NULL when WHERE or its keys leave it out. */
static int group_of(struct window *w, const struct kept *k, struct slide_group **ret)
{
    struct eval ev;
    struct err err;
    bool yes = true;
    *ret = NULL;
    window_eval_for(w, k, &ev);
    ev.rule = w->spec.rule;
    int rc = w->spec.where ? expr_test(w->spec.where, &ev, &yes, &err) : 0;
    if (rc < 0) {
        err_wrap(&err, rc, "run Where error");
    }
    struct value *keys = arena_alloc(&w->scratch, (w->spec.n_keys + 1) * sizeof(*keys));
    for (uint32_t i = 0; rc >= 0 && yes && keys && i < w->spec.n_keys; i++) {
        rc = expr_eval(w->spec.keys[i], &ev, &keys[i], &err);
        if (rc < 0) {
            err_wrap(&err, rc, "run Group By error");
        }
    }
    if (!keys || rc == -ENOMEM) {
        return -ENOMEM;
    }
    if (rc < 0) {
        window_report(w, k->row, &err);
        return 0;
    }
    *ret = yes ? find_group(w, keys) : NULL;
    return yes && !*ret ? -ENOMEM : 0;
}

static int fold_row(struct window *w, uint64_t index)
{
    struct kept *k = kept_of(w, index);
    struct slide_group *g;
    int rc = group_of(w, k, &g);
    k->group = g;
    if (rc < 0 || !g) {
        return rc;
    }
    rc = append_row(w, g, index);
    if (rc < 0) {
        k->group = NULL;
        return rc;
    }
    g->n_back++;
    for (uint32_t i = 0; rc >= 0 && i < w->spec.n_aggregates; i++) {
        rc = change(w, k, i, g->states + w->state_offsets[i], STEP, true);
    }
    return rc;
}

/* What a row fails to compute is told once, also when it is folded anew. */
static int fold_next(struct window *w)
{
    uint64_t index = w->slide->folded++;
    struct kept *k = kept_of(w, index);
    window_error_fn *error = w->error;
    w->error = k->told ? NULL : error;
    int rc = fold_row(w, index);
    w->error = error;
    k->told = true;
    return rc;
}

/* ---- the front stack ---- */

static void reset_back(struct window *w, struct slide_group *g)
{
    for (uint32_t i = 0; i < w->spec.n_aggregates; i++) {
        const struct function_state_ops *ops = w->spec.aggregates[i].function->state;
        if (!ops->drop) {
            void *state = g->states + w->state_offsets[i];
            if (ops->fini) {
                ops->fini(state);
            }
            memset(state, 0, ops->size);
        }
    }
    g->n_back = 0;
}

/* All rows of the group move to the front. */
static int flip(struct window *w, struct slide_group *g)
{
    if (g->cap_front < g->n) {
        char *front = mem_alloc(g->cap * w->states_size);
        if (!front) {
            return -ENOMEM;
        }
        mem_free(g->front);
        w->bytes += (g->cap - g->cap_front) * w->states_size;
        g->front = front;
        g->cap_front = g->cap;
    }
    memset(g->front, 0, g->n * w->states_size);
    int rc = 0;
    for (uint32_t at = 0; at < g->n; at++) { /* block 0 is the newest row */
        char *block = g->front + at * w->states_size;
        const struct kept *k = kept_of(w, row_index(g, g->n - 1 - at));
        for (uint32_t i = 0; rc >= 0 && i < w->spec.n_aggregates; i++) {
            if (!drops(w, i)) {
                void *state = block + w->state_offsets[i];
                rc = change(w, k, i, state, STEP, false);
                if (rc >= 0 && at > 0) {
                    struct err err; /* was told when the row was taken */
                    int merged = w->spec.aggregates[i].function->state->merge(
                        state, block - w->states_size + w->state_offsets[i], &err);
                    rc = merged == -ENOMEM ? merged : rc;
                }
            }
        }
        if (at % 256 == 0) {
            arena_clear(&w->scratch);
        }
    }
    reset_back(w, g);
    return rc;
}

static int drop_row(struct window *w, uint64_t index)
{
    struct kept *k = kept_of(w, index);
    struct slide_group *g = k->group;
    if (!g) {
        return 0;
    }
    k->group = NULL;
    if (g->n == 1) {
        remove_group(w, g);
        return 0;
    }
    int rc = 0;
    for (uint32_t i = 0; i < w->spec.n_aggregates; i++) {
        if (drops(w, i)) {
            int failed = change(w, k, i, g->states + w->state_offsets[i], DROP, false);
            rc = failed < 0 ? failed : rc;
        }
    }
    if (w->slide->stacks) {
        if (g->n_back == g->n) {
            int failed = flip(w, g);
            rc = failed < 0 ? failed : rc;
        }
        if (g->n_back == g->n) {
            return rc;
        }
        states_fini(w, g->front + (g->n - g->n_back - 1) * w->states_size);
    } else {
        g->n_back--;
    }
    g->first = (g->first + 1) & (g->cap - 1);
    g->n--;
    return rc;
}

/* ---- emission ---- */

static int by_first_row(const void *a, const void *b)
{
    const struct slide_group *x = *(struct slide_group *const *)a;
    const struct slide_group *y = *(struct slide_group *const *)b;
    uint64_t i = row_index(x, 0), k = row_index(y, 0);
    return i < k ? -1 : i > k;
}

/* What cannot drop, as one state: what the front holds, and then the back. */
static int merge_stacks(struct window *w, const struct slide_group *g, char *into)
{
    bool front = g->front && g->n > g->n_back;
    const char *top = front ? g->front + (g->n - g->n_back - 1) * w->states_size : NULL;
    for (uint32_t i = 0; i < w->spec.n_aggregates; i++) {
        const struct function_state_ops *ops = w->spec.aggregates[i].function->state;
        struct err err; /* was told when the row was taken */
        uint32_t at = w->state_offsets[i];
        if (!ops->drop && ((top && ops->merge(into + at, top + at, &err) == -ENOMEM) ||
                           ops->merge(into + at, g->states + at, &err) == -ENOMEM)) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int show(struct window *w, const struct window_range *range, const struct slide_group *g,
                char *merged, struct window_group *ret)
{
    struct kept *k = kept_of(w, row_index(g, 0));
    struct eval ev;
    int rc = merge_stacks(w, g, merged);
    struct value *values = rc < 0 ? NULL : fold_show(w, range, k->row, k->computed, &ev, ret);
    if (!values) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; rc >= 0 && i < w->spec.n_aggregates; i++) {
        rc = state_result(w, i, (drops(w, i) ? g->states : merged) + w->state_offsets[i], &ev,
                          &values[i]);
    }
    return rc;
}

static int emit(struct window *w, const struct window_range *range)
{
    struct slide *s = w->slide;
    if (s->n_groups == 0) {
        return fold_emit(w, range, NULL);
    }
    struct arena *a = &w->scratch;
    struct slide_group **list = arena_alloc(a, s->n_groups * sizeof(struct slide_group *));
    struct window_group *groups = arena_alloc(a, s->n_groups * sizeof(*groups));
    char *merged = arena_zalloc(a, s->n_groups * w->states_size + 1);
    if (!list || !groups || !merged) {
        return -ENOMEM;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->cap_slots; i++) {
        for (struct slide_group *g = s->slots[i]; g; g = g->next) {
            list[n++] = g;
        }
    }
    qsort(list, n, sizeof(struct slide_group *), by_first_row);
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < n; i++) {
        rc = show(w, range, list[i], merged + i * w->states_size, &groups[i]);
    }
    if (rc >= 0) {
        struct window_output out = {
            .range = *range, .groups = groups, .n_groups = n, .arena = &w->scratch};
        w->emit(w->arg, &out);
    }
    for (uint32_t i = 0; i < n; i++) {
        states_fini(w, merged + i * w->states_size);
    }
    return rc;
}

/* ---- the window ---- */

void slide_forget(struct window *w)
{
    struct slide *s = w->slide;
    if (s->head == s->folded && s->n_groups == 0) {
        return;
    }
    for (size_t i = 0; i < w->rows.n; i++) {
        rowq_at(&w->rows, i)->group = NULL;
    }
    for (uint32_t i = 0; i < s->cap_slots; i++) {
        for (struct slide_group *g = s->slots[i], *next; g; g = next) {
            next = g->next;
            group_free(w, g);
        }
        s->slots[i] = NULL;
    }
    s->n_groups = 0;
    s->head = s->folded = s->base;
    arena_clear(&w->scratch);
}

static int drop_until(struct window *w, uint64_t index)
{
    struct slide *s = w->slide;
    int rc = 0;
    while (rc >= 0 && s->head < index && s->head < s->folded) {
        rc = drop_row(w, s->head++);
        arena_clear(&w->scratch);
    }
    if (rc < 0) {
        slide_forget(w);
    }
    s->head = MAX_OF(s->head, index);
    s->folded = MAX_OF(s->folded, index);
    return rc;
}

int slide_fire(struct window *w, const struct window_range *range, size_t from, size_t n)
{
    struct slide *s = w->slide;
    uint64_t first = s->base + from, until = first + n;
    if (first < s->head || until < s->folded) {
        return -E_INVAL;
    }
    int rc = drop_until(w, first);
    while (rc >= 0 && s->folded < until) {
        rc = fold_next(w);
        arena_clear(&w->scratch);
        if (rc < 0) {
            slide_forget(w);
        }
    }
    rc = rc < 0 ? rc : emit(w, range);
    bool no_room = rc == -ENOMEM && arena_failed(&w->scratch);
    arena_clear(&w->scratch);
    if (no_room) {
        struct err err;
        err_set(&err, -E_LIMIT, "a window was left out: its result needs too much memory");
        window_report(w, NULL, &err);
        return 0;
    }
    return rc;
}

int slide_evict(struct window *w, size_t n)
{
    int rc = drop_until(w, MAX_OF(w->slide->head, w->slide->base + n));
    w->slide->base += n;
    return rc;
}

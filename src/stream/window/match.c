/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs share their histories: a history is a list from the last row back to the first, whose tails
 * are common and counted.
 *
 * Invariants
 * 1 The attempts of a partition stand in order of their first rows; a match is told only from the
 *   first of them, so matches come in order.
 * 2 The runs of an attempt stand in order of preference; `found` is less preferred than all of
 * them. 3 A partition without attempts does not exist.
 */
#include "match.h"

#include "match_private.h"

/* ---- histories and runs ---- */

void history_unref(struct history *h)
{
    while (h && --h->refs == 0) {
        struct history *before = h->before;
        row_unref(h->row);
        mem_free(h);
        h = before;
    }
}

struct history *history_ref(struct history *h)
{
    if (h) {
        h->refs++;
    }
    return h;
}

/* One row more; `before` stays the caller's. NULL when memory is short. */
static struct history *history_add(struct history *before, struct row *row, uint32_t step)
{
    struct history *h = mem_alloc(sizeof(*h));
    if (h) {
        *h = (struct history){
            .refs = 1, .step = step, .row = row_ref(row), .before = history_ref(before)};
    }
    return h;
}

static void run_free(struct match *m, struct run *r)
{
    list_del(&r->node);
    history_unref(r->rows);
    mem_free(r);
    m->runs--;
}

int run_add(struct match *m, struct list *to, struct history *rows, uint32_t step, uint32_t count)
{
    struct run *r = rows ? mem_alloc(sizeof(*r)) : NULL;
    if (!r) {
        history_unref(rows);
        return -ENOMEM;
    }
    *r = (struct run){.rows = rows, .step = step, .count = count};
    list_push_back(to, &r->node);
    m->runs++;
    return 0;
}

static void runs_clear(struct match *m, struct list *runs)
{
    while (!list_empty(runs)) {
        run_free(m, CONTAINER_OF(runs->next, struct run, node));
    }
}

static void attempt_free(struct match *m, struct attempt *a)
{
    list_del(&a->node);
    runs_clear(m, &a->runs);
    history_unref(a->found);
    mem_free(a);
}

static struct attempt *first_attempt(const struct partition *p)
{
    return CONTAINER_OF(p->attempts.next, struct attempt, node);
}

static void partition_free(struct match *m, struct partition *p)
{
    while (!list_empty(&p->attempts)) {
        attempt_free(m, first_attempt(p));
    }
    list_del(&p->node);
    row_unref(p->sample);
    mem_free(p);
}

/* ---- other rows of a match ---- */

static bool stands_for(const struct match *m, const struct history *h, int32_t variable)
{
    return variable < 0 || str_eq(m->spec.steps[h->step].name, m->spec.steps[variable].name);
}

/* The offset-th row of a variable, counted from the last one back. */
static const struct history *back(const struct match *m, const struct history *h, int32_t variable,
                                  uint32_t offset)
{
    for (; h; h = h->before) {
        if (stands_for(m, h, variable) && offset-- == 0) {
            return h;
        }
    }
    return NULL;
}

static uint32_t count_rows(const struct match *m, const struct history *h, int32_t variable)
{
    uint32_t n = 0;
    for (; h; h = h->before) {
        n += stands_for(m, h, variable);
    }
    return n;
}

static int eval_row(struct match *m, const struct expr *e, struct row *row,
                    const struct value *computed, struct value *ret, struct err *err)
{
    struct tuple *tuple = arena_alloc(&m->arena, sizeof(struct tuple) + sizeof(row));
    if (!tuple) {
        return -ENOMEM;
    }
    tuple->n = 1;
    tuple->rows[0] = row;
    struct eval ev = {.arena = &m->arena,
                      .tuple = tuple,
                      .computed = computed,
                      .rule = m->spec.rule,
                      .now_us = m->now_us};
    return expr_eval(e, &ev, ret, err);
}

static int aggregate(struct match *m, const struct match_ref *ref, const struct history *h,
                     struct value *ret, struct err *err)
{
    const struct function_state_ops *ops = ref->aggregate->state;
    struct eval ev = {.arena = &m->arena, .rule = m->spec.rule, .now_us = m->now_us};
    void *state = arena_zalloc(&m->arena, ops->size);
    int rc = state ? 0 : -ENOMEM;
    for (uint32_t i = count_rows(m, h, ref->variable); rc == 0 && i-- > 0;) {
        struct value arg;
        rc = ref->expr ? eval_row(m, ref->expr, back(m, h, ref->variable, i)->row, NULL, &arg, err)
                       : 0;
        rc = rc < 0 ? rc : ops->step(state, &ev, &arg, ref->expr ? 1 : 0, NULL, err);
    }
    rc = rc < 0 ? rc : ops->result(state, &ev, ret, err);
    if (rc == 0) {
        *ret = value_copy(&m->arena, ret); /* it may be borrowed from the state */
    }
    if (state && ops->fini) {
        ops->fini(state);
    }
    return rc;
}

static int ref_value(struct match *m, const struct match_ref *ref, const struct history *h,
                     struct value *ret, struct err *err)
{
    const struct history *of = NULL;
    uint32_t n;
    *ret = VALUE_OF_NULL;
    switch (ref->kind) {
    case MATCH_CLASSIFIER:
        *ret = value_string(m->spec.steps[h->step].name);
        return 0;
    case MATCH_NUMBER:
        *ret = value_int((int64_t)m->matches + 1);
        return 0;
    case MATCH_AGGREGATE:
        return aggregate(m, ref, h, ret, err);
    case MATCH_FIRST:
        n = count_rows(m, h, ref->variable);
        of = ref->offset < n ? back(m, h, ref->variable, n - 1 - ref->offset) : NULL;
        break;
    case MATCH_PREV:
        of = back(m, h, -1, ref->offset);
        break;
    case MATCH_LAST:
        of = back(m, h, ref->variable, ref->offset);
        break;
    }
    return of ? eval_row(m, ref->expr, of->row, NULL, ret, err) : 0;
}

static int refs_of(struct match *m, const struct history *h, struct value **ret, struct err *err)
{
    *ret = arena_alloc(&m->arena, (m->spec.n_refs + 1) * sizeof(**ret));
    int rc = *ret ? 0 : -ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < m->spec.n_refs; i++) {
        rc = ref_value(m, &m->spec.refs[i], h, &(*ret)[i], err);
    }
    return rc;
}

/* Whether the row may stand for the step behind `before`. 1, 0, -ENOMEM. */
static int meets(struct match *m, struct history *before, struct row *row, uint32_t step)
{
    struct history h = {.refs = 1, .step = step, .row = row, .before = before};
    struct value *computed, v = VALUE_OF_NULL;
    struct err err = {0};
    if (!m->spec.defines[step]) {
        return 1;
    }
    int rc = refs_of(m, &h, &computed, &err);
    rc = rc < 0 ? rc : eval_row(m, m->spec.defines[step], row, computed, &v, &err);
    if (rc == -ENOMEM) {
        return rc;
    }
    if (rc < 0 && m->error) {
        m->error(m->arg, row, &err);
    }
    return rc == 0 && v.type == VALUE_BOOL && v.b;
}

/* ---- results ---- */

static void emit_row(struct match *m, const struct history *h)
{
    struct value *computed = NULL;
    struct value *out = arena_alloc(&m->arena, (m->spec.n_measures + 1) * sizeof(*out));
    struct err err = {0};
    int rc = out ? refs_of(m, h, &computed, &err) : -ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < m->spec.n_measures; i++) {
        rc = eval_row(m, m->spec.measures[i], h->row, computed, &out[i], &err);
    }
    if (rc == 0) {
        m->emit(m->arg, out, h->row);
    } else if (m->error) {
        m->error(m->arg, h->row, &err);
    }
}

static void emit_match(struct match *m, const struct history *h)
{
    uint32_t n = m->spec.all_rows ? count_rows(m, h, -1) : 1;
    while (n-- > 0) {
        emit_row(m, back(m, h, -1, n));
    }
    m->matches++;
}

/* Tells what is settled: the first attempts that have no run left. */
static void settle(struct match *m, struct partition *p)
{
    while (!list_empty(&p->attempts)) {
        struct attempt *a = first_attempt(p);
        if (!list_empty(&a->runs)) {
            return;
        }
        struct history *found = history_ref(a->found);
        uint64_t last = a->found_last;
        attempt_free(m, a);
        if (found) {
            emit_match(m, found);
        }
        while (found && m->spec.skip_past && !list_empty(&p->attempts) &&
               first_attempt(p)->first <= last) {
            attempt_free(m, first_attempt(p));
        }
        history_unref(found);
    }
}

/* ---- stepping ---- */

/* What a run may do with the next row, in order of preference: steps that the row may stand for,
 * up to n_steps, which is the end of the pattern; what is less preferred than the end is left out.
 */
static uint32_t options(const struct match *m, uint32_t s, uint32_t count, uint32_t *ret)
{
    uint32_t n = 0, n_later = 0, later[LIMIT_MATCH_STEPS];
    for (;; s++, count = 0) {
        if (s == m->spec.n_steps) {
            ret[n++] = s;
            return n;
        }
        const struct ast_pattern_step *step = &m->spec.steps[s];
        bool optional = count >= step->min;
        if (count < step->max && optional && step->lazy) {
            later[n_later++] = s;
        } else if (count < step->max) {
            ret[n++] = s;
        }
        if (!optional) {
            break;
        }
    }
    while (n_later > 0) {
        ret[n++] = later[--n_later];
    }
    return n;
}

/* A run that took the row for `step` goes on as it may. Takes the history. 1 when it reached the
 * end: all that is less preferred falls away. 0, -ENOMEM. */
static int take(struct match *m, struct attempt *a, struct list *to, struct history *h,
                uint32_t step, uint32_t count)
{
    uint32_t next[LIMIT_MATCH_STEPS + 1];
    uint32_t n = h ? options(m, step, count, next) : 0;
    if (!h) {
        return -ENOMEM;
    }
    bool end = next[n - 1] == m->spec.n_steps;
    if (end) {
        history_unref(a->found);
        a->found = history_ref(h);
        a->found_last = m->rows;
    }
    if (end && n == 1) {
        history_unref(h);
        return 1;
    }
    int rc = run_add(m, to, h, step, count);
    return rc < 0 ? rc : end;
}

/* One run and one row. 1, 0, -ENOMEM as take(). */
static int step_run(struct match *m, struct attempt *a, struct list *to, struct history *before,
                    uint32_t step, uint32_t count, struct row *row)
{
    uint32_t next[LIMIT_MATCH_STEPS + 1];
    uint32_t n = options(m, step, count, next);
    for (uint32_t i = 0; i < n && next[i] < m->spec.n_steps; i++) {
        int rc = meets(m, before, row, next[i]);
        if (rc > 0) {
            rc = take(m, a, to, history_add(before, row, next[i]), next[i],
                      next[i] == step ? count + 1 : 1);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int step_attempt(struct match *m, struct attempt *a, struct row *row)
{
    struct list old;
    int rc = 0;
    list_init(&old);
    list_splice(&old, &a->runs);
    while (!list_empty(&old) && rc == 0) {
        struct run *r = CONTAINER_OF(old.next, struct run, node);
        rc = step_run(m, a, &a->runs, r->rows, r->step, r->count, row);
        run_free(m, r);
    }
    runs_clear(m, &old);
    return rc < 0 ? rc : 0;
}

struct attempt *attempt_new(struct partition *p, uint64_t first, int64_t first_us)
{
    struct attempt *a = mem_zalloc(sizeof(*a));
    if (a) {
        list_init(&a->runs);
        list_push_back(&p->attempts, &a->node);
        a->first = first;
        a->first_us = first_us;
    }
    return a;
}

static int begin_attempt(struct match *m, struct partition *p, struct row *row)
{
    struct attempt *a = attempt_new(p, m->rows, row->time_us);
    if (!a) {
        return -ENOMEM;
    }
    int rc = step_run(m, a, &a->runs, NULL, 0, 0, row);
    if (rc < 0 || (list_empty(&a->runs) && !a->found)) {
        attempt_free(m, a);
    }
    return rc < 0 ? rc : 0;
}

static void bound(struct match *m, struct partition *p, struct row *row)
{
    struct err err;
    if (m->runs <= m->max_runs || list_empty(&p->attempts)) {
        return;
    }
    attempt_free(m, CONTAINER_OF(p->attempts.prev, struct attempt, node));
    (void)err_set(&err, -E_LIMIT,
                  "MATCH_RECOGNIZE holds more than %zu runs: the newest attempt is given up",
                  m->max_runs);
    if (m->error) {
        m->error(m->arg, row, &err);
    }
}

static void expire(struct match *m, struct partition *p, int64_t us)
{
    LIST_FOR_EACH (l, &p->attempts) {
        struct attempt *a = CONTAINER_OF(l, struct attempt, node);
        if (m->spec.within_us && a->first_us + m->spec.within_us < us) {
            runs_clear(m, &a->runs);
        }
    }
    settle(m, p);
}

/* ---- partitions ---- */

struct partition *partition_new(struct match *m, struct row *sample, uint64_t hash)
{
    struct partition *p = mem_zalloc(sizeof(*p));
    if (p) {
        p->hash = hash;
        p->sample = row_ref(sample);
        list_init(&p->attempts);
        list_push_back(&m->buckets[hash % BUCKETS], &p->node);
    }
    return p;
}

int partition_keys(struct match *m, struct row *row, struct value **ret, uint64_t *ret_hash)
{
    struct err err = {0};
    *ret = arena_alloc(&m->arena, (m->spec.n_partition + 1) * sizeof(**ret));
    *ret_hash = 0;
    for (uint32_t i = 0; *ret && i < m->spec.n_partition; i++) {
        int rc = eval_row(m, m->spec.partition[i], row, NULL, &(*ret)[i], &err);
        if (rc == -ENOMEM) {
            return rc;
        }
        if (rc < 0) { /* such rows are one partition: null */
            (*ret)[i] = VALUE_OF_NULL;
        }
        *ret_hash = value_hash(&(*ret)[i], *ret_hash);
    }
    return *ret ? 0 : -ENOMEM;
}

static bool same_keys(const struct match *m, const struct value *a, const struct value *b)
{
    for (uint32_t i = 0; i < m->spec.n_partition; i++) {
        if (!value_same(&a[i], &b[i])) {
            return false;
        }
    }
    return true;
}

static int partition_of(struct match *m, struct row *row, struct partition **ret)
{
    struct value *keys, *others;
    uint64_t hash, other;
    int rc = partition_keys(m, row, &keys, &hash);
    if (rc < 0) {
        return rc;
    }
    struct list *bucket = &m->buckets[hash % BUCKETS];
    LIST_FOR_EACH (l, bucket) {
        struct partition *p = CONTAINER_OF(l, struct partition, node);
        if (p->hash == hash && (rc = partition_keys(m, p->sample, &others, &other)) == 0 &&
            same_keys(m, keys, others)) {
            *ret = p;
            return 0;
        }
    }
    *ret = rc < 0 ? NULL : partition_new(m, row, hash);
    return *ret ? 0 : -ENOMEM;
}

/* ---- the door ---- */

int match_new(const struct match_spec *spec, match_emit_fn *emit, match_error_fn *error, void *arg,
              struct match **ret)
{
    struct match *m = mem_zalloc(sizeof(*m));
    if (!m) {
        return -ENOMEM;
    }
    assert(spec->n_steps > 0 && spec->n_steps <= LIMIT_MATCH_STEPS);
    m->spec = *spec;
    m->emit = emit;
    m->error = error;
    m->arg = arg;
    m->max_runs = spec->max_runs ? spec->max_runs : LIMIT_MATCH_RUNS;
    arena_init(&m->arena, 0);
    for (size_t i = 0; i < BUCKETS; i++) {
        list_init(&m->buckets[i]);
    }
    *ret = m;
    return 0;
}

void match_free(struct match *m)
{
    for (size_t i = 0; m && i < BUCKETS; i++) {
        while (!list_empty(&m->buckets[i])) {
            partition_free(m, CONTAINER_OF(m->buckets[i].next, struct partition, node));
        }
    }
    if (m) {
        arena_fini(&m->arena);
    }
    mem_free(m);
}

int match_push(struct match *m, struct row *row)
{
    struct partition *p = NULL;
    arena_clear(&m->arena);
    m->rows++;
    m->now_us = row->time_us;
    int rc = partition_of(m, row, &p);
    if (rc < 0) {
        return rc;
    }
    expire(m, p, row->time_us);
    LIST_FOR_EACH (l, &p->attempts) {
        rc = rc < 0 ? rc : step_attempt(m, CONTAINER_OF(l, struct attempt, node), row);
    }
    rc = rc < 0 ? rc : begin_attempt(m, p, row);
    bound(m, p, row);
    settle(m, p);
    if (list_empty(&p->attempts)) {
        partition_free(m, p);
    }
    return rc;
}

int match_advance(struct match *m, int64_t us)
{
    m->now_us = us;
    for (size_t i = 0; i < BUCKETS; i++) {
        LIST_FOR_EACH_SAFE (l, &m->buckets[i]) {
            struct partition *p = CONTAINER_OF(l, struct partition, node);
            arena_clear(&m->arena);
            expire(m, p, us);
            if (list_empty(&p->attempts)) {
                partition_free(m, p);
            }
        }
    }
    return 0;
}

int64_t match_next(const struct match *m)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; m->spec.within_us && i < BUCKETS; i++) {
        LIST_FOR_EACH (l, &m->buckets[i]) {
            struct attempt *a = first_attempt(CONTAINER_OF(l, struct partition, node));
            next = MIN_OF(next, a->first_us + m->spec.within_us + 1);
        }
    }
    return next;
}

size_t match_runs(const struct match *m)
{
    return m->runs;
}

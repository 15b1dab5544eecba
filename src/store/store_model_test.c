/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations against a model that is too simple to be wrong: an array of all events ever,
 * searched from its start for every question. MODEL_SEED and MODEL_STEPS choose another run.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/encode.h"
#include "store/store_test_util.h"

#define KEYS 24
#define STEPS 6000
#define PENDING_MAX 32
#define WATCHES 6

/* ---- the model ---- */

struct model_event {
    int64_t rev, create_rev;
    int key;
    bool deleted;
    bool flagged; /* ephemeral */
    int64_t value;
};

struct model_watch {
    struct store_watch *w;
    char prefix[16];
    int64_t seen; /* revision up to which its events were compared */
};

struct model {
    struct fixture fx;
    uint64_t random;
    struct model_event *events;
    size_t n, cap;
    size_t published; /* events that are published */
    int64_t rev, values;
    int64_t floors[3]; /* of the resources; what a revision must not be below */
    struct waiter pending[PENDING_MAX];
    size_t pending_n;
    struct model_watch watches[WATCHES];
};

static const char *const resources[] = {"leases/", "nodes/", "pods/"};

static uint64_t pick(struct model *m, uint64_t bound)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random >> 11) % bound;
}

static void key_text(int key, char out[32])
{
    (void)snprintf(out, 32, "%s%c/%d", resources[key % 3], 'a' + key / 3 % 2, key / 6);
}

/* The newest event of a key among the first n with rev <= at; NULL = never. */
static struct model_event *newest(struct model *m, int key, size_t n, int64_t at)
{
    struct model_event *found = NULL;
    for (size_t i = 0; i < n && m->events[i].rev <= at; i++) {
        if (m->events[i].key == key) {
            found = &m->events[i];
        }
    }
    return found;
}

static struct model_event *alive(struct model *m, int key, size_t n, int64_t at)
{
    struct model_event *e = newest(m, key, n, at);
    return e && !e->deleted ? e : NULL;
}

static int64_t floor_of(const struct model *m, const char *prefix)
{
    int64_t all = 0;
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        if (strncmp(prefix, resources[i], strlen(resources[i])) == 0) {
            return m->floors[i];
        }
        all = MAX_OF(all, m->floors[i]);
    }
    return all;
}

static void add_event(struct model *m, struct model_event e)
{
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 1024;
        m->events = mem_realloc(m->events, m->cap * sizeof e);
        assert_non_null(m->events);
    }
    m->events[m->n++] = e;
}

/* ---- writes ---- */

static int model_check(const struct store_op *o, const struct model_event *was)
{
    if (!was) {
        return o->expected_rev > 0 || o->type == STORE_DELETE ? -E_NOENT : 0;
    }
    if (o->expected_rev == 0) {
        return -E_EXISTS;
    }
    return o->expected_rev < 0 || o->expected_rev == was->rev ? 0 : -E_CONFLICT;
}

/* One operation in the model; the code that the store must give. */
static int model_apply(struct model *m, int key, const struct store_op *o, int64_t value)
{
    struct model_event *was = alive(m, key, m->n, INT64_MAX);
    int code = model_check(o, was);
    if (code == 0) {
        int64_t rev = ++m->rev;
        add_event(m, (struct model_event){.rev = rev,
                                          .create_rev = was ? was->create_rev : rev,
                                          .key = key,
                                          .deleted = o->type == STORE_DELETE,
                                          .flagged = o->flags & STORE_F_EPHEMERAL,
                                          .value = value});
    }
    return code;
}

static int64_t some_expected(struct model *m, int key, bool is_delete)
{
    struct model_event *e = alive(m, key, m->n, INT64_MAX);
    switch (pick(m, 5)) {
    case 0:
        return is_delete ? STORE_ANY_REV : 0;
    case 1:
        return 1 + (int64_t)pick(m, (uint64_t)m->rev + 2);
    case 2:
        return STORE_ANY_REV;
    default:
        return e ? e->rev : STORE_ANY_REV;
    }
}

static void finish_pending(struct model *m)
{
    for (size_t i = 0; i < m->pending_n; i++) {
        assert_int_equal(waiter_wait(&m->fx, &m->pending[i]), 0);
    }
    m->pending_n = 0;
    m->published = m->n;
    assert_int_equal(store_rev(m->fx.s), m->rev);
}

static void step_write(struct model *m)
{
    enum { MOST = 3 };
    struct store_op ops[MOST];
    char keys[MOST][32], values[MOST][24];
    size_t n = pick(m, 4) ? 1 : 1 + pick(m, MOST), before = m->n;
    int64_t rev = m->rev;
    int want = 0;
    for (size_t i = 0; i < n; i++) {
        int key = (int)pick(m, KEYS);
        bool is_delete = pick(m, 4) == 0;
        int64_t value = ++m->values;
        key_text(key, keys[i]);
        (void)snprintf(values[i], sizeof values[i], "%" PRId64, value);
        ops[i] = (struct store_op){.type = is_delete ? STORE_DELETE : STORE_PUT,
                                   .flags = key % 3 == 0 ? STORE_F_EPHEMERAL : 0,
                                   .key = str_of(keys[i]),
                                   .value = str_of(values[i]),
                                   .expected_rev = some_expected(m, key, is_delete)};
        want = want ? want : model_apply(m, key, &ops[i], value);
    }
    assert_int_equal(store_next_rev(m->fx.s), rev + 1);
    struct waiter *w = &m->pending[m->pending_n];
    waiter_init(w);
    assert_int_equal(store_txn(m->fx.s, &w->req, ops, n), want);
    if (want < 0) {
        m->n = before;
        m->rev = rev;
    } else if (++m->pending_n == PENDING_MAX) {
        finish_pending(m);
    }
}

/* ---- reads ---- */

static void step_get(struct model *m)
{
    int key = (int)pick(m, KEYS);
    char text[32];
    key_text(key, text);
    struct model_event *e = alive(m, key, m->n, INT64_MAX);
    struct store_item *it = store_get_latest(m->fx.s, str_of(text));
    assert_true(!e == !it);
    if (e) {
        char value[24];
        (void)snprintf(value, sizeof value, "%" PRId64, e->value);
        assert_string_equal(store_item_value(it).p, value);
        assert_int_equal(it->rev, e->rev);
        assert_int_equal(it->create_rev, e->create_rev);
    }
    if (m->pending_n == 0) {
        assert_ptr_equal(store_get(m->fx.s, str_of(text)), it);
    }
}

static const char *some_prefix(struct model *m)
{
    static const char *const prefixes[] = {"",        "leases/",  "nodes/",    "pods/",
                                           "pods/a/", "nodes/b/", "leases/a/", "p"};
    return prefixes[pick(m, ARRAY_SIZE(prefixes))];
}

/* Keys of the model in the order of their text. */
static int key_order(const void *a, const void *b)
{
    char ta[32], tb[32];
    key_text(*(const int *)a, ta);
    key_text(*(const int *)b, tb);
    return strcmp(ta, tb);
}

static void compare_list(struct model *m, const struct store_list_opts *o,
                         const struct store_list *l)
{
    int order[KEYS];
    for (int i = 0; i < KEYS; i++) {
        order[i] = i;
    }
    qsort(order, KEYS, sizeof order[0], key_order);
    size_t n = 0, remaining = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[32], value[24];
        key_text(order[i], key);
        struct model_event *e = alive(m, order[i], m->published, l->rev);
        if (!e || !str_starts(str_of(key), o->prefix.p) || strcmp(key, o->after.p) <= 0) {
            continue;
        }
        if (o->limit && n == o->limit) {
            remaining++;
            continue;
        }
        assert_true(n < l->n);
        (void)snprintf(value, sizeof value, "%" PRId64, e->value);
        assert_string_equal(store_item_key(l->items[n]).p, key);
        assert_string_equal(store_item_value(l->items[n]).p, value);
        assert_int_equal(l->items[n]->rev, e->rev);
        n++;
    }
    assert_int_equal(n, l->n);
    assert_int_equal(remaining, l->remaining);
}

static void step_list(struct model *m)
{
    finish_pending(m);
    char after[32] = "";
    if (pick(m, 2)) {
        key_text((int)pick(m, KEYS), after);
    }
    struct store_list_opts o = {.prefix = str_of(some_prefix(m)),
                                .after = str_of(after),
                                .limit = pick(m, 2) ? pick(m, 8) : 0,
                                .rev = pick(m, 3) ? 0 : (int64_t)pick(m, (uint64_t)m->rev + 1)};
    if (m->rev > 60 && o.rev && pick(m, 2)) {
        o.rev = m->rev - (int64_t)pick(m, 50);
    }
    struct store_list l = {0};
    int code = store_list(m->fx.s, &o, &l);
    if (o.rev && o.rev != m->rev && o.rev < floor_of(m, o.prefix.p)) {
        assert_int_equal(code, -E_GONE);
        return;
    }
    assert_int_equal(code, 0);
    assert_int_equal(l.rev, o.rev ? o.rev : m->rev);
    compare_list(m, &o, &l);
    if (!o.rev && !o.limit && !after[0]) {
        assert_int_equal(store_count(m->fx.s, o.prefix), l.n);
    }
    store_list_fini(&l);
}

/* ---- watches ---- */

static void nothing(struct store_watch *w, void *arg)
{
    (void)w;
    (void)arg;
}

static void watch_open(struct model *m, struct model_watch *mw)
{
    (void)cstr_copy(mw->prefix, sizeof mw->prefix, some_prefix(m)); /* fits */
    mw->seen = m->rev > 60 && pick(m, 2) ? m->rev - (int64_t)pick(m, 50)
                                         : (int64_t)pick(m, (uint64_t)m->rev + 1);
    int code = store_watch_open(m->fx.s, str_of(mw->prefix), mw->seen, nothing, NULL, &mw->w);
    assert_int_equal(code, mw->seen < floor_of(m, mw->prefix) ? -E_GONE : 0);
}

/* The first published event after rev that matches; NULL = none. */
static struct model_event *event_after(struct model *m, const char *prefix, int64_t rev)
{
    for (size_t i = 0; i < m->published; i++) {
        char key[32];
        key_text(m->events[i].key, key);
        if (m->events[i].rev > rev && str_starts(str_of(key), prefix)) {
            return &m->events[i];
        }
    }
    return NULL;
}

static void check_event(struct model *m, const struct store_event *ev, struct model_event *e)
{
    char key[32], value[24];
    key_text(e->key, key);
    (void)snprintf(value, sizeof value, "%" PRId64, e->value);
    assert_int_equal(ev->rev, e->rev);
    assert_int_equal(ev->type, e->deleted ? STORE_DELETE : STORE_PUT);
    assert_string_equal(store_item_key(ev->item).p, key);
    assert_string_equal(store_item_value(ev->item).p, value);
    struct model_event *prev = alive(m, e->key, m->published, e->rev - 1);
    assert_true(!prev == !ev->prev);
    if (prev) {
        assert_int_equal(ev->prev->rev, prev->rev);
    }
}

static void step_watch(struct model *m)
{
    finish_pending(m);
    struct model_watch *mw = &m->watches[pick(m, WATCHES)];
    if (!mw->w) {
        watch_open(m, mw);
        return;
    }
    for (uint64_t i = pick(m, 40); i > 0; i--) {
        struct model_event *e = event_after(m, mw->prefix, mw->seen);
        struct store_event *ev;
        int rc = store_watch_next(mw->w, &ev);
        if (rc == -E_GONE) {
            assert_true(e && e->rev <= floor_of(m, mw->prefix));
            store_watch_close(TAKE_PTR(mw->w));
            return;
        }
        assert_int_equal(rc, e != NULL);
        assert_int_equal(store_watch_rev(mw->w) >= (e ? e->rev : m->rev), 1);
        if (!e) {
            return;
        }
        check_event(m, ev, e);
        mw->seen = e->rev;
    }
    if (pick(m, 4) == 0) {
        store_watch_close(TAKE_PTR(mw->w));
    }
}

/* ---- rare steps ---- */

static void step_compact(struct model *m)
{
    finish_pending(m);
    int64_t rev = m->rev - (int64_t)pick(m, 60);
    store_compact(m->fx.s, rev);
    for (size_t i = 0; i < m->published && m->events[i].rev <= rev; i++) {
        int64_t *floor = &m->floors[m->events[i].key % 3];
        *floor = MAX_OF(*floor, m->events[i].rev);
    }
}

static void step_reopen(struct model *m)
{
    if (!m->fx.on_disk) {
        return;
    }
    finish_pending(m);
    for (int i = 0; i < WATCHES; i++) {
        store_watch_close(TAKE_PTR(m->watches[i].w));
    }
    fixture_reopen(&m->fx);
    assert_int_equal(store_rev(m->fx.s), m->rev);
    /* What was compacted is known for all resources together, and only if rows left the disk. */
    struct store_info info;
    store_info_get(m->fx.s, &info);
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        struct store_watch *w = NULL;
        int64_t at = m->rev;
        while (at > 0 &&
               store_watch_open(m->fx.s, str_of(resources[i]), at - 1, nothing, NULL, &w) == 0) {
            store_watch_close(w);
            at--;
        }
        /* Heartbeats since then are not on disk; the others must reach back as far as before. */
        assert_true(i == 0 || at <= MAX_OF(MAX_OF(m->floors[1], m->floors[2]), m->floors[0]));
        m->floors[i] = at;
    }
}

static void step(struct model *m)
{
    uint64_t what = pick(m, 1000);
    if (what < 600) {
        step_write(m);
    } else if (what < 750) {
        step_get(m);
    } else if (what < 850) {
        step_list(m);
    } else if (what < 990) {
        step_watch(m);
    } else if (what < 995) {
        step_compact(m);
    } else {
        step_reopen(m);
    }
}

static uint64_t number_from_env(const char *name, uint64_t fallback)
{
    uint64_t n = fallback;
    const char *text = getenv(name);
    return text && str_u64(str_of(text), &n) == 0 ? n : fallback;
}

static void run(bool on_disk)
{
    struct model m = {.random = number_from_env("MODEL_SEED", random_below(UINT32_MAX) + 1)};
    print_message("MODEL_SEED=%" PRIu64 "\n", m.random);
    fixture_init(&m.fx, on_disk);
    m.fx.opts.flush_interval_s = on_disk && m.random % 2 ? -1 : 0;
    fixture_open(&m.fx);
    for (uint64_t steps = number_from_env("MODEL_STEPS", STEPS); steps > 0; steps--) {
        step(&m);
    }
    finish_pending(&m);
    for (int i = 0; i < WATCHES; i++) {
        store_watch_close(m.watches[i].w);
    }
    fixture_fini(&m.fx);
    mem_free(m.events);
}

static void the_memory_store_behaves_as_the_model(void **state)
{
    (void)state;
    run(false);
}

static void the_sqlite_store_behaves_as_the_model_over_restarts(void **state)
{
    (void)state;
    run(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_memory_store_behaves_as_the_model),
        cmocka_unit_test(the_sqlite_store_behaves_as_the_model_over_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 at random moments. A child runs many writers at once and reports each acknowledged write
 * through a pipe; the parent kills it, opens the store and compares. Each key has one writer, whose
 * n-th operation is a function of (seed, writer, n), so after a crash a key must show the state
 * after its last acknowledged operation or after the one that followed.
 *
 * This shows the store against the death of its process, not against the loss of power: what the
 * kernel has been given survives here. For the latter we rely on SQLite's fsync (synchronous=FULL).
 *
 * CRASH_SEED and CRASH_ROUNDS in the environment choose another run.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/encode.h"
#include "store/store_test_util.h"

#define WRITERS 24
#define ROUNDS 24

enum kind { PUT, DELETE, PAIR, HEARTBEAT };

/* What a writer does as its n-th operation (n from 1). Every fourth writer sends heartbeats. */
static enum kind kind_of(uint64_t seed, int writer, int64_t n)
{
    uint64_t x = seed ^ (uint64_t)writer * UINT64_C(0x9e3779b97f4a7c15) ^
                 (uint64_t)n * UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 31;
    x *= UINT64_C(0x94d049bb133111eb);
    x ^= x >> 29;
    if (writer % 4 == 3) {
        return HEARTBEAT;
    }
    return x % 8 == 0 ? DELETE : x % 3 == 0 ? PAIR : PUT;
}

struct ack {
    int writer;
    int64_t n, rev;
};

/* ---- the child ---- */

struct writer {
    struct store_req req;
    struct child *child;
    int id;
    int64_t n;
    char key[32], twin[32], value[512];
};

struct child {
    struct fixture *fx;
    uint64_t seed;
    int pipe;
    struct writer writers[WRITERS];
};

static void write_next(struct writer *w);

static void on_written(struct store_req *req, int code, const char *text)
{
    struct writer *w = req->arg;
    if (code < 0) {
        (void)fprintf(stderr, "child: %s\n", text);
        _exit(1);
    }
    struct ack ack = {w->id, w->n, req->rev};
    if (write(w->child->pipe, &ack, sizeof ack) != sizeof ack) { /* atomic: below PIPE_BUF */
        _exit(1);
    }
    write_next(w);
}

static void set_names(struct writer *w, int id, int64_t n)
{
    (void)snprintf(w->key, sizeof w->key, "%s/a/%02d", id % 4 == 3 ? "leases" : "pods", id);
    (void)snprintf(w->twin, sizeof w->twin, "twins/a/%02d", id);
    (void)snprintf(w->value, sizeof w->value, "%" PRId64 " %0*d", n, (int)(n * 37 % 400) + 1, 0);
}

static void write_next(struct writer *w)
{
    struct store *s = w->child->fx->s;
    w->n++;
    set_names(w, w->id, w->n);
    enum kind kind = kind_of(w->child->seed, w->id, w->n);
    struct str key = str_of(w->key), twin = str_of(w->twin), value = str_of(w->value);
    struct store_op op = {.key = key, .value = value, .expected_rev = STORE_ANY_REV};
    struct store_op pair[2] = {op, op};
    pair[1].key = twin;
    op.flags = kind == HEARTBEAT ? STORE_F_EPHEMERAL : 0;
    if (kind == DELETE && store_get_latest(s, key)) {
        op.type = STORE_DELETE;
    }
    if (store_txn(s, &w->req, kind == PAIR ? pair : &op, kind == PAIR ? 2 : 1) < 0) {
        _exit(2);
    }
}

static void child_main(struct fixture *fx, uint64_t seed, int fd, const int64_t n[WRITERS])
{
    struct child c = {.fx = fx, .seed = seed, .pipe = fd};
    struct err err;
    if (loop_new(&fx->loop, &err) < 0 || fixture_try_open(fx, &err) < 0) {
        (void)fprintf(stderr, "child: %s\n", err.text);
        _exit(3);
    }
    for (int i = 0; i < WRITERS; i++) {
        struct writer *w = &c.writers[i];
        *w = (struct writer){.child = &c, .id = i, .n = n[i]};
        w->req = (struct store_req){.done = on_written, .arg = w};
        write_next(w);
    }
    loop_run(fx->loop);
    _exit(4);
}

/* ---- the parent ---- */

struct run {
    struct fixture fx;
    uint64_t seed;
    int64_t acked[WRITERS];   /* last acknowledged operation of each writer */
    int64_t reached[WRITERS]; /* the operation whose effect is there: acked or one more */
    int64_t acked_rev;        /* greatest revision acknowledged ever */
    int64_t total;
    struct ack *acks; /* of this round */
    size_t acks_n, acks_cap;
};

static void read_acks(struct run *r, int fd)
{
    struct ack ack;
    r->acks_n = 0;
    while (read(fd, &ack, sizeof ack) == sizeof ack) {
        if (r->acks_n == r->acks_cap) {
            r->acks_cap = r->acks_cap ? r->acks_cap * 2 : 1024;
            r->acks = mem_realloc(r->acks, r->acks_cap * sizeof ack);
            assert_non_null(r->acks);
        }
        r->acks[r->acks_n++] = ack;
        /* Callbacks come in revision order, so a revision that repeats would show here. */
        assert_true(ack.rev > r->acked_rev);
        assert_int_equal(ack.n, r->acked[ack.writer] + 1);
        r->acked_rev = ack.rev;
        r->acked[ack.writer] = ack.n;
        r->total++;
    }
}

static int64_t value_n(struct store_item *it)
{
    struct str head, rest;
    int64_t n = -1;
    (void)str_cut(store_item_value(it), ' ', &head, &rest); /* checked by the next line */
    assert_int_equal(str_i64(head, &n), 0);
    return n;
}

/* The state of a writer's keys must be that after operation acked or acked + 1. */
static void check_writer(struct run *r, int id)
{
    struct writer w = {0};
    set_names(&w, id, 0);
    struct store_item *it = store_get(r->fx.s, str_of(w.key));
    struct store_item *twin = store_get(r->fx.s, str_of(w.twin));
    int64_t acked = r->acked[id];
    if (id % 4 == 3) { /* a heartbeat may be old, but was there from the first on */
        assert_true(acked == 0 || it);
        int64_t n = it ? value_n(it) : 0;
        assert_true(n <= acked + 1);
        r->reached[id] = r->acked[id] = n;
        return;
    }
    int64_t n = it ? value_n(it) : 0;
    int64_t twin_n = twin ? value_n(twin) : 0;
    if (it) {
        assert_true(n == acked || n == acked + 1);
        assert_true(kind_of(r->seed, id, n) != PAIR || twin_n == n); /* whole transactions */
    } else if (acked > 0) {
        bool deleted = kind_of(r->seed, id, acked) == DELETE;
        n = deleted ? acked : acked + 1;
        assert_int_equal(kind_of(r->seed, id, n), DELETE);
    }
    assert_true(!it || twin_n <= n);
    r->reached[id] = r->acked[id] = n;
}

static void nothing(struct store_watch *w, void *arg)
{
    (void)w;
    (void)arg;
}

/* A watch that resumes at the end of the last round sees every acknowledged write of this one. */
static void check_resumed_watch(struct run *r, int64_t from)
{
    struct store_watch *w = NULL;
    if (store_watch_open(r->fx.s, STR_LIT("pods/"), from, nothing, NULL, &w) == -E_GONE) {
        assert_true(r->fx.opts.history_count > 0); /* only with the short history */
        return;
    }
    struct store_event *ev = NULL;
    int64_t last = from;
    int rc = store_watch_next(w, &ev);
    for (size_t i = 0; i < r->acks_n; i++) {
        struct ack *a = &r->acks[i];
        if (a->writer % 4 == 3) {
            continue;
        }
        /* A pair is acknowledged with the revision of the twin. */
        int64_t want = a->rev - (kind_of(r->seed, a->writer, a->n) == PAIR);
        while (rc == 1 && ev->rev < want) {
            assert_true(ev->rev > last);
            last = ev->rev;
            rc = store_watch_next(w, &ev);
        }
        assert_int_equal(rc, 1);
        assert_int_equal(ev->rev, want);
        last = ev->rev;
        rc = store_watch_next(w, &ev);
    }
    assert_true(rc >= 0);
    store_watch_close(w);
}

static void run_round(struct run *r, int round)
{
    int fds[2], status = 0;
    assert_int_equal(pipe(fds), 0);
    r->fx.opts.history_count = round % 3 == 2 ? 40 : 0; /* also with rows that leave the disk */
    r->fx.opts.history_age_s = -1;
    r->fx.opts.flush_interval_s = round % 2 ? -1 : 0;
    int64_t from = store_rev(r->fx.s), before = r->acked_rev;
    assert_int_equal(fixture_close(&r->fx), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(fds[0]); /* the parent's end */
        child_main(&r->fx, r->seed, fds[1], r->reached);
    }
    (void)close(fds[1]); /* the child's end */
    (void)usleep((useconds_t)(3000 + random_below(120000)));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    read_acks(r, fds[0]);
    (void)close(fds[0]); /* read to its end */
    fixture_open(&r->fx);
    assert_true(store_rev(r->fx.s) >= MAX_OF(before, r->acked_rev));
    check_resumed_watch(r, from);
    for (int i = 0; i < WRITERS; i++) {
        check_writer(r, i);
    }
    r->acked_rev = MAX_OF(r->acked_rev, store_rev(r->fx.s));
}

static uint64_t number_from_env(const char *name, uint64_t fallback)
{
    uint64_t n = fallback;
    const char *text = getenv(name);
    return text && str_u64(str_of(text), &n) == 0 ? n : fallback;
}

static void no_acknowledged_write_is_lost_when_the_process_is_killed(void **state)
{
    (void)state;
    struct run r = {.seed = number_from_env("CRASH_SEED", random_below(UINT32_MAX))};
    int rounds = (int)number_from_env("CRASH_ROUNDS", ROUNDS);
    print_message("CRASH_SEED=%" PRIu64 "\n", r.seed);
    fixture_init(&r.fx, true);
    fixture_open(&r.fx);
    for (int i = 0; i < rounds; i++) {
        run_round(&r, i);
    }
    print_message("%d rounds, %" PRId64 " acknowledged writes\n", rounds, r.total);
    assert_true(r.total > rounds);
    fixture_fini(&r.fx);
    mem_free(r.acks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_acknowledged_write_is_lost_when_the_process_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store over a disk that fails: SQLite's file calls go through a layer that counts writes that
 * no fsync has followed, and lets chosen calls fail.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store/store_test_util.h"

#define ANY STORE_ANY_REV
#define E STORE_F_EPHEMERAL

/* ---- the layer ---- */

struct watched_file {
    sqlite3_file base;
    int unsynced;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *real_vfs;
static int unsynced_total; /* of all open files */
static int fail_in;        /* the call from which on to fail; 0 = none */
static int fail_for;       /* how many calls then fail */
static int calls;          /* that could have failed */

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct watched_file *)f)->real;
}

/* Whether this call is to fail. */
static bool fails(void)
{
    calls++;
    return fail_in && calls >= fail_in && calls < fail_in + fail_for;
}

static int w_close(sqlite3_file *f)
{
    unsynced_total -= ((struct watched_file *)f)->unsynced;
    return real_of(f)->pMethods->xClose(real_of(f));
}
static int w_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}
static int w_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (fails()) {
        return SQLITE_FULL;
    }
    ((struct watched_file *)f)->unsynced++;
    unsynced_total++;
    return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}
static int w_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (fails()) {
        return SQLITE_IOERR_TRUNCATE;
    }
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}
static int w_sync(sqlite3_file *f, int flags)
{
    if (fails()) {
        return SQLITE_IOERR_FSYNC;
    }
    unsynced_total -= ((struct watched_file *)f)->unsynced;
    ((struct watched_file *)f)->unsynced = 0;
    return real_of(f)->pMethods->xSync(real_of(f), flags);
}
static int w_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}
static int w_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}
static int w_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}
static int w_check_lock(sqlite3_file *f, int *ret)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}
static int w_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int w_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int w_device(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}
/* Version 1 has no shared memory: with the exclusive lock SQLite does not ask for any. */
static const sqlite3_io_methods watched_methods = {
    1,      w_close,  w_read,       w_write,   w_truncate, w_sync,  w_size,
    w_lock, w_unlock, w_check_lock, w_control, w_sector,   w_device};

static int w_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)vfs;
    struct watched_file *w = (struct watched_file *)f;
    *w = (struct watched_file){.real = (sqlite3_file *)(w + 1)};
    int rc = real_vfs->xOpen(real_vfs, name, w->real, flags, out);
    w->base.pMethods = rc == SQLITE_OK ? &watched_methods : NULL;
    return rc;
}

static sqlite3_vfs watched_vfs;

static int install(void **state)
{
    (void)state;
    real_vfs = sqlite3_vfs_find(NULL);
    watched_vfs = *real_vfs;
    watched_vfs.zName = "watched";
    watched_vfs.xOpen = w_open;
    watched_vfs.szOsFile = (int)sizeof(struct watched_file) + real_vfs->szOsFile;
    return sqlite3_vfs_register(&watched_vfs, /* default= */ 1);
}

static int uninstall(void **state)
{
    (void)state;
    return sqlite3_vfs_register(real_vfs, /* default= */ 1) || sqlite3_vfs_unregister(&watched_vfs);
}

static int set_up(void **state)
{
    struct fixture *fx = mem_zalloc(sizeof *fx);
    assert_non_null(fx);
    fixture_init(fx, true);
    fx->opts.flush_interval_s = -1;
    fixture_open(fx);
    fail_in = 0;
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture_fini(*state);
    mem_free(*state);
    return 0;
}

/* ---- scenarios ---- */

static void an_acknowledged_write_has_been_synced(void **state)
{
    struct fixture *fx = *state;
    char value[600];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 1200; i++) { /* several turns of the log */
        assert_int_equal(put(fx, "pods/a/x", value, ANY), 0);
        assert_int_equal(unsynced_total, 0);
    }
}

static void fail_next(int n)
{
    calls = 0;
    fail_in = 1;
    fail_for = n;
}

static void a_reservation_of_revisions_that_failed_is_made_again(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(put_flags(fx, "leases/a/x", "1", ANY, E), 0);
    fail_next(1000);
    assert_int_equal(put_flags(fx, "leases/a/x", "2", ANY, E), -E_NOSPACE);
    fail_in = 0;
    assert_int_equal(put_flags(fx, "leases/a/x", "3", ANY, E), 0);
    struct fixture copy;
    fixture_open_crashed_copy(fx, &copy);
    assert_true(store_next_rev(copy.s) > store_rev(fx->s));
    fixture_fini(&copy);
}

static void a_flush_that_failed_is_made_again(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(put_flags(fx, "leases/a/x", "1", ANY, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/x", "2", ANY, E), 0);
    fail_next(1000);
    assert_int_equal(put(fx, "pods/a/x", "v", ANY), -E_NOSPACE);
    fail_in = 0;
    fixture_reopen(fx);
    assert_string_equal(get_text(fx, "leases/a/x"), "2");
    assert_string_equal(get_text(fx, "pods/a/x"), "-");
}

static void a_closing_that_cannot_flush_says_so(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(put_flags(fx, "leases/a/x", "1", ANY, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/x", "2", ANY, E), 0);
    fail_next(1000);
    assert_int_equal(fixture_close(fx), -E_NOSPACE);
    fail_in = 0;
    fixture_open(fx);
    assert_string_equal(get_text(fx, "leases/a/x"), "1");
}

static void writes_that_wait_behind_a_failed_commit_fail_with_it(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t rev = store_rev(fx->s);
    struct waiter first, second, third;
    waiter_init(&first);
    waiter_init(&second);
    waiter_init(&third);
    struct str key = STR_LIT("pods/a/x");
    struct store_put_opts o = {.expected_rev = rev};
    fail_next(1);
    assert_int_equal(store_put(fx->s, &first.req, key, STR_LIT("2"), &o), 0);
    loop_run_ready(fx->loop); /* hands it over; the next two come later */
    o.expected_rev = first.req.rev;
    bool built = store_get_latest(fx->s, key)->rev == first.req.rev;
    if (built) { /* else the failure was faster */
        assert_int_equal(store_put(fx->s, &second.req, key, STR_LIT("3"), &o), 0);
        assert_int_equal(store_barrier(fx->s, &third.req), 0);
        assert_int_equal(waiter_wait(fx, &second), -E_NOSPACE);
        assert_int_equal(waiter_wait(fx, &third), -E_NOSPACE);
    }
    assert_int_equal(waiter_wait(fx, &first), -E_NOSPACE);
    assert_string_equal(get_text(fx, "pods/a/x"), "1");
    assert_int_equal(store_get_latest(fx->s, key)->rev, rev);
    assert_int_equal(put(fx, "pods/a/x", "4", rev), 0);
    assert_true(store_rev(fx->s) > first.req.rev); /* its revision is not used again */
}

/* ---- every call once ---- */

#define GROUPS 12

struct outcome {
    char values[3][16]; /* of the three keys, as acknowledged last */
    int failures;
};

static const char *const keys[] = {"pods/a/x", "pods/a/y", "outbox/1"};

static void one_group(struct fixture *fx, int i, struct outcome *out)
{
    struct waiter w[3];
    char value[16];
    (void)snprintf(value, sizeof value, "%d", i);
    struct store_op ops[2] = {{.type = STORE_PUT, .expected_rev = ANY}};
    ops[1] = ops[0];
    for (int k = 0; k < 2; k++) {
        ops[k].key = str_of(keys[k + 1]);
        ops[k].value = str_of(value);
    }
    for (int k = 0; k < 3; k++) {
        waiter_init(&w[k]);
    }
    struct store_put_opts o = {.expected_rev = ANY, .flags = E};
    assert_int_equal(store_put(fx->s, &w[0].req, str_of(keys[0]), str_of(value), NULL), 0);
    assert_int_equal(store_txn(fx->s, &w[1].req, ops, 2), 0);
    assert_int_equal(store_put(fx->s, &w[2].req, STR_LIT("leases/a/x"), str_of(value), &o), 0);
    for (int k = 0; k < 3; k++) {
        if (waiter_wait(fx, &w[k]) == 0) {
            if (k < 2) {
                memcpy(out->values[k], value, sizeof value);
            }
            if (k == 1) {
                memcpy(out->values[2], value, sizeof value);
            }
        } else {
            assert_true(w[k].code == -E_NOSPACE || w[k].code == -E_IO);
            out->failures++;
        }
    }
}

static void check_outcome(struct fixture *fx, const struct outcome *out)
{
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        assert_string_equal(get_text(fx, keys[k]), out->values[k][0] ? out->values[k] : "-");
    }
}

/* The calls from `at` on fail, `n` of them. False when there were not so many calls. */
static bool run_with_fault(int at, int n)
{
    struct fixture fx;
    struct outcome out = {0};
    fixture_init(&fx, true);
    fx.opts.history_count = 4; /* so that rows are deleted too */
    fx.opts.history_age_s = -1;
    fx.opts.flush_interval_s = -1;
    fixture_open(&fx);
    calls = 0;
    fail_in = at;
    fail_for = n;
    for (int i = 0; i < GROUPS; i++) {
        one_group(&fx, i, &out);
        check_outcome(&fx, &out);
    }
    bool reached = calls >= at;
    fail_in = 0;
    assert_int_equal(put(&fx, "pods/z/after", "v", 0), 0);
    int64_t rev = store_rev(fx.s);
    fixture_reopen(&fx);
    assert_int_equal(store_rev(fx.s), rev);
    check_outcome(&fx, &out);
    assert_string_equal(get_text(&fx, "pods/z/after"), "v");
    fixture_fini(&fx);
    return reached;
}

static void whatever_call_fails_nothing_acknowledged_is_lost_and_nothing_else_shows(void **state)
{
    (void)state;
    int at = 1;
    while (run_with_fault(at, 1)) {
        at++;
    }
    assert_true(at > 2 * GROUPS);
    for (at = 1; run_with_fault(at, 7); at += 3) {
    }
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(an_acknowledged_write_has_been_synced),
        SCENARIO(a_reservation_of_revisions_that_failed_is_made_again),
        SCENARIO(a_flush_that_failed_is_made_again),
        SCENARIO(a_closing_that_cannot_flush_says_so),
        SCENARIO(writes_that_wait_behind_a_failed_commit_fail_with_it),
        cmocka_unit_test(whatever_call_fails_nothing_acknowledged_is_lost_and_nothing_else_shows),
    };
    return cmocka_run_group_tests(tests, install, uninstall);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only a store on disk has: restarts, the rows that stay behind, ephemeral values over a
 * crash, damaged and foreign files, a full disk. A crash is imitated by opening a copy of the
 * files; the real one is in store_crash_test.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/metrics.h"
#include "io/file.h"
#include "store/store_test_util.h"

#define ANY STORE_ANY_REV
#define E STORE_F_EPHEMERAL

static struct fixture *fixture(void **state)
{
    return *state;
}

static void nothing(struct store_watch *w, void *arg)
{
    (void)w;
    (void)arg;
}

static int try_watch(struct fixture *fx, const char *prefix, int64_t from)
{
    struct store_watch *w = NULL;
    int code = store_watch_open(fx->s, str_of(prefix), from, nothing, NULL, &w);
    store_watch_close(w);
    return code;
}

static const char *watch_from(struct fixture *fx, const char *prefix, int64_t from)
{
    struct store_watch *w = NULL;
    assert_int_equal(store_watch_open(fx->s, str_of(prefix), from, nothing, NULL, &w), 0);
    const char *text = watch_text(w);
    store_watch_close(w);
    return text;
}

/* ---- looking at the file from outside ---- */

/* The answer of a query to the closed file. */
static int64_t query(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    int64_t value = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

static void execute(const char *path, const char *sql)
{
    (void)query(path, sql);
}

/* ---- restarts ---- */

static void a_restart_keeps_items_history_and_revision(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t r = store_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/x", "2", ANY), 0);
    assert_int_equal(put(fx, "pods/a/y", "1", 0), 0);
    assert_int_equal(del(fx, "pods/a/y", "end", ANY), 0);
    fixture_reopen(fx);
    assert_int_equal(store_rev(fx->s), r + 3);
    assert_int_equal(store_next_rev(fx->s), r + 4);
    assert_int_equal(store_get(fx->s, STR_LIT("pods/a/x"))->create_rev, r);
    char want[128];
    (void)snprintf(want, sizeof want,
                   "~pods/a/x=2@%" PRId64 " +pods/a/y=1@%" PRId64 " -pods/a/y=end@%" PRId64, r + 1,
                   r + 2, r + 3);
    assert_string_equal(watch_from(fx, "pods/", r), want);
    struct store_list_opts o = {.prefix = STR_LIT("pods/"), .rev = r + 2};
    assert_string_equal(list_text(fx, &o, false), "pods/a/x=2 pods/a/y=1");
}

static void superseded_rows_leave_the_disk_when_they_leave_the_history(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    fx->opts.history_count = 5;
    fx->opts.history_age_s = -1;
    fixture_open(fx);
    for (int i = 0; i < 100; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "pods/a/%d", i % 4);
        assert_int_equal(put(fx, key, "v", ANY), 0);
        if (i % 10 == 9) {
            assert_int_equal(del(fx, key, "v", ANY), 0);
        }
    }
    int64_t rev = store_rev(fx->s);
    struct store_list_opts all = {0};
    char *before = mem_strdup(list_text(fx, &all, true));
    fixture_reopen(fx);
    assert_int_equal(store_rev(fx->s), rev);
    assert_string_equal(list_text(fx, &all, true), before);
    assert_int_equal(try_watch(fx, "pods/", rev - 6), -E_GONE);
    assert_int_equal(try_watch(fx, "pods/", rev - 5), 0);
    assert_int_equal(fixture_close(fx), 0);
    int64_t rows = query(fx->path, "SELECT count(*) FROM log");
    assert_true(rows >= 5 && rows < 20);
    fixture_open(fx);
    assert_string_equal(list_text(fx, &all, true), before);
    mem_free(before);
}

static void a_deleted_key_never_comes_back(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    fx->opts.history_count = 1;
    fx->opts.history_age_s = -1;
    fixture_open(fx);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
        assert_int_equal(del(fx, "pods/a/x", "v", ANY), 0);
        assert_int_equal(put(fx, "pods/a/other", "v", ANY), 0);
        struct fixture copy;
        fixture_open_crashed_copy(fx, &copy);
        assert_string_equal(get_text(&copy, "pods/a/x"), "-");
        assert_int_equal(store_rev(copy.s), store_rev(fx->s));
        fixture_fini(&copy);
    }
}

static void many_superseded_rows_are_deleted_in_batches(void **state)
{
    struct fixture *fx = fixture(state);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    }
    int64_t rev = store_rev(fx->s);
    assert_int_equal(fixture_close(fx), 0);
    assert_int_equal(query(fx->path, "SELECT count(*) FROM log"), 500);
    fx->opts.history_count = 1;
    fixture_open(fx);
    store_compact(fx->s, rev);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    }
    assert_int_equal(fixture_close(fx), 0);
    assert_true(query(fx->path, "SELECT count(*) FROM log") < 20);
}

static void an_idle_store_writes_nothing(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "v", 0), 0);
    fixture_reopen(fx);
    struct stat before, after;
    assert_int_equal(stat(fx->path, &before), 0);
    int64_t commits = metric_get(METRIC_STORE_COMMITS);
    for (int i = 0; i < 20; i++) {
        loop_run_ready(fx->loop);
    }
    assert_int_equal(put(fx, "pods/a/x", "v", 0), -E_EXISTS);
    assert_int_equal(fixture_close(fx), 0);
    assert_int_equal(stat(fx->path, &after), 0);
    assert_int_equal(metric_get(METRIC_STORE_COMMITS), commits);
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    fixture_open(fx);
}

static void writes_that_wait_share_a_commit(void **state)
{
    struct fixture *fx = fixture(state);
    int64_t commits = metric_get(METRIC_STORE_COMMITS);
    enum { N = 64 };
    struct waiter w[N];
    for (int i = 0; i < N; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "pods/a/%d", i);
        waiter_init(&w[i]);
        assert_int_equal(store_put(fx->s, &w[i].req, str_of(key), STR_LIT("v"), NULL), 0);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(waiter_wait(fx, &w[i]), 0);
    }
    assert_int_equal(metric_get(METRIC_STORE_COMMITS), commits + 1);
}

/* ---- ephemeral ---- */

static void heartbeats_do_not_write_the_disk(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put_flags(fx, "leases/a/x", "0", ANY, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/x", "1", ANY, E), 0); /* reserves revisions */
    int64_t commits = metric_get(METRIC_STORE_COMMITS);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(put_flags(fx, "leases/a/x", "v", ANY, E), 0);
    }
    assert_int_equal(metric_get(METRIC_STORE_COMMITS), commits);
}

static void a_clean_restart_keeps_heartbeats(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put_flags(fx, "leases/a/x", "0", ANY, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/x", "1", ANY, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/x", "2", ANY, E), 0);
    int64_t rev = store_rev(fx->s);
    fixture_reopen(fx);
    assert_string_equal(get_text(fx, "leases/a/x"), "2");
    assert_int_equal(store_get(fx->s, STR_LIT("leases/a/x"))->rev, rev);
    assert_int_equal(store_rev(fx->s), rev); /* a clean end gives back what it reserved */
    assert_int_equal(fixture_close(fx), 0);
    assert_int_equal(query(fx->path, "SELECT count(*) FROM log"), 1);
    fixture_open(fx);
}

static void after_a_crash_heartbeats_are_old_and_revisions_new(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "p", ANY), 0);
    int64_t pods = store_rev(fx->s);
    assert_int_equal(put_flags(fx, "leases/a/x", "0", ANY, E), 0);
    int64_t created = store_rev(fx->s);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(put_flags(fx, "leases/a/x", "later", ANY, E), 0);
    }
    int64_t rev = store_rev(fx->s);
    struct fixture copy;
    fixture_open_crashed_copy(fx, &copy);
    assert_string_equal(get_text(&copy, "leases/a/x"), "0");
    assert_int_equal(store_get(copy.s, STR_LIT("leases/a/x"))->rev, created);
    assert_true(store_next_rev(copy.s) > rev);
    assert_int_equal(try_watch(&copy, "leases/", rev), -E_GONE);
    assert_int_equal(try_watch(&copy, "leases/a/", created), -E_GONE);
    assert_int_equal(try_watch(&copy, "", rev), -E_GONE);
    assert_int_equal(try_watch(&copy, "leases/", store_rev(copy.s)), 0);
    assert_int_equal(try_watch(&copy, "pods/", pods), 0); /* nothing of it is missing */
    struct store_list_opts o = {.prefix = STR_LIT("leases/"), .rev = rev};
    assert_string_equal(list_text(&copy, &o, false), "!gone");
    assert_int_equal(put_flags(&copy, "leases/a/x", "v", created, E), 0);
    fixture_fini(&copy);
}

static void a_deleted_heartbeat_stays_deleted_over_a_crash(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put_flags(fx, "leases/a/x", "0", ANY, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/x", "1", ANY, E), 0);
    assert_int_equal(del(fx, "leases/a/x", "1", ANY), 0);
    struct fixture copy;
    fixture_open_crashed_copy(fx, &copy);
    assert_string_equal(get_text(&copy, "leases/a/x"), "-");
    assert_int_equal(try_watch(&copy, "leases/", store_rev(fx->s) - 1), -E_GONE);
    fixture_fini(&copy);
}

static void heartbeats_are_flushed_with_another_commit_when_due(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    fx->opts.flush_interval_s = -1;
    fixture_open(fx);
    for (int round = 0; round < 3; round++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%d", round);
        assert_int_equal(put_flags(fx, "leases/a/x", "between", ANY, E), 0);
        assert_int_equal(put_flags(fx, "leases/a/y", value, ANY, E), 0);
        assert_int_equal(put_flags(fx, "leases/a/x", value, ANY, E), 0);
        assert_int_equal(put(fx, "pods/a/x", "durable", ANY), 0);
        struct waiter w;
        waiter_init(&w);
        assert_int_equal(store_barrier(fx->s, &w.req), 0); /* the flush is behind the put */
        assert_int_equal(waiter_wait(fx, &w), 0);
        struct fixture copy;
        fixture_open_crashed_copy(fx, &copy);
        assert_string_equal(get_text(&copy, "leases/a/x"), value);
        assert_string_equal(get_text(&copy, "leases/a/y"), value);
        fixture_fini(&copy);
    }
    assert_int_equal(fixture_close(fx), 0);
    assert_int_equal(query(fx->path, "SELECT count(*) FROM log WHERE key LIKE 'leases/%'"), 2);
    fixture_open(fx);
}

static void a_flush_leaves_out_keys_with_pending_writes(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    fx->opts.flush_interval_s = -1;
    fixture_open(fx);
    assert_int_equal(put_flags(fx, "leases/a/x", "1", ANY, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/y", "1", ANY, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/x", "2", ANY, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/y", "2", ANY, E), 0);
    struct waiter w[3];
    for (int i = 0; i < 3; i++) {
        waiter_init(&w[i]);
    }
    assert_int_equal(store_delete(fx->s, &w[0].req, STR_LIT("leases/a/x"), STR_LIT("2"), NULL), 0);
    assert_int_equal(store_put(fx->s, &w[1].req, STR_LIT("leases/a/y"), STR_LIT("3"), NULL), 0);
    assert_int_equal(store_put(fx->s, &w[2].req, STR_LIT("pods/a/x"), STR_LIT("v"), NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waiter_wait(fx, &w[i]), 0);
    }
    fixture_reopen(fx);
    struct store_list_opts o = {.prefix = STR_LIT("leases/")};
    assert_string_equal(list_text(fx, &o, false), "leases/a/y=3");
}

static void a_key_may_change_between_durable_and_ephemeral(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "durable", ANY), 0);
    assert_int_equal(put_flags(fx, "pods/a/x", "first", ANY, E), 0); /* durable: marks the key */
    assert_int_equal(put_flags(fx, "pods/a/x", "second", ANY, E), 0);
    int64_t seen = store_rev(fx->s);
    struct fixture copy;
    fixture_open_crashed_copy(fx, &copy);
    assert_string_equal(get_text(&copy, "pods/a/x"), "first");
    assert_int_equal(try_watch(&copy, "pods/", seen), -E_GONE);
    fixture_fini(&copy);
    assert_int_equal(put(fx, "pods/a/x", "again", ANY), 0);
    fixture_open_crashed_copy(fx, &copy);
    assert_string_equal(get_text(&copy, "pods/a/x"), "again");
    fixture_fini(&copy);
}

/* ---- files that are not as they should be ---- */

static void the_file_is_private(void **state)
{
    struct fixture *fx = fixture(state);
    struct stat st;
    char wal[128];
    (void)snprintf(wal, sizeof wal, "%s-wal", fx->path);
    assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    assert_int_equal(stat(fx->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(fixture_close(fx), 0);
    assert_int_equal(chmod(fx->path, 0644), 0);
    fixture_open(fx);
    assert_int_equal(stat(fx->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void expect_open_fails(struct fixture *fx, int code, const char *part)
{
    struct err err = {0};
    assert_int_equal(fixture_try_open(fx, &err), code);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, part)) {
        fail_msg("'%s' is not in '%s'", part, err.text);
    }
    assert_non_null(strstr(err.text, fx->path));
}

static void a_second_process_cannot_open_the_same_file(void **state)
{
    struct fixture *fx = fixture(state);
    int status = 0;
    pid_t pid = fork(); /* file locks are a process's */
    if (pid == 0) {
        struct fixture other = *fx;
        struct err err = {0};
        bool loop_ok = loop_new(&other.loop, &err) == 0;
        int code = loop_ok ? fixture_try_open(&other, &err) : 0;
        _exit(code == -E_BUSY && strstr(err.text, "another process") ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
}

static void a_file_that_is_no_database_is_named(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    struct err err;
    char text[9000];
    memset(text, 'x', sizeof text);
    assert_int_equal(file_write_replace(fx->path, text, sizeof text, 0600, &err), 0);
    expect_open_fails(fx, -E_IO, "not a database");
}

static void a_corrupt_file_is_named(void **state)
{
    struct fixture *fx = fixture(state);
    char value[2000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 50; i++) {
        assert_int_equal(put(fx, "pods/a/x", value, ANY), 0);
    }
    assert_int_equal(fixture_close(fx), 0);
    int fd = open(fx->path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char garbage[4096];
    memset(garbage, 0xa5, sizeof garbage);
    for (off_t at = 8192; at < 65536; at += 8192) {
        assert_int_equal(pwrite(fd, garbage, sizeof garbage, at), sizeof garbage);
    }
    assert_int_equal(close(fd), 0);
    expect_open_fails(fx, -E_IO, "corrupt");
}

static void a_row_that_makes_no_sense_is_named(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    execute(fx->path, "INSERT INTO log VALUES(7, 0, 'nokey', 7, 0, 'v')");
    expect_open_fails(fx, -E_IO, "row of revision 7");
}

static void a_newer_format_is_refused(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    execute(fx->path, "PRAGMA user_version = 2");
    expect_open_fails(fx, -E_NOTSUP, "format 2");
}

static void a_database_of_another_program_is_refused(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    execute(fx->path, "PRAGMA application_id = 5");
    expect_open_fails(fx, -E_INVAL, "another program");
}

static void a_folder_that_is_missing_is_named(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    (void)snprintf(fx->path, sizeof fx->path, "%s/missing/store.db", fx->dir);
    expect_open_fails(fx, -ENOENT, "No such file");
}

static void running_out_of_memory_while_opening_leaves_nothing_behind(void **state)
{
    struct fixture *fx = fixture(state);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    }
    assert_int_equal(del(fx, "pods/a/x", "v", ANY), 0);
    int code = -ENOMEM;
    for (unsigned long n = 1; code == -ENOMEM; n++) {
        if (fx->s) {
            assert_int_equal(fixture_close(fx), 0);
        }
        struct err err = {0};
        (void)mem_fail_at(n);
        code = fixture_try_open(fx, &err);
        (void)mem_fail_at(0);
        assert_true(code == 0 || (code == -ENOMEM && err.text[0]));
    }
    assert_int_equal(code, 0);
    assert_int_equal(store_count(fx->s, STR_NULL), 0);
}

/* ---- a full disk ---- */

/* Puts of 16 kB until one fails; how many succeeded. */
static int fill(struct fixture *fx, int *ret_code, char *ret_text, size_t size)
{
    char value[16 << 10];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    int n = 0;
    for (;; n++) {
        char key[32];
        (void)snprintf(key, sizeof key, "pods/a/%04d", n);
        struct waiter w;
        waiter_init(&w);
        assert_int_equal(store_put(fx->s, &w.req, str_of(key), str_of(value), NULL), 0);
        *ret_code = waiter_wait(fx, &w);
        if (*ret_code < 0) {
            (void)cstr_copy(ret_text, size, w.text);
            return n;
        }
        assert_true(n < 1000);
    }
}

/* A group of writes that fails together: all of them are told, none is visible. */
static void check_group_fails(struct fixture *fx)
{
    enum { N = 8 };
    static char value[512 << 10];
    memset(value, 'v', sizeof value - 1);
    struct waiter w[N];
    int64_t rev = store_rev(fx->s);
    for (int i = 0; i < N; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "big/a/%d", i / 2);
        waiter_init(&w[i]);
        assert_int_equal(store_put(fx->s, &w[i].req, str_of(key), str_of(value), NULL), 0);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(waiter_wait(fx, &w[i]), -E_NOSPACE);
    }
    assert_int_equal(store_rev(fx->s), rev);
    assert_int_equal(store_count(fx->s, STR_LIT("big/")), 0);
    assert_null(store_get_latest(fx->s, STR_LIT("big/a/0")));
}

static void check_full(struct fixture *fx, void (*make_room)(void *), void *arg)
{
    int code;
    char text[256];
    int n = fill(fx, &code, text, sizeof text);
    assert_int_equal(code, -E_NOSPACE);
    assert_non_null(strstr(text, "no space left on the device"));
    assert_non_null(strstr(text, fx->path));
    assert_true(n > 5);
    assert_int_equal(store_count(fx->s, STR_LIT("pods/")), n);
    check_group_fails(fx);
    int ready = store_get(fx->s, STR_LIT("pods/a/0000")) != NULL;
    assert_true(ready); /* reads go on */
    make_room(arg);
    assert_int_equal(put(fx, "pods/b/after", "v", 0), 0);
    struct store_list_opts o = {.prefix = STR_LIT("pods/b/")};
    fixture_reopen(fx);
    assert_int_equal(store_count(fx->s, STR_LIT("pods/a/")), n);
    assert_string_equal(list_text(fx, &o, false), "pods/b/after=v");
}

static void remove_ballast(void *arg)
{
    assert_int_equal(unlink(arg), 0);
}

static void full_disk_child(const char *dir)
{
    struct fixture fx;
    fixture_init(&fx, true);
    (void)snprintf(fx.path, sizeof fx.path, "%s/store.db", dir);
    char ballast[128], block[4096] = {0};
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", dir);
    int fd = open(ballast, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (int i = 0; i < 256; i++) {
        assert_int_equal(write(fd, block, sizeof block), sizeof block);
    }
    assert_int_equal(close(fd), 0);
    fixture_open(&fx);
    check_full(&fx, remove_ballast, ballast);
    fixture_fini(&fx);
}

/* A small file system in a mount namespace of a child's own. */
static void a_full_disk_fails_writes_until_there_is_room(void **state)
{
    (void)state;
    char dir[] = "/tmp/store-test-full-XXXXXX";
    assert_non_null(mkdtemp(dir));
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", dir, "tmpfs", 0, "size=4m") < 0) {
            _exit(77);
        }
        full_disk_child(dir); /* a failed assertion ends the child with another code */
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(rmdir(dir), 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("not allowed to mount a tmpfs\n");
        skip();
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int set_up(void **state)
{
    struct fixture *fx = mem_zalloc(sizeof *fx);
    assert_non_null(fx);
    fixture_init(fx, true);
    fixture_open(fx);
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture_fini(*state);
    mem_free(*state);
    return 0;
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(a_restart_keeps_items_history_and_revision),
        SCENARIO(superseded_rows_leave_the_disk_when_they_leave_the_history),
        SCENARIO(a_deleted_key_never_comes_back),
        SCENARIO(many_superseded_rows_are_deleted_in_batches),
        SCENARIO(an_idle_store_writes_nothing),
        SCENARIO(writes_that_wait_share_a_commit),
        SCENARIO(heartbeats_do_not_write_the_disk),
        SCENARIO(a_clean_restart_keeps_heartbeats),
        SCENARIO(after_a_crash_heartbeats_are_old_and_revisions_new),
        SCENARIO(a_deleted_heartbeat_stays_deleted_over_a_crash),
        SCENARIO(heartbeats_are_flushed_with_another_commit_when_due),
        SCENARIO(a_flush_leaves_out_keys_with_pending_writes),
        SCENARIO(a_key_may_change_between_durable_and_ephemeral),
        SCENARIO(the_file_is_private),
        SCENARIO(a_second_process_cannot_open_the_same_file),
        SCENARIO(a_file_that_is_no_database_is_named),
        SCENARIO(a_corrupt_file_is_named),
        SCENARIO(a_row_that_makes_no_sense_is_named),
        SCENARIO(a_newer_format_is_refused),
        SCENARIO(a_database_of_another_program_is_refused),
        SCENARIO(a_folder_that_is_missing_is_named),
        SCENARIO(running_out_of_memory_while_opening_leaves_nothing_behind),
        cmocka_unit_test(a_full_disk_fails_writes_until_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

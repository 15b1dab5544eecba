/* SPDX-License-Identifier: Apache-2.0 */
/* What every backend of the store must do; the same scenarios run over each of them. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "store/store_test_util.h"

#define ANY STORE_ANY_REV
#define E STORE_F_EPHEMERAL

static struct fixture *fixture(void **state)
{
    return *state;
}

static struct store_list_opts list_of(const char *prefix)
{
    return (struct store_list_opts){.prefix = str_of(prefix)};
}

static struct store_watch *watch(struct fixture *fx, const char *prefix, int64_t from,
                                 store_ready_fn *fn, void *arg)
{
    struct store_watch *w = NULL;
    assert_int_equal(store_watch_open(fx->s, str_of(prefix), from, fn, arg, &w), 0);
    return w;
}

static void count_ready(struct store_watch *w, void *arg)
{
    (void)w;
    ++*(int *)arg;
}

static int try_watch(struct fixture *fx, const char *prefix, int64_t from)
{
    int ready = 0;
    struct store_watch *w = NULL;
    int code = store_watch_open(fx->s, str_of(prefix), from, count_ready, &ready, &w);
    store_watch_close(w);
    return code;
}

/* ---- writes ---- */

static void a_put_is_read_back_with_its_revisions(void **state)
{
    struct fixture *fx = fixture(state);
    int64_t first = store_next_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/x", "one", 0), 0);
    assert_int_equal(put(fx, "pods/a/x", "two", ANY), 0);
    struct store_item *it = store_get(fx->s, STR_LIT("pods/a/x"));
    assert_non_null(it);
    assert_int_equal(it->rev, first + 1);
    assert_int_equal(it->create_rev, first);
    assert_int_equal(store_rev(fx->s), first + 1);
    assert_string_equal(store_item_value(it).p, "two");
    assert_string_equal(store_item_key(it).p, "pods/a/x");
    assert_null(store_get(fx->s, STR_LIT("pods/a/y")));
    assert_null(store_get(fx->s, STR_LIT("pods/a/")));
}

static void an_empty_value_is_a_value(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "", 0), 0);
    if (fx->on_disk) {
        fixture_reopen(fx);
    }
    assert_string_equal(get_text(fx, "pods/a/x"), "");
}

static void compare_and_swap_refuses_what_is_not_the_newest(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "v", 5), -E_NOENT);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t rev = store_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/x", "2", 0), -E_EXISTS);
    assert_int_equal(put(fx, "pods/a/x", "2", rev + 1), -E_CONFLICT);
    assert_int_equal(put(fx, "pods/a/x", "2", rev), 0);
    assert_int_equal(put(fx, "pods/a/x", "3", rev), -E_CONFLICT);
    assert_int_equal(del(fx, "pods/a/x", "3", rev), -E_CONFLICT);
    assert_int_equal(del(fx, "pods/a/x", "2", rev + 1), 0);
    assert_int_equal(del(fx, "pods/a/x", "2", ANY), -E_NOENT);
    assert_int_equal(store_rev(fx->s), rev + 2);
}

static void compare_and_swap_sees_writes_that_are_pending(void **state)
{
    struct fixture *fx = fixture(state);
    struct waiter a, b, c;
    waiter_init(&a);
    waiter_init(&b);
    waiter_init(&c);
    struct store_put_opts create = {.expected_rev = 0};
    struct str key = STR_LIT("pods/a/x");
    assert_int_equal(store_put(fx->s, &a.req, key, STR_LIT("1"), &create), 0);
    assert_int_equal(store_put(fx->s, &b.req, key, STR_LIT("1"), &create), -E_EXISTS);
    assert_null(store_get(fx->s, key));
    struct store_item *it = store_get_latest(fx->s, key);
    assert_non_null(it);
    assert_int_equal(it->rev, a.req.rev);
    struct store_put_opts swap = {.expected_rev = it->rev};
    assert_int_equal(store_put(fx->s, &b.req, key, STR_LIT("2"), &swap), 0);
    swap.expected_rev = b.req.rev;
    assert_int_equal(store_delete(fx->s, &c.req, key, STR_LIT("2"), &swap), 0);
    assert_null(store_get_latest(fx->s, key));
    assert_int_equal(waiter_wait(fx, &a), 0);
    assert_int_equal(waiter_wait(fx, &b), 0);
    assert_int_equal(waiter_wait(fx, &c), 0);
    assert_null(store_get(fx->s, key));
}

static void a_hundred_pending_patches_of_one_key_all_succeed_in_order(void **state)
{
    struct fixture *fx = fixture(state);
    struct str key = STR_LIT("pods/a/hot");
    assert_int_equal(put(fx, "pods/a/hot", "0", 0), 0);
    struct waiter w[100];
    for (int i = 0; i < 100; i++) {
        waiter_init(&w[i]);
        struct store_item *it = store_get_latest(fx->s, key);
        int64_t n = -1;
        assert_int_equal(str_i64(store_item_value(it), &n), 0);
        char text[16];
        (void)snprintf(text, sizeof text, "%d", (int)n + 1);
        struct store_put_opts o = {.expected_rev = it->rev};
        assert_int_equal(store_put(fx->s, &w[i].req, key, str_of(text), &o), 0);
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(waiter_wait(fx, &w[i]), 0);
        assert_true(i == 0 || w[i].rev == w[i - 1].rev + 1);
    }
    assert_string_equal(get_text(fx, "pods/a/hot"), "100");
}

static void the_next_revision_is_known_before_the_put(void **state)
{
    struct fixture *fx = fixture(state);
    for (int i = 0; i < 3; i++) {
        int64_t next = store_next_rev(fx->s);
        assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
        assert_int_equal(store_get(fx->s, STR_LIT("pods/a/x"))->rev, next);
    }
    int64_t next = store_next_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/x", "v", 0), -E_EXISTS);
    assert_int_equal(store_next_rev(fx->s), next);
}

static void bad_keys_and_arguments_are_refused(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "", "v", ANY), -E_INVAL);
    assert_int_equal(put(fx, "pods", "v", ANY), -E_INVAL);
    assert_int_equal(put(fx, "/pods", "v", ANY), -E_INVAL);
    assert_int_equal(put(fx, "pods/a", "v", -2), -E_INVAL);
    assert_int_equal(put_flags(fx, "pods/a", "v", ANY, 1u << 31), -E_INVAL);
    assert_int_equal(del(fx, "pods/a", "v", 0), -E_INVAL);
    struct waiter w;
    waiter_init(&w);
    assert_int_equal(store_put(fx->s, &w.req, str_n("a/\0b", 4), STR_NULL, NULL), -E_INVAL);
    char *big = mem_zalloc(LIMIT_OBJECT + 1);
    assert_non_null(big);
    memset(big, 'k', LIMIT_OBJECT + 1);
    big[1] = '/';
    struct str key = str_n(big, LIMIT_STORE_KEY + 1);
    assert_int_equal(store_put(fx->s, &w.req, key, STR_NULL, NULL), -E_TOOBIG);
    struct str value = str_n(big, LIMIT_OBJECT + 1);
    assert_int_equal(store_put(fx->s, &w.req, STR_LIT("a/b"), value, NULL), -E_TOOBIG);
    mem_free(big);
    assert_int_equal(store_count(fx->s, STR_NULL), 0);
}

static void writes_beyond_the_queue_limit_are_refused_as_busy(void **state)
{
    struct fixture *fx = fixture(state);
    size_t size = LIMIT_OBJECT, n = LIMIT_STORE_QUEUE / size;
    char *big = mem_alloc(size);
    struct waiter *w = mem_zalloc((n + 1) * sizeof *w);
    assert_true(big && w);
    memset(big, 'x', size);
    size_t accepted = 0;
    int code = 0;
    while (code == 0 && accepted <= n) {
        char key[32];
        (void)snprintf(key, sizeof key, "pods/a/%zu", accepted);
        waiter_init(&w[accepted]);
        code = store_put(fx->s, &w[accepted].req, str_of(key), str_n(big, size), NULL);
        accepted += code == 0;
    }
    assert_int_equal(code, -E_BUSY);
    assert_true(accepted > 30);
    for (size_t i = 0; i < accepted; i++) {
        assert_int_equal(waiter_wait(fx, &w[i]), 0);
    }
    assert_int_equal(put(fx, "pods/a/after", "v", 0), 0);
    mem_free(w);
    mem_free(big);
}

static void origin_is_kept(void **state)
{
    struct fixture *fx = fixture(state);
    struct waiter w;
    waiter_init(&w);
    struct store_put_opts o = {.expected_rev = 0, .origin = INT64_C(-77)};
    assert_int_equal(store_put(fx->s, &w.req, STR_LIT("pods/a/x"), STR_LIT("v"), &o), 0);
    assert_int_equal(waiter_wait(fx, &w), 0);
    if (fx->on_disk) {
        fixture_reopen(fx);
    }
    assert_int_equal(store_get(fx->s, STR_LIT("pods/a/x"))->origin, -77);
}

static void a_cancelled_request_is_not_called_but_written(void **state)
{
    struct fixture *fx = fixture(state);
    struct waiter a, b;
    waiter_init(&a);
    waiter_init(&b);
    store_req_cancel(&a.req); /* not under way yet: nothing */
    assert_int_equal(store_put(fx->s, &a.req, STR_LIT("pods/a/x"), STR_LIT("v"), NULL), 0);
    store_req_cancel(&a.req);
    assert_int_equal(store_barrier(fx->s, &b.req), 0);
    assert_int_equal(waiter_wait(fx, &b), 0);
    assert_false(a.done);
    assert_string_equal(get_text(fx, "pods/a/x"), "v");
}

static void a_barrier_comes_after_what_was_submitted_before(void **state)
{
    struct fixture *fx = fixture(state);
    int64_t rev = store_rev(fx->s);
    struct waiter a, b;
    waiter_init(&a);
    waiter_init(&b);
    assert_int_equal(store_put(fx->s, &a.req, STR_LIT("pods/a/x"), STR_LIT("v"), NULL), 0);
    assert_int_equal(store_barrier(fx->s, &b.req), 0);
    assert_int_equal(waiter_wait(fx, &b), 0);
    assert_true(a.done);
    assert_null(b.req.item);
    assert_int_equal(store_rev(fx->s), rev + 1);
}

/* ---- transactions ---- */

static int txn(struct fixture *fx, const struct store_op *ops, size_t n)
{
    struct waiter w;
    waiter_init(&w);
    int code = store_txn(fx->s, &w.req, ops, n);
    return code < 0 ? code : waiter_wait(fx, &w);
}

static struct store_op op_put(const char *key, const char *value, int64_t expected)
{
    return (struct store_op){
        .type = STORE_PUT, .key = str_of(key), .value = str_of(value), .expected_rev = expected};
}

static struct store_op op_del(const char *key, const char *last, int64_t expected)
{
    return (struct store_op){
        .type = STORE_DELETE, .key = str_of(key), .value = str_of(last), .expected_rev = expected};
}

static void a_transaction_happens_whole_with_consecutive_revisions(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/old", "o", 0), 0);
    int64_t next = store_next_rev(fx->s);
    struct store_op ops[] = {op_put("pods/a/x", "1", 0), op_put("outbox/1", "x", 0),
                             op_del("pods/a/old", "o", ANY)};
    assert_int_equal(txn(fx, ops, 3), 0);
    char want[128];
    (void)snprintf(want, sizeof want, "outbox/1=x@%" PRId64 " pods/a/x=1@%" PRId64, next + 1, next);
    struct store_list_opts all = list_of("");
    assert_string_equal(list_text(fx, &all, true), want);
    assert_int_equal(store_rev(fx->s), next + 2);
}

static void a_transaction_with_one_conflict_leaves_no_trace(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t next = store_next_rev(fx->s);
    struct store_op ops[] = {op_put("pods/a/new", "n", 0), op_put("pods/a/x", "2", ANY),
                             op_put("pods/a/x", "3", 1000000)};
    assert_int_equal(txn(fx, ops, 3), -E_CONFLICT);
    assert_int_equal(store_next_rev(fx->s), next);
    assert_null(store_get_latest(fx->s, STR_LIT("pods/a/new")));
    assert_string_equal(store_item_value(store_get_latest(fx->s, STR_LIT("pods/a/x"))).p, "1");
    assert_int_equal(put(fx, "pods/a/new", "v", 0), 0);
}

static void later_operations_of_a_transaction_see_the_earlier(void **state)
{
    struct fixture *fx = fixture(state);
    int64_t next = store_next_rev(fx->s);
    struct store_op ops[] = {op_put("pods/a/x", "1", 0), op_put("pods/a/x", "2", next),
                             op_del("pods/a/x", "2", next + 1), op_put("pods/a/x", "3", 0)};
    assert_int_equal(txn(fx, ops, 4), 0);
    struct store_item *it = store_get(fx->s, STR_LIT("pods/a/x"));
    assert_string_equal(store_item_value(it).p, "3");
    assert_int_equal(it->create_rev, next + 3);
    if (fx->on_disk) {
        fixture_reopen(fx);
    }
    assert_string_equal(get_text(fx, "pods/a/x"), "3");
}

/* ---- lists ---- */

static void a_list_is_sorted_and_bounded_by_its_prefix(void **state)
{
    struct fixture *fx = fixture(state);
    const char *keys[] = {"pods/b/1", "pods/a/2", "pods/a/1", "pods//n",
                          "pod/z",    "podz/a",   "nodes//1", "pods/ab/1"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        assert_int_equal(put(fx, keys[i], "v", 0), 0);
    }
    struct store_list_opts o = list_of("pods/");
    assert_string_equal(list_text(fx, &o, false),
                        "pods//n=v pods/a/1=v pods/a/2=v pods/ab/1=v pods/b/1=v");
    o = list_of("pods/a/");
    assert_string_equal(list_text(fx, &o, false), "pods/a/1=v pods/a/2=v");
    o = list_of("pods/c/");
    assert_string_equal(list_text(fx, &o, false), "");
    assert_int_equal(store_count(fx->s, STR_LIT("pods/")), 5);
    assert_int_equal(store_count(fx->s, STR_NULL), 8);
    assert_int_equal(store_count(fx->s, STR_LIT("zzz/")), 0);
}

static void pages_of_a_list_show_one_revision_whatever_happens_between(void **state)
{
    struct fixture *fx = fixture(state);
    for (int i = 0; i < 7; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "pods/a/%d", i);
        assert_int_equal(put(fx, key, "v", 0), 0);
    }
    struct store_list_opts o = {.prefix = STR_LIT("pods/a/"), .limit = 3};
    assert_string_equal(list_text(fx, &o, false), "pods/a/0=v pods/a/1=v pods/a/2=v +4");
    int64_t rev = store_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/35", "new", 0), 0);
    assert_int_equal(put(fx, "pods/a/4", "changed", ANY), 0);
    assert_int_equal(put(fx, "pods/a/4", "again", ANY), 0);
    assert_int_equal(del(fx, "pods/a/5", "v", ANY), 0);
    assert_int_equal(del(fx, "pods/a/6", "v", ANY), 0);
    assert_int_equal(put(fx, "pods/a/6", "other", 0), 0);
    assert_int_equal(put(fx, "pods/b/6", "elsewhere", 0), 0);
    o.rev = rev;
    o.after = STR_LIT("pods/a/2");
    assert_string_equal(list_text(fx, &o, false), "pods/a/3=v pods/a/4=v pods/a/5=v +1");
    o.after = STR_LIT("pods/a/5");
    assert_string_equal(list_text(fx, &o, false), "pods/a/6=v");
    o.after = STR_LIT("pods/a/6");
    assert_string_equal(list_text(fx, &o, false), "");
    o = (struct store_list_opts){.prefix = STR_LIT("pods/a/"), .after = STR_LIT("pods/a/3")};
    assert_string_equal(list_text(fx, &o, false), "pods/a/35=new pods/a/4=again pods/a/6=other");
}

static void a_list_at_an_older_revision_is_as_it_was(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t r1 = store_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/x", "2", ANY), 0);
    assert_int_equal(put(fx, "nodes//n", "1", 0), 0);
    int64_t r2 = store_rev(fx->s);
    assert_int_equal(del(fx, "pods/a/x", "2", ANY), 0);
    struct store_list_opts o = list_of("");
    o.rev = r1;
    assert_string_equal(list_text(fx, &o, false), "pods/a/x=1");
    o.rev = r2;
    assert_string_equal(list_text(fx, &o, false), "nodes//n=1 pods/a/x=2");
    o.rev = store_rev(fx->s);
    assert_string_equal(list_text(fx, &o, false), "nodes//n=1");
    o.rev++;
    assert_string_equal(list_text(fx, &o, false), "!out of range");
}

static void a_list_at_a_compacted_revision_is_gone(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t r1 = store_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/x", "2", ANY), 0);
    assert_int_equal(put(fx, "pods/a/x", "3", ANY), 0);
    store_compact(fx->s, r1 + 1);
    struct store_list_opts o = list_of("pods/");
    o.rev = r1;
    assert_string_equal(list_text(fx, &o, false), "!gone");
    o.rev = r1 + 1;
    assert_string_equal(list_text(fx, &o, false), "pods/a/x=2");
}

static void items_of_a_list_outlive_their_deletion(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    struct store_list l;
    struct store_list_opts o = list_of("pods/");
    assert_int_equal(store_list(fx->s, &o, &l), 0);
    assert_int_equal(del(fx, "pods/a/x", "1", ANY), 0);
    store_compact(fx->s, store_rev(fx->s));
    assert_string_equal(store_item_value(l.items[0]).p, "1");
    store_list_fini(&l);
}

/* ---- watches ---- */

static void a_watch_sees_what_comes_after_its_revision(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t r = store_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/x", "2", ANY), 0);
    assert_int_equal(put(fx, "nodes//n", "1", 0), 0);
    int ready = 0;
    struct store_watch *w = watch(fx, "pods/", r, count_ready, &ready);
    assert_int_equal(ready, 0);
    while (!ready) {
        loop_run_once(fx->loop);
    }
    char want[128];
    (void)snprintf(want, sizeof want, "~pods/a/x=2@%" PRId64, r + 1);
    assert_string_equal(watch_text(w), want);
    assert_int_equal(store_watch_rev(w), r + 2);
    assert_int_equal(del(fx, "pods/a/x", "last", ANY), 0);
    assert_int_equal(ready, 2);
    (void)snprintf(want, sizeof want, "-pods/a/x=last@%" PRId64, r + 3);
    assert_string_equal(watch_text(w), want);
    store_watch_close(w);
}

static void a_watch_is_told_once_until_it_is_drained(void **state)
{
    struct fixture *fx = fixture(state);
    int ready = 0;
    struct store_watch *w = watch(fx, "pods/a/", store_rev(fx->s), count_ready, &ready);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    }
    assert_int_equal(ready, 1);
    struct store_event *ev;
    assert_int_equal(store_watch_next(w, &ev), 1);
    assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    assert_int_equal(ready, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(store_watch_next(w, &ev), 1);
    }
    assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    assert_int_equal(ready, 1); /* it was not told that it is empty yet */
    assert_int_equal(store_watch_next(w, &ev), 1);
    assert_int_equal(store_watch_next(w, &ev), 0);
    assert_int_equal(store_watch_next(w, &ev), 0);
    assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    assert_int_equal(ready, 2);
    store_watch_close(w);
}

static void a_watch_that_is_drained_before_its_turn_is_woken_by_the_next_event(void **state)
{
    struct fixture *fx = fixture(state);
    int ready = 0, other = 0;
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t r = store_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/x", "2", ANY), 0);
    struct store_watch *w = watch(fx, "pods/", r, count_ready, &ready);
    struct store_watch *behind = watch(fx, "pods/", r, count_ready, &other);
    char want[128];
    (void)snprintf(want, sizeof want, "~pods/a/x=2@%" PRId64, r + 1);
    assert_string_equal(watch_text(w), want);
    assert_int_equal(put(fx, "pods/a/x", "3", ANY), 0);
    assert_int_equal(ready, 1); /* for the new event alone */
    assert_int_equal(other, 1);
    (void)snprintf(want, sizeof want, "~pods/a/x=3@%" PRId64, r + 2);
    assert_string_equal(watch_text(w), want);
    store_watch_close(w);
    struct store_event *ev;
    assert_int_equal(store_watch_next(behind, &ev), 1);
    assert_int_equal(store_watch_next(behind, &ev), 1);
    assert_int_equal(store_watch_next(behind, &ev), 0);
    assert_int_equal(put(fx, "pods/a/x", "4", ANY), 0);
    assert_int_equal(other, 2);
    store_watch_close(behind);
}

static void a_watch_is_not_woken_by_others_keys(void **state)
{
    struct fixture *fx = fixture(state);
    int ns = 0, all = 0, partial = 0;
    int64_t r = store_rev(fx->s);
    struct store_watch *wn = watch(fx, "pods/a/", r, count_ready, &ns);
    struct store_watch *wa = watch(fx, "", r, count_ready, &all);
    struct store_watch *wp = watch(fx, "po", r, count_ready, &partial);
    assert_int_equal(put(fx, "nodes//n", "v", ANY), 0);
    assert_int_equal(put(fx, "pods/ab/x", "v", ANY), 0);
    assert_int_equal(ns, 0);
    assert_int_equal(all, 1);
    assert_int_equal(partial, 1);
    assert_int_equal(store_watch_rev(wn), r + 2);
    assert_int_equal(store_watch_rev(wa), r);
    store_watch_close(wn);
    store_watch_close(wa);
    store_watch_close(wp);
}

static void a_watch_from_the_future_is_out_of_range(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(try_watch(fx, "pods/", store_rev(fx->s) + 1), -E_RANGE);
}

static void a_watch_from_a_compacted_revision_is_gone(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t r = store_rev(fx->s);
    assert_int_equal(put(fx, "pods/a/x", "2", ANY), 0);
    assert_int_equal(put(fx, "nodes//n", "2", ANY), 0);
    store_compact(fx->s, r + 2);
    assert_int_equal(try_watch(fx, "pods/", r), -E_GONE);
    assert_int_equal(try_watch(fx, "pods/", r + 1), 0);
    assert_int_equal(try_watch(fx, "nodes/", r + 1), -E_GONE);
    assert_int_equal(try_watch(fx, "", r + 1), -E_GONE);
    assert_int_equal(try_watch(fx, "", r + 2), 0);
}

static void a_slow_watch_that_falls_off_the_history_is_gone(void **state)
{
    struct fixture *fx = fixture(state);
    int a = 0, b = 0;
    int64_t r = store_rev(fx->s);
    struct store_watch *slow = watch(fx, "pods/", r, count_ready, &a);
    struct store_watch *quiet = watch(fx, "nodes/", r, count_ready, &b);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    }
    struct store_event *ev;
    assert_int_equal(store_watch_next(slow, &ev), 1);
    store_compact(fx->s, r + 2);
    assert_string_equal(watch_text(slow), "!gone");
    assert_string_equal(watch_text(slow), "!gone");
    assert_string_equal(watch_text(quiet), "");
    assert_int_equal(put(fx, "nodes//n", "v", ANY), 0);
    assert_int_equal(b, 1);
    store_watch_close(slow);
    store_watch_close(quiet);
}

static void an_event_carries_the_item_before_and_one_cache_for_all(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    int64_t r = store_rev(fx->s);
    int ready = 0;
    struct store_watch *w1 = watch(fx, "pods/", r, count_ready, &ready);
    struct store_watch *w2 = watch(fx, "", r, count_ready, &ready);
    assert_int_equal(put(fx, "pods/a/x", "2", ANY), 0);
    struct store_event *e1, *e2;
    assert_int_equal(store_watch_next(w1, &e1), 1);
    assert_int_equal(store_watch_next(w2, &e2), 1);
    assert_ptr_equal(e1, e2);
    assert_string_equal(store_item_value(e1->prev).p, "1");
    assert_null(e1->cache);
    e1->cache = mem_strdup("encoded");
    e1->cache_free = mem_free;
    (void)store_event_ref(e1);
    store_compact(fx->s, store_rev(fx->s));
    assert_string_equal(store_item_value(e1->item).p, "2");
    store_event_unref(e1);
    store_watch_close(w1);
    store_watch_close(w2);
}

struct chain {
    struct fixture *fx;
    struct store_watch *other;
    struct waiter write;
    int calls;
};

static void close_both(struct store_watch *w, void *arg)
{
    struct chain *c = arg;
    c->calls++;
    store_watch_close(w);
    store_watch_close(c->other);
    c->other = NULL;
    waiter_init(&c->write);
    assert_int_equal(
        store_put(c->fx->s, &c->write.req, STR_LIT("pods/a/y"), STR_LIT("from within"), NULL), 0);
}

static void a_ready_callback_may_close_watches_and_write(void **state)
{
    struct fixture *fx = fixture(state);
    struct chain c = {.fx = fx};
    int64_t r = store_rev(fx->s);
    (void)watch(fx, "pods/", r, close_both, &c);
    c.other = watch(fx, "pods/", r, close_both, &c);
    assert_int_equal(put(fx, "pods/a/x", "1", 0), 0);
    assert_int_equal(c.calls, 1);
    assert_int_equal(waiter_wait(fx, &c.write), 0);
    assert_string_equal(get_text(fx, "pods/a/y"), "from within");
}

struct ordered {
    struct store_watch *w;
    struct store *s;
    int64_t last;
    int events, told;
};

static void check_order(struct store_watch *w, void *arg)
{
    struct ordered *o = arg;
    struct store_event *ev;
    o->told++;
    while (store_watch_next(w, &ev) == 1) {
        assert_int_equal(ev->rev, o->last + 1);
        assert_true(ev->rev <= store_rev(o->s));
        o->last = ev->rev;
        o->events++;
    }
}

static void events_come_in_revision_order_without_gaps(void **state)
{
    struct fixture *fx = fixture(state);
    struct ordered o = {.s = fx->s, .last = store_rev(fx->s)};
    o.w = watch(fx, "", o.last, check_order, &o);
    enum { N = 500 };
    struct waiter *w = mem_zalloc(N * sizeof *w);
    for (int i = 0; i < N; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s/a/%d", i % 3 ? "pods" : "leases", i % 17);
        waiter_init(&w[i]);
        struct store_put_opts p = {.expected_rev = ANY, .flags = i % 3 ? 0 : E};
        assert_int_equal(store_put(fx->s, &w[i].req, str_of(key), STR_LIT("v"), &p), 0);
        if (i % 7 == 0) {
            loop_run_ready(fx->loop);
        }
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(waiter_wait(fx, &w[i]), 0);
    }
    assert_int_equal(o.events, N);
    store_watch_close(o.w);
    mem_free(w);
}

/* ---- history bounds ---- */

static void the_history_is_bounded_by_count_when_it_is_old(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    fx->opts.history_count = 10;
    fx->opts.history_age_s = -1;
    fixture_open(fx);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    }
    struct store_info info;
    store_info_get(fx->s, &info);
    assert_int_equal(info.history_events, 10);
    assert_int_equal(info.compacted_rev, info.rev - 10);
    assert_int_equal(try_watch(fx, "pods/", info.rev - 10), 0);
    assert_int_equal(try_watch(fx, "pods/", info.rev - 11), -E_GONE);
}

static void a_young_history_may_be_four_times_as_long(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    fx->opts.history_count = 10;
    fixture_open(fx);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(put(fx, "pods/a/x", "v", ANY), 0);
    }
    struct store_info info;
    store_info_get(fx->s, &info);
    assert_true(info.history_events >= 40 && info.history_events <= 44);
}

static void the_history_is_bounded_by_bytes(void **state)
{
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    fx->opts.history_bytes = 64 << 10;
    fixture_open(fx);
    char big[8 << 10];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    for (int i = 0; i < 30; i++) {
        assert_int_equal(put(fx, "pods/a/x", big, ANY), 0);
    }
    struct store_info info;
    store_info_get(fx->s, &info);
    assert_true(info.history_bytes <= 64 << 10);
    assert_true(info.history_events >= 5 && info.history_events <= 8);
}

/* ---- ephemeral, without the disk's part (store_disk_test.c) ---- */

static void ephemeral_writes_are_published_like_others(void **state)
{
    struct fixture *fx = fixture(state);
    int ready = 0;
    int64_t r = store_rev(fx->s);
    struct store_watch *w = watch(fx, "leases/", r, count_ready, &ready);
    assert_int_equal(put_flags(fx, "leases/a/x", "1", 0, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/x", "2", r + 1, E), 0);
    assert_int_equal(put_flags(fx, "leases/a/x", "3", r + 1, E), -E_CONFLICT);
    assert_int_equal(del(fx, "leases/a/x", "2", r + 2), 0);
    char want[128];
    (void)snprintf(want, sizeof want,
                   "+leases/a/x=1@%" PRId64 " ~leases/a/x=2@%" PRId64 " -leases/a/x=2@%" PRId64,
                   r + 1, r + 2, r + 3);
    assert_string_equal(watch_text(w), want);
    store_watch_close(w);
}

/* ---- closing ---- */

static void closing_completes_what_is_pending_and_refuses_the_rest(void **state)
{
    struct fixture *fx = fixture(state);
    struct waiter a, b;
    waiter_init(&a);
    waiter_init(&b);
    int ready = 0;
    struct store_watch *w = watch(fx, "pods/", store_rev(fx->s), count_ready, &ready);
    assert_int_equal(store_put(fx->s, &a.req, STR_LIT("pods/a/x"), STR_LIT("v"), NULL), 0);
    struct store *s = fx->s;
    struct store_item *kept = store_item_ref(store_get_latest(s, STR_LIT("pods/a/x")));
    store_close(s, NULL, NULL);
    assert_int_equal(store_put(s, &b.req, STR_LIT("pods/a/y"), STR_LIT("v"), NULL), -E_CANCELED);
    fx->s = NULL;
    assert_int_equal(waiter_wait(fx, &a), 0);
    struct store_event *ev;
    while (store_watch_next(w, &ev) != -E_CANCELED) {
        loop_run_once(fx->loop);
    }
    assert_string_equal(store_item_value(kept).p, "v");
    store_item_unref(kept);
    store_watch_close(w);
}

/* ---- the index hook ---- */

static int live_indexes;

static int make_index(void *arg, struct str key, struct str value, void **ret)
{
    (void)key;
    if (str_is(value, "refuse")) {
        return -E_INVALID;
    }
    *ret = str_is(value, "none") ? NULL : mem_printf("%s:" STR_FMT, (char *)arg, STR_ARG(value));
    live_indexes += *ret != NULL;
    return 0;
}

static void free_index(void *index)
{
    live_indexes--;
    mem_free(index);
}

static void items_are_indexed_once_by_the_caller(void **state)
{
    static char name[] = "i";
    static const struct store_index_ops index = {make_index, free_index, name};
    struct fixture *fx = fixture(state);
    assert_int_equal(fixture_close(fx), 0);
    fx->opts.index = &index;
    fixture_open(fx);
    assert_int_equal(put(fx, "pods/a/x", "v", 0), 0);
    assert_int_equal(put(fx, "pods/a/n", "none", 0), 0);
    assert_int_equal(put(fx, "pods/a/y", "refuse", 0), -E_INVALID);
    assert_string_equal(store_get(fx->s, STR_LIT("pods/a/x"))->index, "i:v");
    assert_null(store_get(fx->s, STR_LIT("pods/a/n"))->index);
    assert_int_equal(del(fx, "pods/a/x", "last", ANY), 0);
    assert_int_equal(live_indexes, 2); /* the deleted item and its tombstone, in the history */
    assert_int_equal(fixture_close(fx), 0);
    assert_int_equal(live_indexes, 0);
}

/* ---- out of memory ---- */

static int oom_body(struct fixture *fx)
{
    struct store_op ops[] = {op_put("pods/a/x", "1", ANY), op_put("oom/b", "x", ANY),
                             op_del("pods/a/x", "1", ANY)};
    int code = txn(fx, ops, 3);
    struct store_list l = {0};
    struct store_list_opts o = list_of("");
    code = code ? code : store_list(fx->s, &o, &l);
    store_list_fini(&l);
    struct store_watch *w = NULL;
    int ready = 0;
    code = code ? code
                : store_watch_open(fx->s, STR_LIT("oom/"), store_rev(fx->s) - 1, count_ready,
                                   &ready, &w);
    store_watch_close(w);
    return code;
}

static void running_out_of_memory_anywhere_leaves_the_store_whole(void **state)
{
    struct fixture *fx = fixture(state);
    if (fx->on_disk) {
        skip(); /* fault injection counts allocations of one thread only */
    }
    int code = -ENOMEM;
    unsigned long n = 0;
    while (code == -ENOMEM) {
        int64_t rev = store_rev(fx->s), next = store_next_rev(fx->s);
        (void)mem_fail_at(++n);
        code = oom_body(fx);
        (void)mem_fail_at(0);
        assert_true(code == 0 || code == -ENOMEM);
        bool written = store_rev(fx->s) == rev + 3;
        assert_true(written || (store_rev(fx->s) == rev && store_next_rev(fx->s) == next));
        assert_int_equal(store_count(fx->s, STR_LIT("pods/")), 0);
        struct store_info info;
        store_info_get(fx->s, &info);
        assert_int_equal(info.pending, 0);
    }
    assert_true(n > 10);
}

/* ---- the suite ---- */

static int set_up(void **state, bool on_disk)
{
    struct fixture *fx = mem_zalloc(sizeof *fx);
    assert_non_null(fx);
    fixture_init(fx, on_disk);
    fixture_open(fx);
    *state = fx;
    return 0;
}

static int set_up_memory(void **state)
{
    return set_up(state, false);
}

static int set_up_sqlite(void **state)
{
    return set_up(state, true);
}

static int tear_down(void **state)
{
    fixture_fini(*state);
    mem_free(*state);
    return 0;
}

#define SCENARIOS(X)                                                      \
    X(a_put_is_read_back_with_its_revisions)                              \
    X(an_empty_value_is_a_value)                                          \
    X(compare_and_swap_refuses_what_is_not_the_newest)                    \
    X(compare_and_swap_sees_writes_that_are_pending)                      \
    X(a_hundred_pending_patches_of_one_key_all_succeed_in_order)          \
    X(the_next_revision_is_known_before_the_put)                          \
    X(bad_keys_and_arguments_are_refused)                                 \
    X(writes_beyond_the_queue_limit_are_refused_as_busy)                  \
    X(origin_is_kept)                                                     \
    X(a_cancelled_request_is_not_called_but_written)                      \
    X(a_barrier_comes_after_what_was_submitted_before)                    \
    X(a_transaction_happens_whole_with_consecutive_revisions)             \
    X(a_transaction_with_one_conflict_leaves_no_trace)                    \
    X(later_operations_of_a_transaction_see_the_earlier)                  \
    X(a_list_is_sorted_and_bounded_by_its_prefix)                         \
    X(pages_of_a_list_show_one_revision_whatever_happens_between)         \
    X(a_list_at_an_older_revision_is_as_it_was)                           \
    X(a_list_at_a_compacted_revision_is_gone)                             \
    X(items_of_a_list_outlive_their_deletion)                             \
    X(a_watch_sees_what_comes_after_its_revision)                         \
    X(a_watch_is_told_once_until_it_is_drained)                           \
    X(a_watch_that_is_drained_before_its_turn_is_woken_by_the_next_event) \
    X(a_watch_is_not_woken_by_others_keys)                                \
    X(a_watch_from_the_future_is_out_of_range)                            \
    X(a_watch_from_a_compacted_revision_is_gone)                          \
    X(a_slow_watch_that_falls_off_the_history_is_gone)                    \
    X(an_event_carries_the_item_before_and_one_cache_for_all)             \
    X(a_ready_callback_may_close_watches_and_write)                       \
    X(events_come_in_revision_order_without_gaps)                         \
    X(the_history_is_bounded_by_count_when_it_is_old)                     \
    X(a_young_history_may_be_four_times_as_long)                          \
    X(the_history_is_bounded_by_bytes)                                    \
    X(ephemeral_writes_are_published_like_others)                         \
    X(closing_completes_what_is_pending_and_refuses_the_rest)             \
    X(items_are_indexed_once_by_the_caller)                               \
    X(running_out_of_memory_anywhere_leaves_the_store_whole)

int main(void)
{
#define MEMORY(f) {"memory: " #f, f, set_up_memory, tear_down, NULL},
#define SQLITE(f) {"sqlite: " #f, f, set_up_sqlite, tear_down, NULL},
    const struct CMUnitTest tests[] = {SCENARIOS(MEMORY) SCENARIOS(SQLITE)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The work queue: once each, never twice at a time, delays, back-off. */
#include "workqueue.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/loop.h"

struct seen {
    struct workqueue *q;
    char keys[1024]; /* "a b a " in the order of handing out */
    bool hold;       /* do not call done */
};

static struct io_loop *loop;
static struct seen seen;

static void work(void *arg, const char *key)
{
    struct seen *s = arg;
    (void)strncat(s->keys, key, sizeof(s->keys) - strlen(s->keys) - 2);
    (void)strncat(s->keys, " ", 2);
    if (!s->hold) {
        workqueue_done(s->q, key);
    }
}

static int setup(void **state)
{
    struct err err;
    seen = (struct seen){0};
    assert_int_equal(loop_new(&loop, &err), 0);
    seen.q = workqueue_new(loop, 2, work, &seen);
    return 0;
}

static int teardown(void **state)
{
    workqueue_free(seen.q);
    loop_free(loop);
    return 0;
}

static void run_for(int64_t ms)
{
    int64_t end = mono_now().us + ms * 1000;
    do {
        loop_run_ready(loop);
    } while (mono_now().us < end);
}

static void a_key_is_handed_out_once_however_often_it_was_added(void **state)
{
    workqueue_add(seen.q, "a");
    workqueue_add(seen.q, "b");
    workqueue_add(seen.q, "a");
    assert_string_equal(seen.keys, "");
    run_for(1);
    assert_string_equal(seen.keys, "a b ");
    assert_int_equal(workqueue_len(seen.q), 0);
}

static void a_key_that_is_out_comes_back_only_after_done(void **state)
{
    seen.hold = true;
    workqueue_add(seen.q, "a");
    run_for(1);
    workqueue_add(seen.q, "a");
    workqueue_add(seen.q, "a");
    run_for(1);
    assert_string_equal(seen.keys, "a ");
    workqueue_done(seen.q, "a");
    run_for(1);
    assert_string_equal(seen.keys, "a a ");
    workqueue_done(seen.q, "a");
    run_for(1);
    assert_string_equal(seen.keys, "a a ");
}

static void no_more_keys_are_out_than_there_are_workers(void **state)
{
    seen.hold = true;
    workqueue_add(seen.q, "a");
    workqueue_add(seen.q, "b");
    workqueue_add(seen.q, "c");
    run_for(1);
    assert_string_equal(seen.keys, "a b ");
    workqueue_done(seen.q, "b");
    run_for(1);
    assert_string_equal(seen.keys, "a b c ");
}

static void the_earliest_delay_wins(void **state)
{
    workqueue_add_after(seen.q, "a", 5000);
    workqueue_add_after(seen.q, "a", 10);
    workqueue_add_after(seen.q, "a", 3000);
    run_for(2);
    assert_string_equal(seen.keys, "");
    run_for(40);
    assert_string_equal(seen.keys, "a ");
}

static void retries_wait_longer_each_time_until_forgotten(void **state)
{
    for (int i = 0; i < 6; i++) {
        workqueue_retry(seen.q, "a"); /* 5 10 20 40 80 160: the first timer stands */
    }
    run_for(30);
    assert_string_equal(seen.keys, "a ");
    workqueue_retry(seen.q, "a"); /* 320 */
    run_for(60);
    assert_string_equal(seen.keys, "a ");
    workqueue_forget(seen.q, "a");
    workqueue_add_after(seen.q, "a", 0);
    workqueue_retry(seen.q, "b");
    run_for(30);
    assert_string_equal(seen.keys, "a a b ");
}

static void a_paused_queue_gathers(void **state)
{
    workqueue_pause(seen.q, true);
    workqueue_add(seen.q, "a");
    run_for(2);
    assert_string_equal(seen.keys, "");
    workqueue_pause(seen.q, false);
    run_for(2);
    assert_string_equal(seen.keys, "a ");
}

static void lack_of_memory_loses_a_key_but_nothing_else(void **state)
{
    for (unsigned long n = 1; n <= 4; n++) {
        (void)mem_fail_at(n);
        workqueue_add(seen.q, "x");
        workqueue_add_after(seen.q, "y", 0);
        (void)mem_fail_at(0);
        run_for(2);
    }
    seen.keys[0] = '\0';
    workqueue_add(seen.q, "a");
    run_for(2);
    assert_string_equal(seen.keys, "a ");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_handed_out_once_however_often_it_was_added),
        TEST(a_key_that_is_out_comes_back_only_after_done),
        TEST(no_more_keys_are_out_than_there_are_workers),
        TEST(the_earliest_delay_wins),
        TEST(retries_wait_longer_each_time_until_forgotten),
        TEST(a_paused_queue_gathers),
        TEST(lack_of_memory_loses_a_key_but_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Timing wheels against a sorted list of random timers. */
#include "wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

struct alarm {
    struct wheel_timer timer; /* first */
    int64_t fired_at;
    int64_t order;
    bool again;
};

static int64_t fired;
static struct wheel *wheel;

static void on_fire(struct wheel_timer *t, int64_t now_us)
{
    struct alarm *a = (struct alarm *)t;
    a->fired_at = now_us;
    a->order = ++fired;
    if (a->again) {
        wheel_arm(wheel, t, 0, on_fire);
    }
}

static void timers_fire_in_order_and_never_early(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srandom(seed);
    for (int round = 0; round < 200; round++) {
        int64_t now = (random() % 3 == 0 ? -1 : 1) * (int64_t)random() * (random() % 5000);
        wheel = wheel_new(now);
        enum { N = 300 };
        static struct alarm alarms[N];
        for (int i = 0; i < N; i++) {
            alarms[i] = (struct alarm){0};
            int64_t span = (int64_t)1 << (random() % 46);
            wheel_arm(wheel, &alarms[i].timer, now + 1 + random() * (int64_t)7919 % span, on_fire);
        }
        for (int i = 0; i < N; i += 7) {
            wheel_cancel(wheel, &alarms[i].timer);
        }
        fired = 0;
        int64_t before = now;
        while (fired < N - (N + 6) / 7) {
            int64_t next = wheel_next(wheel);
            assert_true(next < INT64_MAX);
            before = now;
            now = next > now ? next : now;
            now += random() % 3 ? 0 : random() % 100000000;
            for (int i = 0; i < N; i++) {
                if (alarms[i].timer.armed) {
                    assert_true(alarms[i].timer.due_us > next - 1000);
                }
            }
            int64_t from = fired;
            wheel_turn(wheel, now);
            for (int i = 0; i < N; i++) {
                struct alarm *a = &alarms[i];
                if (a->order > from) {
                    assert_true(a->timer.due_us <= now && a->timer.due_us > before - 1000);
                    for (int k = 0; k < N; k++) {
                        if (alarms[k].order > a->order) {
                            assert_true(alarms[k].timer.due_us / 1000 >=
                                        a->timer.due_us / 1000 - 1);
                        }
                    }
                } else if (a->timer.armed) {
                    assert_true(a->timer.due_us > now - 1000);
                }
            }
        }
        assert_true(wheel_next(wheel) == INT64_MAX);
        wheel_free(wheel);
    }
}

static void a_timer_armed_for_the_past_fires_at_the_next_turn(void **state)
{
    (void)state;
    wheel = wheel_new(5000000);
    struct alarm a = {.again = true};
    wheel_arm(wheel, &a.timer, 1000, on_fire);
    fired = 0;
    wheel_turn(wheel, 5000000);
    assert_int_equal(fired, 1);
    wheel_turn(wheel, 5000000);
    assert_int_equal(fired, 2);
    a.again = false;
    wheel_turn(wheel, 9000000);
    assert_int_equal(fired, 3);
    assert_false(a.timer.armed);
    wheel_arm(wheel, &a.timer, 10000000, on_fire);
    wheel_arm(wheel, &a.timer, 20000000, on_fire);
    wheel_turn(wheel, 15000000);
    assert_int_equal(fired, 3);
    wheel_free(wheel);
    assert_false(a.timer.armed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_and_never_early),
        cmocka_unit_test(a_timer_armed_for_the_past_fires_at_the_next_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: what is accepted, what is said of the rest, and when they come. */
#include "cron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"

static struct wall at(const char *text)
{
    struct wall t;
    assert_int_equal(time_parse(str_of(text), &t), 0);
    return t;
}

static struct cron parsed(const char *text)
{
    struct cron c = {0};
    struct err err = {0};
    if (cron_parse(str_of(text), &c, &err) < 0) {
        fail_msg("'%s': %s", text, err.text);
    }
    return c;
}

static void a_schedule_comes_at_its_next_time(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *after, *next;
    } cases[] = {
        {"* * * * *", "2026-11-21T05:33:27Z", "2026-11-21T05:34:00Z"},
        {"* * * * *", "2026-11-21T05:34:00Z", "2026-11-21T05:35:00Z"},
        {"*/15 * * * *", "2026-11-21T05:33:27Z", "2026-11-21T05:45:00Z"},
        {"5/20 * * * *", "2026-11-21T05:33:27Z", "2026-11-21T05:45:00Z"},
        {"0 0 * * *", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"},
        {"30 4 1,15 * *", "2026-11-21T05:33:27Z", "2026-12-01T04:30:00Z"},
        {"0 12 * jan-mar MON", "2026-11-21T05:33:27Z", "2027-01-04T12:00:00Z"},
        {"0 0 13 * 5", "2026-11-21T00:00:00Z", "2026-11-27T00:00:00Z"}, /* either day */
        {"0 0 29 2 ?", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"0 0 1-7/2 * *", "2026-11-03T00:00:00Z", "2026-11-05T00:00:00Z"},
        {"@hourly", "2026-11-21T05:33:27Z", "2026-11-21T06:00:00Z"},
        {"@weekly", "2026-11-21T05:33:27Z", "2026-11-22T00:00:00Z"},
        {"@yearly", "2026-11-21T05:33:27Z", "2027-01-01T00:00:00Z"},
        {"@every 1h30m", "2026-11-21T05:33:27Z", "2026-11-21T07:03:27Z"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cron c = parsed(cases[i].spec);
        struct wall next = {0};
        char text[TIME_TEXT_SIZE];
        assert_true(cron_next(&c, NULL, at(cases[i].after), &next));
        assert_string_equal(time_text(next, text), cases[i].next);
    }
}

static void a_day_that_never_comes_is_told(void **state)
{
    (void)state;
    struct cron c = parsed("0 0 30 2 *");
    struct wall next;
    assert_false(cron_next(&c, NULL, at("2026-01-01T00:00:00Z"), &next));
}

static void wrong_schedules_are_refused_in_known_words(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *why;
    } cases[] = {
        {"", "empty spec string"},
        {"* * * *", "expected exactly 5 fields, found 4: [* * * *]"},
        {"error", "expected exactly 5 fields, found 1: [error]"},
        {"60 * * * *", "end of range (60) above maximum (59): 60"},
        {"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
        {"* * * * 7", "end of range (7) above maximum (6): 7"},
        {"9-5 * * * *", "beginning of range (9) beyond end of range (5): 9-5"},
        {"1-2-3 * * * *", "too many hyphens: 1-2-3"},
        {"1/2/3 * * * *", "too many slashes: 1/2/3"},
        {"*/0 * * * *", "step of range should be a positive number: */0"},
        {"* * * foo *",
         "failed to parse int from foo: strconv.Atoi: parsing \"foo\": invalid syntax"},
        {"@often", "unrecognized descriptor: @often"},
        {"@every x", "failed to parse duration @every x: time: invalid duration \"x\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cron c;
        struct err err = {0};
        assert_int_equal(cron_parse(str_of(cases[i].spec), &c, &err), -E_INVAL);
        assert_string_equal(err.text, cases[i].why);
    }
}

/* Berlin's rule: 02:00 does not exist on 29 March 2026, and is there twice on 25 October. */
static struct zone *berlin(void)
{
    static const char head[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
                               "\0\0\x0e\x10\0\0CET";
    char bytes[256];
    struct zone *z = NULL;
    size_t n = sizeof(head);
    memcpy(bytes, head, n);
    memcpy(bytes + n, head, n);
    static const char footer[] = "\nCET-1CEST,M3.5.0,M10.5.0/3\n";
    memcpy(bytes + 2 * n, footer, sizeof(footer) - 1);
    assert_int_equal(zone_parse(str_n(bytes, 2 * n + sizeof(footer) - 1), &z), 0);
    return z;
}

static void summer_time_moves_schedules_with_the_clock(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *after, *next;
    } cases[] = {
        {"0 6 * * *", "2026-03-28T12:00:00Z", "2026-03-29T04:00:00Z"},
        {"0 6 * * *", "2026-10-24T12:00:00Z", "2026-10-25T05:00:00Z"},
        {"30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"}, /* skipped on the 29th */
        {"0 0 * * *", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
        {"0 0 * * *", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
    };
    struct zone *z = berlin();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cron c = parsed(cases[i].spec);
        struct wall next = {0};
        char text[TIME_TEXT_SIZE];
        assert_true(cron_next(&c, z, at(cases[i].after), &next));
        assert_string_equal(time_text(next, text), cases[i].next);
    }
    zone_free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_schedule_comes_at_its_next_time),
        cmocka_unit_test(a_day_that_never_comes_is_told),
        cmocka_unit_test(wrong_schedules_are_refused_in_known_words),
        cmocka_unit_test(summer_time_moves_schedules_with_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

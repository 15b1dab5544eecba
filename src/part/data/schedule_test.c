/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of rules: what is refused, and when a rule runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "schedule.h"

static struct schedule *read_in(const char *zone, const char *options, struct err *err)
{
    struct arena a;
    struct json *j = NULL;
    struct zone *z = NULL;
    struct schedule *s = NULL;
    *err = (struct err){0};
    arena_init(&a, 0);
    assert_int_equal(json_parse(&a, str_of(options), NULL, &j, err), 0);
    assert_int_equal(zone ? zone_load(zone, &z, err) : 0, 0);
    int rc = schedule_read(j, z, &s, err);
    assert_int_equal(rc < 0, err->code < 0);
    arena_fini(&a);
    return s;
}

static struct schedule *read_ok(const char *zone, const char *options)
{
    struct err err;
    struct schedule *s = read_in(zone, options, &err);
    if (!s) {
        fail_msg("%s: %s", options, err.text);
    }
    return s;
}

static int64_t at(const char *text)
{
    struct wall w = {0};
    assert_int_equal(time_parse(str_of(text), &w), 0);
    return w.us;
}

static void looks(const struct schedule *s, const char *now, bool running, const char *until,
                  const char *next)
{
    struct schedule_now n = schedule_look(s, at(now), 0);
    assert_int_equal(n.running, running);
    assert_int_equal(n.until_us, until ? at(until) : INT64_MAX);
    assert_int_equal(n.next_us, next ? at(next) : 0);
}

static void options_without_a_schedule_have_none(void **state)
{
    struct err err;
    (void)state;
    assert_null(read_in(NULL, "{}", &err));
    assert_null(
        read_in(NULL, "{\"cron\": \"\", \"duration\": \"\", \"cronDatetimeRange\": []}", &err));
    assert_int_equal(err.code, 0);
}

static void a_rule_runs_from_each_time_for_the_duration(void **state)
{
    struct schedule *s = read_ok(NULL, "{\"cron\": \"0 * * * *\", \"duration\": \"30m\"}");
    (void)state;
    looks(s, "2026-03-01T10:00:00Z", true, "2026-03-01T10:30:00Z", "2026-03-01T11:00:00Z");
    looks(s, "2026-03-01T10:29:59.5Z", true, "2026-03-01T10:30:00Z", "2026-03-01T11:00:00Z");
    looks(s, "2026-03-01T10:30:00Z", false, "2026-03-01T11:00:00Z", "2026-03-01T11:00:00Z");
    looks(s, "2026-03-01T23:59:59.9Z", false, "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z");
    schedule_free(s);
}

static void runs_that_overlap_never_end(void **state)
{
    struct schedule *s = read_ok(NULL, "{\"cron\": \"0 * * * *\", \"duration\": \"2h\"}");
    (void)state;
    looks(s, "2026-03-01T10:30:00Z", true, "2026-03-01T11:00:00Z", "2026-03-01T11:00:00Z");
    looks(s, "2026-03-01T11:00:00Z", true, "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z");
    schedule_free(s);
}

static void times_are_those_of_the_zone(void **state)
{
    struct schedule *s =
        read_ok("Asia/Shanghai", "{\"cron\": \"30 8 * * 1-5\", \"duration\": \"1h\"}");
    (void)state;
    looks(s, "2026-03-06T00:45:00Z", true, "2026-03-06T01:30:00Z", "2026-03-09T00:30:00Z");
    schedule_free(s);
    s = read_ok("Europe/Berlin", "{\"cronDatetimeRange\": [{\"begin\": \"2026-03-28 12:00:00\", "
                                 "\"end\": \"2026-03-29 12:00:00\"}]}");
    looks(s, "2026-03-28T10:59:00Z", false, "2026-03-28T11:00:00Z", "2026-03-28T11:00:00Z");
    looks(s, "2026-03-28T11:00:00Z", true, "2026-03-29T10:00:00Z", NULL); /* summer time began */
    schedule_free(s);
}

static void a_rule_runs_within_its_ranges_and_then_is_over(void **state)
{
    struct schedule *s =
        read_ok(NULL, "{\"cronDatetimeRange\": [{\"begin\": \"2026-06-26 10:00:00\", \"end\": "
                      "\"2026-06-26 20:00:00\"}, {\"beginTimestamp\": 1801401478000, "
                      "\"endTimestamp\": 1801401578000}]}");
    (void)state;
    looks(s, "2026-06-26T09:00:00Z", false, "2026-06-26T10:00:00Z", "2026-06-26T10:00:00Z");
    looks(s, "2026-06-26T12:00:00Z", true, "2026-06-26T20:00:00Z", "2027-01-31T13:17:58Z");
    looks(s, "2026-06-26T20:00:00Z", false, "2027-01-31T13:17:58Z", "2027-01-31T13:17:58Z");
    struct schedule_now n = schedule_look(s, INT64_C(1801401578000000), 0);
    assert_true(n.over && !n.running && n.until_us == INT64_MAX);
    assert_string_equal(n.reason, "schedule terminated");
    schedule_free(s);
}

static void a_cron_counts_within_its_ranges_only(void **state)
{
    struct schedule *s =
        read_ok(NULL, "{\"cron\": \"0 * * * *\", \"duration\": \"10m\", \"cronDatetimeRange\": "
                      "[{\"begin\": \"2026-06-26 10:05:00\", \"end\": \"2026-06-26 12:03:00\"}]}");
    (void)state;
    looks(s, "2026-06-26T09:02:00Z", false, "2026-06-26T10:05:00Z", "2026-06-26T10:05:00Z");
    looks(s, "2026-06-26T10:05:00Z", true, "2026-06-26T10:10:00Z", "2026-06-26T11:00:00Z");
    looks(s, "2026-06-26T12:00:00Z", true, "2026-06-26T12:03:00Z", NULL);
    schedule_free(s);
}

static void a_duration_alone_runs_once(void **state)
{
    struct schedule *s = read_ok(NULL, "{\"duration\": \"90s\"}");
    (void)state;
    struct schedule_now n = schedule_look(s, 1000000, 500000);
    assert_true(n.running && !n.over && n.until_us == 90500000);
    n = schedule_look(s, 90500000, 500000);
    assert_true(!n.running && n.over);
    assert_string_equal(n.reason, "duration terminated");
    schedule_free(s);
}

static void a_time_that_never_comes_waits_for_ever(void **state)
{
    struct schedule *s = read_ok(NULL, "{\"cron\": \"0 0 30 2 *\", \"duration\": \"1h\"}");
    (void)state;
    looks(s, "2026-06-26T12:00:00Z", false, NULL, NULL);
    schedule_free(s);
}

static void what_is_wrong_is_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *options, *said;
    } wrong[] = {
        {"{\"cron\": \"0 * * * *\"}", "needs option duration"},
        {"{\"cron\": \"61 * * * *\", \"duration\": \"1m\"}", "option cron: end of range (61)"},
        {"{\"cron\": \"@every 1h\", \"duration\": \"1m\"}", "no fixed times"},
        {"{\"cron\": 5}", "option cron: not a text"},
        {"{\"duration\": \"soon\"}", "'soon' is no duration"},
        {"{\"duration\": \"-1m\"}", "is no duration"},
        {"{\"cronDatetimeRange\": {}}", "not a list"},
        {"{\"cronDatetimeRange\": [5]}", "begin '' is not a time"},
        {"{\"cronDatetimeRange\": [{\"begin\": \"2026-06-26\", \"end\": \"2026-06-27\"}]}",
         "begin '2026-06-26' is not a time"},
        {"{\"cronDatetimeRange\": [{\"beginTimestamp\": 2, \"endTimestamp\": 1}]}",
         "begin time shouldn't after end time"},
        {"{\"duration\": \"1m\", \"cronDatetimeRange\": [{\"beginTimestamp\": 1, "
         "\"endTimestamp\": 2}]}",
         "needs option cron"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct err err;
        assert_null(read_in(NULL, wrong[i].options, &err));
        if (!strstr(err.text, wrong[i].said)) {
            fail_msg("%s: %s", wrong[i].options, err.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_without_a_schedule_have_none),
        cmocka_unit_test(a_rule_runs_from_each_time_for_the_duration),
        cmocka_unit_test(runs_that_overlap_never_end),
        cmocka_unit_test(times_are_those_of_the_zone),
        cmocka_unit_test(a_rule_runs_within_its_ranges_and_then_is_over),
        cmocka_unit_test(a_cron_counts_within_its_ranges_only),
        cmocka_unit_test(a_duration_alone_runs_once),
        cmocka_unit_test(a_time_that_never_comes_waits_for_ever),
        cmocka_unit_test(what_is_wrong_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

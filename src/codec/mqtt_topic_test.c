/* SPDX-License-Identifier: Apache-2.0 */
/* Topics and filters: the examples of MQTT 5.0, section 4.7, and sets against single filters. */
#include "mqtt_topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

static struct str s(const char *text)
{
    return str_of(text);
}

static void filters_are_checked(void **state)
{
    static const char *const good[] = {"#",        "+",      "/",     "a",
                                       "a/b",      "a//b",   "+/a/#", "sport/tennis/#",
                                       "/finance", "$SYS/#", "a/+/b"};
    static const char *const bad[] = {"",   "a#",   "a/b#", "#/a", "a/#/b",
                                      "a+", "+a/b", "\xff", "a/+b"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(mqtt_filter_valid(s(good[i])));
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_false(mqtt_filter_valid(s(bad[i])));
    }
    assert_false(mqtt_filter_valid(str_n("a\0b", 3)));
    assert_true(mqtt_topic_valid(s("a/b")));
    assert_false(mqtt_topic_valid(s("a/+")));
    assert_false(mqtt_topic_valid(s("#")));
}

static const struct {
    const char *filter, *topic;
    bool matches;
} cases[] = {
    {"sport/tennis/player1/#", "sport/tennis/player1", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
    {"sport/tennis/player1/#", "sport/tennis/player10", false},
    {"sport/#", "sport", true},
    {"#", "a", true},
    {"#", "/", true},
    {"#", "$SYS/x", false},
    {"+/monitor/Clients", "$SYS/monitor/Clients", false},
    {"$SYS/#", "$SYS/x", true},
    {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
    {"sport/tennis/+", "sport/tennis/player1", true},
    {"sport/tennis/+", "sport/tennis/player1/ranking", false},
    {"sport/+", "sport", false},
    {"sport/+", "sport/", true},
    {"+/+", "/finance", true},
    {"/+", "/finance", true},
    {"+", "/finance", false},
    {"+/b/#", "a/b", true},
    {"a/+/c/+/e", "a/b/c/d/e", true},
    {"a/+/c/+/e", "a/b/c/d/f", false},
};

static void a_filter_matches_as_the_specification_says(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct mqtt_topic_set *set = mqtt_topic_set_new();
        assert_non_null(set);
        assert_int_equal(mqtt_topic_set_add(set, s(cases[i].filter)), 0);
        bool one = mqtt_filter_matches(s(cases[i].filter), s(cases[i].topic));
        bool all = mqtt_topic_set_matches(set, s(cases[i].topic));
        if (one != cases[i].matches || all != cases[i].matches) {
            fail_msg("%s %s: %d %d", cases[i].filter, cases[i].topic, one, all);
        }
        mqtt_topic_set_free(set);
    }
}

static void covering_and_overlapping_filters_are_told_apart(void **state)
{
    assert_true(mqtt_filter_covers(s("a/#"), s("a/+/b")));
    assert_true(mqtt_filter_covers(s("a/#"), s("a/#")));
    assert_true(mqtt_filter_covers(s("a/+"), s("a/+")));
    assert_false(mqtt_filter_covers(s("a/+"), s("a/#")));
    assert_false(mqtt_filter_covers(s("a/b"), s("a/+")));
    assert_false(mqtt_filter_covers(s("#"), s("$SYS/#")));
    assert_true(mqtt_filter_overlaps(s("a/b"), s("a/+")));
    assert_true(mqtt_filter_overlaps(s("#"), s("a/+")));
    assert_true(mqtt_filter_overlaps(s("a/+/c"), s("a/b/+")));
    assert_true(mqtt_filter_overlaps(s("a"), s("a/#")));
    assert_true(mqtt_filter_overlaps(s("a/#"), s("a")));
    assert_false(mqtt_filter_overlaps(s("a/b"), s("a/c/#")));
    assert_false(mqtt_filter_overlaps(s("#"), s("$SYS/x")));
    assert_false(mqtt_filter_overlaps(s("a/b"), s("a/b/c")));
    assert_true(str_is(mqtt_filter_unshared(s("$share/g/a/b")), "a/b"));
    assert_true(str_is(mqtt_filter_unshared(s("$share/g")), "$share/g"));
}

/* A small random topic or filter: 1 to 5 levels of 3 names. */
static void random_text(unsigned *seed, bool wild, char *out, size_t size)
{
    static const char *const levels[] = {"a", "b", "", "$x", "+", "#"};
    size_t n = 1 + (size_t)rand_r(seed) % 5, at = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned pick = (unsigned)rand_r(seed) % (wild ? (i + 1 == n ? 6u : 5u) : 4u);
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? "/" : "", levels[pick]);
    }
}

static void a_set_matches_what_one_of_its_filters_matches(void **state)
{
    unsigned seed = 20261121;
    for (int round = 0; round < 300; round++) {
        char filters[20][32], topic[32];
        struct mqtt_topic_set *set = mqtt_topic_set_new();
        assert_non_null(set);
        for (size_t i = 0; i < 20; i++) {
            random_text(&seed, /* wild= */ true, filters[i], sizeof(filters[i]));
            int code = mqtt_topic_set_add(set, s(filters[i]));
            assert_int_equal(code, mqtt_filter_valid(s(filters[i])) ? 0 : -E_INVAL);
        }
        for (int t = 0; t < 50; t++) {
            random_text(&seed, /* wild= */ false, topic, sizeof(topic));
            bool want = false;
            for (size_t i = 0; i < 20; i++) {
                want |= mqtt_filter_valid(s(filters[i])) &&
                        mqtt_filter_matches(s(filters[i]), s(topic));
            }
            assert_int_equal(mqtt_topic_set_matches(set, s(topic)), want);
        }
        mqtt_topic_set_free(set);
    }
}

static void deep_filters_are_bounded(void **state)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    for (int i = 0; i < LIMIT_MQTT_LEVELS; i++) {
        assert_int_equal(buf_puts(&b, i ? "/+" : "+"), 0);
    }
    struct mqtt_topic_set *set = mqtt_topic_set_new();
    assert_non_null(set);
    assert_int_equal(mqtt_topic_set_add(set, buf_str(&b)), 0);
    assert_int_equal(mqtt_topic_set_len(set), 1);
    assert_true(mqtt_topic_set_matches(set, str_n("////////////////////////////////////////"
                                                  "////////////////////////////////////////"
                                                  "////////////////////////////////////////"
                                                  "////////////////////////////////////////"
                                                  "///////////////////////////////////////",
                                                  199)));
    assert_int_equal(buf_puts(&b, "/+"), 0);
    assert_int_equal(mqtt_topic_set_add(set, buf_str(&b)), -E_LIMIT);
    mqtt_topic_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_are_checked),
        cmocka_unit_test(a_filter_matches_as_the_specification_says),
        cmocka_unit_test(covering_and_overlapping_filters_are_told_apart),
        cmocka_unit_test(a_set_matches_what_one_of_its_filters_matches),
        cmocka_unit_test(deep_filters_are_bounded),
    };
    return cmocka_run_group_tests_name("mqtt_topic", tests, NULL, NULL);
}

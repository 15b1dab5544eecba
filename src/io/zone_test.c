/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones: tables, rules for the years behind them, and files that are none. */
#include "zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

static int64_t at(const char *text)
{
    struct wall t;
    assert_int_equal(time_parse(str_of(text), &t), 0);
    return t.us / 1000000;
}

static void put32(struct buf *b, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        buf_putc(b, (char)(v >> shift));
    }
}

static void put_header(struct buf *b, uint32_t times, uint32_t types)
{
    buf_puts(b, "TZif2");
    for (int i = 0; i < 15; i++) {
        buf_putc(b, '\0');
    }
    uint32_t counts[] = {0, 0, 0, times, types, 4};
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        put32(b, counts[i]);
    }
}

/* One change at 2000-01-01 from +00:00 to +02:00, then the footer's rule. */
static void make(struct buf *b, const char *footer)
{
    put_header(b, 0, 1);
    put32(b, 0);
    buf_putc(b, '\0');
    buf_putc(b, '\0');
    (void)buf_append_str(b, str_n("LMT", 4));
    put_header(b, 1, 2);
    put32(b, 0);
    put32(b, 946684800);
    buf_putc(b, 1);
    put32(b, 0);
    (void)buf_append_str(b, str_n("\0\0", 2));
    put32(b, 7200);
    (void)buf_append_str(b, str_n("\0\0", 2));
    (void)buf_append_str(b, str_n("LMT", 4));
    buf_printf(b, "\n%s\n", footer);
}

static struct zone *zone(const char *footer)
{
    struct zone *z = NULL;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    make(&b, footer);
    assert_int_equal(zone_parse(buf_str(&b), &z), 0);
    return z;
}

static void the_table_counts_until_its_last_change(void **state)
{
    (void)state;
    struct zone *z = zone("");
    assert_int_equal(zone_offset(z, at("1999-12-31T23:59:59Z")), 0);
    assert_int_equal(zone_offset(z, at("2000-01-01T00:00:00Z")), 7200);
    assert_int_equal(zone_offset(z, at("2300-01-01T00:00:00Z")), 7200);
    zone_free(z);
    assert_int_equal(zone_offset(NULL, 0), 0);
}

static void the_footer_says_when_summer_begins_and_ends(void **state)
{
    (void)state;
    struct zone *z = zone("CET-1CEST,M3.5.0,M10.5.0/3");
    assert_int_equal(zone_offset(z, at("2026-03-29T00:59:59Z")), 3600);
    assert_int_equal(zone_offset(z, at("2026-03-29T01:00:00Z")), 7200);
    assert_int_equal(zone_offset(z, at("2026-10-25T00:59:59Z")), 7200);
    assert_int_equal(zone_offset(z, at("2026-10-25T01:00:00Z")), 3600);
    zone_free(z);
}

static void summer_lies_over_new_year_in_the_south(void **state)
{
    (void)state;
    struct zone *z = zone("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0");
    assert_int_equal(zone_offset(z, at("2026-01-15T00:00:00Z")), 39600);
    assert_int_equal(zone_offset(z, at("2026-07-15T00:00:00Z")), 37800);
    zone_free(z);
}

static void days_of_the_year_may_count_29_february_or_not(void **state)
{
    (void)state;
    struct zone *z = zone("AAA0BBB,J60/0,300/0");
    assert_int_equal(zone_offset(z, at("2028-02-29T12:00:00Z")), 0);
    assert_int_equal(zone_offset(z, at("2028-03-01T00:00:00Z")), 3600);
    zone_free(z);
}

static void other_bytes_are_refused(void **state)
{
    (void)state;
    static const char *const footers[] = {
        "C", "CET", "CET-1CEST", "CET-1CEST,M13.1.0,M1.1.0", "CET-1CEST,M3.5.0,M10.5.0x", "<CET-1"};
    struct zone *z = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(footers); i++) {
        CLEANUP(buf_finip) struct buf b = BUF_INIT;
        make(&b, footers[i]);
        assert_int_equal(zone_parse(buf_str(&b), &z), -E_INVAL);
    }
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    make(&b, "CET-1CEST,M3.5.0,M10.5.0/3");
    for (size_t n = 0; n + 1 < buf_len(&b); n++) {
        assert_int_equal(zone_parse(str_n(buf_data(&b), n), &z), -E_INVAL);
    }
    assert_null(z);
}

static void a_name_stays_inside_the_database(void **state)
{
    (void)state;
    static const char *const names[] = {"", "/etc/passwd", "../passwd", "No/Such_Zone", "a\\b"};
    struct zone *z = NULL;
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(zone_load(names[i], &z, &err), -E_NOENT);
    }
    assert_string_equal(err.text, "unknown time zone a\\b");
    assert_int_equal(zone_load("UTC", &z, &err), 0);
    assert_int_equal(zone_offset(z, 1), 0);
    zone_free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_counts_until_its_last_change),
        cmocka_unit_test(the_footer_says_when_summer_begins_and_ends),
        cmocka_unit_test(summer_lies_over_new_year_in_the_south),
        cmocka_unit_test(days_of_the_year_may_count_29_february_or_not),
        cmocka_unit_test(other_bytes_are_refused),
        cmocka_unit_test(a_name_stays_inside_the_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

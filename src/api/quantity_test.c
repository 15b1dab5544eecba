/* SPDX-License-Identifier: Apache-2.0 */
/* Quantities: what Kubernetes accepts, how it prints it, exact sums. */
#include "quantity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"

static struct quantity parsed(const char *text)
{
    struct quantity q = {0};
    struct err err = {0};
    if (quantity_parse(str_of(text), &q, &err) < 0) {
        fail_msg("'%s': %s", text, err.text);
    }
    return q;
}

static void quantities_print_in_canonical_form(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"0", "0"},
        {"-0", "0"},
        {"0Gi", "0"},
        {"1", "1"},
        {"+1", "1"},
        {"100m", "100m"},
        {"0.1", "100m"},
        {"1500m", "1500m"},
        {"1.5", "1500m"},
        {"2000m", "2"},
        {"1000", "1k"},
        {"1e3", "1e3"},
        {"1E3", "1e3"},
        {"12e2", "1200"},
        {"1E", "1E"},
        {"1024", "1024"},
        {"1Mi", "1Mi"},
        {"1024Mi", "1Gi"},
        {"1.5Gi", "1536Mi"},
        {"1025Ki", "1025Ki"},
        {"512", "512"},
        {"0.5Ki", "512"},
        {"0.5Gi", "512Mi"},
        {"128974848", "128974848"},
        {"129e6", "129e6"},
        {"129M", "129M"},
        {"123Mi", "123Mi"},
        {"1u", "1u"},
        {"1n", "1n"},
        {"0.1n", "1n"},
        {"-0.1n", "-1n"},
        {"1.1n", "2n"},
        {"5E", "5E"},
        {"100E", "100E"},
        {"8Ei", "9223372036854775807"},
        {"1Ei", "1Ei"},
        {".5", "500m"},
        {"5.", "5"},
        {"-2Gi", "-2Gi"},
        {"0.001Ki", "1024m"},
        {"1e-3", "1e-3"},
        {"1e-1", "100e-3"},
        {"3975792Ki", "3975792Ki"},
        {"000001", "1"},
        {"1000000000000000000000", "1000E"},
        {"0.0000000001", "1n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char out[QUANTITY_TEXT_SIZE];
        assert_string_equal(quantity_print(parsed(cases[i].in), out), cases[i].out);
        /* What is printed parses to the same. */
        assert_int_equal(quantity_cmp(parsed(out), parsed(cases[i].in)), 0);
    }
}

static void malformed_quantities_are_refused_in_kubernetes_words(void **state)
{
    static const struct {
        const char *in, *text;
    } cases[] = {
        {"", "quantities must match the regular expression"},
        {"abc", "quantities must match the regular expression"},
        {"1 Gi", "quantities must match the regular expression"},
        {"1Gb", "quantities must match the regular expression"},
        {"--1", "unable to parse quantity's suffix"},
        {"1i", "unable to parse quantity's suffix"},
        {"1KiB", "quantities must match the regular expression"},
        {"1K", "unable to parse quantity's suffix"},
        {"1mi", "unable to parse quantity's suffix"},
        {"1e", "unable to parse quantity's suffix"},
        {"1e5000000000", "unable to parse quantity's suffix"},
        {"M", "unable to parse numeric part of quantity"},
        {".", "unable to parse numeric part of quantity"},
        {"1.2.3", "unable to parse numeric part of quantity"},
        {"1e30", "too large"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct quantity q;
        struct err err = {0};
        if (quantity_parse(str_of(cases[i].in), &q, &err) >= 0) {
            fail_msg("'%s' was accepted", cases[i].in);
        }
        if (!strstr(err.text, cases[i].text)) {
            fail_msg("'%s': %s", cases[i].in, err.text);
        }
    }
}

static void values_round_up(void **state)
{
    assert_int_equal(quantity_value(parsed("1500m")), 2);
    assert_int_equal(quantity_value(parsed("-1500m")), -2);
    assert_int_equal(quantity_value(parsed("1n")), 1);
    assert_int_equal(quantity_milli(parsed("1u")), 1);
    assert_int_equal(quantity_milli(parsed("2")), 2000);
    assert_int_equal(quantity_value(parsed("1Gi")), 1073741824);
    assert_true(quantity_value(parsed("100E")) == INT64_MAX);
}

static void sums_are_exact_and_keep_the_first_format(void **state)
{
    char out[QUANTITY_TEXT_SIZE];
    struct quantity sum = {0};
    for (int i = 0; i < 1000; i++) {
        sum = quantity_add(sum, parsed("0.001"));
    }
    assert_string_equal(quantity_print(sum, out), "1");
    sum = quantity_add(parsed("1Gi"), parsed("1G"));
    assert_int_equal(sum.format, QUANTITY_BINARY_SI);
    assert_int_equal(quantity_value(sum), 2073741824);
    assert_string_equal(quantity_print(quantity_sub(parsed("1Gi"), parsed("512Mi")), out), "512Mi");
    assert_string_equal(quantity_print(quantity_sub(parsed("1"), parsed("1")), out), "0");
    struct quantity huge = {.nano = (((__int128)1) << 126)};
    huge = quantity_add(quantity_add(huge, huge), huge);
    assert_true(huge.nano > 0);
}

static void json_numbers_are_quantities(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    assert_int_equal(quantity_json_milli(json_int(&a, 2)), 2000);
    assert_int_equal(quantity_json_milli(json_real(&a, 0.5)), 500);
    assert_int_equal(quantity_json_milli(json_string(&a, "250m")), 250);
    assert_int_equal(quantity_json_value(json_bool(&a, true)), 0);
    assert_int_equal(quantity_json_value(NULL), 0);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantities_print_in_canonical_form),
        cmocka_unit_test(malformed_quantities_are_refused_in_kubernetes_words),
        cmocka_unit_test(values_round_up),
        cmocka_unit_test(sums_are_exact_and_keep_the_first_format),
        cmocka_unit_test(json_numbers_are_quantities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of regular expressions: RE2's syntax, Perl's preference, Go's errors, linear time. */
#include "regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"

static bool matches(const char *pattern, const char *text)
{
    CLEANUP(regex_freep) struct regex *re = NULL;
    struct err err;
    if (regex_compile(str_of(pattern), &re, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return regex_match(re, str_of(text));
}

static void assert_found(const char *pattern, const char *text, const char *want)
{
    CLEANUP(regex_freep) struct regex *re = NULL;
    struct regex_span spans[10];
    char got[200] = "", *at = got;
    assert_int_equal(regex_compile(str_of(pattern), &re, NULL), 0);
    bool found = regex_find(re, str_of(text), 0, spans, 10) > 0;
    assert_int_equal(found, regex_match(re, str_of(text)));
    for (unsigned i = 0; found && i <= regex_groups(re); i++) {
        if (spans[i].start == REGEX_NONE) {
            at += snprintf(at, 50, "%s-", i ? " " : "");
        } else {
            at += snprintf(at, 50, "%s%zu,%zu", i ? " " : "", spans[i].start, spans[i].end);
        }
    }
    assert_string_equal(found ? got : "none", want);
}

static void assert_refused(const char *pattern, const char *want)
{
    struct regex *re = NULL;
    struct err err;
    assert_true(regex_compile(str_of(pattern), &re, &err) < 0);
    assert_string_equal(err.text, want);
}

static void test_literals_classes_and_repeats_match(void **state)
{
    assert_true(matches("", "anything"));
    assert_true(matches("b", "abc"));
    assert_false(matches("^b", "abc"));
    assert_true(matches("^a.c$", "abc"));
    assert_false(matches("^a.c$", "a\nc"));
    assert_true(matches("(?s)^a.c$", "a\nc"));
    assert_true(matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "my-name-1"));
    assert_false(matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "my-name-"));
    assert_true(matches("^[^abc]+$", "xyz"));
    assert_true(matches("^[]a]+$", "]a"));
    assert_true(matches("^[a-]+$", "a-"));
    assert_true(matches("^a{2,3}$", "aaa"));
    assert_false(matches("^a{2,3}$", "aaaa"));
    assert_true(matches("^a{2,}$", "aaaaa"));
    assert_true(matches("^a{,2}$", "a{,2}"));
    assert_true(matches("^\\d{3}-\\w+\\s\\S$", "123-ab_ x"));
    assert_true(matches("^[[:alpha:]]+[[:^digit:]]$", "abc."));
    assert_true(matches("^(a|b|)c$", "c"));
    assert_true(matches("^\\Qa.b\\E$", "a.b"));
    assert_false(matches("^\\Qa.b\\E$", "axb"));
    assert_true(matches("^(a*)*$", "aaa"));
    assert_true(matches("^(a*)+b$", "aaab"));
}

static void test_unicode_is_matched_by_rune(void **state)
{
    assert_true(matches("^.$", "ü"));
    assert_true(matches("^[α-ωό]+$", "κόσμε"));
    assert_true(matches("^\\p{Lu}\\p{Ll}+$", "Über"));
    assert_true(matches("^\\pL+$", "日本"));
    assert_false(matches("^\\PL+$", "日本"));
    assert_true(matches("(?i)^ÜBER$", "über"));
    assert_true(matches("(?i)^k$", "\u212a"));
    assert_true(matches("^\\x{1F600}$", "😀"));
    assert_true(matches("^.$", "\xff"));
}

static void test_flags_and_assertions(void **state)
{
    assert_true(matches("(?i)hello", "HeLLo"));
    assert_true(matches("(?i:h)ello", "Hello"));
    assert_false(matches("(?i:h)ello", "HELLO"));
    assert_true(matches("(?m)^b$", "a\nb\nc"));
    assert_false(matches("^b$", "a\nb\nc"));
    assert_true(matches("\\bfoo\\b", "a foo b"));
    assert_false(matches("\\bfoo\\b", "afoob"));
    assert_true(matches("\\Boo\\b", "foo"));
    assert_true(matches("\\Aa\\z", "a"));
}

static void test_the_leftmost_and_preferred_match_is_found(void **state)
{
    assert_found("a+", "baaac", "1,4");
    assert_found("a+?", "baaac", "1,2");
    assert_found("(?U)a+", "baaac", "1,2");
    assert_found("(a|ab)(c|bcd)", "abcd", "0,4 0,1 1,4");
    assert_found("(?P<x>a)(?<y>b)?", "a", "0,1 0,1 -");
    assert_found("x*", "aaa", "0,0");
    assert_found("(\\w+)@(\\w+)\\.com", "to: bob@example.com!", "4,19 4,7 8,15");
    assert_found("zz", "aaa", "none");
    assert_found("(a)|b", "b", "0,1 -");
}

static void test_errors_are_those_of_go(void **state)
{
    assert_refused("[a", "error parsing regexp: missing closing ]: `[a`");
    assert_refused("(a", "error parsing regexp: missing closing ): `(a`");
    assert_refused("a)", "error parsing regexp: unexpected ): `a)`");
    assert_refused("*a", "error parsing regexp: missing argument to repetition operator: `*`");
    assert_refused("a**", "error parsing regexp: invalid nested repetition operator: `**`");
    assert_refused("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`");
    assert_refused("[z-a]", "error parsing regexp: invalid character class range: `z-a`");
    assert_refused("\\", "error parsing regexp: trailing backslash at end of expression: ``");
    assert_refused("(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`");
    assert_refused("\\1", "error parsing regexp: invalid escape sequence: `\\1`");
    assert_refused("\\p{Nope}", "error parsing regexp: invalid character class range: `\\p{Nope}`");
    assert_refused("((a{1000}){1000}){1000}", "error parsing regexp: expression too large");
    assert_refused("(?:(?:(?:){1000}){1000}){1000}", "error parsing regexp: expression too large");
}

static void test_what_explodes_elsewhere_is_linear_here(void **state)
{
    char text[5001];
    memset(text, 'a', 5000);
    text[4999] = 'b';
    text[5000] = 0;
    assert_false(matches("^(a+)+$", text));
    assert_false(matches("^(a|a)*$", text));
}

static void test_matching_survives_any_failed_allocation(void **state)
{
    int rc = -E_NOMEM;
    for (unsigned long n = 1; rc == -E_NOMEM; n++) {
        struct regex *re = NULL;
        struct regex_span span;
        mem_fail_at(n);
        rc = regex_compile(STR_LIT("(a|[b-d])+x{2,3}"), &re, NULL);
        if (rc == 0) {
            rc = regex_find(re, STR_LIT("abcxx"), 0, &span, 1);
        }
        mem_fail_at(0);
        regex_free(re);
    }
    assert_int_equal(rc, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals_classes_and_repeats_match),
        cmocka_unit_test(test_unicode_is_matched_by_rune),
        cmocka_unit_test(test_flags_and_assertions),
        cmocka_unit_test(test_the_leftmost_and_preferred_match_is_found),
        cmocka_unit_test(test_errors_are_those_of_go),
        cmocka_unit_test(test_what_explodes_elsewhere_is_linear_here),
        cmocka_unit_test(test_matching_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests_name("regex", tests, NULL, NULL);
}

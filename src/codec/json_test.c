/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of JSON trees and UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "json.h"
#include "utf8.h"

static struct json *parse(struct arena *a, const char *text)
{
    struct json *j = NULL;
    struct err err = {0};
    if (json_parse(a, str_of(text), NULL, &j, &err) < 0) {
        print_message("%s: %s\n", text, err.text);
    }
    return j;
}

static void assert_prints(const struct json *j, const char *want)
{
    struct buf b = BUF_INIT;
    assert_int_equal(json_print(&b, j), 0);
    assert_int_equal(buf_putc(&b, '\0'), 0);
    assert_string_equal(buf_data(&b), want);
    buf_fini(&b);
}

static void what_is_read_is_printed_unchanged(void **state)
{
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "null",
                                        "true",
                                        "-1",
                                        "0",
                                        "1.50",
                                        "1e400x",
                                        "{\"a\":[1,2.0,{\"b\":null}],\"\":\"\"}",
                                        "\"\\\"\\\\\\n\\r\\t\\u0001\xc3\xa9\xf0\x9f\x98\x80\"",
                                        "9223372036854775807",
                                        "[[[[]]],{}]",
                                        "123456789012345678901234567890"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json *j = NULL;
        int rc = json_parse(&a, str_of(texts[i]), NULL, &j, NULL);
        if (texts[i][0] == '1' && texts[i][1] == 'e') {
            assert_int_equal(rc, -E_PARSE);
        } else {
            assert_int_equal(rc, 0);
            assert_prints(j, texts[i]);
            assert_true(json_equal(j, json_clone(&a, j)));
        }
        arena_fini(&a);
    }
}

static void malformed_texts_are_refused_with_their_place(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[",
                                        "[1",
                                        "[1,",
                                        "[1,]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{\"a\":1,}",
                                        "{a:1}",
                                        "01",
                                        "1.",
                                        "-",
                                        "+1",
                                        "tru",
                                        "\"",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "\"\\ud800\"",
                                        "\"\\udc00\"",
                                        "\"\\ud800\\u0041\"",
                                        "\"\x01\"",
                                        "\"\xff\"",
                                        "\"\xc0\x80\"",
                                        "\"\xed\xa0\x80\"",
                                        "1 2",
                                        "[1}",
                                        "1e999",
                                        "\"abc\\"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct arena a;
        struct err err;
        struct json *j;
        arena_init(&a, 0);
        assert_int_equal(json_parse(&a, str_of(texts[i]), NULL, &j, &err), -E_PARSE);
        assert_non_null(strstr(err.text, "at line 1 column"));
        arena_fini(&a);
    }
}

static void depth_and_memory_are_bounded(void **state)
{
    char deep[3000];
    struct arena a;
    struct json *j;
    memset(deep, '[', sizeof(deep));
    arena_init(&a, 0);
    assert_int_equal(json_parse(&a, str_n(deep, sizeof(deep)), NULL, &j, NULL), -E_LIMIT);
    memset(deep + LIMIT_JSON_DEPTH, ']', LIMIT_JSON_DEPTH);
    assert_int_equal(json_parse(&a, str_n(deep, LIMIT_JSON_DEPTH * 2), NULL, &j, NULL), 0);
    arena_fini(&a);
    arena_init(&a, 600);
    assert_int_equal(json_parse(&a, STR_LIT("[1,2,3,4,5,6,7,8,9,10,11,12,13,14]"), NULL, &j, NULL),
                     -E_NOMEM);
    arena_fini(&a);
}

static void count_duplicate(void *arg, const char *path)
{
    (void)snprintf(arg, 64, "%s", path);
}

static void duplicates_are_told_with_their_path(void **state)
{
    struct arena a;
    struct json *j;
    char path[64] = "";
    struct json_parse_opts opts = {.on_duplicate = count_duplicate, .arg = path};
    arena_init(&a, 0);
    assert_int_equal(
        json_parse(&a, STR_LIT("{\"s\":{\"c\":[{\"n\":1},{\"n\":1,\"n\":2}]}}"), &opts, &j, NULL),
        0);
    assert_string_equal(path, "s.c[1].n");
    assert_prints(j, "{\"s\":{\"c\":[{\"n\":1},{\"n\":2}]}}");
    arena_fini(&a);
}

static void large_objects_are_indexed_and_keep_their_order(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    struct json *o = json_object(&a);
    char key[16];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        json_set_int(o, key, i);
    }
    for (int i = 0; i < 1000; i += 2) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_true(json_del(o, key));
        assert_false(json_del(o, key));
    }
    json_set_int(o, "k1", -1);
    assert_int_equal(json_len(o), 500);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(json_i64(json_get(o, key), 12345), i == 1 ? -1 : i % 2 ? i : 12345);
    }
    assert_string_equal(o->members[0].key, "k1");
    assert_true(json_equal(o, json_clone(&a, o)));
    assert_false(arena_failed(&a));
    arena_fini(&a);
}

static void null_nodes_are_tolerated(void **state)
{
    json_set_str(NULL, "a", "b");
    assert_null(json_get(NULL, "a"));
    assert_null(json_push(NULL, NULL));
    assert_int_equal(json_len(NULL), 0);
    assert_string_equal(json_path_cstr(NULL, "a.b", "def"), "def");
    JSON_FOR_EACH (x, NULL) {
        assert_null(x);
    }
    JSON_FOR_EACH_MEMBER (m, NULL) {
        assert_null(m);
    }
    assert_prints(NULL, "null");
}

static void arrays_insert_and_remove(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    struct json *arr = parse(&a, "[1,2,3]");
    json_insert(arr, 0, json_int(&a, 0));
    json_remove(arr, 2);
    json_replace(arr, 0, json_bool(&a, true));
    json_push(arr, json_real(&a, 0.1));
    assert_prints(arr, "[true,1,3,0.1]");
    int64_t sum = 0;
    JSON_FOR_EACH (x, arr) {
        if (x->type == JSON_BOOL) {
            continue;
        }
        if (x->type == JSON_REAL) {
            break;
        }
        sum += json_i64(x, 0);
    }
    assert_int_equal(sum, 4);
    assert_true(json_equal(parse(&a, "{\"a\":1,\"b\":[2]}"), parse(&a, "{\"b\":[2.0],\"a\":1}")));
    assert_false(json_equal(parse(&a, "{\"a\":1}"), parse(&a, "{\"b\":1}")));
    assert_string_equal(json_path_cstr(parse(&a, "{\"a\":{\"b\":\"c\"}}"), "a.b", NULL), "c");
    arena_fini(&a);
}

static void every_failing_allocation_is_survived(void **state)
{
    const char *text = "{\"a\":[1,2,3,\"x\\n\"],\"b\":{\"c\":1.5}}";
    for (unsigned long n = 1;; n++) {
        struct arena a;
        struct json *j = NULL;
        arena_init(&a, 0);
        (void)mem_fail_at(n);
        int rc = json_parse(&a, str_of(text), NULL, &j, NULL);
        (void)mem_fail_at(0);
        arena_fini(&a);
        if (rc == 0) {
            assert_true(n > 1);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_printed_unchanged),
        cmocka_unit_test(malformed_texts_are_refused_with_their_place),
        cmocka_unit_test(depth_and_memory_are_bounded),
        cmocka_unit_test(duplicates_are_told_with_their_path),
        cmocka_unit_test(large_objects_are_indexed_and_keep_their_order),
        cmocka_unit_test(null_nodes_are_tolerated),
        cmocka_unit_test(arrays_insert_and_remove),
        cmocka_unit_test(every_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

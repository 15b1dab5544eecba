/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines, the last lines, rotation, following. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/logs_private.h"

static char dir[64], path[96];
static struct io_loop *loop;

static int setup(void **state)
{
    char id[9];
    random_name(id, 8);
    snprintf(dir, sizeof(dir), "/tmp/selvedge-logs-%s", id);
    snprintf(path, sizeof(path), "%s/0.log", dir);
    loop = NULL;
    return dir_make(dir, 0700, NULL) < 0 ? -1 : loop_new(&loop, NULL);
}

static int teardown(void **state)
{
    loop_free(loop);
    return fs_remove_tree(AT_FDCWD, dir, NULL);
}

static void append(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

#define T0 "2026-11-21T02:39:59.667379551+00:00 stdout F "
#define T1 "2026-11-21T02:40:00.100000000+00:00 stderr F "
#define P0 "2026-11-21T02:40:01.000000000+00:00 stdout P "
#define F0 "2026-11-21T02:40:01.000000001+00:00 stdout F "

struct reading {
    struct logs_reader *r;
    struct buf text;
    bool ended;
    int code;
    bool pause_each;
};

static bool on_data(void *arg, const void *data, size_t n)
{
    struct reading *x = arg;
    assert_int_equal(buf_append(&x->text, data, n), 0);
    return !x->pause_each;
}

static void on_end(void *arg, int code)
{
    struct reading *x = arg;
    x->ended = true;
    x->code = code;
}

static const struct logs_options all = {.tail_lines = -1, .limit_bytes = -1};

static int begin(struct reading *x, const struct logs_options *o)
{
    bool pause_each = x->pause_each;
    *x = (struct reading){.pause_each = pause_each};
    return logs_open(loop, path, o, on_data, on_end, x, &x->r, NULL);
}

static void nudge(void *arg)
{
}

static void spin(int ms)
{
    struct io_timer t = {0};
    io_timer_init(loop, &t, nudge, NULL);
    io_timer_start(&t, 5, 5);
    for (int64_t end = mono_now().us + ms * 1000; mono_now().us < end;) {
        loop_run_once(loop);
    }
    io_timer_stop(&t);
}

static const char *text_of(struct reading *x)
{
    assert_int_equal(buf_putc(&x->text, '\0'), 0);
    return buf_data(&x->text);
}

static void finish(struct reading *x)
{
    logs_close(x->r);
    buf_fini(&x->text);
}

static void expect(const struct logs_options *o, const char *want)
{
    struct reading x = {0};
    assert_int_equal(begin(&x, o), 0);
    for (int i = 0; i < 1000 && !x.ended; i++) {
        loop_run_once(loop);
    }
    assert_true(x.ended);
    assert_int_equal(x.code, 0);
    assert_string_equal(text_of(&x), want);
    finish(&x);
}

static void lines_are_printed_without_their_heads(void **state)
{
    struct logs_options o = all;
    append(path, T0 "one\n" T1 "two\n" P0 "thr"
                    "\n" F0 "ee\nnot a log line\n" T0 "\n");
    expect(&o, "one\ntwo\nthree\n\n");
    o.timestamps = true;
    expect(&o, "2026-11-21T02:39:59.667379551Z one\n2026-11-21T02:40:00.100000000Z two\n"
               "2026-11-21T02:40:01.000000000Z three\n2026-11-21T02:39:59.667379551Z \n");
    o = all;
    o.stream = "stderr";
    expect(&o, "two\n");
    o = all;
    assert_int_equal(time_parse(STR_LIT("2026-11-21T02:40:00.1Z"), &o.since), 0);
    expect(&o, "two\nthree\n");
    o = all;
    o.limit_bytes = 5;
    expect(&o, "one\nt");
}

static void the_last_lines_are_found_from_the_end(void **state)
{
    struct logs_options o = all;
    append(path, T0 "one\n" P0 "tw"
                    "\n" F0 "o\n" T0 "three\n");
    for (int n = 0; n < 6; n++) {
        static const char *const want[] = {"", "three\n", "two\nthree\n", "one\ntwo\nthree\n"};
        o.tail_lines = n;
        expect(&o, want[MIN_OF(n, 3)]);
    }
}

static void the_last_lines_go_back_over_rotated_files(void **state)
{
    struct logs_options o = all;
    char old[128];
    snprintf(old, sizeof(old), "%s.20261121-000000", path);
    append(old, T0 "a\n" T0 "b\n");
    snprintf(old, sizeof(old), "%s.20261121-000001", path);
    append(old, T0 "c\n");
    append(path, T0 "d\n");
    expect(&o, "a\nb\nc\nd\n");
    o.tail_lines = 3;
    expect(&o, "b\nc\nd\n");
    o.tail_lines = 1;
    expect(&o, "d\n");
}

static void a_tail_of_a_large_file_is_exact(void **state)
{
    struct logs_options o = all;
    CLEANUP(buf_finip) struct buf b = BUF_INIT, want = BUF_INIT;
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(buf_printf(&b, T0 "line %d\n", i), 0);
    }
    assert_int_equal(file_write_replace(path, buf_data(&b), buf_len(&b), 0600, NULL), 0);
    static const int tails[] = {1, 10, 999, 5000};
    for (size_t k = 0; k < ARRAY_SIZE(tails); k++) {
        buf_clear(&want);
        for (int i = 20000 - tails[k]; i < 20000; i++) {
            assert_int_equal(buf_printf(&want, "line %d\n", i), 0);
        }
        assert_int_equal(buf_putc(&want, '\0'), 0);
        o.tail_lines = tails[k];
        expect(&o, buf_data(&want));
    }
}

static void following_goes_on_over_a_rotation(void **state)
{
    struct logs_options o = all;
    struct reading x = {0};
    char old[128];
    snprintf(old, sizeof(old), "%s.20261121-000000", path);
    o.follow = true;
    append(path, T0 "one\n");
    assert_int_equal(begin(&x, &o), 0);
    spin(50);
    append(path, T0 "two\n");
    spin(50);
    assert_int_equal(rename(path, old), 0);
    append(old, T0 "three\n");
    spin(50);
    append(path, T0 "four\n");
    spin(50);
    append(path, T0 "five\n");
    spin(50);
    assert_false(x.ended);
    append(path, T0 "six\n");
    logs_finish(x.r);
    spin(50);
    assert_true(x.ended);
    assert_string_equal(text_of(&x), "one\ntwo\nthree\nfour\nfive\nsix\n");
    finish(&x);
}

static void a_slow_reader_pauses_the_file(void **state)
{
    struct reading x = {.pause_each = true};
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf_printf(&b, T0 "line %d\n", i), 0);
    }
    assert_int_equal(file_write_replace(path, buf_data(&b), buf_len(&b), 0600, NULL), 0);
    assert_int_equal(begin(&x, &all), 0);
    spin(30);
    size_t n = buf_len(&x.text);
    assert_in_range(n, 1, 100000);
    spin(30);
    assert_int_equal(buf_len(&x.text), n);
    for (int i = 0; i < 100 && !x.ended; i++) {
        logs_resume(x.r);
        spin(5);
    }
    assert_true(x.ended);
    assert_non_null(strstr(text_of(&x), "line 9999\n"));
    finish(&x);
}

static bool close_at_once(void *arg, const void *data, size_t n)
{
    struct reading *x = arg;
    logs_close(x->r);
    return true;
}

static void a_reader_may_close_inside_its_callback(void **state)
{
    struct reading x = {0};
    append(path, T0 "one\n");
    assert_int_equal(logs_open(loop, path, &all, close_at_once, on_end, &x, &x.r, NULL), 0);
    spin(30);
    assert_false(x.ended);
}

static void a_file_that_is_missing_is_said(void **state)
{
    struct reading x = {0};
    assert_int_equal(begin(&x, &all), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_printed_without_their_heads, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_lines_are_found_from_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_lines_go_back_over_rotated_files, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tail_of_a_large_file_is_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(following_goes_on_over_a_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_pauses_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_may_close_inside_its_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_missing_is_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

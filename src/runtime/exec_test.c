/* SPDX-License-Identifier: Apache-2.0 */
/* Commands inside a running container, with pipes, with a terminal, captured. Needs root. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/stream.h"
#include "runtime/exec.h"
#include "runtime/test_node.h"

static struct test_node *node;
static struct container *box;

static int setup(void **state)
{
    struct test_op t;
    node = test_node_new();
    box = test_container(node, "box", 0, "trap 'exit 0' TERM; while true; do sleep 0.2; done");
    test_op_init(&t);
    container_start(box, &t.op);
    return test_op_wait(node, &t);
}

static int teardown(void **state)
{
    struct test_op t;
    test_op_init(&t);
    container_remove(box, &t.op);
    int r = test_op_wait(node, &t);
    test_node_free(node);
    return r;
}

/* One command and what came of it. */
struct session {
    struct exec *exec;
    struct stream *in, *out, *err;
    struct buf text[3];
    int code;
    struct err why;
    bool ended, eof[3], all;
};

static void check(struct session *s)
{
    s->all = s->ended && (!s->out || s->eof[1]) && (!s->err || s->eof[2]);
}

static void on_end(void *arg, int code, const struct err *err)
{
    struct session *s = arg;
    s->ended = true;
    s->code = code;
    if (err) {
        s->why = *err;
    }
    check(s);
}

static void on_out(void *arg, const char *data, size_t n)
{
    struct session *s = arg;
    assert_int_equal(buf_append(&s->text[1], data, n), 0);
}

static void on_err(void *arg, const char *data, size_t n)
{
    struct session *s = arg;
    assert_int_equal(buf_append(&s->text[2], data, n), 0);
}

static void out_eof(void *arg)
{
    struct session *s = arg;
    s->eof[1] = true;
    check(s);
}

static void err_eof(void *arg)
{
    struct session *s = arg;
    s->eof[2] = true;
    check(s);
}

static const struct stream_events out_events = {.on_read = on_out, .on_eof = out_eof};
static const struct stream_events err_events = {.on_read = on_err, .on_eof = err_eof};

static void begin(struct session *s, const struct exec_config *cfg)
{
    struct err err = {0};
    *s = (struct session){0};
    int r = exec_start(box, cfg, on_end, s, &s->exec, &err);
    if (r < 0) {
        print_message("%s\n", err.text);
    }
    assert_int_equal(r, 0);
    s->in = exec_stream(s->exec, 0);
    s->out = exec_stream(s->exec, 1);
    s->err = exec_stream(s->exec, 2);
    assert_null(exec_stream(s->exec, 1));
    if (s->out) {
        stream_set_events(s->out, &out_events, s);
        stream_read_start(s->out);
    }
    if (s->err) {
        stream_set_events(s->err, &err_events, s);
        stream_read_start(s->err);
    }
}

static void finish(struct session *s)
{
    assert_true(test_wait(node, &s->all, 20000));
    assert_int_equal(buf_putc(&s->text[1], '\0'), 0);
    assert_int_equal(buf_putc(&s->text[2], '\0'), 0);
}

static void clear(struct session *s)
{
    stream_close(s->in);
    stream_close(s->out);
    stream_close(s->err);
    exec_close(s->exec);
    buf_fini(&s->text[1]);
    buf_fini(&s->text[2]);
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void a_command_has_three_streams_and_a_code(void **state)
{
    struct session s;
    int64_t before = test_now_us();
    begin(&s,
          &(struct exec_config){.argv = ARGV("sh", "-c", "echo out; echo err >&2; cat; exit 42"),
                                .stdin_open = true});
    assert_true(stream_write(s.in, "typed\n", 6) >= 0);
    stream_shutdown(s.in);
    finish(&s);
    print_message("exec: %lld ms\n", (long long)(test_now_us() - before) / 1000);
    assert_int_equal(s.code, 42);
    assert_string_equal(buf_data(&s.text[1]), "out\ntyped\n");
    assert_string_equal(buf_data(&s.text[2]), "err\n");
    clear(&s);
}

static void much_output_arrives_whole(void **state)
{
    struct session s;
    begin(&s,
          &(struct exec_config){.argv = ARGV("sh", "-c", "yes 0123456789abcde | head -n 131072")});
    finish(&s);
    assert_int_equal(s.code, 0);
    assert_int_equal(buf_len(&s.text[1]), 131072 * 16 + 1);
    clear(&s);
}

static bool said(const struct session *s, const char *text)
{
    return memmem(buf_data(&s->text[1]), buf_len(&s->text[1]), text, strlen(text)) != NULL;
}

static void a_terminal_is_a_terminal_and_knows_its_size(void **state)
{
    struct session s;
    bool never = false;
    begin(&s, &(struct exec_config){
                  .argv = ARGV("sh"), .tty = true, .stdin_open = true, .rows = 33, .cols = 99});
    assert_null(s.err);
    assert_true(stream_write(s.in, "tty\n", 4) >= 0);
    /* The OCI runtime sets the size when the command already runs: ask until it has. */
    for (int i = 0; i < 100 && !said(&s, "33 99"); i++) {
        exec_resize(s.exec, 33, 99);
        assert_true(stream_write(s.in, "stty size\n", 10) >= 0);
        test_wait(node, &never, 50);
    }
    assert_true(said(&s, "/dev/pts/0"));
    assert_true(said(&s, "33 99"));
    exec_resize(s.exec, 40, 120);
    for (int i = 0; i < 100 && !said(&s, "40 120"); i++) {
        assert_true(stream_write(s.in, "stty size\n", 10) >= 0);
        test_wait(node, &never, 50);
    }
    assert_true(said(&s, "40 120"));
    assert_true(stream_write(s.in, "exit 9\n", 7) >= 0);
    finish(&s);
    assert_int_equal(s.code, 9);
    clear(&s);
}

static void a_command_that_is_missing_says_so(void **state)
{
    struct session s;
    begin(&s, &(struct exec_config){.argv = ARGV("/no/such")});
    finish(&s);
    assert_true(s.code < 0);
    assert_non_null(strstr(s.why.text, "/no/such"));
    clear(&s);
}

static void a_client_that_goes_away_takes_its_command_along(void **state)
{
    struct session s;
    struct exec_capture q = {0};
    bool never = false;
    begin(&s, &(struct exec_config){.argv = ARGV("sh", "-c", "echo here; sleep 987")});
    for (int i = 0; i < 100 && buf_len(&s.text[1]) == 0; i++) {
        test_wait(node, &never, 50);
    }
    test_wait(node, &never, 100);
    clear(&s);
    struct test_op t;
    test_op_init(&t);
    q.op = t.op;
    q.op.arg = &t;
    exec_capture(box, ARGV("sh", "-c", "sleep 0.2; ps | grep -v grep | grep -c 'sh -c echo here'"),
                 10000000, 4096, &q);
    assert_int_equal(test_op_wait(node, &t), 0);
    assert_int_equal(q.exit_code, 1);
}

struct captured {
    bool done;
    int code, exit_code;
    char text[128];
    struct err err;
};

static void on_captured(struct runtime_op *op, int code)
{
    struct captured *c = op->arg;
    struct exec_capture *q = CONTAINER_OF(op, struct exec_capture, op);
    c->done = true;
    c->code = code;
    c->exit_code = q->exit_code;
    c->err = op->err;
    snprintf(c->text, sizeof(c->text), STR_FMT, STR_ARG(buf_str(&q->output)));
}

static void capture(struct captured *c, const char *script, int64_t timeout_us, size_t max)
{
    struct exec_capture q = {.op = {.done = on_captured, .arg = c}};
    *c = (struct captured){0};
    exec_capture(box, ARGV("sh", "-c", script), timeout_us, max, &q);
    assert_true(test_wait(node, &c->done, 20000));
}

static void a_probe_gets_code_and_bounded_output(void **state)
{
    struct captured c;
    capture(&c, "echo 0123456789; exit 3", 5000000, 5);
    assert_int_equal(c.code, 0);
    assert_int_equal(c.exit_code, 3);
    assert_string_equal(c.text, "01234");
}

static void a_probe_that_takes_too_long_is_killed(void **state)
{
    struct captured c;
    int64_t before = test_now_us();
    capture(&c, "echo x; sleep 30", 400000, 100);
    assert_int_equal(c.code, -E_TIMEOUT);
    assert_true(test_now_us() - before < 5000000);
}

static void a_probe_can_be_cancelled(void **state)
{
    struct captured c = {0};
    struct exec_capture q = {.op = {.done = on_captured, .arg = &c}};
    exec_capture(box, ARGV("sleep", "30"), 0, 100, &q);
    exec_capture_cancel(&q);
    assert_false(c.done);
    assert_true(test_wait(node, &c.done, 5000));
    assert_int_equal(c.code, -E_CANCELED);
}

int main(void)
{
    const char *missing = test_node_missing();
    if (missing) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_has_three_streams_and_a_code),
        cmocka_unit_test(much_output_arrives_whole),
        cmocka_unit_test(a_terminal_is_a_terminal_and_knows_its_size),
        cmocka_unit_test(a_command_that_is_missing_says_so),
        cmocka_unit_test(a_client_that_goes_away_takes_its_command_along),
        cmocka_unit_test(a_probe_gets_code_and_bounded_output),
        cmocka_unit_test(a_probe_that_takes_too_long_is_killed),
        cmocka_unit_test(a_probe_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

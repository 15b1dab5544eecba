/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of bytes to a node as streams: order, ends, back-pressure; the node is the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/node_pipe.h"
#include "base/mem.h"
#include "io/loop.h"

struct fixture {
    struct node_stream node;
    const struct node_stream_events *events;
    void *events_arg;
    struct io_loop *loop;
    struct buf sent; /* what came to the node */
    bool sent_end, full, paused, closed, refuse;
    /* the user's end */
    struct stream *stream;
    struct buf got;
    struct err err;
    int opened, eofs, errors, drains;
};

static struct fixture *fx; /* the node's operations have no argument of their own */

static int n_send(struct node_stream *s, uint8_t channel, struct str data)
{
    (void)s;
    if (channel == CHANNEL_STDIN) {
        assert_int_equal(buf_append_str(&fx->sent, data), 0);
    } else if (channel == CHANNEL_CLOSE) {
        fx->sent_end = true;
    }
    return fx->full ? 1 : 0;
}

static void n_pause(struct node_stream *s, bool paused)
{
    (void)s;
    fx->paused = paused;
}

static void n_close(struct node_stream *s)
{
    (void)s;
    fx->closed = true;
}

static const struct node_stream_ops node_ops = {.send = n_send, .pause = n_pause, .close = n_close};

static struct node_stream *open_node(void *arg, const struct node_stream_req *req,
                                     const struct node_stream_events *events, void *events_arg,
                                     struct err *err)
{
    struct fixture *f = arg;
    assert_int_equal(req->type, NODE_STREAM_PORT);
    if (f->refuse) {
        (void)err_set(err, -E_INTERNAL, "node n is not connected");
        return NULL;
    }
    f->node.ops = &node_ops;
    f->events = events;
    f->events_arg = events_arg;
    return &f->node;
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct fixture *f = arg;
    assert_int_equal(buf_append(&f->got, data, n), 0);
}

static void on_eof(void *arg)
{
    ((struct fixture *)arg)->eofs++;
}

static void on_error(void *arg, int code)
{
    struct fixture *f = arg;
    f->errors++;
    (void)err_set(&f->err, code, "%s", node_pipe_problem(f->stream));
}

static void on_drain(void *arg)
{
    ((struct fixture *)arg)->drains++;
}

static const struct stream_events user_events = {
    .on_read = on_read, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};

static void opened(void *arg, struct stream *s, const struct err *err)
{
    struct fixture *f = arg;
    f->opened++;
    f->stream = s;
    if (s) {
        stream_set_events(s, &user_events, f);
        stream_read_start(s);
    } else {
        f->err = *err;
    }
}

static const struct node_stream_req req = {.type = NODE_STREAM_PORT,
                                           .node = "n",
                                           .ns = "a",
                                           .pod = "p",
                                           .uid = "",
                                           .container = "",
                                           .port = 80};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    assert_int_equal(loop_new(&f->loop, NULL), 0);
    fx = f;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stream_close(f->stream);
    loop_run_ready(f->loop);
    loop_free(f->loop);
    buf_fini(&f->sent);
    buf_fini(&f->got);
    mem_free(f);
    return 0;
}

static void open_pipe(struct fixture *f)
{
    assert_non_null(node_pipe_open(f->loop, open_node, f, &req, opened, f, NULL));
    f->events->opened(f->events_arg);
    assert_int_equal(f->opened, 1);
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < 4; i++) {
        loop_run_ready(f->loop);
    }
}

static void bytes_go_both_ways_and_each_end_is_told(void **state)
{
    struct fixture *f = *state;
    open_pipe(f);
    assert_int_equal(stream_write(f->stream, "ask", 3), 0);
    assert_true(str_is(buf_str(&f->sent), "ask"));
    f->events->message(f->events_arg, CHANNEL_STDOUT, STR_LIT("answer"));
    turn(f);
    assert_true(str_is(buf_str(&f->got), "answer"));
    stream_shutdown(f->stream);
    assert_true(f->sent_end);
    f->events->message(f->events_arg, CHANNEL_CLOSE, str_n("\1", 1));
    f->events->ended(f->events_arg, 0, "");
    turn(f);
    assert_int_equal(f->eofs, 1);
    assert_int_equal(f->errors, 0);
}

static void what_came_before_a_failure_is_read_first(void **state)
{
    struct fixture *f = *state;
    open_pipe(f);
    f->events->message(f->events_arg, CHANNEL_STDOUT, STR_LIT("half"));
    f->events->ended(f->events_arg, -E_CONNRESET, "the node's connection was lost");
    turn(f);
    assert_true(str_is(buf_str(&f->got), "half"));
    assert_int_equal(f->errors, 1);
    assert_string_equal(f->err.text, "the node's connection was lost");
    assert_true(stream_write(f->stream, "x", 1) < 0);
}

static void a_node_that_is_full_is_waited_for(void **state)
{
    struct fixture *f = *state;
    open_pipe(f);
    f->full = true;
    assert_true(stream_write(f->stream, "one", 3) > STREAM_LOW_WATER);
    assert_true(stream_write(f->stream, "two", 3) > STREAM_LOW_WATER);
    stream_shutdown(f->stream);
    assert_true(str_is(buf_str(&f->sent), "one"));
    assert_false(f->sent_end);
    f->full = false;
    f->events->drained(f->events_arg);
    turn(f);
    assert_true(str_is(buf_str(&f->sent), "onetwo"));
    assert_true(f->sent_end);
    assert_int_equal(f->drains, 1);
}

static void a_user_that_does_not_read_pauses_the_node(void **state)
{
    static char block[32768];
    struct fixture *f = *state;
    open_pipe(f);
    stream_read_stop(f->stream);
    for (int i = 0; i < 20 && !f->paused; i++) {
        f->events->message(f->events_arg, CHANNEL_STDOUT, str_n(block, sizeof(block)));
    }
    assert_true(f->paused);
    turn(f);
    assert_int_equal(buf_len(&f->got), 0);
    stream_read_start(f->stream);
    turn(f);
    assert_false(f->paused);
    assert_true(buf_len(&f->got) >= (size_t)256 << 10);
}

static void a_refusal_is_told_with_its_words(void **state)
{
    struct fixture *f = *state;
    assert_non_null(node_pipe_open(f->loop, open_node, f, &req, opened, f, NULL));
    f->events->ended(f->events_arg, -E_UNREACH, "nothing listens");
    assert_int_equal(f->opened, 1);
    assert_null(f->stream);
    assert_string_equal(f->err.text, "nothing listens");
    f->refuse = true;
    struct err err = {0};
    assert_null(node_pipe_open(f->loop, open_node, f, &req, opened, f, &err));
    assert_string_equal(err.text, "node n is not connected");
}

static void closing_and_cancelling_let_go_of_the_node(void **state)
{
    struct fixture *f = *state;
    open_pipe(f);
    stream_close(TAKE_PTR(f->stream));
    assert_true(f->closed);
    f->closed = false;
    struct node_pipe *p = node_pipe_open(f->loop, open_node, f, &req, opened, f, NULL);
    node_pipe_cancel(p);
    assert_true(f->closed);
    assert_int_equal(f->opened, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_both_ways_and_each_end_is_told),
        TEST(what_came_before_a_failure_is_read_first),
        TEST(a_node_that_is_full_is_waited_for),
        TEST(a_user_that_does_not_read_pauses_the_node),
        TEST(a_refusal_is_told_with_its_words),
        TEST(closing_and_cancelling_let_go_of_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A short program from start to end: input in, output collected; see process.h.
 *
 *     running --exit--> draining (pipes still open) --both EOF, or DRAIN_MS--> done
 */
#include <signal.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/stream.h"
#include "process.h"

#define DRAIN_MS 1000

struct run_output {
    struct io_run *run;
    struct stream *stream; /* NULL at its end */
    struct buf text;
};

struct io_run {
    struct io_loop *loop;
    struct io_process *process;
    struct stream *input;
    struct run_output out[2];
    size_t limit;
    struct io_timer timer;
    bool exited, timed_out, in_done;
    int status;
    io_run_fn *done;
    void *arg;
};

static void free_run(struct io_run *r)
{
    io_timer_stop(&r->timer);
    io_process_close(r->process);
    stream_close(r->input);
    for (int i = 0; i < 2; i++) {
        stream_close(r->out[i].stream);
        buf_fini(&r->out[i].text);
    }
    mem_free(r);
}

static void finish(struct io_run *r)
{
    bool lost = buf_failed(&r->out[0].text) || buf_failed(&r->out[1].text);
    int code = r->timed_out ? -ETIMEDOUT : lost ? -ENOMEM : 0;
    r->in_done = true;
    r->done(r->arg, code, r->status, buf_str(&r->out[0].text), buf_str(&r->out[1].text));
    free_run(r);
}

static void maybe_finish(struct io_run *r)
{
    if (r->exited && !r->out[0].stream && !r->out[1].stream) {
        finish(r);
    }
}

static void on_exit_status(void *arg, int status)
{
    struct io_run *r = arg;
    r->exited = true;
    r->status = status;
    io_timer_start(&r->timer, DRAIN_MS, 0);
    maybe_finish(r);
}

static void on_timer(void *arg)
{
    struct io_run *r = arg;
    if (r->exited) {
        finish(r);
        return;
    }
    r->timed_out = true;
    (void)io_process_kill(r->process, SIGKILL); /* it may have ended just now */
}

static void on_output(void *arg, const char *data, size_t n)
{
    struct run_output *o = arg;
    size_t room = o->run->limit - MIN_OF(o->run->limit, buf_len(&o->text));
    (void)buf_append(&o->text, data, MIN_OF(n, room)); /* failure shows at the end */
}

static void on_output_end(void *arg)
{
    struct run_output *o = arg;
    stream_close(o->stream);
    o->stream = NULL;
    maybe_finish(o->run);
}

static void on_output_error(void *arg, int code)
{
    (void)code; /* an end like any other */
    on_output_end(arg);
}

static void on_input_error(void *arg, int code)
{
    struct io_run *r = arg;
    (void)code; /* the program does not want its input */
    stream_close(r->input);
    r->input = NULL;
}

static const struct stream_events output_events = {
    .on_read = on_output,
    .on_eof = on_output_end,
    .on_error = on_output_error,
};

static const struct stream_events input_events = {.on_error = on_input_error};

static int connect_pipes(struct io_run *r, struct str input)
{
    for (int i = 0; i < 2; i++) {
        r->out[i].run = r;
        r->out[i].stream = io_process_stream(r->process, i + 1);
        if (!r->out[i].stream) {
            return -ENOMEM;
        }
        stream_set_events(r->out[i].stream, &output_events, &r->out[i]);
        stream_read_start(r->out[i].stream);
    }
    if (input.n == 0) {
        return 0;
    }
    r->input = io_process_stream(r->process, 0);
    if (!r->input) {
        return -ENOMEM;
    }
    stream_set_events(r->input, &input_events, r);
    ssize_t rc = stream_write(r->input, input.p, input.n);
    stream_shutdown(r->input);
    return rc < 0 && rc != -EPIPE ? (int)rc : 0;
}

int io_run_start(struct io_loop *l, const struct io_process_config *cfg, struct str input,
                 size_t limit, int64_t timeout_ms, io_run_fn *done, void *arg, struct io_run **ret,
                 struct err *err)
{
    struct io_process_config c = *cfg;
    struct io_run *r = mem_zalloc(sizeof *r);
    if (!r) {
        return err_set(err, -ENOMEM, "start '%s': out of memory", cfg->argv[0]);
    }
    *r = (struct io_run){.loop = l, .limit = limit, .done = done, .arg = arg};
    io_timer_init(l, &r->timer, on_timer, r);
    c.stdio[0].how = input.n ? STDIO_PIPE : STDIO_NULL;
    c.stdio[1].how = c.stdio[2].how = STDIO_PIPE;
    int rc = io_process_spawn(l, &c, on_exit_status, r, &r->process, err);
    if (rc == 0) {
        rc = connect_pipes(r, input);
        if (rc < 0) {
            (void)io_process_kill(r->process, SIGKILL); /* it may have ended just now */
            (void)err_sys(err, rc, "start '%s'", cfg->argv[0]);
        }
    }
    if (rc < 0) {
        free_run(r);
        return rc;
    }
    if (timeout_ms > 0) {
        io_timer_start(&r->timer, timeout_ms, 0);
    }
    *ret = r;
    return 0;
}

void io_run_cancel(struct io_run *r)
{
    if (r && !r->in_done) {
        if (!r->exited) {
            (void)io_process_kill(r->process, SIGKILL); /* it may have ended just now */
        }
        free_run(r);
    }
}

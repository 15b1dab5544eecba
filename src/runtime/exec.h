/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands inside running containers: interactive with streams, or captured for probes and hooks.
 */
#ifndef RUNTIME_EXEC_H
#define RUNTIME_EXEC_H

#include "base/buf.h"
#include "io/loop.h"
#include "runtime/container.h"

struct exec;
struct stream;

/* Borrowed for the call. */
struct exec_config {
    const char *const *argv; /* NULL-terminated, not empty */
    bool tty;                /* stderr is then part of stdout */
    bool stdin_open;
    bool no_stdout, no_stderr; /* dropped: exec_stream() is NULL */
    uint16_t rows, cols;       /* with tty; 0 = 24 x 80 */
};

/* The command has ended. code: 0-255 (128 + signal), or negative with a sentence when it could not
 * be run (err is NULL otherwise). Comes once. What the command wrote may still wait in its streams:
 * read them to their end before the client is told. */
typedef void exec_exit_fn(void *arg, int code, const struct err *err);

int exec_start(struct container *c, const struct exec_config *config, exec_exit_fn *on_exit,
               void *arg, struct exec **ret, struct err *err);
/* Our end of the command's fd: 0 (write; NULL unless stdin_open), 1, 2 (read; 2 is NULL with a
 * tty). Ownership passes to the caller; NULL the second time. Close fd 0 (stream_shutdown,
 * stream_close) to end its input. With a tty, input ends by writing ^D. Take every stream that
 * there is: a full pipe would stop the command. */
struct stream *exec_stream(struct exec *e, int fd);
void exec_resize(struct exec *e, uint16_t rows, uint16_t cols);
/* Kills the command if it runs (the client went away) and frees e; no callback comes any more.
 * Streams that were taken stay their owner's. */
void exec_close(struct exec *e);

/* Probes and lifecycle hooks: runs argv, gathers at most max_output bytes of stdout and stderr
 * together (the rest is read and dropped), kills it after timeout_us (code -E_TIMEOUT). */
struct exec_capture {
    struct runtime_op
        op; /* public: op.done, op.arg; op's code is 0 when the command ran, whatever it returned */
    /* read-only in done */
    int exit_code;
    struct buf output; /* freed after done returns */
    /* private */
    struct exec *exec;
    struct stream *streams[2];
    struct io_loop *loop;
    struct io_timer timer;
    struct io_task finish;
    size_t max_output;
    int code;
    bool exited;
};
void exec_capture(struct container *c, const char *const *argv, int64_t timeout_us,
                  size_t max_output, struct exec_capture *req);
/* done comes with -E_CANCELED, later. */
void exec_capture_cancel(struct exec_capture *req);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands inside running containers: interactive with streams, or captured for probes and hooks.
 */
#ifndef RUNTIME_EXEC_H
#define RUNTIME_EXEC_H

#include "base/buf.h"
#include "runtime/container.h"

struct exec;
struct io_stream;

/* Borrowed for the call. */
struct exec_config {
    const char *const *argv; /* NULL-terminated, not empty */
    bool tty;                /* stderr is then part of stdout */
    bool stdin_open;
    uint16_t rows, cols; /* with tty; 0 = 24 x 80 */
};

/* The command has ended and its output was read to the end. code: 0-255 (128 + signal), or negative
 * with a sentence when it could not be run (err is NULL otherwise). Comes once; exec_close()
 * afterwards. */
typedef void exec_exit_fn(void *arg, int code, const struct err *err);

int exec_start(struct container *c, const struct exec_config *config, exec_exit_fn *on_exit,
               void *arg, struct exec **ret, struct err *err);

/* Bytes from the command. fd is 1 or 2. Return false to pause until exec_resume(). */
typedef bool exec_output_fn(void *arg, int fd, const void *data, size_t n);
/* Must be set directly after exec_start(); arg is that of exec_start(). */
void exec_on_output(struct exec *e, exec_output_fn *fn);
void exec_resume(struct exec *e);
/* Bytes to its stdin; copied. Returns the bytes that wait now: stop reading from the client over
 * LIMIT_WRITE_QUEUE until on_drain came. -E_PIPE when it has closed its stdin. */
typedef void exec_drain_fn(void *arg);
ssize_t exec_write(struct exec *e, const void *data, size_t n);
void exec_on_drain(struct exec *e, exec_drain_fn *fn);
void exec_close_stdin(struct exec *e);
void exec_resize(struct exec *e, uint16_t rows, uint16_t cols);
/* Kills the command if it runs (the client went away) and frees e; no callback comes any more. */
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
    void *timer;
    size_t max_output;
};
void exec_capture(struct container *c, const char *const *argv, int64_t timeout_us,
                  size_t max_output, struct exec_capture *req);
/* done comes with -E_CANCELED, later. */
void exec_capture_cancel(struct exec_capture *req);

#endif

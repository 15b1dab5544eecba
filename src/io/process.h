/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes, and processes that are not our children, through pidfds.
 *
 * All our descriptors are close-on-exec; a child gets 0, 1, 2 and what `fds` names, nothing else.
 * Signals are reset to their defaults and unblocked, the parent's environment is not inherited.
 */
#ifndef IO_PROCESS_H
#define IO_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

struct io_loop;
struct io_process;
struct io_pidwatch;
struct stream;

enum io_stdio {
    STDIO_NULL,    /* /dev/null */
    STDIO_FD,      /* a given descriptor, which stays the caller's */
    STDIO_PIPE,    /* a pipe; our end is a stream: io_process_stream() */
    STDIO_INHERIT, /* the parent's own */
};

struct io_process_fd {
    int fd;    /* ours */
    int child; /* its number in the child, >= 3 */
};

struct io_process_config {
    const char *const *argv; /* argv[0]: a path, or a name to look for in PATH of env */
    const char *const *env;  /* "K=V", NULL-terminated; NULL = PATH only */
    const char *cwd;         /* NULL = "/" */
    struct {
        enum io_stdio how;
        int fd;
    } stdio[3];
    const struct io_process_fd *fds;
    size_t n_fds;
    bool new_session; /* setsid() */
    bool tty;         /* descriptor 0 becomes the controlling terminal; implies new_session */
    bool die_with_us; /* PR_SET_PDEATHSIG SIGKILL */
};

/* status as of waitpid(2): use WIFEXITED and so on. Comes once, unless the handle was closed. */
typedef void io_exit_fn(void *arg, int status);

/* A program that does not exist is an error here, not an exit status. exit_fn never comes inside
 * the call. Output that is still in the pipes can be read after the exit. */
int io_process_spawn(struct io_loop *l, const struct io_process_config *cfg, io_exit_fn *exit_fn,
                     void *arg, struct io_process **ret, struct err *err);
pid_t io_process_pid(const struct io_process *p);
/* Our end of a STDIO_PIPE: fd 0 (write), 1 or 2 (read). Ownership passes to the caller; NULL the
 * second time. A pipe that nobody took is closed with the handle. */
struct stream *io_process_stream(struct io_process *p, int fd);
int io_process_kill(struct io_process *p,
                    int signum); /* -ESRCH after the exit; never hits another */
/* No callback afterwards. A child that still runs goes on and is reaped when it ends (while the
 * loop lives). NULL is fine. */
void io_process_close(struct io_process *p);

/* Runs a short program to its end: stdin text in, output collected up to `limit` bytes each (the
 * rest is dropped), killed after timeout_ms (0 = none; then code is -ETIMEDOUT). Output that a
 * grandchild keeps open is not waited for longer than a second after the exit. done comes once,
 * unless cancelled. out and err_text are valid within done. */
struct io_run;
typedef void io_run_fn(void *arg, int code, int status, struct str out, struct str err_text);
int io_run_start(struct io_loop *l, const struct io_process_config *cfg, struct str input,
                 size_t limit, int64_t timeout_ms, io_run_fn *done, void *arg, struct io_run **ret,
                 struct err *err);    /* cfg->stdio is ignored */
void io_run_cancel(struct io_run *r); /* kills it; no callback afterwards; NULL is fine */

/* The end of any process, child or not. gone comes once from the loop (at once on the next tick
 * when it is gone already: -ESRCH is not an error here). start_time: field 22 of /proc/PID/stat as
 * recorded earlier, 0 = do not compare; a pid that was given to another process counts as gone. */
int io_pidwatch_new(struct io_loop *l, pid_t pid, uint64_t start_time, void (*gone)(void *arg),
                    void *arg, struct io_pidwatch **ret, struct err *err);
int io_pidwatch_kill(struct io_pidwatch *w, int signum); /* -ESRCH when gone; race-free */
void io_pidwatch_close(struct io_pidwatch *w);           /* NULL is fine */
/* Field 22 of /proc/PID/stat; 0 when there is no such process. */
uint64_t process_start_time(pid_t pid);

#endif

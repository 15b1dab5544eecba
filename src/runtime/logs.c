/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads log files piece by piece on the loop: a task reads 64 kB, formats the whole lines and hands
 * them out; it is deferred again until the end, a pause or, when following, the present. Then a
 * watch of the folder wakes it.
 *
 * Rotation while following: the file at `path` is another one than the open one -> the open one is
 * read to its end, then the new one is opened. conmon makes the new file only when it writes no
 * more to the old one.
 */
#include "runtime/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "runtime/logs_private.h"

enum { PIECE = 64 << 10 };

struct logs_reader {
    struct io_loop *loop;
    struct arena a; /* path, files */
    char *path;
    char **files; /* to read, oldest first */
    size_t files_n, at;
    int fd;
    struct cri_format format;
    int64_t left; /* of limit_bytes; -1 = no limit */
    struct buf in, out;
    struct io_task task;
    struct io_fswatch *watch;
    bool paused, finishing, ended;
    bool busy, closed; /* closed by a callback: freed when the step returns */
    logs_data_fn *on_data;
    logs_end_fn *on_end;
    void *arg;
};

static void wake(struct logs_reader *r)
{
    if (!r->paused && !r->ended && !r->closed) {
        loop_defer(r->loop, &r->task);
    }
}

static void end(struct logs_reader *r, int code)
{
    r->ended = true;
    io_fswatch_close(TAKE_PTR(r->watch));
    if (!r->closed) {
        r->on_end(r->arg, code);
    }
}

/* ---- formatting ---- */

/* The whole lines of `in` into `out`. A line that does not end within the buffer is no log line:
 * dropped. */
static int format_lines(struct logs_reader *r, bool last)
{
    struct str rest = buf_str(&r->in), line;
    size_t used = 0;
    int code = 0;
    while (code == 0) {
        struct str tail;
        if (!str_cut(rest, '\n', &line, &tail)) {
            break;
        }
        code = cri_print(&r->format, line, &r->out);
        used += line.n + 1;
        rest = tail;
    }
    if (code == 0 && rest.n > 0 && (last || rest.n > PIECE)) {
        code = cri_print(&r->format, rest, &r->out);
        used += rest.n;
    }
    buf_consume(&r->in, used);
    return code;
}

/* Hands out `out`; false when the reader is over or paused. */
static bool deliver(struct logs_reader *r)
{
    size_t n = buf_len(&r->out);
    if (r->left >= 0 && (int64_t)n > r->left) {
        n = (size_t)r->left;
    }
    if (n > 0) {
        r->paused = !r->on_data(r->arg, buf_data(&r->out), n);
    }
    buf_clear(&r->out);
    if (r->closed) {
        return false;
    }
    if (r->left >= 0) {
        r->left -= (int64_t)n;
        if (r->left == 0) {
            end(r, 0);
        }
    }
    return !r->ended && !r->paused;
}

/* ---- files ---- */

static int open_file(struct logs_reader *r, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return -errno;
    }
    fd_closep(&r->fd);
    r->fd = fd;
    return 0;
}

/* Another file stands at path now. */
static bool rotated(const struct logs_reader *r)
{
    struct stat mine, now;
    return fstat(r->fd, &mine) == 0 && stat(r->path, &now) == 0 &&
           (mine.st_ino != now.st_ino || mine.st_dev != now.st_dev);
}

static void on_change(void *arg, const char *name)
{
    wake(arg);
}

static int watch_folder(struct logs_reader *r)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(r->path, '/');
    snprintf(dir, sizeof(dir), "%.*s", (int)(slash - r->path), r->path);
    return io_fswatch_new(r->loop, dir, on_change, r, &r->watch, /* err= */ NULL);
}

/* At the end of the open file: the next one, or the present, or the end. */
static void at_end(struct logs_reader *r)
{
    bool was_rotated = r->at + 1 >= r->files_n && r->format.opts.follow && rotated(r);
    struct stat st;
    if (r->at + 1 < r->files_n || was_rotated) {
        off_t here = lseek(r->fd, 0, SEEK_CUR);
        if (was_rotated && fstat(r->fd, &st) == 0 && here >= 0 && st.st_size > here) {
            wake(r); /* written between our read and the rotation */
            return;
        }
        r->at += r->at + 1 < r->files_n;
        int code = open_file(r, was_rotated ? r->path : r->files[r->at]);
        if (code < 0 && code != -ENOENT) {
            end(r, code);
            return;
        }
        wake(r);
    } else if (!r->format.opts.follow || r->finishing) {
        if (format_lines(r, /* last= */ true) == 0 && !deliver(r)) {
            return;
        }
        end(r, 0);
    } else if (!r->watch) {
        int code = watch_folder(r);
        if (code < 0) {
            end(r, code);
            return;
        }
        wake(r); /* something may have come before the watch */
    }
}

static void step(struct logs_reader *r)
{
    char *p = buf_reserve(&r->in, PIECE);
    ssize_t n = p ? read(r->fd, p, PIECE) : -1;
    if (!p || n < 0) {
        end(r, p ? -errno : -ENOMEM);
        return;
    }
    buf_commit(&r->in, (size_t)n);
    if (format_lines(r, /* last= */ false) < 0) {
        end(r, -ENOMEM);
        return;
    }
    if (buf_len(&r->out) > 0 && !deliver(r)) {
        return;
    }
    if (n == 0) {
        at_end(r);
    } else {
        wake(r);
    }
}

static void reader_free(struct logs_reader *r)
{
    io_task_cancel(&r->task);
    io_fswatch_close(r->watch);
    fd_closep(&r->fd);
    buf_fini(&r->in);
    buf_fini(&r->out);
    arena_fini(&r->a);
    mem_free(r);
}

static void run(void *arg)
{
    struct logs_reader *r = arg;
    r->busy = true;
    if (!r->ended && !r->paused) {
        step(r);
    }
    r->busy = false;
    if (r->closed) {
        reader_free(r);
    }
}

/* ---- the interface ---- */

/* Goes back from the newest file until the asked lines are found. */
static int seek_tail(struct logs_reader *r, int64_t lines)
{
    for (size_t i = r->files_n; i > 0; i--) {
        struct stat st;
        int code = open_file(r, r->files[i - 1]);
        if (code == 0 && fstat(r->fd, &st) < 0) {
            code = -errno;
        }
        int64_t at = code < 0 ? code : cri_tail(r->fd, st.st_size, &lines);
        if (at < 0) {
            return (int)at;
        }
        r->at = i - 1;
        if (lseek(r->fd, at, SEEK_SET) < 0) {
            return -errno;
        }
        if (lines == 0) {
            break;
        }
    }
    return 0;
}

static int prepare(struct logs_reader *r, const struct logs_options *o)
{
    if (access(r->path, F_OK) < 0) {
        return -errno;
    }
    int code = logs_files(&r->a, r->path, &r->files, &r->files_n);
    if (code < 0) {
        return code;
    }
    return o->tail_lines >= 0 ? seek_tail(r, o->tail_lines) : open_file(r, r->files[0]);
}

int logs_open(struct io_loop *loop, const char *path, const struct logs_options *opts,
              logs_data_fn *on_data, logs_end_fn *on_end, void *arg, struct logs_reader **ret,
              struct err *err)
{
    struct logs_reader *r = mem_zalloc(sizeof(*r));
    if (!r) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    arena_init(&r->a, 0);
    r->loop = loop;
    r->fd = -EBADF;
    r->format.opts = *opts;
    r->format.opts.stream = arena_strdup(&r->a, opts->stream);
    r->left = opts->limit_bytes;
    r->on_data = on_data;
    r->on_end = on_end;
    r->arg = arg;
    r->path = arena_strdup(&r->a, path);
    io_task_init(&r->task, run, r);
    int code = r->path ? prepare(r, opts) : -ENOMEM;
    if (code < 0) {
        logs_close(r);
        return err_sys(err, code, "log %s", path);
    }
    wake(r);
    *ret = r;
    return 0;
}

void logs_resume(struct logs_reader *r)
{
    r->paused = false;
    wake(r);
}

void logs_finish(struct logs_reader *r)
{
    r->finishing = true;
    wake(r);
}

void logs_close(struct logs_reader *r)
{
    if (r && r->busy) {
        r->closed = true;
    } else if (r) {
        reader_free(r);
    }
}

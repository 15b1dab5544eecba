/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CRI log format (Kubernetes, "CRI streaming and logging"):
 *   2026-11-21T02:39:59.667379551+00:00 stdout F hello
 * Written by programs in containers, so nothing about it is trusted but that lines end with a
 * newline.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/fs.h"
#include "runtime/logs_private.h"

bool cri_parse(struct str line, struct cri_line *ret)
{
    struct cri_line l;
    struct str tag, rest;
    if (!str_cut(line, ' ', &l.time, &rest) || !str_cut(rest, ' ', &l.stream, &rest)) {
        return false;
    }
    str_cut(rest, ' ', &tag, &l.text);
    if (!str_is(l.stream, "stdout") && !str_is(l.stream, "stderr")) {
        return false;
    }
    /* Tags are separated by ':', the first one says P or F. */
    if (tag.n == 0 || (tag.p[0] != 'P' && tag.p[0] != 'F') || (tag.n > 1 && tag.p[1] != ':')) {
        return false;
    }
    l.full = tag.p[0] == 'F';
    *ret = l;
    return true;
}

/* conmon writes "+00:00" where a kubelet shows "Z". */
static void print_time(struct str time, struct buf *out)
{
    if (str_ends(time, "+00:00")) {
        (void)buf_append(out, time.p, time.n - 6); /* failure is sticky */
        (void)buf_puts(out, "Z ");
    } else {
        (void)buf_append_str(out, time); /* as above */
        (void)buf_putc(out, ' ');
    }
}

int cri_print(struct cri_format *f, struct str line, struct buf *out)
{
    struct cri_line l;
    struct wall at;
    if (!cri_parse(line, &l) || (f->opts.stream && !str_is(l.stream, f->opts.stream))) {
        return 0;
    }
    if (f->opts.since.us > 0 && (time_parse(l.time, &at) < 0 || at.us < f->opts.since.us)) {
        return 0;
    }
    if (f->opts.timestamps && !f->inside) {
        print_time(l.time, out);
    }
    (void)buf_append_str(out, l.text); /* failure is sticky */
    if (l.full) {
        (void)buf_putc(out, '\n'); /* as above */
    }
    f->inside = !l.full;
    return buf_failed(out) ? -ENOMEM : 0;
}

/* ---- the last lines ---- */

enum { CHUNK = 32 << 10 };

/* Does a whole line begin at this offset? */
static bool full_at(int fd, int64_t at)
{
    char head[128];
    struct cri_line l;
    ssize_t n = pread(fd, head, sizeof(head), at);
    struct str line, rest;
    if (n <= 0) {
        return false;
    }
    str_cut(str_n(head, (size_t)n), '\n', &line, &rest);
    return cri_parse(line, &l) && l.full;
}

int64_t cri_tail(int fd, int64_t size, int64_t *lines)
{
    char *chunk = mem_alloc(CHUNK);
    int64_t end = size, next = size; /* next: where the line after the one under test begins */
    if (!chunk) {
        return -ENOMEM;
    }
    while (end > 0) {
        int64_t from = MAX_OF(end - CHUNK, (int64_t)0);
        ssize_t n = pread(fd, chunk, (size_t)(end - from), from);
        if (n != end - from) {
            mem_free(chunk);
            return n < 0 ? -errno : -EIO;
        }
        for (int64_t at = end - 1; at >= from; at--) {
            int64_t begin = at == 0 && chunk[0] != '\n' ? 0 : at + 1;
            if (chunk[at - from] != '\n' && begin != 0) {
                continue;
            }
            if (begin < size && full_at(fd, begin)) {
                if (*lines == 0) {
                    mem_free(chunk);
                    return next;
                }
                --*lines;
            }
            next = begin;
        }
        end = from;
    }
    mem_free(chunk);
    return 0;
}

/* ---- files ---- */

struct siblings {
    struct arena *a;
    const char *dir, *prefix;
    char **paths;
    size_t n;
};

static int add_sibling(void *arg, int dir_fd, const char *name)
{
    struct siblings *s = arg;
    if (!str_starts(str_of(name), s->prefix) || str_ends(str_of(name), ".tmp")) {
        return 0;
    }
    s->paths = arena_grow(s->a, s->paths, s->n * sizeof(char *), (s->n + 2) * sizeof(char *));
    char *path = fs_join(s->a, s->dir, name);
    if (!s->paths || !path) {
        return -ENOMEM;
    }
    s->paths[s->n++] = path;
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int logs_files(struct arena *a, const char *path, char ***ret, size_t *ret_n)
{
    const char *slash = strrchr(path, '/');
    struct siblings s = {.a = a};
    if (!slash) {
        return -E_INVAL;
    }
    s.dir = arena_strndup(a, path, (size_t)(slash - path));
    s.prefix = arena_printf(a, "%s.", slash + 1);
    int r = s.dir && s.prefix ? fs_each(AT_FDCWD, s.dir, add_sibling, &s) : -ENOMEM;
    if (r < 0) {
        return r;
    }
    if (s.n > 1) {
        qsort(s.paths, s.n, sizeof(char *), by_text);
    }
    s.paths = arena_grow(a, s.paths, s.n * sizeof(char *), (s.n + 2) * sizeof(char *));
    char *own = arena_strdup(a, path);
    if (!s.paths || !own) {
        return -ENOMEM;
    }
    s.paths[s.n++] = own;
    s.paths[s.n] = NULL;
    *ret = s.paths;
    *ret_n = s.n;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files from the API in a folder, exchanged as one (the kubelet's AtomicWriter):
 *
 *   dir/..data              -> ..2026_11_20_23_02_21.123456789
 *   dir/..2026_..._...89/a/b   the content
 *   dir/a                   -> ..data/a        one link for each first component
 *
 * Order: new folder, ..data by rename, links that are new, links that are gone, old folders. After
 * a kill at any point readers see the old or the new content, and the next call finishes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/volumes_private.h"

struct content {
    const char *dir;
    int fd; /* of dir */
    const struct volume_file *files;
    size_t n;
    int64_t gid;
    char data[64]; /* name of the folder in use; "" when there is none */
    struct err *err;
};

static bool path_valid(const char *path)
{
    struct str rest = str_of(path), part;
    if (rest.n == 0 || rest.n > 255 || path[0] == '/' || str_starts(rest, "..") ||
        str_ends(rest, "/")) {
        return false;
    }
    while (rest.n > 0) {
        str_cut(rest, '/', &part, &rest);
        if (part.n == 0 || str_is(part, "..") || str_is(part, ".")) {
            return false;
        }
    }
    return true;
}

static mode_t mode_of(const struct volume_file *f)
{
    return f->mode ? f->mode & 0777 : 0644;
}

/* ---- is it there already? ---- */

static bool same_file(int dir_fd, const struct volume_file *f)
{
    struct stat st;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (fstatat(dir_fd, f->path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        (st.st_mode & 0777) != mode_of(f) || (size_t)st.st_size != f->n) {
        return false;
    }
    return fs_read_at(dir_fd, f->path, f->n, &b) == 0 && str_eq(buf_str(&b), str_n(f->data, f->n));
}

static bool wanted_top(const struct content *c, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < c->n; i++) {
        if (strncmp(c->files[i].path, name, n) == 0 &&
            (c->files[i].path[n] == '\0' || c->files[i].path[n] == '/')) {
            return true;
        }
    }
    return false;
}

static int count_unwanted(void *arg, int dir_fd, const char *name)
{
    const struct content *c = arg;
    if (strncmp(name, "..", 2) == 0) {
        return 0;
    }
    return wanted_top(c, name) ? 0 : 1;
}

static bool unchanged(struct content *c)
{
    if (!c->data[0]) {
        return false;
    }
    CLEANUP(fd_closep)
    int fd = openat(c->fd, c->data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    for (size_t i = 0; i < c->n; i++) {
        struct stat st;
        if (!same_file(fd, &c->files[i]) || fstatat(c->fd, c->files[i].path, &st, 0) < 0) {
            return false;
        }
    }
    return fs_each(c->fd, ".", count_unwanted, c) == 0;
}

/* ---- writing ---- */

static int make_parents(struct content *c, int fd, const char *path)
{
    char text[256];
    (void)cstr_copy(text, sizeof(text), path);
    for (char *p = text; (p = strchr(p, '/')); p++) {
        *p = '\0';
        if (mkdirat(fd, text, 0755) < 0 && errno != EEXIST) {
            return err_sys(c->err, -errno, "mkdir %s/%s", c->dir, text);
        }
        *p = '/';
    }
    return 0;
}

static int write_file(struct content *c, int fd, const struct volume_file *f)
{
    int r = make_parents(c, fd, f->path);
    if (r < 0) {
        return r;
    }
    CLEANUP(fd_closep)
    int out = openat(fd, f->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0) {
        return err_sys(c->err, -errno, "create %s/%s", c->dir, f->path);
    }
    const char *p = f->data;
    for (size_t left = f->n; left > 0;) {
        ssize_t w = write(out, p, left);
        if (w < 0 && errno != EINTR) {
            return err_sys(c->err, -errno, "write %s/%s", c->dir, f->path);
        }
        p += w > 0 ? w : 0;
        left -= w > 0 ? (size_t)w : 0;
    }
    if (c->gid >= 0 && fchown(out, (uid_t)-1, (gid_t)c->gid) < 0) {
        return err_sys(c->err, -errno, "chown %s/%s", c->dir, f->path);
    }
    mode_t mode = mode_of(f) | (c->gid >= 0 ? 0440 : 0);
    return fchmod(out, mode) < 0 ? err_sys(c->err, -errno, "chmod %s/%s", c->dir, f->path) : 0;
}

static int make_folder(struct content *c, char name[64])
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    char text[32];
    strftime(text, sizeof(text), "..%Y_%m_%d_%H_%M_%S", &tm);
    snprintf(name, 64, "%s.%09ld", text, now.tv_nsec);
    if (mkdirat(c->fd, name, 0755) < 0) {
        return err_sys(c->err, -errno, "mkdir %s/%s", c->dir, name);
    }
    CLEANUP(fd_closep)
    int fd = openat(c->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return err_sys(c->err, -errno, "open %s/%s", c->dir, name);
    }
    int r = 0;
    for (size_t i = 0; i < c->n && r == 0; i++) {
        r = write_file(c, fd, &c->files[i]);
    }
    return r;
}

static int swap(struct content *c, const char *name)
{
    (void)unlinkat(c->fd, "..data_tmp", 0); /* of a call that was killed */
    if (symlinkat(name, c->fd, "..data_tmp") < 0 ||
        renameat(c->fd, "..data_tmp", c->fd, "..data") < 0) {
        return err_sys(c->err, -errno, "switch %s to its new content", c->dir);
    }
    return 0;
}

static int add_links(struct content *c)
{
    for (size_t i = 0; i < c->n; i++) {
        char name[256], target[272];
        struct str top, rest;
        str_cut(str_of(c->files[i].path), '/', &top, &rest);
        snprintf(name, sizeof(name), STR_FMT, STR_ARG(top));
        snprintf(target, sizeof(target), "..data/%s", name);
        if (symlinkat(target, c->fd, name) < 0 && errno != EEXIST) {
            return err_sys(c->err, -errno, "link %s/%s", c->dir, name);
        }
    }
    return 0;
}

struct stale {
    struct content *c;
    const char *keep;
};

static int remove_stale(void *arg, int dir_fd, const char *name)
{
    struct stale *s = arg;
    bool old_folder =
        strncmp(name, "..", 2) == 0 && !cstr_eq(name, "..data") && !cstr_eq(name, s->keep);
    bool old_link = strncmp(name, "..", 2) != 0 && !wanted_top(s->c, name);
    return old_folder || old_link ? fs_remove_tree(dir_fd, name, s->c->err) : 0;
}

static int replace(struct content *c)
{
    char name[64];
    int r = make_folder(c, name);
    if (r == 0) {
        r = swap(c, name);
    }
    if (r < 0) {
        (void)fs_remove_tree(c->fd, name, NULL); /* the next call removes it otherwise */
        return r;
    }
    r = add_links(c);
    struct stale s = {.c = c, .keep = name};
    return r == 0 ? fs_each(c->fd, ".", remove_stale, &s) : r;
}

int volume_content(const char *dir, bool memory, const struct volume_file *files, size_t n,
                   int64_t gid, bool *ret_changed, struct err *err)
{
    struct content c = {.dir = dir, .files = files, .n = n, .gid = gid, .err = err};
    for (size_t i = 0; i < n; i++) {
        if (!path_valid(files[i].path)) {
            return err_set(err, -E_INVAL, "'%.200s' is no path of a file in a volume",
                           files[i].path);
        }
    }
    int r = dir_make(dir, 0755, err);
    if (r == 0 && memory) {
        r = volume_mount_tmpfs(dir, 0, "0777", err);
    }
    if (r < 0) {
        return r;
    }
    CLEANUP(fd_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, gid >= 0 ? 02777 : 0777) < 0 ||
        (gid >= 0 && fchown(fd, (uid_t)-1, (gid_t)gid) < 0)) {
        return err_sys(err, -errno, "open %s", dir);
    }
    c.fd = fd;
    ssize_t len = readlinkat(fd, "..data", c.data, sizeof(c.data) - 1);
    c.data[len > 0 ? len : 0] = '\0';
    if (strchr(c.data, '/') || strncmp(c.data, "..20", 4) != 0) {
        c.data[0] = '\0';
    }
    bool changed = !unchanged(&c);
    r = changed ? replace(&c) : 0;
    if (r == 0 && ret_changed) {
        *ret_changed = changed;
    }
    return r;
}

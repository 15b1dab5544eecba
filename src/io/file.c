/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders; see file.h. */
#include "file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"

/* ---- reading and writing ---- */

static int read_all(int fd, size_t limit, char **ret, size_t *ret_n)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    for (;;) {
        char *to = buf_reserve(&b, 4096);
        ssize_t n = to ? read(fd, to, 4096) : -1;
        if (!to) {
            return -ENOMEM;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        buf_commit(&b, (size_t)n);
        if (buf_len(&b) > limit) {
            return -E_TOOBIG;
        }
    }
    char *text = buf_take(&b, ret_n);
    if (!text) {
        return -ENOMEM;
    }
    *ret = text;
    return 0;
}

int file_read(const char *path, size_t limit, char **ret, size_t *ret_n, struct err *err)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : read_all(fd, limit, ret, ret_n);
    return rc < 0 ? err_sys(err, rc, "read '%s'", path) : 0;
}

int file_read_at(int dirfd, const char *name, size_t limit, char **ret, size_t *ret_n,
                 struct err *err)
{
    CLEANUP(fd_closep) int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int rc = fd < 0 ? -errno : read_all(fd, limit, ret, ret_n);
    return rc < 0 ? err_sys(err, rc, "read '%s'", name) : 0;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno != EINTR) {
            return -errno;
        }
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        }
    }
    return 0;
}

static int sync_parent(const char *path)
{
    struct str head, tail;
    bool has = str_rcut(str_of(path), '/', &head, &tail);
    CLEANUP(mem_freep)
    char *dir = mem_strdup(!has ? "." : head.n == 0 ? "/" : NULL);
    if (!dir && has) {
        dir = mem_strndup(head.p, head.n);
    }
    CLEANUP(fd_closep)
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
    return !dir ? -ENOMEM : fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int replace(const char *path, const void *data, size_t n, mode_t mode, bool sync)
{
    char suffix[9];
    random_name(suffix, 8);
    CLEANUP(mem_freep) char *tmp = mem_printf("%s.%s.tmp", path, suffix);
    if (!tmp) {
        return -ENOMEM;
    }
    CLEANUP(fd_closep) int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    int rc = write_all(fd, data, n);
    rc = rc == 0 && fchmod(fd, mode) < 0 ? -errno : rc;
    rc = rc == 0 && sync && fsync(fd) < 0 ? -errno : rc;
    rc = rc == 0 && rename(tmp, path) < 0 ? -errno : rc;
    if (rc < 0) {
        (void)unlink(tmp); /* the first failure is what counts */
        return rc;
    }
    return sync ? sync_parent(path) : 0;
}

int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode, struct err *err)
{
    int rc = replace(path, data, n, mode, true);
    return rc < 0 ? err_sys(err, rc, "write '%s'", path) : 0;
}

int file_write_replace(const char *path, const void *data, size_t n, mode_t mode, struct err *err)
{
    int rc = replace(path, data, n, mode, false);
    return rc < 0 ? err_sys(err, rc, "write '%s'", path) : 0;
}

int file_write_knob(const char *path, struct str value, struct err *err)
{
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, value.p, value.n);
    int rc = n < 0 ? -errno : (size_t)n < value.n ? -EIO : 0;
    return rc < 0 ? err_sys(err, rc, "write '" STR_FMT "' to '%s'", STR_ARG(value), path) : 0;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- folders ---- */

int dir_make(const char *path, mode_t mode, struct err *err)
{
    CLEANUP(mem_freep) char *copy = mem_strdup(path);
    struct stat st;
    if (!copy) {
        return err_set(err, -ENOMEM, "make folder '%s': out of memory", path);
    }
    for (char *p = copy + 1; *copy; p++) {
        bool last = *p == '\0';
        if (*p != '/' && !last) {
            continue;
        }
        *p = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST) {
            return err_sys(err, -errno, "make folder '%s'", copy);
        }
        if (last) {
            break;
        }
        *p = '/';
    }
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return err_sys(err, -ENOTDIR, "make folder '%s'", path);
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(DIR *d, size_t limit, struct buf *names, size_t *ret_n)
{
    size_t n = 0;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e) {
            *ret_n = n;
            return -errno;
        }
        if (cstr_eq(e->d_name, ".") || cstr_eq(e->d_name, "..")) {
            continue;
        }
        if (n++ == limit) {
            return -E_LIMIT;
        }
        if (buf_append(names, e->d_name, strlen(e->d_name) + 1) < 0) {
            return -ENOMEM;
        }
    }
}

int dir_list(const char *path, size_t limit, char ***ret, size_t *ret_n, struct err *err)
{
    CLEANUP(buf_finip) struct buf names = BUF_INIT;
    size_t n = 0;
    DIR *d = opendir(path);
    int rc = d ? read_names(d, limit, &names, &n) : -errno;
    if (d) {
        (void)closedir(d);
    }
    char **list = rc == 0 ? mem_alloc((n + 1) * sizeof *list + buf_len(&names)) : NULL;
    if (!list) {
        return err_sys(err, rc < 0 ? rc : -ENOMEM, "list '%s'", path);
    }
    char *at = (char *)(list + n + 1);
    if (n) {
        memcpy(at, buf_data(&names), buf_len(&names));
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = at;
        at += strlen(at) + 1;
    }
    list[n] = NULL;
    qsort(list, n, sizeof *list, by_name);
    *ret = list;
    *ret_n = n;
    return 0;
}

/* ---- removing a tree ---- */

/*
 * One open folder at a time: down by name without following links, up by ".." with a check that it
 * is the folder we came from. So neither the stack nor the descriptors bound the depth, and nobody
 * can lead us astray by moving folders meanwhile.
 */
struct level {
    char *name; /* of this folder in its parent */
    dev_t dev;  /* of the parent */
    ino_t ino;
};

struct remover {
    struct level *levels;
    size_t n, cap;
    int fd; /* the folder at hand */
    dev_t dev;
};

static int push_level(struct remover *r, const char *name)
{
    struct stat st;
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 16;
        struct level *more = mem_realloc(r->levels, cap * sizeof *more);
        if (!more) {
            return -ENOMEM;
        }
        r->levels = more;
        r->cap = cap;
    }
    char *copy = mem_strdup(name);
    if (!copy || fstat(r->fd, &st) < 0) {
        mem_free(copy);
        return copy ? -errno : -ENOMEM;
    }
    r->levels[r->n++] = (struct level){.name = copy, .dev = st.st_dev, .ino = st.st_ino};
    return 0;
}

static int go_down(struct remover *r, const char *name)
{
    struct stat st;
    CLEANUP(fd_closep)
    int fd = openat(r->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return -errno;
    }
    if (st.st_dev != r->dev) {
        return -EXDEV;
    }
    int rc = push_level(r, name);
    if (rc == 0) {
        (void)close(r->fd);
        r->fd = TAKE_FD(fd);
    }
    return rc;
}

static int go_up(struct remover *r)
{
    struct stat st;
    CLEANUP(fd_closep) int fd = openat(r->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct level *l = &r->levels[r->n - 1];
    if (fd < 0 || fstat(fd, &st) < 0) {
        return -errno;
    }
    if (st.st_dev != l->dev || st.st_ino != l->ino) {
        return -ELOOP; /* somebody moved the folder */
    }
    (void)close(r->fd);
    r->fd = TAKE_FD(fd);
    int rc = unlinkat(r->fd, l->name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
    mem_free(l->name);
    r->n--;
    return rc;
}

/* Unlinks the files of the folder at hand. 1: went down into a folder; 0: it is empty now. */
static int empty_folder(struct remover *r)
{
    int fd = openat(r->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    int rc = d ? 0 : -errno;
    if (fd >= 0 && !d) {
        (void)close(fd);
    }
    while (rc == 0) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e) {
            rc = -errno;
            break;
        }
        if (cstr_eq(e->d_name, ".") || cstr_eq(e->d_name, "..") ||
            unlinkat(r->fd, e->d_name, 0) == 0 || errno == ENOENT) {
            continue;
        }
        if (errno != EISDIR && errno != EPERM) {
            rc = -errno;
            break;
        }
        rc = go_down(r, e->d_name);
        rc = rc == 0 ? 1 : rc == -ENOTDIR ? -EPERM : rc;
    }
    if (d) {
        (void)closedir(d);
    }
    return rc;
}

static int remove_below(int parent, const char *name)
{
    struct stat st;
    struct remover r = {.fd = fcntl(parent, F_DUPFD_CLOEXEC, 3)};
    int rc = r.fd < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    if (rc == 0) {
        r.dev = st.st_dev;
        rc = go_down(&r, name);
    }
    while (rc == 0 && r.n) {
        rc = empty_folder(&r);
        rc = rc == 1 ? 0 : rc == 0 ? go_up(&r) : rc;
    }
    while (r.n) {
        mem_free(r.levels[--r.n].name);
    }
    mem_free(r.levels);
    fd_closep(&r.fd);
    return rc;
}

int tree_remove(const char *path, struct err *err)
{
    struct str dir, name, whole = str_of(path);
    while (whole.n > 1 && whole.p[whole.n - 1] == '/') {
        whole.n--;
    }
    if (!str_rcut(whole, '/', &dir, &name)) {
        dir = STR_LIT(".");
        name = whole;
    }
    CLEANUP(mem_freep) char *dir_path = mem_printf(STR_FMT "/", STR_ARG(dir));
    CLEANUP(mem_freep) char *last = mem_strndup(name.p, name.n);
    if (!dir_path || !last) {
        return err_set(err, -ENOMEM, "remove '%s': out of memory", path);
    }
    if (*last == '\0' || cstr_eq(last, ".") || cstr_eq(last, "..")) {
        return err_set(err, -EINVAL, "remove '%s': not a name", path);
    }
    CLEANUP(fd_closep) int fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || unlinkat(fd, last, 0) < 0 ? -errno : 0;
    if (rc == -EISDIR || rc == -EPERM) {
        rc = remove_below(fd, last);
    }
    return rc < 0 && rc != -ENOENT ? err_sys(err, rc, "remove '%s'", path) : 0;
}

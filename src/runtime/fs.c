/* SPDX-License-Identifier: Apache-2.0 */
/* See fs.h. Trees are removed with an explicit stack of folder descriptors, so depth is bounded and
 * no path is resolved twice. */
#include "runtime/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/file.h"

static int read_all(int fd, size_t max, struct buf *out)
{
    size_t total = 0;
    for (;;) {
        char *p = buf_reserve(out, 4096);
        if (!p) {
            return -ENOMEM;
        }
        ssize_t n = read(fd, p, 4096);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            return 0;
        }
        total += (size_t)n;
        if (total > max) {
            return -EMSGSIZE;
        }
        buf_commit(out, (size_t)n);
    }
}

int fs_read_at(int dir_fd, const char *path, size_t max, struct buf *out)
{
    CLEANUP(fd_closep) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    return read_all(fd, max, out);
}

char *fs_read_text(struct arena *a, const char *path, size_t max)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (fs_read_at(AT_FDCWD, path, max, &b) < 0) {
        return NULL;
    }
    struct str s = buf_str(&b);
    while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\0')) {
        s.n--;
    }
    return arena_str(a, s);
}

int fs_read_json(struct arena *a, const char *path, size_t max, struct json **ret, struct err *err)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    int r = fs_read_at(AT_FDCWD, path, max, &b);
    if (r < 0) {
        return err_sys(err, r, "read %s", path);
    }
    r = json_parse(a, buf_str(&b), /* opts= */ NULL, ret, err);
    return r < 0 ? err_wrap(err, r, "%s", path) : 0;
}

static int sync_parent(const char *path)
{
    struct str dir, base;
    char text[4096];
    if (!str_rcut(str_of(path), '/', &dir, &base) || dir.n == 0) {
        dir = dir.n == 0 && path[0] == '/' ? STR_LIT("/") : STR_LIT(".");
    }
    snprintf(text, sizeof(text), STR_FMT, STR_ARG(dir));
    CLEANUP(fd_closep) int fd = open(text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int fs_rename_sync(const char *from, const char *to, struct err *err)
{
    if (rename(from, to) < 0) {
        return err_sys(err, -errno, "rename %s to %s", from, to);
    }
    int r = sync_parent(to);
    return r < 0 ? err_sys(err, r, "sync the folder of %s", to) : 0;
}

int fs_write_json(const char *path, const struct json *j, mode_t mode, struct err *err)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (!j || json_print(&b, j) < 0 || buf_putc(&b, '\n') < 0) {
        return err_set(err, -ENOMEM, "write %s: out of memory", path);
    }
    return file_write_replace(path, buf_data(&b), buf_len(&b), mode, err);
}

int fs_open_in(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    long fd;
    do {
        fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd < 0 ? -errno : (int)fd;
}

/* ---- removal ---- */

struct level {
    DIR *dir;
    char name[256]; /* of this folder in the one above */
};

struct tree {
    struct level *levels;
    int depth;
    bool again; /* something was moved to the top: it must be read once more */
};

static int tree_enter(struct tree *t, int parent, const char *name)
{
    if (t->depth == FS_MAX_DEPTH) {
        /* Too deep for the stack: the folder becomes a neighbour at the top, where its turn comes.
         */
        char moved[32] = "deep-";
        random_name(moved + 5, 16);
        t->again = true;
        return renameat(parent, name, dirfd(t->levels[0].dir), moved) < 0 ? -errno : 0;
    }
    uint64_t resolve = t->depth > 0 ? RESOLVE_NO_XDEV | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS : 0;
    CLEANUP(fd_closep)
    int fd = fs_open_in(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, resolve);
    if (fd < 0) {
        return fd;
    }
    struct level *l = &t->levels[t->depth];
    l->dir = fdopendir(fd);
    if (!l->dir) {
        return -errno;
    }
    fd = -EBADF;
    (void)cstr_copy(l->name, sizeof(l->name), name);
    t->depth++;
    return 0;
}

static int tree_leave(struct tree *t, int top_fd, const char *top)
{
    struct level *l = &t->levels[t->depth - 1];
    if (t->depth == 1 && t->again) {
        t->again = false;
        rewinddir(l->dir);
        return 0;
    }
    t->depth--;
    (void)closedir(l->dir); /* read-only */
    int parent = t->depth > 0 ? dirfd(t->levels[t->depth - 1].dir) : top_fd;
    const char *name = t->depth > 0 ? l->name : top;
    return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* One entry of the folder on top of the stack. */
static int tree_step(struct tree *t, int top_fd, const char *top)
{
    DIR *d = t->levels[t->depth - 1].dir;
    struct dirent *e = readdir(d);
    if (!e) {
        return tree_leave(t, top_fd, top);
    }
    if (cstr_eq(e->d_name, ".") || cstr_eq(e->d_name, "..")) {
        return 0;
    }
    if (e->d_type != DT_DIR) {
        if (unlinkat(dirfd(d), e->d_name, 0) == 0 || errno == ENOENT) {
            return 0;
        }
        if (errno != EISDIR) {
            return -errno;
        }
    }
    return tree_enter(t, dirfd(d), e->d_name);
}

static int tree_run(struct tree *t, int top_fd, const char *top)
{
    int r = 0;
    while (t->depth > 0 && r == 0) {
        r = tree_step(t, top_fd, top);
    }
    while (t->depth > 0) {
        (void)closedir(t->levels[--t->depth].dir); /* read-only */
    }
    return r;
}

int fs_remove_tree(int dir_fd, const char *path, struct err *err)
{
    if (unlinkat(dir_fd, path, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR) {
        return err_sys(err, -errno, "remove %s", path);
    }
    struct tree t = {.levels = mem_zalloc(sizeof(struct level) * FS_MAX_DEPTH)};
    if (!t.levels) {
        return err_set(err, -ENOMEM, "remove %s: out of memory", path);
    }
    int r = tree_enter(&t, dir_fd, path);
    if (r == 0) {
        r = tree_run(&t, dir_fd, path);
    }
    mem_free(t.levels);
    return r < 0 ? err_sys(err, r, "remove %s", path) : 0;
}

/* ---- mounts ---- */

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
    char *w = s;
    for (char *r = s; *r;) {
        if (r[0] == '\\' && r[1] >= '0' && r[1] <= '3' && r[2] && r[3]) {
            *w++ = (char)((r[1] - '0') * 64 + (r[2] - '0') * 8 + (r[3] - '0'));
            r += 4;
        } else {
            *w++ = *r++;
        }
    }
    *w = '\0';
}

/* The mount points at or below path, oldest first, in the arena. */
static int mounts_below(struct arena *a, const char *path, char ***ret, size_t *ret_n)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    int r = fs_read_at(AT_FDCWD, "/proc/self/mountinfo", (size_t)64 << 20, &b);
    if (r < 0) {
        return r;
    }
    size_t len = strlen(path);
    char **list = NULL;
    size_t n = 0;
    struct str rest = buf_str(&b), line;
    while (rest.n > 0) {
        str_cut(rest, '\n', &line, &rest);
        struct str f = line, at = STR_NULL;
        for (int i = 0; i < 5; i++) {
            str_cut(f, ' ', &at, &f);
        }
        char *text = arena_str(a, at);
        if (!text) {
            return -ENOMEM;
        }
        unescape(text);
        if (strncmp(text, path, len) != 0 || (text[len] != '\0' && text[len] != '/')) {
            continue;
        }
        list = arena_grow(a, list, n * sizeof(*list), (n + 1) * sizeof(*list));
        if (!list) {
            return -ENOMEM;
        }
        list[n++] = text;
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

bool fs_is_mount(const char *path)
{
    struct arena a;
    arena_init(&a, 0);
    char **list = NULL;
    size_t n = 0;
    bool found = false;
    if (mounts_below(&a, path, &list, &n) == 0) {
        for (size_t i = 0; i < n && !found; i++) {
            found = cstr_eq(list[i], path);
        }
    }
    arena_fini(&a);
    return found;
}

int fs_unmount_below(const char *path, struct err *err)
{
    struct arena a;
    arena_init(&a, 0);
    char **list = NULL;
    size_t n = 0;
    int r = mounts_below(&a, path, &list, &n);
    while (r == 0 && n > 0) {
        n--;
        if (umount2(list[n], MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
            errno != ENOENT) {
            r = err_sys(err, -errno, "unmount %s", list[n]);
        }
    }
    arena_fini(&a);
    return r;
}

int fs_each(int dir_fd, const char *path, fs_entry_fn *fn, void *arg)
{
    CLEANUP(fd_closep) int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    DIR *d = fdopendir(fd);
    if (!d) {
        return -errno;
    }
    fd = -EBADF;
    int r = 0;
    for (struct dirent *e = readdir(d); e && r == 0; e = readdir(d)) {
        if (!cstr_eq(e->d_name, ".") && !cstr_eq(e->d_name, "..")) {
            r = fn(arg, dirfd(d), e->d_name);
        }
    }
    (void)closedir(d); /* read-only */
    return r;
}

char *fs_join(struct arena *a, const char *dir, const char *name)
{
    return dir && name ? arena_printf(a, "%s/%s", dir, name) : NULL;
}

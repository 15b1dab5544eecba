/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an import reads from: a layout folder, or an archive whose files are staged under numbers.
 * Names of an archive never become paths, so nothing in it can lead out of the staging folder;
 * links between its files (docker-save shares layers by them) are resolved by name.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "runtime/fs.h"
#include "runtime/image_private.h"

struct staged {
    int number;
    char *link; /* normalised name of another entry, or NULL */
};

static void staged_free(void *p)
{
    struct staged *f = p;
    mem_free(f->link);
    mem_free(f);
}

/* "./a//b/../c" -> "a/c" in out; false when it leads out or is too long. base: the folder of a
 * relative link. */
static bool flatten(struct str base, const char *name, char *out, size_t size)
{
    struct str parts[2] = {name[0] == '/' ? STR_NULL : base, str_of(name)};
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        struct str rest = parts[i], part;
        while (rest.n > 0) {
            str_cut(rest, '/', &part, &rest);
            if (part.n == 0 || str_is(part, ".")) {
                continue;
            }
            if (str_is(part, "..")) {
                if (n == 0) {
                    return false;
                }
                while (n > 0 && out[--n] != '/') {
                }
                continue;
            }
            if (n + part.n + 2 > size) {
                return false;
            }
            if (n > 0) {
                out[n++] = '/';
            }
            memcpy(out + n, part.p, part.n);
            n += part.n;
        }
    }
    out[n] = '\0';
    return n > 0;
}

struct staging {
    struct image_source *s;
    struct archive *a;
    int64_t bytes;
    int count;
    struct err *err;
};

static int fail_archive(struct staging *st)
{
    const char *text = archive_error_string(st->a);
    return err_set(st->err, -E_INVAL, "%s", text ? text : "it is damaged");
}

static int copy_data(struct staging *st, int number, struct archive_entry *e)
{
    char name[16];
    snprintf(name, sizeof(name), "%d", number);
    CLEANUP(fd_closep)
    int fd = openat(st->s->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_sys(st->err, -errno, "stage %s", name);
    }
    int64_t size = archive_entry_size(e);
    int64_t left = ((int64_t)LIMIT_IMAGE_MIB << 20) - st->bytes;
    if (size < 0 || size > left) {
        return err_set(st->err, -E_LIMIT, "it is over %d MiB", LIMIT_IMAGE_MIB);
    }
    for (;;) {
        const void *p;
        size_t n;
        int64_t at;
        int r = archive_read_data_block(st->a, &p, &n, &at);
        if (r == ARCHIVE_EOF) {
            break;
        }
        if (r < ARCHIVE_WARN) {
            return fail_archive(st);
        }
        if (at < 0 || at > size || (int64_t)n > size - at) {
            return err_set(st->err, -E_INVAL, "a file is longer than it says");
        }
        if (pwrite(fd, p, n, at) != (ssize_t)n) {
            return err_sys(st->err, errno ? -errno : -EIO, "stage");
        }
    }
    st->bytes += size;
    return ftruncate(fd, size) < 0 ? err_sys(st->err, -errno, "stage") : 0;
}

static int remember(struct staging *st, const char *name, int number, const char *link)
{
    struct staged *f = mem_zalloc(sizeof(*f));
    if (!f) {
        return -ENOMEM;
    }
    f->number = number;
    f->link = mem_strdup(link);
    void *old = NULL;
    if ((link && !f->link) || map_put(&st->s->files, str_of(name), f, &old) < 0) {
        staged_free(f);
        return -ENOMEM;
    }
    if (old) {
        staged_free(old);
    }
    return 0;
}

static int stage_entry(struct staging *st, struct archive_entry *e)
{
    char name[LIMIT_IMAGE_PATH + 1], target[LIMIT_IMAGE_PATH + 1];
    const char *path = archive_entry_pathname(e), *to = archive_entry_hardlink(e);
    struct str base = STR_NULL, rest;
    if (!path || !flatten(STR_NULL, path, name, sizeof(name))) {
        return 0; /* "./", or a name that nothing can ask for */
    }
    if (++st->count > LIMIT_ARCHIVE_ENTRIES) {
        return err_set(st->err, -E_LIMIT, "it has more than %d files", LIMIT_ARCHIVE_ENTRIES);
    }
    if (!to && archive_entry_filetype(e) == AE_IFLNK) {
        to = archive_entry_symlink(e);
        str_rcut(str_of(name), '/', &base, &rest);
        base = rest.n ? base : STR_NULL;
    }
    if (to) {
        return flatten(base, to, target, sizeof(target)) && remember(st, name, -1, target) < 0
                   ? err_set(st->err, -ENOMEM, "out of memory")
                   : 0;
    }
    if (archive_entry_filetype(e) != AE_IFREG) {
        return 0;
    }
    int r = copy_data(st, st->count, e);
    if (r == 0 && remember(st, name, st->count, NULL) < 0) {
        r = err_set(st->err, -ENOMEM, "out of memory");
    }
    return r;
}

static int stage_all(struct image_source *s, int fd, struct err *err)
{
    struct staging st = {.s = s, .a = archive_read_new(), .err = err};
    struct archive_entry *e;
    if (!st.a) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    archive_read_support_filter_gzip(st.a);
    archive_read_support_filter_zstd(st.a);
    archive_read_support_format_tar(st.a);
    int r = archive_read_open_fd(st.a, fd, 64 << 10) == ARCHIVE_OK ? 0 : fail_archive(&st);
    while (r == 0) {
        int h = archive_read_next_header(st.a, &e);
        if (h == ARCHIVE_EOF) {
            break;
        }
        r = h < ARCHIVE_WARN ? fail_archive(&st) : stage_entry(&st, e);
    }
    archive_read_free(st.a);
    return r;
}

static int open_archive(int fd, const char *tmp, struct image_source *s, struct err *err)
{
    char id[17];
    random_name(id, 16);
    s->stage = mem_printf("%s/stage-%s", tmp, id);
    if (!s->stage) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    if (mkdir(s->stage, 0700) < 0) {
        return err_sys(err, -errno, "mkdir %s", s->stage);
    }
    s->dir_fd = open(s->stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0) {
        return err_sys(err, -errno, "open %s", s->stage);
    }
    return stage_all(s, fd, err);
}

int image_source_open(const char *file, const char *tmp, struct image_source *ret, struct err *err)
{
    struct image_source s = {.dir_fd = -EBADF};
    struct stat st;
    CLEANUP(fd_closep) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return err_sys(err, -errno, "open %s", file);
    }
    if (S_ISDIR(st.st_mode)) {
        s.dir_fd = TAKE_FD(fd);
    } else {
        int r = open_archive(fd, tmp, &s, err);
        if (r < 0) {
            image_source_close(&s);
            return err_wrap(err, r, "%s", file);
        }
    }
    *ret = s;
    return 0;
}

void image_source_close(struct image_source *s)
{
    fd_closep(&s->dir_fd);
    map_fini(&s->files, staged_free);
    if (s->stage) {
        (void)fs_remove_tree(AT_FDCWD, s->stage,
                             NULL); /* the next writer removes what is left in tmp */
        mem_free(TAKE_PTR(s->stage));
    }
}

int image_source_file(struct image_source *s, const char *name, struct err *err)
{
    if (!s->stage) {
        int fd = fs_open_in(s->dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, RESOLVE_BENEATH);
        return fd < 0 ? err_sys(err, fd, "%s", name) : fd;
    }
    const char *at = name;
    for (int i = 0; i < 16; i++) {
        struct staged *f = map_get(&s->files, str_of(at));
        if (!f) {
            break;
        }
        if (!f->link) {
            char number[16];
            snprintf(number, sizeof(number), "%d", f->number);
            int fd = openat(s->dir_fd, number, O_RDONLY | O_CLOEXEC);
            return fd < 0 ? err_sys(err, -errno, "%s", name) : fd;
        }
        at = f->link;
    }
    return err_set(err, -E_NOENT, "it holds no file '%.200s'", name);
}

bool image_source_has(struct image_source *s, const char *name)
{
    CLEANUP(fd_closep) int fd = image_source_file(s, name, /* err= */ NULL);
    return fd >= 0;
}

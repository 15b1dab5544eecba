/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks one foreign layer (OCI image specification 1.1, layer.md) into the form that overlayfs
 * wants.
 *
 *   blob bytes --sha256--> libarchive (raw: gzip, zstd or none) --sha256, bounded--> libarchive
 * (tar) --> files
 *
 * Rules, since the archive is hostile until proven otherwise:
 *  1. A path is cut into components; "." vanishes, ".." is refused. Parents are opened with
 * RESOLVE_IN_ROOT, so a link in the layer can lead only to another place of the same layer.
 *  2. The last component is never followed: it is made with O_EXCL after whatever stood there was
 * removed.
 *  3. Device nodes are not made (the runtime gives a container its /dev); whiteouts are.
 *  4. Entries, bytes, path lengths and depth are bounded.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "runtime/fs.h"
#include "runtime/image_private.h"

/* ---- sha256 ---- */

int digest_init(struct digest *d)
{
    d->ctx = EVP_MD_CTX_new();
    if (!d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
        digest_fini(d);
        return -ENOMEM;
    }
    return 0;
}

void digest_update(struct digest *d, const void *p, size_t n)
{
    (void)EVP_DigestUpdate(d->ctx, p, n); /* cannot fail for sha256 in memory */
}

void digest_text(struct digest *d, char out[DIGEST_TEXT_SIZE])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    (void)EVP_DigestFinal_ex(d->ctx, md, &n); /* as above */
    memcpy(out, "sha256:", 7);
    hex_encode(md, n, out + 7);
}

void digest_fini(struct digest *d)
{
    EVP_MD_CTX_free(d->ctx);
    d->ctx = NULL;
}

/* ---- the pipe from blob to tar ---- */

enum { CHUNK = 64 << 10 };

struct layer {
    int fd;  /* the blob */
    int dir; /* root of the layer */
    struct archive *raw, *tar;
    struct digest blob_md, tar_md;
    int64_t blob_size, tar_size, size, entries;
    int64_t max_bytes;
    bool empty; /* the blob decompresses to nothing, which libarchive calls an error */
    bool raw_end;
    char blob_buf[CHUNK];
    char tar_buf[CHUNK];
    struct err *err;
};

static ssize_t read_blob(struct archive *a, void *arg, const void **ret)
{
    struct layer *l = arg;
    ssize_t n;
    do {
        n = read(l->fd, l->blob_buf, sizeof(l->blob_buf));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        archive_set_error(a, errno, "read: %s", strerror(errno));
        return -1;
    }
    digest_update(&l->blob_md, l->blob_buf, (size_t)n);
    l->blob_size += n;
    *ret = l->blob_buf;
    return n;
}

static ssize_t read_tar(struct archive *a, void *arg, const void **ret)
{
    struct layer *l = arg;
    *ret = l->tar_buf;
    if (l->raw_end) {
        return 0;
    }
    ssize_t n = archive_read_data(l->raw, l->tar_buf, sizeof(l->tar_buf));
    if (n < 0) {
        archive_set_error(a, EINVAL, "%s", archive_error_string(l->raw));
        return -1;
    }
    l->raw_end = n == 0;
    digest_update(&l->tar_md, l->tar_buf, (size_t)n);
    l->tar_size += n;
    if (l->tar_size > l->max_bytes) {
        archive_set_error(a, E2BIG, "it is over %lld bytes when uncompressed",
                          (long long)l->max_bytes);
        return -1;
    }
    return n;
}

static int archive_fail(struct layer *l, struct archive *a)
{
    const char *text = archive_error_string(a);
    return err_set(l->err, -E_INVAL, "%s", text ? text : "it is damaged");
}

static int open_raw(struct layer *l)
{
    l->raw = archive_read_new();
    if (!l->raw) {
        return err_set(l->err, -ENOMEM, "out of memory");
    }
    archive_read_support_filter_gzip(l->raw);
    archive_read_support_filter_zstd(l->raw);
    archive_read_support_format_raw(l->raw);
    archive_read_support_format_empty(l->raw);
    struct archive_entry *e;
    if (archive_read_open(l->raw, l, NULL, read_blob, NULL) != ARCHIVE_OK) {
        return archive_fail(l, l->raw);
    }
    int r = archive_read_next_header(l->raw, &e);
    if (r == ARCHIVE_EOF) {
        l->empty = l->raw_end = true;
        return 0;
    }
    return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 0 : archive_fail(l, l->raw);
}

static int open_tar(struct layer *l)
{
    l->tar = archive_read_new();
    if (!l->tar) {
        return err_set(l->err, -ENOMEM, "out of memory");
    }
    archive_read_support_format_tar(l->tar);
    archive_read_support_format_empty(l->tar);
    return archive_read_open(l->tar, l, NULL, read_tar, NULL) == ARCHIVE_OK
               ? 0
               : archive_fail(l, l->tar);
}

/* Reads on to the end, so that both hashes cover everything. */
static int drain(struct layer *l)
{
    const void *p;
    ssize_t n;
    while (!l->raw_end && (n = read_tar(l->tar ? l->tar : l->raw, l, &p)) != 0) {
        if (n < 0) {
            return archive_fail(l, l->tar ? l->tar : l->raw);
        }
    }
    while ((n = read_blob(l->raw, l, &p)) > 0) {
    }
    return n < 0 ? archive_fail(l, l->raw) : 0;
}

/* ---- paths ---- */

struct where {
    int parent; /* descriptor, owned */
    char name[256];
    const char *path; /* for messages */
};

static void where_closep(struct where *w)
{
    fd_closep(&w->parent);
}

/* Cuts path into "a/b" and "c" without ".", refuses "..". *ret_name is empty for the root itself.
 */
static int cut_path(struct layer *l, const char *path, char *dir, size_t dir_size, char name[256])
{
    size_t n = 0;
    int depth = 0;
    struct str rest = str_of(path), part;
    name[0] = dir[0] = '\0';
    while (rest.n > 0) {
        str_cut(rest, '/', &part, &rest);
        if (part.n == 0 || str_is(part, ".")) {
            continue;
        }
        if (str_is(part, "..")) {
            return err_set(l->err, -E_INVAL, "'%.200s' leads out of the layer", path);
        }
        size_t k = strlen(name);
        if (part.n > 255 || n + k + 2 > dir_size || ++depth > 256) {
            return err_set(l->err, -E_LIMIT, "the path '%.100s...' is too long", path);
        }
        if (k > 0) {
            if (n > 0) {
                dir[n++] = '/';
            }
            memcpy(dir + n, name, k + 1);
            n += k;
        }
        memcpy(name, part.p, part.n);
        name[part.n] = '\0';
    }
    return 0;
}

static int open_parent(struct layer *l, const char *dir)
{
    return fs_open_in(l->dir, dir[0] ? dir : ".", O_RDONLY | O_DIRECTORY, 0,
                      RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* Makes the folders of dir that are missing, one after the other. */
static int make_parents(struct layer *l, char *dir)
{
    for (char *p = dir;; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }
        char c = *p;
        *p = '\0';
        CLEANUP(fd_closep) int fd = open_parent(l, dir);
        if (fd == -ENOENT) {
            char *slash = strrchr(dir, '/');
            if (slash) {
                *slash = '\0';
            }
            CLEANUP(fd_closep) int up = open_parent(l, slash ? dir : "");
            if (slash) {
                *slash = '/';
            }
            if (up < 0) {
                return up;
            }
            if (mkdirat(up, slash ? slash + 1 : dir, 0755) < 0) {
                return -errno;
            }
        } else if (fd < 0) {
            return fd;
        }
        *p = c;
        if (c == '\0') {
            return 0;
        }
    }
}

static int locate(struct layer *l, const char *path, struct where *w)
{
    char dir[LIMIT_IMAGE_PATH + 1];
    w->path = path;
    w->parent = -EBADF;
    int r = cut_path(l, path, dir, sizeof(dir), w->name);
    if (r < 0) {
        return r;
    }
    w->parent = open_parent(l, dir);
    if (w->parent == -ENOENT) {
        r = make_parents(l, dir);
        w->parent = r < 0 ? r : open_parent(l, dir);
    }
    return w->parent < 0 ? err_sys(l->err, w->parent, "'%.200s'", path) : 0;
}

/* ---- entries ---- */

static int fail(struct layer *l, const struct where *w, const char *what)
{
    return err_sys(l->err, -errno, "%s '%.200s'", what, w->path);
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static int set_opaque(struct layer *l, const struct where *w, int fd)
{
    return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? fail(l, w, "mark as opaque")
                                                                  : 0;
}

/* ".wh.NAME": hides NAME of the layers below. */
static int add_whiteout(struct layer *l, struct where *w)
{
    const char *hidden = w->name + 4;
    if (cstr_eq(hidden, ".wh..opq")) {
        return set_opaque(l, w, w->parent);
    }
    if (strncmp(hidden, ".wh.", 4) == 0 || hidden[0] == '\0' || cstr_eq(hidden, ".") ||
        cstr_eq(hidden, "..")) {
        return 0; /* bookkeeping of aufs */
    }
    if (mknodat(w->parent, hidden, S_IFCHR, makedev(0, 0)) == 0) {
        return 0;
    }
    if (errno != EEXIST) {
        return fail(l, w, "hide");
    }
    CLEANUP(fd_closep)
    int fd = openat(w->parent, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? 0 : set_opaque(l, w, fd); /* a file of this layer hides the one below anyway */
}

/* Removes what stands in the place of a new entry. *opaque: a whiteout stood there. Folders stay
 * for folders. */
static int make_room(struct layer *l, struct where *w, bool for_dir, bool *opaque, bool *exists)
{
    struct stat st;
    *opaque = *exists = false;
    if (fstatat(w->parent, w->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : fail(l, w, "stat");
    }
    if (S_ISDIR(st.st_mode) && for_dir) {
        *exists = true;
        return 0;
    }
    *opaque = is_whiteout(&st);
    return fs_remove_tree(w->parent, w->name, l->err);
}

static int add_dir(struct layer *l, struct where *w, int *ret_fd)
{
    bool opaque, exists;
    int r = make_room(l, w, /* for_dir= */ true, &opaque, &exists);
    if (r < 0) {
        return r;
    }
    if (!exists && mkdirat(w->parent, w->name, 0700) < 0) {
        return fail(l, w, "mkdir");
    }
    int fd = openat(w->parent, w->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return fail(l, w, "open");
    }
    *ret_fd = fd;
    return opaque ? set_opaque(l, w, fd) : 0;
}

static int write_at(struct layer *l, int fd, const char *p, size_t n, int64_t at)
{
    while (n > 0) {
        ssize_t k = pwrite(fd, p, n, at);
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k < 0) {
            return -errno;
        }
        p += k;
        at += k;
        n -= (size_t)k;
    }
    return 0;
}

static int add_file(struct layer *l, struct where *w, struct archive_entry *e, int *ret_fd)
{
    int fd = openat(w->parent, w->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail(l, w, "create");
    }
    *ret_fd = fd;
    int64_t size = archive_entry_size_is_set(e) ? archive_entry_size(e) : 0;
    if (size < 0 || size > l->max_bytes - l->size) {
        return err_set(l->err, -E_LIMIT, "the layer is over %lld bytes", (long long)l->max_bytes);
    }
    for (;;) {
        const void *p;
        size_t n;
        int64_t at;
        int r = archive_read_data_block(l->tar, &p, &n, &at);
        if (r == ARCHIVE_EOF) {
            break;
        }
        if (r < ARCHIVE_WARN) {
            return archive_fail(l, l->tar);
        }
        if (at < 0 || at > size || (int64_t)n > size - at) {
            return err_set(l->err, -E_INVAL, "'%.200s' is longer than it says", w->path);
        }
        r = write_at(l, fd, p, n, at);
        if (r < 0) {
            return err_sys(l->err, r, "write '%.200s'", w->path);
        }
    }
    if (ftruncate(fd, size) < 0) {
        return fail(l, w, "write");
    }
    l->size += size;
    return 0;
}

/* The target must lie in this layer; a link to a link is a link. */
static int add_hardlink(struct layer *l, struct where *w, const char *target)
{
    CLEANUP(where_closep) struct where t = {.parent = -EBADF};
    int r = locate(l, target, &t);
    if (r < 0) {
        return r;
    }
    if (!t.name[0] || linkat(t.parent, t.name, w->parent, w->name, 0) < 0) {
        errno = t.name[0] ? errno : EISDIR;
        return fail(l, w, "link");
    }
    return 0;
}

static bool xattr_allowed(const char *name)
{
    return cstr_eq(name, "security.capability") || strncmp(name, "user.", 5) == 0;
}

static int set_xattrs(struct layer *l, struct where *w, struct archive_entry *e, int fd)
{
    const char *name;
    const void *value;
    size_t n;
    int left = archive_entry_xattr_reset(e);
    while (left-- > 0 && archive_entry_xattr_next(e, &name, &value, &n) == ARCHIVE_OK) {
        if (xattr_allowed(name) && fsetxattr(fd, name, value, n, 0) < 0 && errno != ENOTSUP) {
            return fail(l, w, "set an attribute of");
        }
    }
    return 0;
}

/* Owner, mode, attributes, time. fd < 0 for what cannot be opened (links, pipes). Owner before
 * mode: chown clears the setuid bit, and before security.capability, which it clears too. */
static int set_meta(struct layer *l, struct where *w, struct archive_entry *e, int fd)
{
    uid_t uid = (uid_t)archive_entry_uid(e);
    gid_t gid = (gid_t)archive_entry_gid(e);
    mode_t mode = archive_entry_perm(e) & 07777;
    const struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = archive_entry_mtime(e), .tv_nsec = archive_entry_mtime_nsec(e)}};
    if (fchownat(w->parent, w->name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) {
        return fail(l, w, "set the owner of");
    }
    if (fd >= 0) {
        if (fchmod(fd, mode) < 0) {
            return fail(l, w, "set the mode of");
        }
        int r = set_xattrs(l, w, e, fd);
        if (r < 0) {
            return r;
        }
    } else if (archive_entry_filetype(e) == AE_IFIFO && fchmodat(w->parent, w->name, mode, 0) < 0) {
        return fail(l, w, "set the mode of");
    }
    if (archive_entry_mtime_is_set(e) &&
        utimensat(w->parent, w->name, times, AT_SYMLINK_NOFOLLOW) < 0) {
        return fail(l, w, "set the time of");
    }
    return 0;
}

/* The root folder of the layer itself: "./". */
static int set_root(struct layer *l, struct archive_entry *e)
{
    if (archive_entry_filetype(e) != AE_IFDIR) {
        return 0;
    }
    struct where w = {.parent = l->dir, .name = ".", .path = "/"};
    return set_meta(l, &w, e, l->dir);
}

static int make_node(struct layer *l, struct where *w, struct archive_entry *e, int *ret_fd)
{
    bool opaque, exists;
    if (archive_entry_filetype(e) == AE_IFDIR && !archive_entry_hardlink(e)) {
        return add_dir(l, w, ret_fd);
    }
    int r = make_room(l, w, /* for_dir= */ false, &opaque, &exists);
    if (r < 0) {
        return r;
    }
    switch (archive_entry_filetype(e)) {
    case AE_IFREG:
        return add_file(l, w, e, ret_fd);
    case AE_IFLNK: {
        const char *target = archive_entry_symlink(e);
        if (!target || !target[0] || strlen(target) > LIMIT_IMAGE_PATH) {
            return err_set(l->err, -E_INVAL, "the link '%.200s' has no target", w->path);
        }
        return symlinkat(target, w->parent, w->name) < 0 ? fail(l, w, "link") : 0;
    }
    case AE_IFIFO:
        return mkfifoat(w->parent, w->name, 0600) < 0 ? fail(l, w, "make the pipe") : 0;
    default:
        return err_set(l->err, -E_INVAL, "'%.200s' is of an unknown type", w->path);
    }
}

static int add_entry(struct layer *l, struct archive_entry *e)
{
    const char *path = archive_entry_pathname(e);
    const char *hardlink = archive_entry_hardlink(e);
    CLEANUP(where_closep) struct where w = {.parent = -EBADF};
    if (!path || strlen(path) > LIMIT_IMAGE_PATH) {
        return err_set(l->err, -E_INVAL, "an entry has no usable path");
    }
    int r = locate(l, path, &w);
    if (r < 0) {
        return r;
    }
    if (!w.name[0]) {
        return set_root(l, e);
    }
    if (strncmp(w.name, ".wh.", 4) == 0) {
        return add_whiteout(l, &w);
    }
    if (hardlink) {
        bool opaque, exists;
        r = make_room(l, &w, /* for_dir= */ false, &opaque, &exists);
        return r < 0 ? r : add_hardlink(l, &w, hardlink);
    }
    if (archive_entry_filetype(e) == AE_IFCHR || archive_entry_filetype(e) == AE_IFBLK) {
        return 0;
    }
    CLEANUP(fd_closep) int fd = -EBADF;
    r = make_node(l, &w, e, &fd);
    return r < 0 ? r : set_meta(l, &w, e, fd);
}

static int unpack(struct layer *l)
{
    struct archive_entry *e;
    for (;;) {
        int r = archive_read_next_header(l->tar, &e);
        if (r == ARCHIVE_EOF) {
            return 0;
        }
        if (r < ARCHIVE_WARN) {
            return archive_fail(l, l->tar);
        }
        if (++l->entries > LIMIT_IMAGE_ENTRIES) {
            return err_set(l->err, -E_LIMIT, "the layer has more than %d files",
                           LIMIT_IMAGE_ENTRIES);
        }
        r = add_entry(l, e);
        if (r < 0) {
            return r;
        }
    }
}

int image_layer_unpack(int fd, int dir_fd, int64_t max_bytes, struct layer_result *ret,
                       struct err *err)
{
    struct layer *l = mem_zalloc(sizeof(*l));
    if (!l) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    l->fd = fd;
    l->dir = dir_fd;
    l->max_bytes = max_bytes;
    l->err = err;
    int r = digest_init(&l->blob_md) < 0 || digest_init(&l->tar_md) < 0
                ? err_set(err, -ENOMEM, "out of memory")
                : open_raw(l);
    if (r == 0 && !l->empty && dir_fd >= 0) {
        r = open_tar(l);
        r = r == 0 ? unpack(l) : r;
    }
    r = r == 0 ? drain(l) : r;
    if (r == 0) {
        struct layer_result res = {
            .blob_size = l->blob_size, .size = l->size, .tar_size = l->tar_size};
        digest_text(&l->blob_md, res.digest);
        digest_text(&l->tar_md, res.diff_id);
        *ret = res;
    }
    archive_read_free(l->tar);
    archive_read_free(l->raw);
    digest_fini(&l->blob_md);
    digest_fini(&l->tar_md);
    mem_free(l);
    return r;
}

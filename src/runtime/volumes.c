/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emptyDir, hostPath, subPath and removal; API content is in volume_content.c.
 * A subPath is resolved once, with RESOLVE_BENEATH, and the descriptor itself is bound: whatever a
 * container does to its volume later, the mount stays what was checked.
 */
#include "runtime/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/volumes_private.h"

int volume_mount_tmpfs(const char *dir, int64_t size, const char *mode, struct err *err)
{
    char options[96];
    if (fs_is_mount(dir)) {
        return 0;
    }
    int n = snprintf(options, sizeof(options), "mode=%s", mode);
    if (size > 0) {
        snprintf(options + n, sizeof(options) - (size_t)n, ",size=%lld", (long long)size);
    }
    return mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0
               ? err_sys(err, -errno, "mount a tmpfs at %s", dir)
               : 0;
}

int volume_empty_dir(const char *dir, bool memory, int64_t size_limit, int64_t gid, struct err *err)
{
    struct stat st;
    if (stat(dir, &st) == 0 && (!memory || fs_is_mount(dir))) {
        return 0;
    }
    int r = dir_make(dir, 0755, err);
    if (r == 0 && memory) {
        r = volume_mount_tmpfs(dir, size_limit, "0777", err);
    }
    if (r < 0) {
        return r;
    }
    if (gid >= 0 && chown(dir, (uid_t)-1, (gid_t)gid) < 0) {
        return err_sys(err, -errno, "chown %s", dir);
    }
    return chmod(dir, gid >= 0 ? 02777 : 0777) < 0 ? err_sys(err, -errno, "chmod %s", dir) : 0;
}

/* ---- hostPath ---- */

struct host_type {
    const char *name;
    mode_t format;
    const char *text;
};

static const struct host_type host_types[] = {
    {"BlockDevice", S_IFBLK, "block device"},
    {"CharDevice", S_IFCHR, "character device"},
    {"Directory", S_IFDIR, "directory"},
    {"DirectoryOrCreate", S_IFDIR, "directory"},
    {"File", S_IFREG, "file"},
    {"FileOrCreate", S_IFREG, "file"},
    {"Socket", S_IFSOCK, "socket file"},
};

static int create_host(const char *path, const char *type, struct err *err)
{
    if (cstr_eq(type, "DirectoryOrCreate")) {
        return dir_make(path, 0755, err);
    }
    if (!cstr_eq(type, "FileOrCreate")) {
        return err_set(err, -E_NOENT, "hostPath type check failed: %s does not exist", path);
    }
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd < 0 ? err_sys(err, -errno, "create %s", path) : 0;
}

int volume_host_path(const char *path, const char *type, struct err *err)
{
    struct stat st;
    if (path[0] != '/') {
        return err_set(err, -E_INVAL, "hostPath '%s' is not absolute", path);
    }
    if (!type || !type[0]) {
        /* As with a kubelet: nothing is checked, what is missing becomes a folder when it is
         * mounted. */
        return stat(path, &st) < 0 && errno == ENOENT ? dir_make(path, 0755, err) : 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(host_types); i++) {
        if (!cstr_eq(host_types[i].name, type)) {
            continue;
        }
        if (stat(path, &st) < 0) {
            return errno == ENOENT ? create_host(path, type, err)
                                   : err_sys(err, -errno, "hostPath %s", path);
        }
        return (st.st_mode & S_IFMT) == host_types[i].format
                   ? 0
                   : err_set(err, -E_INVAL, "hostPath type check failed: %s is not a %s", path,
                             host_types[i].text);
    }
    return err_set(err, -E_INVAL, "hostPath %s: unknown type '%s'", path, type);
}

/* ---- subPath ---- */

/* Opens dir/sub_path beneath dir and makes the folders that are missing. O_PATH descriptor or a
 * negative code. */
static int open_sub_path(const char *dir, const char *sub_path, struct err *err)
{
    CLEANUP(fd_closep) int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char done[PATH_MAX];
    size_t n = 0;
    struct str rest = str_of(sub_path), part;
    if (at < 0) {
        return err_sys(err, -errno, "volume %s", dir);
    }
    int fd = fs_open_in(at, sub_path, O_PATH, 0, RESOLVE_BENEATH);
    while (fd == -ENOENT && rest.n > 0) {
        str_cut(rest, '/', &part, &rest);
        if (part.n == 0 || str_is(part, ".")) {
            continue;
        }
        if (str_is(part, "..") || n + part.n + 2 > sizeof(done)) {
            return err_set(err, -E_INVAL, "subPath '%.200s' must not contain '..'", sub_path);
        }
        CLEANUP(fd_closep)
        int up = n == 0 ? fcntl(at, F_DUPFD_CLOEXEC, 0)
                        : fs_open_in(at, done, O_PATH | O_DIRECTORY, 0, RESOLVE_BENEATH);
        if (up < 0) {
            return err_sys(err, up, "subPath '%.200s'", sub_path);
        }
        if (n > 0) {
            done[n++] = '/';
        }
        memcpy(done + n, part.p, part.n);
        n += part.n;
        done[n] = '\0';
        const char *slash = strrchr(done, '/');
        if (mkdirat(up, slash ? slash + 1 : done, 0755) < 0 && errno != EEXIST) {
            return err_sys(err, -errno, "subPath '%.200s'", sub_path);
        }
        if (rest.n == 0) {
            fd = fs_open_in(at, sub_path, O_PATH, 0, RESOLVE_BENEATH);
        }
    }
    return fd < 0 ? err_sys(err, fd, "subPath '%.200s' of %s", sub_path, dir) : fd;
}

static int make_target(const char *target, bool is_dir, struct err *err)
{
    char parent[PATH_MAX];
    if (is_dir) {
        return dir_make(target, 0755, err);
    }
    const char *slash = strrchr(target, '/');
    snprintf(parent, sizeof(parent), "%.*s", (int)(slash - target), target);
    int r = dir_make(parent, 0755, err);
    CLEANUP(fd_closep) int fd = r < 0 ? -EBADF : open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return r < 0 ? r : fd < 0 ? err_sys(err, -errno, "create %s", target) : 0;
}

int volume_sub_path(const char *dir, const char *sub_path, const char *target, struct err *err)
{
    struct stat st;
    char source[64];
    if (sub_path[0] == '/' || target[0] != '/') {
        return err_set(err, -E_INVAL, "subPath '%.200s' must be a relative path", sub_path);
    }
    int r = fs_unmount_below(target, err);
    if (r < 0) {
        return r;
    }
    CLEANUP(fd_closep) int fd = open_sub_path(dir, sub_path, err);
    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &st) < 0) {
        return err_sys(err, -errno, "subPath '%.200s'", sub_path);
    }
    r = make_target(target, S_ISDIR(st.st_mode), err);
    if (r < 0) {
        return r;
    }
    snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
    return mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0
               ? err_sys(err, -errno, "bind subPath '%.200s' at %s", sub_path, target)
               : 0;
}

/* ---- the rest ---- */

int volume_remove(const char *dir, struct err *err)
{
    int r = fs_unmount_below(dir, err);
    return r < 0 ? r : fs_remove_tree(AT_FDCWD, dir, err);
}

int volume_write_file(const char *path, const void *data, size_t n, mode_t mode, struct err *err)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) {
        return err_set(err, -E_INVAL, "'%s' is no path of a file", path);
    }
    snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    int r = dir_make(parent, 0755, err);
    return r < 0 ? r : file_write_replace(path, data, n, mode, err);
}

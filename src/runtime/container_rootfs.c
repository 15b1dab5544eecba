/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system of a container: an overlay of its layers.
 *
 * mount(2) takes one page of options, which long paths of many layers do not fit. So the layers get
 * short names, bundle/l/0 (the top one), l/1, ..., and a thread with a working directory of its own
 * mounts by relative paths: lowerdir=l/0:l/1,upperdir=upper,workdir=work "volatile": the writable
 * layer ends with the attempt, so nothing of it needs to reach the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/container_private.h"
#include "runtime/fs.h"

struct overlay {
    const char *bundle;
    int n; /* lower directories */
};

static int mount_in_thread(void *arg)
{
    const struct overlay *o = arg;
    char options[4000];
    size_t at = (size_t)snprintf(options, sizeof(options), "lowerdir=");
    for (int i = 0; i < o->n; i++) {
        at += (size_t)snprintf(options + at, sizeof(options) - at, "%sl/%d", i > 0 ? ":" : "", i);
    }
    size_t end =
        at + (size_t)snprintf(options + at, sizeof(options) - at, ",upperdir=upper,workdir=work");
    if (unshare(CLONE_FS) < 0 || chdir(o->bundle) < 0) {
        return -errno;
    }
    snprintf(options + end, sizeof(options) - end, ",volatile");
    if (mount("overlay", "rootfs", "overlay", 0, options) == 0) {
        return 0;
    }
    options[end] = '\0'; /* kernels before 5.10 do not know it */
    return errno == EINVAL && mount("overlay", "rootfs", "overlay", 0, options) == 0 ? 0 : -errno;
}

static int make_dir(const char *bundle, const char *name, mode_t mode, struct err *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", bundle, name);
    return mkdir(path, mode) < 0 && errno != EEXIST ? err_sys(err, -errno, "mkdir %s", path) : 0;
}

/* The root folder shows the mode and owner of the upper directory: they are those of the top layer.
 */
static int copy_root_mode(const char *bundle, const char *lower, struct err *err)
{
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof(path), "%s/upper", bundle);
    if (stat(lower, &st) < 0 || chown(path, st.st_uid, st.st_gid) < 0 ||
        chmod(path, st.st_mode & 07777) < 0) {
        return err_sys(err, -errno, "mode of %s", path);
    }
    return 0;
}

static int link_layers(const char *bundle, const char *const *layers, int *ret_n, struct err *err)
{
    char path[PATH_MAX];
    int n = 0;
    for (; layers[n]; n++) {
        snprintf(path, sizeof(path), "%s/l/%d", bundle, n);
        if (symlink(layers[n], path) < 0) {
            return err_sys(err, -errno, "link %s", path);
        }
    }
    if (n == 0) { /* an image without layers */
        int r = make_dir(bundle, "l/0", 0755, err);
        if (r < 0) {
            return r;
        }
        n = 1;
    }
    *ret_n = n;
    return 0;
}

int rootfs_mount(const char *bundle, const char *const *layers, struct err *err)
{
    static const char *const dirs[] = {"l", "rootfs", "upper", "work"};
    struct overlay o = {.bundle = bundle};
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++) {
        r = make_dir(bundle, dirs[i], 0755, err);
    }
    r = r == 0 ? link_layers(bundle, layers, &o.n, err) : r;
    r = r == 0 && layers[0] ? copy_root_mode(bundle, layers[0], err) : r;
    if (r < 0) {
        return r;
    }
    r = runtime_in_thread(mount_in_thread, &o);
    return r < 0 ? err_sys(err, r, "mount the root file system %s/rootfs", bundle) : 0;
}

int rootfs_remove(const char *bundle, struct err *err)
{
    static const char *const dirs[] = {"rootfs", "upper", "work", "l"};
    char path[PATH_MAX];
    int r = fs_unmount_below(bundle, err);
    for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++) {
        snprintf(path, sizeof(path), "%s/%s", bundle, dirs[i]);
        r = fs_remove_tree(AT_FDCWD, path, err);
    }
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders and files that are bound into containers: emptyDir, hostPath, and content from the
 * API (ConfigMap, Secret, downward API, projected). All functions block for the time of a few file
 * operations and may be called on any thread (runtime_work()); two calls for one volume must not
 * overlap.
 */
#ifndef RUNTIME_VOLUMES_H
#define RUNTIME_VOLUMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"

/* dir: the volume's folder, made by the caller's choice under runtime_volume_dir():
 * .../<plugin>/<volume>. Parents are made. */

/* memory: a tmpfs (size_limit bytes, 0 = no limit of its own); mode 0777; gid -1 or the fsGroup
 * (then setgid, 2777). An existing one is left as it is. */
int volume_empty_dir(const char *dir, bool memory, int64_t size_limit, int64_t gid,
                     struct err *err);

/* type: "" DirectoryOrCreate Directory FileOrCreate File Socket CharDevice BlockDevice. Sentences
 * as a kubelet's: "hostPath type check failed: /x is not a directory". */
int volume_host_path(const char *path, const char *type, struct err *err);

struct volume_file {
    const char *path; /* relative, "a/b/c"; no "..", not absolute, not beginning with ".." */
    const void *data;
    size_t n;
    mode_t mode; /* 0 = 0644 */
};

/*
 * Makes dir show exactly these files, as the kubelet's AtomicWriter does:
 *   dir/..data -> ..2026_11_20_23_02_21.123456789   (swapped by rename: readers see all old or all
 * new) dir/name   -> ..data/name Nothing is written when nothing has changed (*ret_changed, may be
 * NULL). memory puts it on a tmpfs (Secrets). gid -1 or the fsGroup.
 */
int volume_content(const char *dir, bool memory, const struct volume_file *files, size_t n,
                   int64_t gid, bool *ret_changed, struct err *err);

/* A path below dir for a subPath mount: every step is made (directories, mode 0755) when it is
 * absent, and no link leads out of dir (RESOLVE_BENEATH). The result is a bind mount of the very
 * file or folder at `target`, so that it cannot be exchanged later; target is made to fit.
 * Idempotent: an older mount at target is replaced. */
int volume_sub_path(const char *dir, const char *sub_path, const char *target, struct err *err);

/* Unmounts what is mounted at or below dir and removes it all. Idempotent. Never follows a link,
 * never leaves the file system of dir, and refuses to remove what is still a mount point. */
int volume_remove(const char *dir, struct err *err);

/* One file, whole or not at all (tmp + rename): etc-hosts, resolv.conf, termination log. Parents
 * are made. */
int volume_write_file(const char *path, const void *data, size_t n, mode_t mode, struct err *err);

#endif

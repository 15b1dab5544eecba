/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small file-system helpers of this folder, beside io/file.h: JSON files, trees that go, mounts
 * that go. All block; any thread. Functions with err return 0 or a negative errno with a sentence
 * that names the path.
 */
#ifndef RUNTIME_FS_H
#define RUNTIME_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"

#define FS_MAX_DEPTH \
    128 /* open folders while a tree is removed; deeper ones are removed in turns */

/* Appends the file to out; -EMSGSIZE when it is longer than max. dir_fd may be AT_FDCWD. No
 * wrapping of ENOENT: callers test for it. */
int fs_read_at(int dir_fd, const char *path, size_t max, struct buf *out);
/* The same as arena text without the newline at its end; NULL when it cannot be read. */
char *fs_read_text(struct arena *a, const char *path, size_t max);
int fs_read_json(struct arena *a, const char *path, size_t max, struct json **ret, struct err *err);

/* Whole or not at all; not synced. */
int fs_write_json(const char *path, const struct json *j, mode_t mode, struct err *err);

/* openat2(2) with O_CLOEXEC: a descriptor or a negative errno. resolve: RESOLVE_IN_ROOT, ... */
int fs_open_in(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve);

/* rm -r without following links and without crossing into other file systems; a missing one is
 * fine. */
int fs_remove_tree(int dir_fd, const char *path, struct err *err);
int fs_rename_sync(const char *from, const char *to, struct err *err);

bool fs_is_mount(const char *path);
/* Unmounts (lazily) whatever is mounted at path or below it, newest first. Missing is fine. */
int fs_unmount_below(const char *path, struct err *err);

typedef int fs_entry_fn(void *arg, int dir_fd, const char *name);
/* Calls fn for each entry but "." and ".." until it returns non-zero, which is returned. Missing =
 * no entries. */
int fs_each(int dir_fd, const char *path, fs_entry_fn *fn, void *arg);

/* A path of pieces joined with '/', in the arena; NULL when it failed. */
char *fs_join(struct arena *a, const char *dir, const char *name);

#endif

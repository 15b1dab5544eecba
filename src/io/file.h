/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, synchronously: whole reads with a limit, atomic writes, folders. For the loop thread where
 * files are small and local; for the rest call them in loop_work(). Errors are sentences that name
 * the path.
 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* The whole file, heap, 0-terminated. -E_TOOBIG when it has more than limit bytes. Works for /proc.
 */
int file_read(const char *path, size_t limit, char **ret, size_t *ret_n, struct err *err);
/* The same, relative to a folder, never through a symbolic link in the last component. */
int file_read_at(int dirfd, const char *name, size_t limit, char **ret, size_t *ret_n,
                 struct err *err);
/* Temporary file in the same folder, fsync, rename, fsync of the folder. */
int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode, struct err *err);
/* The same without fsync: for files that a crash may lose but must not tear. */
int file_write_replace(const char *path, const void *data, size_t n, mode_t mode, struct err *err);
/* One write to an existing file (cgroup and /proc knobs); not atomic. */
int file_write_knob(const char *path, struct str value, struct err *err);
bool file_exists(const char *path);

int dir_make(const char *path, mode_t mode, struct err *err); /* mkdir -p; 0 when it is there */
/* Removes a file or a whole tree; never follows symbolic links, does not cross into other file
 * systems. 0 when there is nothing. Depth is not limited by the stack. */
int tree_remove(const char *path, struct err *err);
/* Names without "." and "..", sorted, NULL-terminated, one heap block (mem_free). At most limit. */
int dir_list(const char *path, size_t limit, char ***ret, size_t *ret_n, struct err *err);

#endif

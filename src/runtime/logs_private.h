/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of logs: the line format and the search for the last lines, without a loop. */
#ifndef RUNTIME_LOGS_PRIVATE_H
#define RUNTIME_LOGS_PRIVATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "runtime/logs.h"

struct cri_line {
    struct str time, stream, text;
    bool full; /* F: the text ends with a newline; P: it goes on in the next line of this stream */
};

/* line without its newline. False when it is not in the format. */
bool cri_parse(struct str line, struct cri_line *ret);

/* What a formatter remembers from line to line. */
struct cri_format {
    struct logs_options opts;
    bool inside; /* the last line was partial */
};
/* Appends what a reader sees of one raw line; nothing when it is filtered out. 0 or -ENOMEM. */
int cri_print(struct cri_format *f, struct str line, struct buf *out);

/* Where the last *lines whole lines of the file begin. *lines becomes what is missing. Or a
 * negative errno. */
int64_t cri_tail(int fd, int64_t size, int64_t *lines);

/* The rotated files of path (oldest first) and path itself, in the arena, NULL-terminated. */
int logs_files(struct arena *a, const char *path, char ***ret, size_t *ret_n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the log files of containers: "<RFC 3339 nano> stdout|stderr P|F <text>\n" (Kubernetes' CRI
 * format, which conmon writes), over rotated files (<attempt>.log.<time>), and follows them.
 */
#ifndef RUNTIME_LOGS_H
#define RUNTIME_LOGS_H

#include "base/clock.h"
#include "runtime/runtime.h"

struct logs_reader;

struct logs_options {
    int64_t tail_lines;  /* -1 = all */
    int64_t limit_bytes; /* -1 = none */
    struct wall since;   /* us 0 = from the beginning */
    bool timestamps;     /* keep them in front of each line */
    bool follow;
    const char *stream; /* NULL = both; "stdout", "stderr" (PodLogOptions.stream) */
};

/* Text as kubectl prints it. Return false to pause until logs_resume(). Never called inside
 * logs_open(). */
typedef bool logs_data_fn(void *arg, const void *data, size_t n);
/* The end: of the file, of limit_bytes, or (follow) after logs_finish(). code 0 or negative. Comes
 * once. */
typedef void logs_end_fn(void *arg, int code);

/* -E_NOENT when there is no such file. Reads run in small pieces on the loop. */
int logs_open(struct io_loop *loop, const char *path, const struct logs_options *opts,
              logs_data_fn *on_data, logs_end_fn *on_end, void *arg, struct logs_reader **ret,
              struct err *err);
void logs_resume(struct logs_reader *r);
/* The container has ended: give what is there, then end. For follow. */
void logs_finish(struct logs_reader *r);
/* Frees; no callback comes any more. */
void logs_close(struct logs_reader *r);

#endif

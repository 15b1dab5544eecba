/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that a person can read.
 *
 * A function returns >= 0 or a negative code of errors.def. Where a person will read the failure,
 * its last parameter is a struct err *, filled only on failure: set once where it happened, wrapped
 * on the way up, so that the text reads "start pod 'x': mount '/y': Permission denied". err may be
 * NULL everywhere.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <errno.h>
#include <stdbool.h>

enum {
#define ERROR(name, value, http, reason, retry, text) name = (value),
#include "errors.def"
#undef ERROR
};

struct err {
    int code;       /* negative, as returned */
    char text[768]; /* cut at the end when longer */
};

/* Both return code, so that `return err_set(err, -E_INVAL, "...")` works. code is negative. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Appends ": <text of code>" (strerror for system errors). */
int err_sys(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before the text; returns err->code, or `code` if err is NULL. */
int err_wrap(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

const char *err_text(int code);   /* also for errno values that errors.def does not name */
int err_http_status(int code);    /* 500 for the unnamed */
const char *err_reason(int code); /* Kubernetes' reason; "InternalError" for the unnamed */
bool err_retryable(int code);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that a person can read; see err.h. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"

struct error_info {
    int value;
    int http;
    bool retry;
    const char *reason;
    const char *text;
};

static const struct error_info table[] = {
#define ERROR(name, value, http, reason, retry, text) {(value), (http), (retry), (reason), (text)},
#include "errors.def"
#undef ERROR
};

static const struct error_info *find(int code)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].value == -code) {
            return &table[i];
        }
    }
    return NULL;
}

const char *err_text(int code)
{
    const struct error_info *e = find(code);
    if (e) {
        return e->text;
    }
    const char *s = strerrordesc_np(-code);
    return s ? s : "unknown error";
}

int err_http_status(int code)
{
    const struct error_info *e = find(code);
    return e ? e->http : 500;
}

const char *err_reason(int code)
{
    const struct error_info *e = find(code);
    return e ? e->reason : "InternalError";
}

bool err_retryable(int code)
{
    const struct error_info *e = find(code);
    return e ? e->retry : false;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->code = code;
        (void)vsnprintf(err->text, sizeof(err->text), fmt, ap); /* cutting is allowed */
        va_end(ap);
    }
    return code;
}

int err_sys(struct err *err, int code, const char *fmt, ...)
{
    if (err) {
        char head[512];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(head, sizeof(head), fmt, ap);
        va_end(ap);
        const char *s = -code < 1000 ? strerrordesc_np(-code) : err_text(code);
        (void)err_set(err, code, "%s: %s", head, s ? s : "unknown error");
    }
    return code;
}

int err_wrap(struct err *err, int code, const char *fmt, ...)
{
    if (!err) {
        return code;
    }
    char head[sizeof(err->text)];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(head, sizeof(head), fmt, ap);
    va_end(ap);
    char tail[sizeof(err->text)];
    memcpy(tail, err->text, sizeof(tail));
    tail[sizeof(tail) - 1] = '\0';
    err->code = code;
    size_t n = strnlen(head, sizeof(head) - 3);
    memcpy(err->text, head, n);
    (void)snprintf(err->text + n, sizeof(err->text) - n, ": %s", tail);
    return code;
}

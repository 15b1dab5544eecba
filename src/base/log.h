/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging: one line an event on stderr, "TIME LEVEL program: text key=value ...".
 *
 * Library code logs at debug only; the caller that stops an error logs it, once. A failure that is
 * passed over ends ", ignoring". No secrets: never log tokens, keys or Secret data. Thread-safe
 * (one write a line).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVEL_NR };

/* program must outlive the process's last log line. */
void log_init(const char *program, enum log_level level);
int log_level_parse(struct str s, enum log_level *ret); /* debug info warn error */
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)                         \
    do {                                       \
        if (log_enabled(LOG_DEBUG)) {          \
            log_write(LOG_DEBUG, __VA_ARGS__); \
        }                                      \
    } while (0)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif

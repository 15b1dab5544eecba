/* SPDX-License-Identifier: Apache-2.0 */
/* Logging; see log.h. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "mem.h"
#include "clock.h"

static const char *program_name = "selvedge";
static enum log_level lowest = LOG_INFO;
static const char *const names[LOG_LEVEL_NR] = {"debug", "info", "warn", "error"};

void log_init(const char *program, enum log_level level)
{
    program_name = program;
    lowest = level;
}

int log_level_parse(struct str s, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (str_is(s, names[i])) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool log_enabled(enum log_level level)
{
    return level >= lowest;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if (!log_enabled(level)) {
        return;
    }
    char line[2048], now[TIME_TEXT_SIZE];
    int n = snprintf(line, sizeof(line) - 1, "%s %s %s: ", time_text_micro(wall_now(), now),
                     names[level], program_name);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof(line) - 1 - (size_t)n, fmt, ap);
    va_end(ap);
    size_t len = MIN_OF((size_t)(n + MAX_OF(m, 0)), sizeof(line) - 2);
    for (size_t i = (size_t)n; i < len; i++) {
        if (line[i] == '\n' || line[i] == '\r') {
            line[i] = ' '; /* one event is one line, whatever the outside bytes in it */
        }
    }
    line[len] = '\n';
    ssize_t rc = write(STDERR_FILENO, line, len + 1);
    (void)rc; /* there is nowhere to report a failing log */
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long-running programs that the command line starts and stops: own session, output appended to a
 * log file, a pid file. A pid file holds "PID STARTTIME" (field 22 of /proc/PID/stat), so that a
 * pid that was given to another process meanwhile is never mistaken for ours.
 */
#ifndef SELVEDGE_DAEMON_H
#define SELVEDGE_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct daemon {
    const char *name;        /* for messages */
    const char *const *argv; /* argv[0] is the program's path; NULL-terminated */
    const char *log_file;    /* appended */
    const char *pid_file;
};

/* The pid when it runs, 0 when it does not, or an error. */
pid_t daemon_running(const char *pid_file, struct err *err);
/* Starts it unless it runs. *ret_started (may be NULL) tells which. */
int daemon_start(const struct daemon *d, bool *ret_started, struct err *err);
/* SIGTERM, then SIGKILL after 30 s; waits for the end and removes the pid file. Fine when it does
 * not run. */
int daemon_stop(const char *pid_file, const char *name, struct err *err);

#endif

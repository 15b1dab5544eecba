/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the programs and their state lie. Programs are found from the place of the running
 * executable: libexec/selvedge/NAME beside it (a build folder), else ../libexec/selvedge/NAME (an
 * installation).
 */
#ifndef SELVEDGE_PATHS_H
#define SELVEDGE_PATHS_H

#include "base/err.h"

/* The caller frees *ret (mem_free). The file need not exist. */
int paths_program(const char *name, char **ret, struct err *err);
/* The folder in which the running executable lies; the caller frees it. */
int paths_own_folder(char **ret, struct err *err);
/* `text` as an absolute path, made with mkdir -p (mode 0755) when it is not there. The caller frees
 * it. */
int paths_state(const char *text, char **ret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the sandbox share. */
#ifndef RUNTIME_SANDBOX_PRIVATE_H
#define RUNTIME_SANDBOX_PRIVATE_H

#include <stdbool.h>

#include "runtime/sandbox.h"

/* sandbox_pause.c; dir is the sandbox's folder. They block for a millisecond or two. */
int sandbox_pause_start(struct runtime *rt, const char *dir, struct err *err);
bool sandbox_pause_alive(const char *dir);
void sandbox_pause_end(const char *dir); /* and with it every process of the namespace */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of volumes. */
#ifndef RUNTIME_VOLUMES_PRIVATE_H
#define RUNTIME_VOLUMES_PRIVATE_H

#include "runtime/volumes.h"

/* Nothing when something is mounted there already. size 0 = the kernel's default. */
int volume_mount_tmpfs(const char *dir, int64_t size, const char *mode, struct err *err);

#endif

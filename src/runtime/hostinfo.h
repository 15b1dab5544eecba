/* SPDX-License-Identifier: Apache-2.0 */
/* What Node status says of the machine. Blocks for some milliseconds; any thread. */
#ifndef RUNTIME_HOSTINFO_H
#define RUNTIME_HOSTINFO_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct hostinfo {
    int64_t cpus; /* online */
    int64_t memory_bytes;
    int64_t ephemeral_bytes;                          /* size of the file system of state_dir */
    int64_t hugepages_2mi_bytes, hugepages_1gi_bytes; /* -1 = the machine has no such pages */
    const char *hostname;
    const char *machine_id, *system_uuid, *boot_id; /* "" when unknown */
    const char *kernel_version, *os_image, *os,
        *architecture;       /* "linux", "amd64" "arm64" "arm" "riscv64" ... */
    const char *ipv4, *ipv6; /* of the interface with the default route; "" when there is none */
};

/* Changing things, cheap enough for every status. */
struct hostinfo_pressure {
    int64_t memory_available; /* bytes */
    int64_t disk_available;   /* bytes of the file system of state_dir */
    int64_t disk_size;
    int64_t inodes_free, inodes;
    int64_t pids, pids_max;
};

/* Texts lie in the arena. */
int hostinfo_read(struct arena *a, const char *state_dir, struct hostinfo *ret, struct err *err);
int hostinfo_pressure(const char *state_dir, struct hostinfo_pressure *ret, struct err *err);

#endif

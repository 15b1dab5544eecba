/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds config.json (OCI runtime specification 1.0.2) from a description of one container. The
 * result is what containerd writes for a kubelet, less annotations. Pure, except that user names
 * are looked up in the rootfs.
 */
#ifndef RUNTIME_OCI_SPEC_H
#define RUNTIME_OCI_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"

/* A bind mount from the host. */
struct oci_mount {
    const char *source;      /* absolute, on the host */
    const char *destination; /* absolute, in the container */
    bool read_only;
    const char *propagation; /* NULL = "rprivate"; "rslave", "rshared" */
};

struct oci_device {
    const char *path;   /* on the host; also in the container unless `inside` is set */
    const char *inside; /* NULL = path */
    const char *access; /* NULL = "rwm" */
};

/* 0 (or -1 where it says so) means "not set". */
struct oci_resources {
    int64_t cpu_shares;   /* cgroup v1 units; cgroup_shares() */
    int64_t cpu_quota_us; /* per period */
    int64_t cpu_period_us;
    int64_t memory_limit; /* bytes */
    int64_t pids_limit;
};

struct oci_security {
    bool privileged; /* all capabilities, all devices, nothing masked, sysfs and cgroups writable */
    bool read_only_root;
    bool no_new_privileges; /* allowPrivilegeEscalation: false */
    bool seccomp_default;   /* seccompProfile RuntimeDefault */
    bool proc_unmasked;     /* procMount: Unmasked */
    const char *const
        *caps_add; /* "NET_ADMIN", "CAP_NET_ADMIN", "ALL"; NULL-terminated, may be NULL */
    const char *const *caps_drop;
    /* runAsUser etc. of the pod; has_uid false takes `user` (image config, may be "") instead */
    bool has_uid, has_gid;
    int64_t uid, gid;
    const char *user;
    bool must_be_non_root; /* runAsNonRoot: -E_INVAL when the uid turns out to be 0 */
    const int64_t *groups; /* supplementalGroups and fsGroup */
    size_t groups_n;
};

struct oci_spec {
    const char *rootfs;      /* absolute path on the host */
    const char *const *args; /* NULL-terminated, not empty */
    const char *const
        *env; /* "NAME=value"; PATH, HOSTNAME (and TERM with a tty) are added when absent */
    const char *cwd;
    bool tty;
    const char *hostname;    /* NULL when uts is joined by path */
    const char *cgroup_path; /* as the runtime wants it: "/kubepods/podX/ctr" */
    /* namespace paths to join; NULL = a new one; "" = the host's (no namespace) */
    const char *net, *ipc, *uts, *pid;
    struct oci_security security;
    struct oci_resources resources;
    const struct oci_mount *mounts;
    size_t mounts_n;
    const struct oci_device *devices;
    size_t devices_n;
    const char *shm;   /* host path to bind on /dev/shm; NULL = a new tmpfs of 64 MiB */
    int oom_score_adj; /* wanted; clamped to what this process may give */
};

/* The tree lives in the arena. -E_INVAL with a sentence ("unable to find user web: no matching
 * entries in passwd file", "container has runAsNonRoot and image will run as root"). */
int oci_spec_build(const struct oci_spec *s, struct arena *a, struct json **ret, struct err *err);

struct oci_user {
    uint32_t uid, gid;
    uint32_t groups[64]; /* of /etc/group, then the asked ones */
    size_t groups_n;
    char home[256]; /* "/" when unknown */
};
/* Looks up a user as image configs name it ("", "0", "1000:1000", "name", "name:group") in the
 * rootfs' own /etc/passwd and /etc/group, which are read without following links out of the rootfs.
 */
int oci_user_resolve(const char *rootfs, const char *user, struct oci_user *ret, struct err *err);
/* "SIGTERM", "TERM", "15", "RTMIN+3" -> the number; -E_INVAL. */
int signal_parse(const char *text, int *ret);

#endif

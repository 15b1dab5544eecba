/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The namespaces that the containers of a pod share, without a pause process unless they share
 * their process numbers, too: a thread makes network, IPC and UTS namespaces, brings the loopback
 * up, sets the host name and pins them by bind mounts in run_dir/sandboxes/<uid>/; beside them lies
 * the tmpfs of /dev/shm. All state is in mounts, so it survives the agent, and a reboot removes it.
 */
#ifndef RUNTIME_SANDBOX_H
#define RUNTIME_SANDBOX_H

#include "runtime/runtime.h"

struct sandbox_sysctl {
    const char *name, *value; /* "net.ipv4.ip_unprivileged_port_start" */
};

/* Borrowed until done. */
struct sandbox_config {
    const char *pod_uid;
    const char *hostname; /* cut at 63 characters */
    bool host_network;    /* net and uts are then the host's */
    bool host_ipc;
    bool share_pid;    /* one PID namespace for all containers, held by the program pause */
    int64_t shm_bytes; /* 0 = 64 MiB */
    const struct sandbox_sysctl *sysctls; /* only of namespaces that are the pod's own */
    size_t sysctls_n;
};

/* What oci_spec wants: a path, or "" for the host's namespace. */
struct sandbox_paths {
    char *net, *ipc, *uts, *shm;
    char *pid; /* NULL without share_pid */
};

/* Makes what is missing; a sandbox that is complete is left as it is. */
void sandbox_create(struct runtime *rt, const struct sandbox_config *config, struct runtime_op *op);
/* True when everything that the configuration wants is mounted (of this boot). */
bool sandbox_exists(struct runtime *rt, const struct sandbox_config *config);
int sandbox_paths(struct runtime *rt, const struct sandbox_config *config, struct arena *a,
                  struct sandbox_paths *ret);
/* Unmounts and removes. Idempotent; detach the network (cni_del) before. */
void sandbox_remove(struct runtime *rt, const char *pod_uid, struct runtime_op *op);

#endif

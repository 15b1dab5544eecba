/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks of pods by CNI plugins (CNI specification 1.0.0, and 0.3.1 to 0.4.0 in files of the
 * node).
 *
 * The first valid *.conflist, *.conf or *.json of the configuration folder, by name, is the
 * network; without one it is our own: bridge + host-local + portmap on cni_bridge and cni_subnet.
 * ADD runs the plugins in order, each with prevResult; DEL in reverse with the result that ADD
 * cached in state_dir/cni/. The cache entry is written before the first plugin runs, so that a DEL
 * after kill -9 undoes whatever was made.
 */
#ifndef RUNTIME_CNI_H
#define RUNTIME_CNI_H

#include "base/arena.h"
#include "runtime/runtime.h"

struct cni;

struct cni_port {
    const char *protocol; /* "tcp", "udp", "sctp" */
    const char *host_ip;  /* NULL or "" = all */
    uint16_t host_port, container_port;
};

/* Borrowed until done. */
struct cni_attachment {
    const char *pod_uid; /* CNI_CONTAINERID */
    const char *pod_namespace, *pod_name;
    const char *netns;            /* path */
    const struct cni_port *ports; /* those with a host port */
    size_t ports_n;
};

#define CNI_IPS 8
struct cni_result {
    char ips[CNI_IPS][64]; /* without the prefix length; the first is status.podIP */
    size_t ips_n;
};

/* Attaches. On failure what was made is undone first. On success cni_status() has the addresses. */
void cni_add(struct cni *cni, const struct cni_attachment *at, struct runtime_op *op);
/* Detaches; idempotent, succeeds when the pod is not known. netns may be gone. */
void cni_del(struct cni *cni, const char *pod_uid, const char *netns, struct runtime_op *op);
/* The namespaces of an attached pod are gone (a reboot): gives its addresses back without running a
 * plugin, so that it can be added anew. -E_NOENT when it is not attached; -E_NOTSUP when the
 * network is not our own: use cni_del(). */
int cni_forget(struct cni *cni, const char *pod_uid);
/* The addresses that a finished ADD gave, from the cache (also of an earlier agent). -E_NOENT when
 * it is not attached. */
int cni_status(struct cni *cni, const char *pod_uid, struct cni_result *ret);
/* 0 when a network can be made; else a sentence (no plugin `bridge` in ...): Node condition
 * NetworkUnavailable / NetworkPluginNotReady. */
int cni_check(struct cni *cni, struct err *err);
/* Removes the bridge and rules of our own network (for tests and `down`); pods must be detached. */
void cni_remove_network(struct cni *cni, struct runtime_op *op);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a kubelet puts under every container: /etc/hosts and /etc/resolv.conf. Pure: text
 * in, text out. */
#ifndef INFRA_POD_FILES_H
#define INFRA_POD_FILES_H

#include "base/arena.h"
#include "codec/json.h"

/* spec.hostname, else the pod's name cut at 63 characters; the node's for host networks. */
const char *pod_hostname(struct arena *a, const struct json *pod, const char *node_hostname);

/* host_hosts: the node's own file, used by pods of the host's network. ips NULL-terminated. NULL
 * when the arena failed. */
const char *pod_hosts_file(struct arena *a, const struct json *pod, const char *hostname,
                           const char *const *ips, const char *host_hosts);

/* host_resolv: the node's own file. dnsPolicy None takes dnsConfig alone; ClusterFirst is the
 * node's resolver, since there is no cluster DNS. */
const char *pod_resolv_file(struct arena *a, const struct json *pod, const char *host_resolv);

#endif

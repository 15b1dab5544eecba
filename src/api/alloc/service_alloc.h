/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cluster IPs and node ports are taken, in memory.
 *
 * It holds nothing of its own: it is told of the newest state of every Service, also when that is
 * not durable yet, and answers from that. So it is right whenever what it was told is; there is
 * nothing on disk that could disagree and nothing to repair. Pure, loop thread only.
 */
#ifndef API_SERVICE_ALLOC_H
#define API_SERVICE_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "codec/json.h"

#define NODE_PORT_FIRST 30000
#define NODE_PORT_LAST 32767
#define SERVICE_RANGE_DEFAULT "10.96.0.0/16"

struct service_alloc;

/* cidr is an IPv4 range with 12 to 30 bits of prefix. -E_INVAL with a sentence, -E_NOMEM. */
int service_alloc_new(const char *cidr, struct service_alloc **ret, struct err *err);
void service_alloc_free(struct service_alloc *sa); /* NULL is fine */
const char *service_alloc_range(const struct service_alloc *sa);

/* The newest state of a Service; svc NULL: there is none. -E_NOMEM: what it had stays taken. */
int service_alloc_set(struct service_alloc *sa, const char *ns, const char *name,
                      const struct json *svc);

enum service_ip_state { SERVICE_IP_FREE, SERVICE_IP_TAKEN, SERVICE_IP_OUTSIDE, SERVICE_IP_BAD };
enum service_ip_state service_alloc_ip(const struct service_alloc *sa, const char *ip);
/* A free address, at random from the upper part of the range; the lower part, which people use for
 * addresses that they name, comes last. "" when the range is full. */
#define SERVICE_IP_SIZE 16
void service_alloc_pick_ip(const struct service_alloc *sa, char out[SERVICE_IP_SIZE]);
/* The first address of the range: that of the Service `kubernetes`. */
void service_alloc_first_ip(const struct service_alloc *sa, char out[SERVICE_IP_SIZE]);

bool service_alloc_port_taken(const struct service_alloc *sa, int64_t port);
/* A free node port that is not among the n of `not`; 0 when there is none. */
int64_t service_alloc_pick_port(const struct service_alloc *sa, const int64_t * not, size_t n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plug-ins remember between writes: cluster IPs and node ports that are taken, and what quotas
 * count. It follows the newest state of the store, also what is not durable yet: handler.c tells of
 * every write that the store has accepted, and of every one that failed afterwards. Beside that,
 * the policies that are in force, which follow what is durable.
 */
#ifndef API_ADMISSION_STATE_H
#define API_ADMISSION_STATE_H

#include <stdint.h>

#include "base/err.h"
#include "codec/json.h"

struct api_server;
struct kind;
struct policy_set;
struct quota_ledger;
struct service_alloc;

struct admission_state {
    struct service_alloc *services;
    struct quota_ledger *quota;
    struct policy_set *policies;
};

/* Reads what the store has. 0, or a negative code with err. */
int admission_start(struct api_server *s, struct err *err);
void admission_stop(struct api_server *s);
/* The store has accepted a write: obj is the newest state (storage form), NULL when it is gone. */
void admission_wrote(struct api_server *s, const struct kind *k, const char *ns, const char *name,
                     const struct json *obj, int64_t rev);
/* A write that was accepted has failed: what the store says now counts again. */
void admission_lost(struct api_server *s, const struct kind *k, const char *ns, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what: system:masters everything; a node (system:nodes) what concerns it; nobody else
 * anything. Roles (RBAC) are not part of this server yet.
 *
 * A node may: read, create and update its own Node and its status, own its Lease, read the pods
 * bound to it, update their status, evict and delete them, write Events, and read the ConfigMaps,
 * Secrets and ServiceAccounts to which its pods refer. It makes no pods: through their references
 * it could read any Secret.
 */
#ifndef API_AUTHZ_H
#define API_AUTHZ_H

#include "api/handler.h"

struct authz_request {
    const struct api_user *user;
    enum handler_verb verb;
    const struct kind *kind;
    const char *subresource; /* "" for none */
    const char *ns, *name;   /* "" for none */
    const char *field_selector;
    const struct json *body; /* creates */
};

/* 0, or -E_ACCESS with Kubernetes' words, without the "... is forbidden: " in front. */
int authz_check(struct api_server *s, struct arena *a, const struct authz_request *r,
                struct err *err);
/* What a node may not change of its own Node (as NodeRestriction): taints, owners, labels of
 * Kubernetes' domains other than those that describe the machine. old NULL for a create. 0 or
 * -E_ACCESS. */
int authz_node_write(const struct api_user *u, const struct kind *k, const struct json *obj,
                     const struct json *old, struct err *err);
/* A path that is no resource ("/metrics"); verb in lower case. */
int authz_path(const struct api_user *u, const char *verb, struct str path, struct err *err);

#endif

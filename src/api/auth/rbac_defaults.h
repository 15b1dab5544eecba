/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The roles and bindings that every cluster has (Kubernetes'
 * plugin/pkg/auth/authorizer/rbac/bootstrappolicy), as far as somebody here uses them.
 */
#ifndef API_AUTH_RBAC_DEFAULTS_H
#define API_AUTH_RBAC_DEFAULTS_H

#include "api/server.h"

struct rbac;

/* At a center: makes what is missing in the store, and gives existing ones back what they lack,
 * unless their annotation rbac.authorization.kubernetes.io/autoupdate is "false". What was added to
 * them stays. 0, -E_NOMEM. */
int rbac_defaults_boot(struct api_server *s);
/* At an edge, whose store has no roles of its own: they hold without being objects. */
int rbac_defaults_builtin(struct rbac *r);

#endif

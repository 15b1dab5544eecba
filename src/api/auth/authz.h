/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what: system:masters everything; a node (system:nodes) what concerns it
 * (authz_node.c); everybody what roles and bindings allow (rbac.h).
 */
#ifndef API_AUTH_AUTHZ_H
#define API_AUTH_AUTHZ_H

#include "api/handler.h"

/* One question, in the words of the wire. Texts are never NULL ("" = none) except path. */
struct authz_attrs {
    const struct api_user *user;
    const char *verb; /* "get" ... */
    const char *group, *resource, *subresource, *ns, *name;
    const char *path; /* a path that is no resource; NULL: it is about a resource */
    /* Known for requests on objects, else NULL; a node is judged by them. */
    const char *field_selector;
    const struct json *body; /* creates */
};

/* The same about an operation on a kind. */
struct authz_request {
    const struct api_user *user;
    enum handler_verb verb;
    const struct kind *kind;
    const char *subresource; /* "" for none */
    const char *ns, *name;   /* "" for none */
    const char *field_selector;
    const struct json *body; /* creates */
};

/* 0, or -E_ACCESS with Kubernetes' words, without the "... is forbidden: " in front (a path's come
 * with it). The arena serves for the time of the call, and for a refusal. */
int authz_ask(struct api_server *s, struct arena *a, const struct authz_attrs *q, struct err *err);
int authz_check(struct api_server *s, struct arena *a, const struct authz_request *r,
                struct err *err);
/* A path that is no resource ("/metrics"); verb in lower case. */
int authz_path(struct api_server *s, struct arena *a, const struct api_user *u, const char *verb,
               struct str path, struct err *err);
/* For access reviews: the answer and the reason for it, "" when there is none. */
bool authz_explain(struct api_server *s, struct arena *a, const struct authz_attrs *q,
                   const char **ret_reason);
const char *authz_verb(enum handler_verb v);

/* What a node may not change of its own Node (as NodeRestriction): taints, owners, labels of
 * Kubernetes' domains other than those that describe the machine. old NULL for a create. 0 or
 * -E_ACCESS. */
int authz_node_write(const struct api_user *u, const struct kind *k, const struct json *obj,
                     const struct json *old, struct err *err);
/* authz_node.c: whether the request concerns the node that makes it. False for other users. */
bool authz_node_allows(struct api_server *s, struct arena *a, const struct authz_attrs *q);

#endif

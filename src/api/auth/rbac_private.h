/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rbac.c (the index, kept equal to the store) and rbac_decide.c (decisions over it) share; see
 * rbac.h.
 *
 * Invariants: 1. A binding stands in the list of each of its subjects, and nowhere else. 2. A
 * remembered decision counts only for the generation in which it was made; every change of a role
 * or binding makes a new one.
 */
#ifndef API_AUTH_RBAC_PRIVATE_H
#define API_AUTH_RBAC_PRIVATE_H

#include "api/auth/rbac.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

enum {
    RBAC_WATCHES = 4,
    RBAC_DECISIONS = 2048, /* a power of two */
};

struct role {
    size_t n;
    struct rbac_rule rules[]; /* lists and texts follow in the same block */
};

struct binding;

struct subject_link {
    struct list in_subject;
    struct binding *binding;
    struct subject *subject;
    const char *kind, *name, *ns; /* as written, for people */
};

struct binding {
    char *ns, *name; /* ns "" for a ClusterRoleBinding */
    char *role_kind, *role_name;
    char *role;  /* key in rbac.roles */
    char *texts; /* of the links */
    size_t n;
    struct subject_link links[];
};

struct subject {
    struct list links;
    char key[];
};

enum outcome { DENIED, ALLOWED, BY_NAME };

struct decision {
    uint64_t generation;
    enum outcome outcome;
    size_t n;
    char key[];
};

struct rbac {
    struct store *store;
    struct store_watch *watches[RBAC_WATCHES];
    struct map roles;    /* "NS/NAME" -> struct role; of ClusterRoles "/NAME" */
    struct map bindings; /* the store's key -> struct binding */
    struct map subjects; /* 'U' or 'G' and the name -> struct subject */
    uint64_t generation;
    struct decision *decisions[RBAC_DECISIONS];
};

#endif

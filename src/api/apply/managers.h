/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata.managedFields: who has set which fields of an object, and server-side apply by it
 * (Kubernetes' fieldmanager over structured-merge-diff's updater).
 *
 * Every write by create, update or patch is an Update of its manager: it owns what it changed, and
 * others lose that. An Apply states all fields that its manager wants: those that it no longer
 * names and nobody else owns go, and a field of another manager with another value is a conflict.
 */
#ifndef API_APPLY_MANAGERS_H
#define API_APPLY_MANAGERS_H

#include "api/kind.h"
#include "base/clock.h"
#include "base/err.h"
#include "codec/json.h"

#define APPLY_MANAGER_MAX 128

/* Who writes, and how. */
struct apply_request {
    const struct kind *kind; /* the form of the objects */
    const char *api_version; /* of the request */
    const char *manager;     /* at most APPLY_MANAGER_MAX bytes */
    const char *subresource; /* "" for none */
    struct wall now;
    bool force;
};

/* Sets obj's managedFields for a create (old NULL) or an update to what old, or obj itself, says,
 * plus what this write changed. Ask arena_failed(). */
void apply_track(struct arena *a, const struct apply_request *r, const struct json *old,
                 struct json *obj);

struct apply_conflict {
    const char *manager; /* as messages name it: `"kubectl-edit" using v1` */
    const char *path;
};
struct apply_conflicts {
    struct apply_conflict *items;
    size_t n;
};

/* live (NULL when there is none yet) with config applied to it; *ret shares nothing with them. 0;
 * -E_CONFLICT with ret_conflicts; -E_INVAL with err when config's lists are wrong; -E_NOMEM. */
int apply_config(struct arena *a, const struct apply_request *r, const struct json *live,
                 const struct json *config, struct json **ret,
                 struct apply_conflicts *ret_conflicts, struct err *err);

/* The text of a 409. NULL when the arena failed. */
const char *apply_conflict_text(struct arena *a, const struct apply_conflicts *c);

/* NULL, or what is wrong with the managedFields that a client sent, and where. */
const char *apply_managers_invalid(struct arena *a, const struct json *managed,
                                   const char **ret_at);

#endif

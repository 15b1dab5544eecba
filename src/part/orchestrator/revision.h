/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history of a DaemonSet or StatefulSet: one ControllerRevision for each template that it had
 * (Kubernetes pkg/controller/history). Pure.
 *
 * A revision holds the template as a strategic merge patch, {"spec":{"template":{...,"$patch":
 * "replace"}}}, so that `kubectl rollout undo` can send it back as it is. Its name is the owner's
 * with a hash of the template. Going back to an old template gives its revision the highest number
 * again instead of making another one.
 */
#ifndef ORCHESTRATOR_REVISION_H
#define ORCHESTRATOR_REVISION_H

#include "base/clock.h"
#include "plan.h"

#define REVISION_HASH_LABEL "controller-revision-hash"

struct revisions_in {
    struct json *owner; /* a copy; status.collisionCount may be raised in it */
    const struct kind *kind;
    struct json **found; /* ControllerRevisions of the namespace; copies, may be edited */
    size_t n;
    /* A ControllerRevision of this name exists, whoever owns it. May be NULL (none). */
    bool (*name_taken)(const void *arg, const char *name);
    const void *arg;
};

struct revisions {
    /* read-only */
    struct json **v; /* those of the owner, lowest number first; `update` is among them */
    size_t n;
    const struct json
        *update; /* of the template as it is now; NULL: the name is taken, look again */
    bool fresh;  /* the plan makes it (wave 0); what needs it must stand in a later wave */
};

/*
 * Claims the revisions, finds the one of the current template, makes it or gives it the highest
 * number. 0, -E_INVAL when the selector is bad (err says why), -E_NOMEM.
 */
int revisions_sync(const struct revisions_in *in, struct plan *plan, struct revisions *ret,
                   struct err *err);
const struct json *revisions_find(const struct revisions *r, const char *name); /* NULL = none */
/* The hash in a revision's labels. */
const char *revision_hash(const struct json *revision);
/* The pod template that a revision holds, or NULL. */
const struct json *revision_template(const struct json *revision);

/* Deletes the oldest of the revisions that are not in use, but for `limit` of them. */
void revisions_trim(const struct revisions *r, struct plan *plan, int64_t limit,
                    bool (*in_use)(const void *arg, const struct json *revision), const void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile step of a namespace that is being deleted. Pure. */
#ifndef ORCHESTRATOR_NAMESPACE_H
#define ORCHESTRATOR_NAMESPACE_H

#include "plan.h"
#include "base/clock.h"

/* What is left of one kind in the namespace. */
struct namespace_content {
    const struct kind *kind;
    struct api_item **items;
    bool *deleting;         /* of each item: it is on its way */
    const char **finalizer; /* of each item: the first one that holds it, or NULL */
    size_t n;
};

struct namespace_in {
    struct json *ns; /* a copy, may be edited */
    const struct namespace_content *contents;
    size_t n;
    bool verified; /* the server itself says that nothing is left */
    struct wall now;
};

/* Deletes what is left; when nothing is, *ret_verify asks to look at the server itself; when that
 * was done, takes the finalizer away. */
void namespace_reconcile(const struct namespace_in *in, struct plan *plan, bool *ret_verify);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the drivers of controllers with a history of ControllerRevisions share. */
#ifndef ORCHESTRATOR_CTRL_REVISIONS_H
#define ORCHESTRATOR_CTRL_REVISIONS_H

#include "ctrl_pods.h"

/* Adds the keys of owners that are concerned by a change of a ControllerRevision. */
void ctrl_revisions_changed(struct ctrl_pods *x, const struct change *change);
/* Parsed copies of the revisions that the owner has or may adopt; NULL when there are none. */
struct json **ctrl_revisions_of(struct controller *c, struct arena *a, const struct json *owner,
                                size_t *ret_n);

#endif

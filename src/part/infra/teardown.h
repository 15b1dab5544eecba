/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes everything of a node's pods off the machine: processes, mounts, networks, cgroups. What is
 * stored (objects, images) stays, so an agent that is started later runs the same pods again. For
 * `selvedge down`; the agent must not be running.
 */
#ifndef INFRA_TEARDOWN_H
#define INFRA_TEARDOWN_H

#include "base/err.h"

struct io_loop;
struct runtime;

/* Runs the loop until all is gone. A part that cannot be removed does not keep the others: the
 * first failure is returned at the end. */
int infra_teardown(struct io_loop *loop, struct runtime *rt, struct err *err);

#endif

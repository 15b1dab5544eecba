/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of a controller, for orchestrator.c. */
#ifndef ORCHESTRATOR_CONTROLLER_H
#define ORCHESTRATOR_CONTROLLER_H

struct controller;
struct controller_ops;
struct orchestrator;

/* c is zeroed memory of ops->size. After a failure controller_fini() frees what was made. */
int controller_init(struct controller *c, const struct controller_ops *ops, struct orchestrator *o);
void controller_fini(struct controller *c);

#endif

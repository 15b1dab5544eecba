/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind does beyond its schema when it is written: the fields that the server fills, which
 * parts a write may touch, and how it is validated (Kubernetes' registry/.../strategy.go).
 *
 * Objects are in storage form. A create goes: defaults of the schema, strategy_create,
 * strategy_validate.
 */
#ifndef API_STRATEGY_H
#define API_STRATEGY_H

#include "api/kind.h"
#include "api/status.h"

/* Fills what the kind fills and drops what a client may not set. metadata is already done (name,
 * uid). The rules of single kinds are constants in rules/. */
void strategy_create(struct arena *a, const struct kind *k, struct json *obj);
/* obj is what the client wants, old what there is. status: the write goes to /status. Members of
 * obj that this write may not touch are taken from old. */
void strategy_update(struct arena *a, const struct kind *k, struct json *obj,
                     const struct json *old, bool status);
/* old NULL for a create. */
void strategy_validate(struct field_errors *e, const struct kind *k, const struct json *obj,
                       const struct json *old, bool status);
/* A PUT must say which version it replaces. */
bool strategy_needs_version(const struct kind *k);

/* "Guaranteed", "Burstable" or "BestEffort" of a pod's spec. */
const char *strategy_qos_class(const struct json *spec);

#endif

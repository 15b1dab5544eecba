/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kubectl's client-side apply left in an object's annotation, and how kubectl's server-side
 * apply goes on from there (Kubernetes' lastAppliedManager and lastAppliedUpdater). Other managers
 * opt out of it by their name.
 */
#ifndef API_APPLY_LAST_APPLIED_H
#define API_APPLY_LAST_APPLIED_H

#include "api/apply/managers.h"

#define LAST_APPLIED_ANNOTATION "kubectl.kubernetes.io/last-applied-configuration"

/* The set of fields that r's manager may take over from others without force: those that the last
 * client-side apply named and that still have its values. NULL for none. */
struct json *last_applied_allowed(struct arena *a, const struct apply_request *r,
                                  const struct json *live);

/* Keeps the annotation of obj, if it has one, in step with what is applied, so that client-side
 * apply can go on from it. Ask arena_failed(). */
void last_applied_sync(struct arena *a, const struct apply_request *r, const struct json *config,
                       struct json *obj);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes' defaults (pkg/apis/<group>/v1/defaults.go).
 *
 * Most are data: a field's `default:` in kinds/. What depends on other fields is code in
 * defaults.c: the pull policy by the image's tag, host ports under hostNetwork, requests from
 * limits (in pods alone, not in templates), an emptyDir for a volume without a source, the numbers
 * of a rolling update, a node's allocatable resources, a namespace's label.
 *
 * What a server fills on creation (status, finalizers, a ServiceAccount's name) is no default; see
 * strategy.h.
 */
#ifndef API_DEFAULTS_H
#define API_DEFAULTS_H

#include "api/schema.h"
#include "codec/json.h"

/* obj was checked by schema_check() against t. Changes it in place, twice does no harm; new nodes
 * are put into a. Ask arena_failed() afterwards. */
void schema_defaults(struct arena *a, const struct schema_type *t, struct json *obj);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes' defaults (pkg/apis/<group>/v1/defaults.go).
 *
 * Most are data: a field's `default:` in kinds/. What depends on other fields is code in
 * defaults.c (pods, nodes, namespaces: the pull policy by the image's tag, host ports under
 * hostNetwork, requests from limits in pods alone, not in templates, ...) and in rules/defaults.c
 * (the other kinds).
 *
 * What a server fills on creation (status, finalizers, a ServiceAccount's name) is no default; see
 * strategy.h.
 */
#ifndef API_DEFAULTS_H
#define API_DEFAULTS_H

#include "api/schema.h"
#include "codec/json.h"

typedef void defaults_rule_fn(struct arena *a, struct json *obj); /* of one type */

/* obj was checked by schema_check() against t. Changes it in place, twice does no harm; new nodes
 * are put into a. Ask arena_failed() afterwards. */
void schema_defaults(struct arena *a, const struct schema_type *t, struct json *obj);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a pod may stay on a node with NoExecute taints. Pure.
 */
#ifndef ORCHESTRATOR_TAINT_EVICTION_H
#define ORCHESTRATOR_TAINT_EVICTION_H

#include "base/clock.h"
#include "codec/json.h"

#define STAYS_FOREVER INT64_MAX

/* Seconds from when the taints were first met: 0 = must go now, STAYS_FOREVER, or the shortest
 * tolerationSeconds. */
int64_t taint_stay_seconds(const struct json *taints, const struct json *tolerations);
bool taints_evict(const struct json *taints); /* some taint has effect NoExecute */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many replicas a HorizontalPodAutoscaler wants. Pure: measured values in, a number with its
 * reasons out; the algorithm is that of Kubernetes 1.32 (pkg/controller/podautoscaler), with its
 * texts.
 */
#ifndef ORCHESTRATOR_AUTOSCALE_H
#define ORCHESTRATOR_AUTOSCALE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "codec/json.h"

/* One pod of the target. */
struct autoscale_pod {
    const char *name;
    const struct json *pod;
    const struct json *metrics; /* its PodMetrics, or NULL */
    bool ready;                 /* may be judged by its CPU */
};

struct autoscale_metric {
    int64_t replicas;
    const char *name;      /* "cpu resource utilization (percentage of request)" */
    struct json *status;   /* for status.currentMetrics; NULL when there is none */
    const char *condition; /* on failure: reason of ScalingActive */
};

/* What one entry of spec.metrics asks for. 0, or -E_AGAIN with a sentence (ret->condition is set).
 */
int autoscale_metric(struct arena *a, const struct json *spec, const struct autoscale_pod *pods,
                     size_t n, int64_t current, struct autoscale_metric *ret, struct err *err);

/* ---- how fast ---- */

struct autoscale_change {
    struct wall at;
    int64_t by; /* replicas added, negative: removed */
};

struct autoscale_wish {
    struct wall at;
    int64_t replicas;
};

/* The past of one autoscaler; rings, the oldest is overwritten. */
#define AUTOSCALE_PAST 128
struct autoscale_past {
    struct autoscale_wish wishes[AUTOSCALE_PAST];
    struct autoscale_change changes[AUTOSCALE_PAST];
    size_t n_wishes, n_changes; /* ever */
};

struct autoscale_limit {
    int64_t replicas;
    const char *able_reason, *able_text; /* condition AbleToScale */
    bool limited;
    const char *reason, *text; /* condition ScalingLimited */
};

/* Applies windows, policies and bounds of the spec to a wish, which is remembered. */
struct autoscale_limit autoscale_limit(struct autoscale_past *past, const struct json *spec,
                                       int64_t current, int64_t wish, struct wall now);
void autoscale_changed(struct autoscale_past *past, int64_t by, struct wall now);

#endif

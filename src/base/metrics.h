/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters and gauges of the process, declared in metrics.def with a sentence each, printed in the
 * Prometheus text format. Relaxed atomics: any thread may add.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

#include "buf.h"

enum metric {
#define METRIC(id, name, type, help) METRIC_##id,
#include "metrics.def"
#undef METRIC
    METRIC_NR
};

void metric_add(enum metric m, int64_t n);
void metric_set(enum metric m, int64_t value);
int64_t metric_get(enum metric m);
int metrics_print(struct buf *out);

#endif

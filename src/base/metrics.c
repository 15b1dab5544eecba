/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and gauges of the process; see metrics.h. */
#include "metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "mem.h"

static _Atomic int64_t values[METRIC_NR];

static const struct {
    const char *name, *type, *help;
} table[METRIC_NR] = {
#define METRIC(id, name, type, help) {name, type, help},
#include "metrics.def"
#undef METRIC
};

void metric_add(enum metric m, int64_t n)
{
    atomic_fetch_add_explicit(&values[m], n, memory_order_relaxed);
}

void metric_set(enum metric m, int64_t value)
{
    atomic_store_explicit(&values[m], value, memory_order_relaxed);
}

int64_t metric_get(enum metric m)
{
    return atomic_load_explicit(&values[m], memory_order_relaxed);
}

int metrics_print(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRId64 "\n", table[i].name,
                         table[i].help, table[i].name, table[i].type, table[i].name,
                         metric_get((enum metric)i));
    }
    return buf_failed(out) ? -ENOMEM : 0; /* sticky: asked once */
}

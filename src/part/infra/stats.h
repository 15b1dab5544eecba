/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pods and the machine use, as a kubelet tells it (stats/v1alpha1 Summary): measured when
 * somebody asks, never otherwise.
 *
 * A rate of CPU use needs two looks. The look before serves when it is between half a second and
 * five minutes old; else the answer waits for a second look, one second later.
 */
#ifndef INFRA_STATS_H
#define INFRA_STATS_H

#include "codec/json.h"

struct infra;
struct stats;

struct stats *stats_new(struct infra *inf); /* NULL: -ENOMEM */
void stats_free(struct stats *s);           /* pending answers do not come; NULL is fine */

/* summary lives until done returns; NULL when memory is short. Never inside the call. */
typedef void stats_done_fn(void *arg, const struct json *summary);
struct stats_req;
struct stats_req *stats_ask(struct stats *s, stats_done_fn *done, void *arg); /* NULL: -ENOMEM */
void stats_cancel(struct stats_req *r);                                       /* NULL is fine */

#endif

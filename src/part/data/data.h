/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part `data`: streams, tables and rules of a node, connected to the world.
 *
 *      sources (mqtt, http, file, memory, ...) --> engine (src/stream) --> sinks (mqtt, rest, file,
 * ...) ^ definitions: REST in eKuiper's form, or kinds of data.selvedge.dev
 *
 * Definitions are durable before they are acknowledged, in a store of the part's own; what ran when
 * the process ended runs again when it starts. One loop thread; rules may run on more (shard.h).
 */
#ifndef PART_DATA_DATA_H
#define PART_DATA_DATA_H

#include <stdint.h>

#include "base/err.h"

struct broker_config;
struct data;
struct http_exchange;
struct io_loop;

struct data_config { /* texts are copied */
    struct io_loop *loop;
    const char *dir;  /* definitions, checkpoints, caches; NULL: nothing is kept */
    const char *zone; /* of windows and formats; NULL = UTC */
    unsigned threads; /* that run rules, the loop's among them; 0 = 1 */
    uint16_t port;    /* of the REST interface: told to those who start trial runs */
    const char *api;  /* Unix socket of an API whose streams, tables and rules run here; NULL */
    const struct broker_config *broker; /* the node's own MQTT broker; NULL = none. loop, dir and
                                           callbacks are set here */
};

/* Opens the store, defines and starts what it holds. A definition that does not work any more is
 * kept, shown as stopped with the reason, and told by the log. Where it fails *ret is what began,
 * to be stopped all the same, or NULL as it was: its store closes by the loop. */
int data_start(const struct data_config *cfg, struct data **ret, struct err *err);
/* Saves checkpoints, flushes sinks for at most grace_ms, closes all; then done. */
void data_stop(struct data *d, int64_t grace_ms, void (*done)(void *arg), void *arg);
/* A request to the REST interface (eKuiper's paths); replies in every case. */
void data_handle(struct data *d, struct http_exchange *x);

#endif

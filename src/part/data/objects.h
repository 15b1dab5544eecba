/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams, tables and rules as objects of data.selvedge.dev, read from an API server (the node's
 * own), run here, and what became of them told to it.
 *
 * What an object says is what runs: an object that changed to something that does not work runs
 * not at all, and its status tells why. What is defined by objects is not kept in the part's own
 * store, since the API has it; checkpoints are. While the API is away all goes on. Loop thread
 * only.
 */
#ifndef PART_DATA_OBJECTS_H
#define PART_DATA_OBJECTS_H

#include "base/err.h"

struct data;
struct objects;

/* socket: the path of the API's Unix socket; copied. d->objects is set. */
int objects_start(struct data *d, const char *socket, struct err *err);
/* Rules and streams stay as they are. NULL is fine. */
void objects_stop(struct objects *o);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes Events about objects, without ever holding up or failing its caller.
 *
 * The same event (object, reason, text) again within ten minutes raises the count of the one that
 * was written. When more wait than may, new ones are dropped and counted: events are a courtesy.
 */
#ifndef ORCHESTRATOR_RECORDER_H
#define ORCHESTRATOR_RECORDER_H

#include "api/client.h"

struct io_loop;
struct recorder;

/* component is the source ("deployment-controller"); recorders may share a client. */
struct recorder *recorder_new(struct api_client *client, struct io_loop *loop,
                              const char *component);
void recorder_free(struct recorder *r); /* NULL is fine */
/* type is "Normal" or "Warning". object needs metadata only; everything is copied. r may be NULL.
 */
void recorder_event(struct recorder *r, const struct kind *kind, const struct json *object,
                    const char *type, const char *reason, const char *text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to the webhooks of others (admission, conversion): one JSON review goes by HTTPS, one comes
 * back.
 *
 * A client config is Kubernetes' WebhookClientConfig: a url, or a service whose pods are reached at
 * an address of its Endpoints, through the node's tunnel when they run on a node. caBundle (base64
 * of PEM) is what the server's certificate is checked against; without it the system's roots are.
 * Connections are kept and shared by calls of the same config. Loop thread only.
 */
#ifndef API_WEBHOOK_CLIENT_H
#define API_WEBHOOK_CLIENT_H

#include "base/err.h"
#include "base/str.h"
#include "codec/json.h"

struct api_server;
struct webhook_call;
struct webhook_pool;

/* NULL when memory is short. The server is borrowed. */
struct webhook_pool *webhook_pool_new(struct api_server *server);
/* Ends the calls that run without their done. NULL is fine. */
void webhook_pool_free(struct webhook_pool *p);

/* code 0: body is the answer of a status 200 (valid within done, 0-terminated); else err is a
 * sentence in Kubernetes' words: `failed to call webhook: Post "https://...": ...`. Comes once and
 * never inside webhook_call_start(). */
typedef void webhook_done_fn(void *arg, int code, struct str body, const struct err *err);

/* config is read inside the call; body is copied. timeout_ms counts the whole call. NULL on
 * -ENOMEM.
 */
struct webhook_call *webhook_call_start(struct webhook_pool *p, const struct json *config,
                                        struct str body, int64_t timeout_ms, webhook_done_fn *done,
                                        void *arg);
/* done will not come any more. NULL is fine. */
void webhook_call_cancel(struct webhook_call *c);

#endif

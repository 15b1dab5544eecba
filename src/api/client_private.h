/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands behind api/client.h: an implementation (in-process: client_local.c, HTTP:
 * client_http.c) embeds struct api_client and struct api_watch as first members and fills the ops;
 * client.c only dispatches.
 */
#ifndef API_CLIENT_PRIVATE_H
#define API_CLIENT_PRIVATE_H

#include "api/client.h"

/* Each member has the contract of the function of the same name in client.h. */
struct api_client_ops {
    const char *name; /* "local", "http" */
    /* client.c has set call->client, initialised call->arena and cleared call->err. The
     * implementation calls api_call_finish() exactly once, later, from the loop. */
    void (*call_start)(struct api_client *c, struct api_call *call, const struct api_request *req);
    /* Only for a call that has not finished. The implementation forgets it; client.c frees the
     * arena. */
    void (*call_cancel)(struct api_client *c, struct api_call *call);
    struct api_watch *(*watch_start)(struct api_client *c, const struct kind *kind, const char *ns,
                                     const char *label_selector, const char *field_selector,
                                     int64_t from_rev, const struct api_watch_ops *ops, void *arg);
    void (*watch_stop)(struct api_watch *w);
    void (*free)(struct api_client *c);
};

struct api_client {
    const struct api_client_ops *ops;
};

struct api_watch {
    struct api_client *client;
};

/* Hands the result to the owner and frees the arena afterwards; the call may be gone when it
 * returns. With code < 0, err must be filled. */
void api_call_finish(struct api_call *call, int code, struct json *result);

/* The negative code of a failed answer; Kubernetes' reason tells conflicts apart. */
int api_code_of(int status, const struct json *answer);
/* "get pods default/web", for error texts; cut when longer. */
void api_describe(const struct api_request *req, char *out, size_t size);

/* An item that owns a copy of everything, made from an object's tree. NULL on -ENOMEM. */
struct api_item *api_item_new(const struct json *object);
/* The same with the object's JSON text at hand (it is copied). */
struct api_item *api_item_new_text(struct str text, const struct json *object);

#endif

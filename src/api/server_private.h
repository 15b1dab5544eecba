/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the server share; see server.h for its users' view and README.md for the tour.
 */
#ifndef API_SERVER_PRIVATE_H
#define API_SERVER_PRIVATE_H

#include "api/admission/state.h"
#include "api/route.h"
#include "api/server.h"
#include "base/list.h"
#include "base/mem.h"
#include "io/loop.h"
#include "net/http_server.h"
#include "store/store.h"

struct server_route {
    char *prefix;
    unsigned flags;
    server_route_fn *fn;
    void *arg;
};

struct static_token {
    char *token;
    struct api_user user; /* texts in api_server.arena */
};

struct api_server {
    struct io_loop *loop;
    struct store *store;
    struct api_server_opts opts;
    struct arena arena; /* of what lives as long as the server */
    struct server_route *routes;
    size_t n_routes;
    struct static_token *tokens;
    size_t n_tokens;
    struct flow_control *flows;
    struct flow_schemas *schemas;
    struct crd_set *crds;
    struct webhooks *webhooks;
    struct list watches;     /* struct watch_feed.link */
    struct list streams;     /* struct exec_proxy.link */
    struct metrics *metrics; /* metrics.h; NULL until somebody asks */
    struct list boot;        /* struct boot_write.link: objects that are being made at the start */
    struct rbac *rbac;
    struct tokens *sa_tokens; /* of service accounts */
    struct admission_state admission;
    bool draining;
};

/* server_index.c: while set, the tree is what the next value handed to the store was printed from.
 */
void server_index_hint(const struct json *tree);
/* From the index: "" when it has none. They live with the item. */
const char *server_item_uid(const struct store_item *it);
const char *server_item_ns(const struct store_item *it);

/* server_reply.c */
void server_reply_status(struct http_exchange *x, const struct json *status);

struct server_call;

/* server_misc.c: health and version, for everybody: true when the path was one of them (and was
 * answered). */
bool server_misc_public(struct api_server *s, struct http_exchange *x);
/* Discovery, OpenAPI, metrics: for those who may read paths. False when the path is unknown. */
bool server_misc_private(struct server_call *call);

#endif

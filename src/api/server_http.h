/* SPDX-License-Identifier: Apache-2.0 */
/* From an exchange to an operation and back: what server_http*.c and exec_proxy.c share. */
#ifndef API_SERVER_HTTP_H
#define API_SERVER_HTTP_H

#include "api/flow/flow.h"
#include "api/handler.h"
#include "api/server_accept.h"
#include "api/table.h"
#include "net/http_server.h"

/* One request; lives in the exchange's arena. */
struct server_call {
    struct api_server *server;
    struct http_exchange *x;
    struct api_user user;
    struct route route;
    enum accept_form form;
    enum table_include include;
    struct flow_entry turn; /* while it waits for its turn */
    struct str body;        /* collected, until it is parsed */
    struct handler_op op;
};

/* server_body.c: a request body as a tree, by its Content-Type (JSON, YAML, protobuf). fits: the
 * type that a protobuf body must be of. *ret_problems: duplicate fields, as texts (NULL when there
 * are none). 0; or -E_MEDIATYPE, -E_INVAL, -E_LIMIT, -E_NOMEM with err. */
int server_body(struct arena *a, struct str content_type, struct str body, struct json **ret,
                struct json **ret_problems, struct err *err);

/* server_reply.c: sends the answer of call->op and ends the exchange. */
void server_reply(struct server_call *call);

/* exec_proxy.c: pods/log, exec, attach. Ends the exchange sooner or later. */
void exec_proxy_start(struct server_call *call);

#endif

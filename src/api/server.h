/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embeddable Kubernetes-compatible API server: routes, kinds, storage rules, watches, tables,
 * authentication and authorization over one revisioned store.
 *
 * It owns no socket: the embedding program (center, edge) runs an HTTP server and hands every
 * exchange to api_server_handle(). In-process callers use api_client_local() (api/client.h), which
 * goes through the same code below HTTP. Loop thread only.
 *
 * Who calls is decided in this order: a TLS client certificate that the HTTP server has verified
 * (CN = user, each O = a group); a Unix socket whose peer is root or this process's own user
 * (system:masters); a bearer token (the opts' static tokens, tokens of service accounts, bootstrap
 * tokens); else system:anonymous, who may only read health, version and the routes marked
 * SERVER_ROUTE_ANONYMOUS. Impersonate-* headers then make him somebody else, if he may. What a user
 * may is told in auth/README.md.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/node_stream.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/json.h"

struct api_server;
struct buf;
struct http_exchange;
struct io_loop;
struct kind;
struct selector;
struct store;
struct store_index_ops;
struct store_item;

/* ---- who calls ---- */

struct api_user {
    const char *name;
    const char *const *groups; /* NULL-terminated, never NULL itself */
    const char *uid;           /* NULL: none */
    const struct json *extra;  /* an object of arrays of texts; NULL: none */
};

bool api_user_in(const struct api_user *u, const char *group);
/* The NAME of "system:node:NAME" in group system:nodes, else NULL. */
const char *api_user_node(const struct api_user *u);

/* ---- hooks ---- */

/* SERVER_CONNECT (exec, attach, portforward, proxy) is known to admission only. */
enum server_write { SERVER_CREATE, SERVER_UPDATE, SERVER_PATCH, SERVER_DELETE, SERVER_CONNECT };

/*
 * Asked before every write, after authorization: 0, or a negative code (usually -E_ACCESS) with a
 * sentence that becomes the Status's message. old is the stored object or NULL. subresource is ""
 * for the object itself. An edge refuses writes of the spec of objects that its parent owns.
 */
typedef int server_guard_fn(void *arg, const struct api_user *user, enum server_write verb,
                            const struct kind *kind, const char *ns, const char *name,
                            const char *subresource, const struct json *old, struct err *err);

enum {
    SERVER_ROUTE_ANONYMOUS = 1u << 0, /* the handler decides itself who may call */
};

/* A route of another part ("/selvedge/v1/join"). user is borrowed until it returns; the handler
 * owns the exchange from here on, as any HTTP handler does. */
typedef void server_route_fn(void *arg, struct http_exchange *x, const struct api_user *user);

struct api_server_opts {
    /* All may be NULL / 0. */
    node_stream_open_fn *open_stream; /* NULL: logs and exec answer 501 */
    void *open_stream_arg;
    server_guard_fn *write_guard;
    void *write_guard_arg;
    /* Static bearer tokens, "token,user,uid,\"group1,group2\"" a line, as kube-apiserver's
     * --token-auth-file. Copied. */
    const char *token_csv;
    /* Answered by /readyz beside the server's own checks: NULL = ready, else what is missing. */
    const char *(*not_ready)(void *arg);
    void *not_ready_arg;
    /* IPv4 range of cluster IPs; NULL: 10.96.0.0/16. Read by api_server_new(), not kept. */
    const char *service_range;
    /* Where the Service `kubernetes` points to; NULL: there is none. Read by api_server_new(). */
    const char *advertise_address;
    uint16_t advertise_port;
    /* Make no objects: an edge mirrors namespaces, and has the default roles without objects. */
    bool no_namespaces;
    /* Keys of service account tokens as PEM texts, NULL-terminated: the first signs, all verify.
     * NULL: there are no such tokens. Read by api_server_new(), not kept. */
    const char *const *token_keys;
    const char *root_ca; /* PEM that pods and token Secrets get as ca.crt; copied; NULL: none */
};

/* ---- how objects lie in the store ---- */

/* The program that opens the store passes this as store_opts.index: selectors then need no parsing.
 */
extern const struct store_index_ops api_store_index;

/* "RESOURCE[.GROUP]/NAMESPACE/NAME", of the kind that stores k's objects: "pods/default/web-1",
 * "nodes//n1", "deployments.apps/default/web". name NULL: the prefix of a namespace; ns NULL as
 * well: of the whole kind. In the arena; NULL when it failed. */
const char *api_key(struct arena *a, const struct kind *k, const char *ns, const char *name);
/* The reverse: cuts a key; NULL when no kind has it. ret_* may be NULL. */
const struct kind *api_key_parse(struct str key, struct str *ret_ns, struct str *ret_name);
/* Matches an item of the store against a label and a field selector of its kind (either may be
 * NULL). */
bool api_item_match(const struct store_item *it, const struct selector *labels,
                    const struct selector *fields);

/* ---- lifetime ---- */

/* opts are copied; store and loop are borrowed and must outlive the server. NULL with err. Starts
 * to create the namespaces that always exist. */
struct api_server *api_server_new(struct io_loop *loop, struct store *store,
                                  const struct api_server_opts *opts, struct err *err);
/* Ends every watch and stream. No exchange of it may come in any more; NULL is fine. Frees at once;
 * a write that is under way in the store completes without a reply. */
void api_server_free(struct api_server *s);
/* Tells all watchers to come back (their streams end cleanly) and answers 503 from now on; the
 * first step of a graceful stop. */
void api_server_drain(struct api_server *s);

/* The entry for every exchange of the embedding program's HTTP servers. */
void api_server_handle(struct api_server *s, struct http_exchange *x);

/* Registers a route before the server is used. A prefix that ends in '/' takes everything below it,
 * another one only itself. 0 or -ENOMEM, -E_EXISTS. */
int api_server_route(struct api_server *s, const char *prefix, unsigned flags, server_route_fn *fn,
                     void *arg);

/* ---- for handlers of routes ---- */

/* Replies a Kubernetes Status for a code of errors.def. */
void api_reply_error(struct http_exchange *x, int code, const char *message);
/* Replies a JSON tree. */
void api_reply_json(struct http_exchange *x, int http_status, const struct json *body);

struct store *api_server_store(struct api_server *s);

/* For http_server_config.error_body: what the HTTP server refuses by itself becomes a Status, too.
 */
const char *api_error_body(void *arg, int status, const char *text, struct buf *body);

#endif

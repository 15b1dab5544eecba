/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the way of a port-forward; see portforward.h. */
#include "api/stream/portforward.h"

#include <stdio.h>

#include "net/ws.h"
#include "net/ws_stream.h"

#define TUNNEL_PROTOCOL_NAME "SPDY/3.1+" PORTFORWARD_PROTOCOL

void portforward_copy(struct arena *a, const struct node_stream_req *r, struct node_stream_req *ret)
{
    *ret = (struct node_stream_req){
        .type = NODE_STREAM_PORT,
        .node = arena_strdup(a, r->node),
        .ns = arena_strdup(a, r->ns),
        .pod = arena_strdup(a, r->pod),
        .uid = arena_strdup(a, r->uid),
        .container = "",
    };
}

void portforward_failure(const struct node_stream_req *r, int port, const char *text, char *out,
                         size_t size)
{
    if (str_starts(str_of(text), "error forwarding port")) {
        (void)cstr_copy(out, size, text); /* the node's own words; cut when they are long */
    } else {
        (void)snprintf(out, size, "error forwarding port %d to pod %s, uid %s: %s", port, r->pod,
                       r->uid, text);
    }
}

static void bare_spdy(struct server_call *call, const struct node_stream_req *r)
{
    const struct http_header header =
        HTTP_HEADER("x-stream-protocol-version", PORTFORWARD_PROTOCOL);
    struct str offered =
        http_header_get(&http_exchange_request(call->x)->headers, "x-stream-protocol-version");
    bool ours = http_header_has_token(&http_exchange_request(call->x)->headers,
                                      "x-stream-protocol-version", PORTFORWARD_PROTOCOL);
    if (offered.n > 0 && !ours) {
        api_reply_error(call->x, -E_ACCESS,
                        arena_printf(http_exchange_arena(call->x),
                                     "unable to upgrade: unable to negotiate protocol: client "
                                     "supports [" STR_FMT "], server supports [%s]",
                                     STR_ARG(offered), PORTFORWARD_PROTOCOL));
        return;
    }
    struct portforward_session *session = portforward_spdy_new(call->server, r);
    struct stream *s = session ? http_exchange_stream(call->x, "SPDY/3.1", &header, 1) : NULL;
    if (!s) {
        api_reply_error(call->x, session ? -E_INVAL : -E_NOMEM,
                        session ? "the upgrade to SPDY/3.1 is malformed" : "out of memory");
    }
    if (session) {
        portforward_spdy_start(session, s);
    }
}

static void tunnelled_spdy(struct server_call *call, const struct node_stream_req *r)
{
    struct portforward_session *session = portforward_spdy_new(call->server, r);
    struct stream *s = session ? ws_stream_accept(call->x, TUNNEL_PROTOCOL_NAME) : NULL;
    if (!s) {
        api_reply_error(call->x, session ? -E_INVAL : -E_NOMEM,
                        session ? "the WebSocket handshake is malformed" : "out of memory");
    }
    if (session) {
        portforward_spdy_start(session, s);
    }
}

static const char *channel_protocol(struct http_exchange *x)
{
    static const char *const protocols[] = {"v4.channel.k8s.io", "v4.base64.channel.k8s.io"};
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (ws_offers(x, protocols[i])) {
            return protocols[i];
        }
    }
    return NULL;
}

static void by_websocket(struct server_call *call, const struct node_stream_req *r)
{
    struct http_exchange *x = call->x;
    const char *protocol = channel_protocol(x);
    if (ws_offers(x, TUNNEL_PROTOCOL_NAME)) {
        tunnelled_spdy(call, r);
    } else if (protocol ||
               !http_header_has(&http_exchange_request(x)->headers, "sec-websocket-protocol")) {
        portforward_ws(call, r, protocol);
    } else {
        api_reply_error(x, -E_INVAL,
                        "port-forward over WebSocket needs the subprotocol " TUNNEL_PROTOCOL_NAME
                        ", v4.channel.k8s.io or v4.base64.channel.k8s.io");
    }
}

void portforward_start(struct server_call *call, const struct node_stream_req *r)
{
    if (ws_wanted(call->x)) {
        by_websocket(call, r);
    } else if (http_exchange_wants_stream(call->x, "SPDY/3.1")) {
        bare_spdy(call, r);
    } else {
        api_reply_error(call->x, -E_INVAL, "Upgrade request required");
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The reverse tunnel of a node: dialled while the link is live; answers the parent's requests for
 * streams. */
#include "base/log.h"
#include "base/mem.h"
#include "child_private.h"
#include "net/http_server.h"
#include "net/tunnel.h"
#include "tunnel_stream.h"

/* The heartbeat of the sync stream tells a dead link sooner; this only keeps NATs open. */
#define PING_MS 240000
#define RETRY_MS 2000
#define IDLE_MS ((int64_t)10 * 365 * 86400 * 1000)

static void handle(struct http_exchange *x, void *arg)
{
    struct sync_child *c = arg;
    if (str_is(http_exchange_request(x)->path, TUNNEL_STREAM_PATH)) {
        tunnel_stream_serve(x, c->open_stream, c->open_stream_arg);
        return;
    }
    http_reply_text(x, 404, "text/plain", STR_LIT("not found\n"));
}

static void down(void *arg, const struct err *err)
{
    struct sync_child *c = arg;
    c->tunnel = NULL;
    log_debug("tunnel: %s", err ? err->text : "closed");
    if (c->sm.state == CHILD_LIVE) {
        io_timer_start(&c->tunnel_retry, RETRY_MS, 0);
    }
}

static void dial(void *arg)
{
    struct sync_child *c = arg;
    struct tunnel_child_config config = {.client = c->tunnel_client,
                                         .path = "/selvedge/v1/tunnel",
                                         .server = c->tunnel_server,
                                         .identity = "parent",
                                         .ping_ms = PING_MS,
                                         .down = down,
                                         .arg = c};
    if (c->tunnel) {
        return;
    }
    c->tunnel = tunnel_child_start(&config);
    if (!c->tunnel) {
        io_timer_start(&c->tunnel_retry, RETRY_MS, 0);
    }
}

void child_tunnel_start(struct sync_child *c)
{
    struct http_server_config server = {
        .loop = c->loop, .handler = handle, .arg = c, .idle_timeout_ms = IDLE_MS};
    struct err err = {.text = "out of memory"};
    if (!c->open_stream) {
        return;
    }
    io_timer_init(c->loop, &c->tunnel_retry, dial, c);
    int rc = http_server_new(&server, &c->tunnel_server);
    rc = rc < 0 ? rc : child_client_new(c, HTTP_PROTOCOL_1, &c->tunnel_client, &err);
    if (rc < 0) {
        log_error("no tunnel to the parent: %s", err.text);
        return;
    }
    dial(c);
}

void child_tunnel_stop(struct sync_child *c)
{
    io_timer_stop(&c->tunnel_retry);
    tunnel_child_stop(TAKE_PTR(c->tunnel));
    http_server_free(TAKE_PTR(c->tunnel_server));
    http_client_free(TAKE_PTR(c->tunnel_client));
}

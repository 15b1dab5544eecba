/* SPDX-License-Identifier: Apache-2.0 */
/* The link to the parent: its states, the sync stream and the heartbeat; see child.h. */
#include "child.h"

#include <stdio.h>

#include "base/encode.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "child_private.h"
#include "io/tls.h"
#include "lane.h"
#include "link_watch.h"
#include "replica.h"

#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
#define CONNECT_MS 10000
#define ANSWER_MS 20000
#define ECHO_MS 10000
#define PROBE_MS 4000
#define RENEWAL_CHECK_MS ((int64_t)3600 * 1000)
#define KICK_MS 300

static const struct sm_state states[CHILD_STATE_NR] = {
    [CHILD_IDLE] = {"idle", SM_TO(CHILD_JOINING) | SM_TO(CHILD_RENEWING) | SM_TO(CHILD_DIALING)},
    [CHILD_JOINING] = {"joining", SM_TO(CHILD_DIALING) | SM_TO(CHILD_IDLE)},
    [CHILD_RENEWING] = {"renewing",
                        SM_TO(CHILD_DIALING) | SM_TO(CHILD_JOINING) | SM_TO(CHILD_IDLE)},
    [CHILD_DIALING] = {"dialing", SM_TO(CHILD_SYNCING) | SM_TO(CHILD_IDLE)},
    [CHILD_SYNCING] = {"syncing", SM_TO(CHILD_LIVE) | SM_TO(CHILD_IDLE)},
    [CHILD_LIVE] = {"live", SM_TO(CHILD_IDLE)},
};

/* ---- addresses and clients ---- */

int sync_parent_address(const char *text, char **ret_host, uint16_t *ret_port, struct err *err)
{
    struct str s = str_of(text), host, port = STR_NULL;
    uint64_t n = 6443;
    if (!str_starts(s, "https://")) {
        return err_set(err, -E_INVAL, "'%s' is no address of the form https://host:port", text);
    }
    s = str_n(s.p + 8, s.n - 8);
    if (str_ends(s, "/")) {
        s.n--;
    }
    bool bracket = str_starts(s, "[");
    if (bracket) {
        (void)str_cut(str_n(s.p + 1, s.n - 1), ']', &host, &s); /* checked by what is left */
        port = s.n > 1 ? str_n(s.p + 1, s.n - 1) : STR_NULL;
    } else {
        (void)str_cut(s, ':', &host, &port); /* no port is fine */
    }
    if (!host.n || memchr(host.p, '/', host.n) || (bracket && s.n && s.p[0] != ':') ||
        (port.n && (str_u64(port, &n) < 0 || n == 0 || n > UINT16_MAX))) {
        return err_set(err, -E_INVAL, "'%s' is no address of the form https://host:port", text);
    }
    *ret_host = mem_strndup(host.p, host.n);
    *ret_port = (uint16_t)n;
    return *ret_host ? 0 : err_sys(err, -ENOMEM, "read the parent's address");
}

int child_client_new(struct sync_child *c, enum http_protocol protocol, struct http_client **ret,
                     struct err *err)
{
    struct tls_ctx *tls = NULL;
    struct tls_config config = {.cert_pem = str_of(c->pki.cert),
                                .key_pem = str_of(c->pki.key),
                                .ca_pem = str_of(c->pki.ca),
                                .h2 = protocol != HTTP_PROTOCOL_1};
    int rc = tls_client_new(&config, &tls, err);
    if (rc < 0) {
        return rc;
    }
    struct http_client_config client = {.loop = c->loop,
                                        .host = c->host,
                                        .port = c->port,
                                        .tls = tls,
                                        .protocol = protocol,
                                        .connect_timeout_ms = CONNECT_MS,
                                        .idle_timeout_ms = -1};
    rc = http_client_new(&client, ret);
    tls_ctx_unref(tls);
    return rc < 0 ? err_sys(err, rc, "connect to the parent") : 0;
}

void child_disconnect(struct sync_child *c)
{
    lane_close(c->lane);
    child_tunnel_stop(c);
    http_fetch_cancel(TAKE_PTR(c->fetch));
    http_call_cancel(TAKE_PTR(c->call));
    http_client_free(TAKE_PTR(c->client));
    http_client_free(TAKE_PTR(c->bare));
    io_task_cancel(&c->join);
    io_timer_stop(&c->heartbeat);
    io_timer_stop(&c->echo);
    buf_clear(&c->in);
    c->renewing = false;
    metric_set(METRIC_SYNC_CONNECTED, 0);
}

/* ---- failing and trying again ---- */

static void wait_and_retry(struct sync_child *c)
{
    int64_t ms = c->backoff_ms / 2 + (int64_t)random_below((uint64_t)c->backoff_ms / 2 + 1);
    c->backoff_ms = MIN_OF(c->backoff_ms * 2, BACKOFF_MAX_MS);
    io_timer_start(&c->retry, ms, 0);
}

void child_fail(struct sync_child *c, const char *why)
{
    if (!cstr_eq(why, c->last_error)) {
        log_warn("the parent %s is not connected: %s; trying again", c->host, why);
        (void)cstr_copy(c->last_error, sizeof(c->last_error), why); /* a cut text is fine */
    }
    sm_move(&c->sm, CHILD_IDLE);
    /* Clients must not be freed inside their own callbacks: the timer does it. */
    io_timer_stop(&c->heartbeat);
    io_timer_stop(&c->echo);
    lane_close(c->lane);
    wait_and_retry(c);
}

static void retry(void *arg)
{
    struct sync_child *c = arg;
    child_disconnect(c);
    if (!c->pki.cert || c->rejoin) {
        c->rejoin = false; /* when it fails, the certificate that is there is tried again */
        child_join(c);
    } else if (pki_expired(&c->pki, wall_now().us / 1000000)) {
        child_renew(c);
    } else {
        child_dial(c);
    }
}

static void links_changed(void *arg)
{
    struct sync_child *c = arg;
    if (c->sm.state == CHILD_IDLE) {
        c->backoff_ms = BACKOFF_MIN_MS;
        io_timer_start(&c->retry, KICK_MS, 0);
    } else if (c->sm.state == CHILD_LIVE && !io_timer_active(&c->echo)) {
        (void)http_call_write(c->call, STR_LIT("\n")); /* a failure comes to on_error */
        io_timer_start(&c->echo, PROBE_MS, 0);
    }
}

/* ---- the sync stream ---- */

static void heartbeat(void *arg)
{
    struct sync_child *c = arg;
    (void)http_call_write(c->call, STR_LIT("\n")); /* a failure comes to on_error */
    if (!io_timer_active(&c->echo)) {
        io_timer_start(&c->echo, ECHO_MS, 0);
    }
}

static void no_echo(void *arg)
{
    child_fail(arg, "it does not answer");
}

static void synced(struct sync_child *c)
{
    sm_move(&c->sm, CHILD_LIVE);
    c->backoff_ms = BACKOFF_MIN_MS;
    c->last_error[0] = '\0';
    metric_set(METRIC_SYNC_CONNECTED, 1);
    log_info("the parent %s is connected", c->host);
    lane_open(c->lane, c->client);
    (void)replica_resend_node(c->replica); /* failing: the next change or reconnect tells it */
    child_tunnel_start(c);
    child_renew_if_due(c);
}

static int take_line(struct sync_child *c, struct str line, struct err *err)
{
    struct arena a;
    struct digest_event e;
    if (line.n == 0) {
        return 0;
    }
    arena_init(&a, 0);
    int rc = digest_event_parse(&a, line, &e, err);
    if (rc == 0 && e.type == DIGEST_BOOKMARK) {
        if (c->sm.state == CHILD_SYNCING) {
            synced(c);
        }
    } else if (rc == 0) {
        rc = replica_apply(c->replica, &a, &e, err);
    }
    arena_fini(&a);
    return rc;
}

static void on_headers(struct http_call *call, void *arg, const struct http_response *r)
{
    struct sync_child *c = arg;
    (void)call;
    c->answer = r->status;
    if (r->status == 200) {
        sm_move(&c->sm, CHILD_SYNCING);
        metric_add(METRIC_SYNC_RECONNECTS, 1);
        io_timer_start(&c->heartbeat, c->heartbeat_ms, c->heartbeat_ms);
    }
}

static void on_data(struct http_call *call, void *arg, struct str data)
{
    struct sync_child *c = arg;
    struct err err;
    (void)call;
    io_timer_stop(&c->echo);
    if (c->sm.state == CHILD_IDLE) {
        return; /* given up already */
    }
    while (data.n > 0) {
        const char *end = memchr(data.p, '\n', data.n);
        size_t take = end ? (size_t)(end - data.p) : data.n;
        if (buf_append(&c->in, data.p, take) < 0) {
            child_fail(c, "a line of the sync stream is too long");
            return;
        }
        if (!end) {
            return;
        }
        data = str_n(end + 1, data.n - take - 1);
        if (c->answer == 200 && take_line(c, buf_str(&c->in), &err) < 0) {
            child_fail(c, err.text);
            return;
        }
        buf_clear(&c->in);
    }
}

static void on_end(struct http_call *call, void *arg)
{
    struct sync_child *c = arg;
    (void)call;
    c->call = NULL;
    if (c->sm.state == CHILD_IDLE) {
        return;
    }
    if (c->answer == 200) {
        child_fail(c, "it ended the sync stream");
        return;
    }
    char why[256];
    (void)snprintf(why, sizeof(why), "it answered %d: %.*s", c->answer,
                   (int)MIN_OF(buf_len(&c->in), (size_t)180), buf_data(&c->in));
    child_fail(c, why);
    c->rejoin = c->answer == 401 && c->bearer;
}

static void on_error(struct http_call *call, void *arg, const struct err *err)
{
    struct sync_child *c = arg;
    (void)call;
    c->call = NULL;
    if (c->sm.state != CHILD_IDLE) {
        child_fail(c, err->text);
    }
}

static const struct http_call_ops sync_ops = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end, .on_error = on_error};

void child_dial(struct sync_child *c)
{
    static const struct http_header headers[] = {
        {STR_LIT("content-type"), STR_LIT("application/json")}};
    struct http_call_request req = {.method = "POST",
                                    .path = "/selvedge/v1/sync",
                                    .headers = headers,
                                    .n_headers = ARRAY_SIZE(headers),
                                    .stream_body = true,
                                    .timeout_ms = ANSWER_MS};
    struct buf digest = BUF_INIT;
    struct err err = {.text = "out of memory"};
    sm_move(&c->sm, CHILD_DIALING);
    c->answer = 0;
    int rc = c->client ? 0 : child_client_new(c, HTTP_PROTOCOL_AUTO, &c->client, &err);
    c->call = rc < 0 ? NULL : http_call_start(c->client, &req, &sync_ops, c);
    replica_digest(c->replica, &digest);
    if (!c->call || buf_failed(&digest)) {
        child_fail(c, err.text);
    } else {
        (void)http_call_write(c->call, buf_str(&digest)); /* a failure comes to on_error */
    }
    buf_fini(&digest);
}

/* ---- lifetime ---- */

static void renewal_check(void *arg)
{
    struct sync_child *c = arg;
    if (c->sm.state == CHILD_LIVE) {
        child_renew_if_due(c);
    }
}

static int set_up(struct sync_child *c, const struct sync_child_opts *opts, struct err *err)
{
    int rc = sync_parent_address(opts->parent, &c->host, &c->port, err);
    rc = rc < 0 || !opts->token ? rc : pki_token_parse(opts->token, &c->bearer, c->pin, err);
    rc = rc < 0 ? rc : pki_open(opts->pki_dir, &c->pki, err);
    rc = rc < 0 ? rc : lane_new(c->loop, c->replica, &c->lane, err);
    if (rc == 0 && !c->pki.cert && !c->bearer) {
        return err_set(err, -E_INVAL, "joining the parent wants a token");
    }
    return rc;
}

int sync_child_new(const struct sync_child_opts *opts, struct sync_child **ret, struct err *err)
{
    struct sync_child *c = mem_zalloc(sizeof(*c));
    if (!c) {
        return err_sys(err, -ENOMEM, "open the link to the parent");
    }
    c->loop = opts->loop;
    c->replica = opts->replica;
    c->open_stream = opts->open_stream;
    c->open_stream_arg = opts->open_stream_arg;
    c->heartbeat_ms = opts->heartbeat_ms ? opts->heartbeat_ms : SYNC_HEARTBEAT_MS;
    c->backoff_ms = BACKOFF_MIN_MS;
    buf_init(&c->in, LIMIT_SYNC_LINE);
    sm_init(&c->sm, states, CHILD_STATE_NR, CHILD_IDLE, "link to the parent");
    io_timer_init(c->loop, &c->retry, retry, c);
    io_timer_init(c->loop, &c->heartbeat, heartbeat, c);
    io_timer_init(c->loop, &c->echo, no_echo, c);
    io_timer_init(c->loop, &c->renewal, renewal_check, c);
    int rc = set_up(c, opts, err);
    if (rc < 0) {
        sync_child_free(c);
        return rc;
    }
    c->links = link_watch_new(c->loop, links_changed, c);
    io_timer_start(&c->retry, 0, 0);
    io_timer_start(&c->renewal, RENEWAL_CHECK_MS, RENEWAL_CHECK_MS);
    *ret = c;
    return 0;
}

void sync_child_free(struct sync_child *c)
{
    if (!c) {
        return;
    }
    if (c->lane) {
        child_disconnect(c);
    }
    link_watch_free(c->links);
    io_timer_stop(&c->retry);
    io_timer_stop(&c->renewal);
    io_timer_stop(&c->tunnel_retry);
    lane_free(c->lane);
    pki_fini(&c->pki);
    buf_fini(&c->in);
    mem_free(c->host);
    mem_free(c->bearer);
    mem_free(c->first_ca);
    mem_free(c);
}

bool sync_child_live(const struct sync_child *c)
{
    return c->sm.state == CHILD_LIVE;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One httpGet of a probe or a hook: a client of its own, one request, an answer from 200 to 399 is
 * good. And one gRPC health check (grpc.health.v1.Health/Check), which is a POST over HTTP/2
 * without TLS:
 *
 *     0 (not compressed) | length, 4 B, BE | protobuf: HealthCheckRequest {string service = 1}
 *                                          | HealthCheckResponse {ServingStatus status = 1}
 */
#include <stdio.h>

#include "infra_private.h"
#include "io/tls.h"
#include "net/http_client.h"

#define ANSWER_BYTES ((size_t)64 << 10)
#define HEADERS_MAX 16
#define GRPC_PREFIX 5
#define GRPC_SERVICE_MAX 120 /* its length fits one byte of a varint */

struct probe_http {
    struct io_loop *loop;
    struct http_client *client;
    struct http_fetch *fetch;
    struct io_task free;
    struct io_timer limit;
    bool grpc;
    probe_http_fn *done;
    void *arg;
};

static void release(void *arg)
{
    struct probe_http *h = arg;
    io_timer_stop(&h->limit);
    http_fetch_cancel(h->fetch);
    http_client_free(h->client);
    mem_free(h);
}

/* A client must not be freed inside its own callback. */
static void finish(struct probe_http *h, bool ok, const char *text)
{
    probe_http_fn *done = h->done;
    io_timer_stop(&h->limit);
    loop_defer(h->loop, &h->free);
    if (done) {
        h->done = NULL;
        done(h->arg, ok, text);
    }
}

static void grpc_answered(struct probe_http *h, const struct http_response *resp, struct str body)
{
    static const char *const states[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    char text[128];
    if (resp->status != 200 || body.n < GRPC_PREFIX) {
        struct str status = http_header_get(&resp->headers, "grpc-status");
        (void)snprintf(text, sizeof(text),
                       "error: this server does not implement the grpc health protocol "
                       "(grpc.health.v1.Health): status %d, grpc " STR_FMT,
                       resp->status, STR_ARG(status));
        finish(h, false, text);
        return;
    }
    /* An absent field is 0. */
    size_t state = body.n >= GRPC_PREFIX + 2 && body.p[GRPC_PREFIX] == 0x08
                       ? (unsigned char)body.p[GRPC_PREFIX + 1]
                       : 0;
    (void)snprintf(text, sizeof(text), "service unhealthy (responded with \"%s\")",
                   state < ARRAY_SIZE(states) ? states[state] : "?");
    finish(h, state == 1, text);
}

static void fetched(void *arg, int code, const struct http_response *resp, struct str body,
                    const struct err *err)
{
    struct probe_http *h = arg;
    char text[64];
    h->fetch = NULL;
    if (code < 0) {
        finish(h, false, err->text);
        return;
    }
    if (h->grpc) {
        grpc_answered(h, resp, body);
        return;
    }
    (void)snprintf(text, sizeof(text), "HTTP probe failed with statuscode: %d", resp->status);
    finish(h, resp->status >= 200 && resp->status < 400, text);
}

static void too_late(void *arg)
{
    struct probe_http *h = arg;
    http_fetch_cancel(TAKE_PTR(h->fetch));
    finish(h, false, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
}

int probe_port(const struct slot *s, const struct json *port)
{
    int64_t n = json_i64(port, 0);
    uint64_t parsed;
    struct str name = json_text(port);
    if (name.n > 0) {
        n = str_u64(name, &parsed) == 0 && parsed <= UINT16_MAX ? (int64_t)parsed : 0;
        JSON_FOR_EACH (p, json_get(s->spec, "ports")) {
            if (str_eq(json_text(json_get(p, "name")), name)) {
                n = json_path_i64(p, "containerPort", 0);
            }
        }
    }
    return n > 0 && n <= UINT16_MAX ? (int)n : -E_INVAL;
}

static int connect_to(struct probe_http *h, struct slot *s, const struct json *get,
                      int64_t timeout_ms)
{
    const char *host = json_path_cstr(get, "host", s->pod->ips[0] ? s->pod->ips[0] : "");
    int port = probe_port(s, json_get(get, "port"));
    struct tls_ctx *tls = NULL;
    struct tls_config config = {.insecure = true};
    if (port < 0 || !*host) {
        return -E_INVAL;
    }
    if (cstr_eq(json_path_cstr(get, "scheme", ""), "HTTPS") &&
        tls_client_new(&config, &tls, NULL) < 0) {
        return -ENOMEM;
    }
    struct http_client_config client = {.loop = h->loop,
                                        .host = host,
                                        .port = (uint16_t)port,
                                        .tls = tls,
                                        .protocol = HTTP_PROTOCOL_1,
                                        .max_connections = 1,
                                        .connect_timeout_ms = timeout_ms};
    int rc = http_client_new(&client, &h->client);
    tls_ctx_unref(tls);
    return rc;
}

static int request(struct probe_http *h, const struct json *get, int64_t timeout_ms)
{
    struct http_header headers[HEADERS_MAX] = {{STR_LIT("user-agent"), STR_LIT("kube-probe/1.32")},
                                               {STR_LIT("accept"), STR_LIT("*/*")}};
    size_t n = 2;
    struct arena a;
    arena_init(&a, 0);
    JSON_FOR_EACH (i, json_get(get, "httpHeaders")) {
        if (n < HEADERS_MAX) {
            headers[n++] = (struct http_header){json_text(json_get(i, "name")),
                                                json_text(json_get(i, "value"))};
        }
    }
    const char *path = json_path_cstr(get, "path", "/");
    struct http_call_request req = {
        .path = *path == '/' ? path : arena_printf(&a, "/%s", path),
        .headers = headers,
        .n_headers = n,
        .timeout_ms = timeout_ms,
        .idle_ms = timeout_ms,
    };
    h->fetch = req.path ? http_fetch(h->client, &req, ANSWER_BYTES, fetched, h) : NULL;
    arena_fini(&a);
    return h->fetch ? 0 : -ENOMEM;
}

static int grpc_connect(struct probe_http *h, struct slot *s, const struct json *grpc,
                        int64_t timeout_ms)
{
    int64_t port = json_path_i64(grpc, "port", 0);
    struct http_client_config client = {.loop = h->loop,
                                        .host = s->pod->ips[0],
                                        .port = (uint16_t)port,
                                        .protocol = HTTP_PROTOCOL_2,
                                        .connect_timeout_ms = timeout_ms};
    return port < 1 || port > UINT16_MAX || !client.host ? -E_INVAL
                                                         : http_client_new(&client, &h->client);
}

static int grpc_request(struct probe_http *h, const struct json *grpc, int64_t timeout_ms)
{
    const struct http_header headers[] = {HTTP_HEADER("content-type", "application/grpc"),
                                          HTTP_HEADER("te", "trailers"),
                                          HTTP_HEADER("user-agent", "kube-probe/1.32")};
    struct str service = json_text(json_get(grpc, "service"));
    char message[GRPC_PREFIX + 2 + GRPC_SERVICE_MAX] = {0};
    size_t n = service.n > 0 ? 2 + service.n : 0;
    if (service.n > GRPC_SERVICE_MAX) {
        return -E_INVAL;
    }
    message[GRPC_PREFIX - 1] = (char)n;
    if (n > 0) {
        message[GRPC_PREFIX] = 0x0a; /* field 1, length-delimited */
        message[GRPC_PREFIX + 1] = (char)service.n;
        memcpy(message + GRPC_PREFIX + 2, service.p, service.n);
    }
    struct http_call_request req = {.method = "POST",
                                    .path = "/grpc.health.v1.Health/Check",
                                    .headers = headers,
                                    .n_headers = ARRAY_SIZE(headers),
                                    .body = str_n(message, GRPC_PREFIX + n),
                                    .timeout_ms = timeout_ms};
    h->fetch = http_fetch(h->client, &req, ANSWER_BYTES, fetched, h);
    return h->fetch ? 0 : -ENOMEM;
}

static struct probe_http *start(struct slot *s, const struct json *how, bool grpc,
                                int64_t timeout_ms, probe_http_fn *done, void *arg)
{
    struct probe_http *h = mem_zalloc(sizeof(*h));
    if (!h) {
        return NULL;
    }
    h->loop = s->pod->inf->loop;
    h->grpc = grpc;
    h->done = done;
    h->arg = arg;
    io_task_init(&h->free, release, h);
    io_timer_init(h->loop, &h->limit, too_late, h);
    int rc = (grpc ? grpc_connect : connect_to)(h, s, how, timeout_ms);
    rc = rc < 0 ? rc : (grpc ? grpc_request : request)(h, how, timeout_ms);
    if (rc < 0) {
        release(h);
        return NULL;
    }
    io_timer_start(&h->limit, timeout_ms, 0);
    return h;
}

struct probe_http *probe_grpc_start(struct slot *s, const struct json *grpc, int64_t timeout_ms,
                                    probe_http_fn *done, void *arg)
{
    return start(s, grpc, /* grpc= */ true, timeout_ms, done, arg);
}

struct probe_http *probe_http_start(struct slot *s, const struct json *get, int64_t timeout_ms,
                                    probe_http_fn *done, void *arg)
{
    return start(s, get, /* grpc= */ false, timeout_ms, done, arg);
}

void probe_http_cancel(struct probe_http *h)
{
    if (h) {
        h->done = NULL;
        http_fetch_cancel(TAKE_PTR(h->fetch));
        io_timer_stop(&h->limit);
        loop_defer(h->loop, &h->free);
    }
}

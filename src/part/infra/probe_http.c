/* SPDX-License-Identifier: Apache-2.0 */
/* One httpGet of a probe or a hook: a client of its own, one request, an answer from 200 to 399 is
 * good. */
#include <stdio.h>

#include "infra_private.h"
#include "io/tls.h"
#include "net/http_client.h"

#define ANSWER_BYTES ((size_t)64 << 10)
#define HEADERS_MAX 16

struct probe_http {
    struct io_loop *loop;
    struct http_client *client;
    struct http_fetch *fetch;
    struct io_task free;
    struct io_timer limit;
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

static void fetched(void *arg, int code, const struct http_response *resp, struct str body,
                    const struct err *err)
{
    struct probe_http *h = arg;
    char text[64];
    (void)body;
    h->fetch = NULL;
    if (code < 0) {
        finish(h, false, err->text);
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

struct probe_http *probe_http_start(struct slot *s, const struct json *get, int64_t timeout_ms,
                                    probe_http_fn *done, void *arg)
{
    struct probe_http *h = mem_zalloc(sizeof(*h));
    if (!h) {
        return NULL;
    }
    h->loop = s->pod->inf->loop;
    h->done = done;
    h->arg = arg;
    io_task_init(&h->free, release, h);
    io_timer_init(h->loop, &h->limit, too_late, h);
    if (connect_to(h, s, get, timeout_ms) < 0 || request(h, get, timeout_ms) < 0) {
        release(h);
        return NULL;
    }
    io_timer_start(&h->limit, timeout_ms, 0);
    return h;
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Getting the node's certificate: the first one with a bootstrap token, later ones with the old
 * one. */
#include "base/log.h"
#include "base/mem.h"
#include "child_private.h"
#include "codec/json.h"
#include "io/tls.h"
#include "io/x509.h"
#include "replica.h"

#define ANSWER_MS 20000
#define ANSWER_BYTES ((size_t)256 << 10)

/* Keeps the certificate that an answer holds. */
static int keep(struct sync_child *c, int code, const struct http_response *resp, struct str body,
                const struct err *cause, struct err *err)
{
    struct arena a;
    struct json *o = NULL;
    if (code < 0) {
        return err_set(err, code, "%s", cause->text);
    }
    arena_init(&a, 0);
    int rc = json_parse(&a, body, NULL, &o, err);
    if (resp->status != 200) {
        rc = err_set(err, resp->status == 401 ? -E_UNAUTHORIZED : -E_ACCESS,
                     "the parent gave no certificate: %s",
                     json_path_cstr(o, "message", "no reason given"));
    } else if (rc == 0) {
        rc = pki_store(&c->pki, json_path_cstr(o, "certificate", ""), json_path_cstr(o, "ca", ""),
                       err);
    }
    arena_fini(&a);
    return rc;
}

/* Posts {"node","csr"} over a client; done gets the answer. */
static int post_csr(struct sync_child *c, struct http_client *client, const char *path,
                    const char *bearer, http_fetch_fn *done, struct err *err)
{
    struct arena a;
    struct buf body = BUF_INIT;
    CLEANUP(mem_freep) char *csr = NULL;
    arena_init(&a, 0);
    int rc = pki_csr(&c->pki, replica_node(c->replica), &csr, err);
    struct json *o = json_object(&a);
    json_set_str(o, "node", replica_node(c->replica));
    json_set_str(o, "csr", csr);
    (void)json_print(&body, o); /* sticky */
    const char *auth = bearer ? arena_printf(&a, "Bearer %s", bearer) : NULL;
    struct http_header headers[] = {{STR_LIT("content-type"), STR_LIT("application/json")},
                                    {STR_LIT("authorization"), str_of(auth)}};
    struct http_call_request req = {.method = "POST",
                                    .path = path,
                                    .headers = headers,
                                    .n_headers = auth ? 2 : 1,
                                    .body = buf_str(&body),
                                    .timeout_ms = ANSWER_MS};
    if (rc == 0) {
        bool failed = arena_failed(&a) || buf_failed(&body);
        c->fetch = failed ? NULL : http_fetch(client, &req, ANSWER_BYTES, done, c);
        rc = c->fetch ? 0 : err_sys(err, -ENOMEM, "ask for a certificate");
    }
    buf_fini(&body);
    arena_fini(&a);
    return rc;
}

/* ---- the first one ---- */

static void joined(void *arg, int code, const struct http_response *resp, struct str body,
                   const struct err *cause)
{
    struct sync_child *c = arg;
    struct err err;
    c->fetch = NULL;
    if (keep(c, code, resp, body, cause, &err) < 0) {
        child_fail(c, err.text);
        return;
    }
    log_info("node %s has joined %s", replica_node(c->replica), c->host);
    child_dial(c);
}

static int bare_client(struct sync_child *c, const char *ca, struct err *err)
{
    struct tls_config config = {.ca_pem = str_of(ca), .insecure = !ca};
    struct tls_ctx *tls = NULL;
    int rc = tls_client_new(&config, &tls, err);
    if (rc < 0) {
        return rc;
    }
    struct http_client_config client = {
        .loop = c->loop, .host = c->host, .port = c->port, .tls = tls, .protocol = HTTP_PROTOCOL_1};
    rc = http_client_new(&client, &c->bare);
    tls_ctx_unref(tls);
    return rc < 0 ? err_sys(err, rc, "connect to the parent") : 0;
}

/* The parent's word on its CA; NULL with err unless its key has the pinned hash. Heap. */
static char *checked_ca(struct sync_child *c, int status, struct str body, struct err *err)
{
    struct arena a;
    struct json *o = NULL;
    struct x509_info *info = NULL;
    char *ca = NULL;
    arena_init(&a, 0);
    int rc = status == 200 ? json_parse(&a, body, NULL, &o, err)
                           : err_set(err, -E_PROTO,
                                     "the parent answered %d to the question for its CA", status);
    struct str pem = json_text(json_get(o, "ca"));
    rc = rc < 0 ? rc : x509_cert_parse(pem, &info, err);
    if (rc == 0 && c->pin[0] && !cstr_eq(info->key_sha256, c->pin)) {
        rc = err_set(err, -E_CERT,
                     "the parent's CA is not the one that the token names (its key's hash is %s)",
                     info->key_sha256);
    }
    if (rc == 0) {
        ca = mem_strndup(pem.p, pem.n);
        rc = ca ? 0 : err_sys(err, -ENOMEM, "keep the parent's CA");
    }
    x509_info_free(info);
    arena_fini(&a);
    return ca;
}

static void join_with_ca(void *arg)
{
    struct sync_child *c = arg;
    struct err err = {.text = "out of memory"};
    http_client_free(TAKE_PTR(c->bare));
    int rc = bare_client(c, c->first_ca, &err);
    rc = rc < 0 ? rc : post_csr(c, c->bare, "/selvedge/v1/join", c->bearer, joined, &err);
    if (rc < 0) {
        child_fail(c, err.text);
    }
}

static void got_ca(void *arg, int code, const struct http_response *resp, struct str body,
                   const struct err *cause)
{
    struct sync_child *c = arg;
    struct err err = {0};
    c->fetch = NULL;
    mem_free(c->first_ca);
    c->first_ca = NULL;
    if (code < 0) {
        child_fail(c, cause->text);
        return;
    }
    c->first_ca = checked_ca(c, resp->status, body, &err);
    if (!c->first_ca) {
        child_fail(c, err.text);
        return;
    }
    /* The client must not be freed inside its own callback. */
    io_task_init(&c->join, join_with_ca, c);
    loop_defer(c->loop, &c->join);
}

/* The server need not send its CA: it is asked for without trust, and trusted for its hash. */
void child_join(struct sync_child *c)
{
    struct http_call_request req = {.path = "/selvedge/v1/ca", .timeout_ms = ANSWER_MS};
    struct err err = {.text = "out of memory"};
    sm_move(&c->sm, CHILD_JOINING);
    if (!c->pin[0]) {
        log_warn("the token names no CA: the parent is trusted at first sight");
    }
    int rc = bare_client(c, NULL, &err);
    c->fetch = rc < 0 ? NULL : http_fetch(c->bare, &req, ANSWER_BYTES, got_ca, c);
    if (!c->fetch) {
        child_fail(c, err.text);
    }
}

/* ---- later ones ---- */

static void renewed(void *arg, int code, const struct http_response *resp, struct str body,
                    const struct err *cause)
{
    struct sync_child *c = arg;
    struct err err;
    int rc = keep(c, code, resp, body, cause, &err);
    c->fetch = NULL;
    if (c->renewing) { /* beside a live stream: the next connection uses it */
        c->renewing = false;
        if (rc < 0) {
            log_warn("the certificate is not renewed yet: %s", err.text);
        }
        return;
    }
    if (rc < 0) {
        c->rejoin = rc == -E_UNAUTHORIZED && c->bearer; /* nothing but a new join helps */
        child_fail(c, err.text);
        return;
    }
    log_info("the certificate of node %s is renewed", replica_node(c->replica));
    sm_move(&c->sm, CHILD_IDLE); /* reconnect with the new one */
    io_timer_start(&c->retry, 0, 0);
}

void child_renew(struct sync_child *c)
{
    struct err err = {.text = "out of memory"};
    sm_move(&c->sm, CHILD_RENEWING);
    int rc = child_client_new(c, HTTP_PROTOCOL_AUTO, &c->client, &err);
    rc = rc < 0 ? rc : post_csr(c, c->client, "/selvedge/v1/renew", NULL, renewed, &err);
    if (rc < 0) {
        child_fail(c, err.text);
    }
}

void child_renew_if_due(struct sync_child *c)
{
    struct err err;
    if (c->fetch || !pki_due(&c->pki, wall_now().us / 1000000)) {
        return;
    }
    c->renewing = true;
    if (post_csr(c, c->client, "/selvedge/v1/renew", NULL, renewed, &err) < 0) {
        c->renewing = false;
        log_warn("the certificate is not renewed yet: %s", err.text);
    }
}

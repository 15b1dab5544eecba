/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 on a client connection: one call at a time; see http_client_private.h. */
#include <stdio.h>

#include "base/mem.h"
#include "http_client_private.h"

static struct http_call *current(const struct client_conn *k)
{
    return list_empty(&k->calls) ? NULL : CONTAINER_OF(k->calls.next, struct http_call, link);
}

/* ---- the request ---- */

static int put_head(struct http_call *call, struct buf *b)
{
    struct http_head *h = &call->head;
    size_t body_n = buf_len(&call->out);
    int rc = http1_put_request(b, h->method, h->target);
    rc = rc == 0 ? http1_put_header(b, STR_LIT("host"), h->authority) : rc;
    for (size_t i = 0; i < h->headers.n && rc == 0; i++) {
        rc = http1_put_header(b, h->headers.v[i].name, h->headers.v[i].value);
    }
    if (call->upgrade && rc == 0) {
        rc = buf_printf(b, "connection: Upgrade\r\nupgrade: %s\r\n", call->upgrade);
    }
    bool usual_body =
        str_is(h->method, "POST") || str_is(h->method, "PUT") || str_is(h->method, "PATCH");
    if (call->body_length) {
        (void)buf_printf(b, "content-length: %lld\r\n", (long long)call->body_length);
    } else if (call->stream_body) {
        (void)buf_puts(b, "transfer-encoding: chunked\r\n"); /* failures are sticky */
    } else if (body_n || usual_body) {
        (void)buf_printf(b, "content-length: %zu\r\n", body_n);
    }
    (void)http1_put_end(b);
    return rc < 0 ? rc : buf_failed(b) ? -ENOMEM : 0;
}

/* What was written to a streaming body while the call waited for its connection. */
static void send_early(struct http_call *call)
{
    struct buf early = call->out;
    buf_init(&call->out, 0);
    if (buf_len(&early)) {
        (void)client1_write(call, buf_str(&early)); /* a dead connection shows as its error */
    }
    buf_fini(&early);
    if (call->body_ended) {
        client1_end_body(call);
    } else if (stream_queued(call->conn->stream) < STREAM_LOW_WATER) {
        call_drained(call); /* the stream did not see the queue that the producer saw */
    }
}

void client1_start(struct client_conn *k, struct http_call *call)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    int rc = put_head(call, &b);
    k->got_bytes = false;
    k->keep_alive = true;
    if (str_is(call->head.method, "HEAD") || str_is(call->head.method, "CONNECT")) {
        http1_expect_no_body(&k->parser);
    }
    if (rc == -EINVAL) {
        call_fail(call, rc, "the request cannot be written as HTTP");
        return;
    }
    struct str parts[2] = {buf_str(&b), call->stream_body ? STR_NULL : buf_str(&call->out)};
    ssize_t queued = rc == 0 ? stream_writev(k->stream, parts, 2) : rc;
    if (queued < 0) {
        client_conn_close(k, (int)queued, err_text((int)queued));
        return;
    }
    stream_read_start(k->stream);
    if (call->stream_body) {
        send_early(call);
    }
}

ssize_t client1_write(struct http_call *call, struct str data)
{
    char head[HTTP1_CHUNK_HEAD_SIZE];
    struct str parts[3] = {str_n(head, 0), data, STR_LIT("\r\n")};
    if (data.n == 0) {
        return stream_queued(call->conn->stream);
    }
    if (call->body_length) {
        return stream_write(call->conn->stream, data.p, data.n);
    }
    parts[0].n = http1_chunk_head(head, data.n);
    return stream_writev(call->conn->stream, parts, 3);
}

void client1_end_body(struct http_call *call)
{
    if (call->body_length) {
        return; /* the length tells the end */
    }
    (void)stream_write(call->conn->stream, HTTP1_LAST_CHUNK, sizeof HTTP1_LAST_CHUNK - 1);
}

/* ---- the answer ---- */

static void broken(struct client_conn *k, int code, const char *text)
{
    client_conn_close(k, code, text);
}

/* False when the call or the connection is over. */
static bool take_head(struct client_conn *k, struct http_call *call, struct http1_event *ev)
{
    int status = ev->head->status;
    if (status / 100 == 1 && status != 101) {
        return true; /* informational: the answer follows */
    }
    k->keep_alive = ev->keep_alive && k->keep_alive;
    call_headers(call, ev->head);
    if (status == 101) {
        if (!call->upgrade || !call->ops->on_stream) {
            broken(k, -E_PROTO, "an unasked change of the protocol");
            return false;
        }
        call_detach(call);
        struct stream *s = client_conn_release(k);
        if (!s) {
            call_fail(call, -ENOMEM, "out of memory");
            return false;
        }
        call_hand_over(call, s);
        return false;
    }
    if (call->ops->on_headers) {
        call->ops->on_headers(call, call->arg, &call->response);
    }
    return !call->over;
}

static void take_end(struct client_conn *k, struct http_call *call)
{
    bool reuse = k->keep_alive && call->body_ended && !k->draining;
    if (!reuse) {
        k->draining = true;
    }
    list_del(&call->link); /* the connection may end first */
    call->conn = NULL;
    if (reuse) {
        client_conn_idle(k);
    } else {
        client_conn_close(k, -E_CANCELED, "done");
    }
    call_data_end(call);
}

static bool step(struct client_conn *k, struct str *in)
{
    struct http_call *call = current(k);
    struct http1_event ev;
    if (!call) {
        if (in->n) {
            broken(k, -E_PROTO, "bytes without a request");
        }
        return false;
    }
    if (call->paused) {
        return false;
    }
    switch (http1_next(&k->parser, in, &call->arena, &ev)) {
    case HTTP1_MORE:
        return false;
    case HTTP1_HEAD:
        return take_head(k, call, &ev);
    case HTTP1_BODY:
        return call_data(call, ev.data);
    case HTTP1_END:
        take_end(k, call);
        return true;
    case HTTP1_ERROR:
        broken(k, -E_PROTO, ev.err.text);
        return false;
    }
    return false;
}

void client1_feed(struct client_conn *k, const char *data, size_t n)
{
    struct buf kept = k->in;
    struct str in = str_n(data, n);
    buf_init(&k->in, 0);
    bool ok = buf_len(&kept) == 0 || n == 0 || buf_append(&kept, data, n) == 0;
    if (buf_len(&kept)) {
        in = buf_str(&kept);
    }
    k->got_bytes |= n > 0;
    k->unparsed = &in;
    while (ok && !k->closing && step(k, &in)) {
    }
    k->unparsed = NULL;
    if (!k->closing && (!ok || (in.n && buf_append(&k->in, in.p, in.n) < 0))) {
        broken(k, -ENOMEM, "out of memory");
    }
    buf_fini(&kept);
    if (k->closing) {
        return;
    }
    struct http_call *call = current(k);
    if (call && call->paused) {
        stream_read_stop(k->stream);
    } else {
        stream_read_start(k->stream);
    }
}

void client1_eof(struct client_conn *k)
{
    struct http1_event ev;
    struct http_call *call = current(k);
    if (call && http1_eof(&k->parser, &ev) == HTTP1_END) {
        k->keep_alive = false;
        take_end(k, call);
        return;
    }
    client_conn_close(k, -E_CONNRESET, "the server closed the connection");
}

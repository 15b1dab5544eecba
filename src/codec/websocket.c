/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames; see websocket.h.
 *
 *     0               1               2..9            then
 *     FIN RSV1-3 op   MASK length(7)  length 16 / 64  masking key (4), payload
 *
 * Section 5.2: lengths are in network order and in the shortest form; section 5.5: control frames
 * have at most 125 bytes and are not fragmented.
 */
#include "websocket.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "utf8.h"

#define CONTROL_MAX 125
#define FIN 0x80u
#define MASKED 0x80u

void websocket_decoder_init(struct websocket_decoder *d, bool server)
{
    *d = (struct websocket_decoder){.server = server, .head_want = 2};
    buf_init(&d->message, LIMIT_WS_MESSAGE);
    buf_init(&d->control, CONTROL_MAX);
}

void websocket_decoder_fini(struct websocket_decoder *d)
{
    buf_fini(&d->message);
    buf_fini(&d->control);
}

static int broken(struct websocket_decoder *d, struct websocket_event *ev, int code, int close_code)
{
    d->closed = true;
    *ev = (struct websocket_event){.op = WEBSOCKET_CLOSE, .close_code = close_code};
    return code;
}

static bool is_control(uint8_t op)
{
    return op & 8;
}

/* The first two bytes are there: checks them and finds how long the head is. 0 when they are fine.
 */
static int check_start(struct websocket_decoder *d)
{
    uint8_t op = d->head[0] & 15, len = d->head[1] & 127;
    bool fin = d->head[0] & FIN, masked = d->head[1] & MASKED;
    bool known = op <= WEBSOCKET_BINARY || (op >= WEBSOCKET_CLOSE && op <= WEBSOCKET_PONG);
    if ((d->head[0] & 0x70) || !known || masked != d->server) {
        return -E_PROTO;
    }
    if (is_control(op) && (!fin || len > CONTROL_MAX)) {
        return -E_PROTO;
    }
    if (!is_control(op) && (op == WEBSOCKET_CONTINUATION) != (d->message_op != 0)) {
        return -E_PROTO;
    }
    d->head_want = (uint8_t)(2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (masked ? 4 : 0));
    return 0;
}

/* The whole head is there: length and mask. */
static int check_head(struct websocket_decoder *d)
{
    uint8_t len = d->head[1] & 127;
    size_t extra = len == 126 ? 2 : len == 127 ? 8 : 0;
    uint64_t n = extra ? 0 : len;
    for (size_t i = 0; i < extra; i++) {
        n = n << 8 | d->head[2 + i];
    }
    if ((extra == 2 && n < 126) || (extra == 8 && (n <= UINT16_MAX || n >> 63))) {
        return -E_PROTO;
    }
    if (n > LIMIT_WS_MESSAGE ||
        (!is_control(d->head[0] & 15) && n + buf_len(&d->message) > LIMIT_WS_MESSAGE)) {
        return -E_TOOBIG;
    }
    if (d->server) {
        memcpy(d->mask, d->head + 2 + extra, 4);
    }
    d->left = n;
    d->at = 0;
    d->in_payload = true;
    return 0;
}

/* 1 when the head is complete, 0 when more bytes are needed. */
static int take_head(struct websocket_decoder *d, struct str *in)
{
    while (d->head_n < d->head_want) {
        if (in->n == 0) {
            return 0;
        }
        d->head[d->head_n++] = (uint8_t)in->p[0];
        *in = str_n(in->p + 1, in->n - 1);
        int rc = d->head_n == 2 ? check_start(d) : 0;
        if (rc < 0) {
            return rc;
        }
    }
    int rc = check_head(d);
    return rc < 0 ? rc : 1;
}

static int take_payload(struct websocket_decoder *d, struct str *in)
{
    struct buf *b = is_control(d->head[0] & 15) ? &d->control : &d->message;
    size_t n = (size_t)MIN_OF(d->left, (uint64_t)in->n);
    char *to = n ? buf_reserve(b, n) : NULL;
    if (n && !to) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = d->server ? (char)(in->p[i] ^ d->mask[(d->at + i) & 3]) : in->p[i];
    }
    if (n) {
        buf_commit(b, n);
    }
    d->at += n;
    d->left -= n;
    *in = str_n(in->p ? in->p + n : NULL, in->n - n);
    return d->left == 0;
}

static int close_event(struct websocket_decoder *d, struct websocket_event *ev)
{
    struct str data = buf_str(&d->control);
    d->closed = true;
    *ev = (struct websocket_event){.op = WEBSOCKET_CLOSE, .close_code = WEBSOCKET_NO_STATUS};
    if (data.n == 0) {
        return 1;
    }
    int code = data.n >= 2 ? (uint8_t)data.p[0] << 8 | (uint8_t)data.p[1] : 0;
    bool fine = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                (code >= 3000 && code <= 4999);
    ev->data = data.n >= 2 ? str_n(data.p + 2, data.n - 2) : STR_NULL;
    if (!fine || !utf8_valid(ev->data)) {
        return broken(d, ev, -E_PROTO, WEBSOCKET_PROTOCOL_ERROR);
    }
    ev->close_code = code;
    return 1;
}

/* A frame is complete: 1 = *ev tells of it, 0 = a fragment, more frames follow. */
static int finish_frame(struct websocket_decoder *d, struct websocket_event *ev)
{
    uint8_t op = d->head[0] & 15;
    bool fin = d->head[0] & FIN;
    d->in_payload = false;
    d->head_n = 0;
    d->head_want = 2;
    if (op == WEBSOCKET_CLOSE) {
        return close_event(d, ev);
    }
    if (is_control(op)) {
        *ev = (struct websocket_event){.op = (enum websocket_op)op, .data = buf_str(&d->control)};
        return 1;
    }
    d->message_op = op ? op : d->message_op;
    if (!fin) {
        return 0;
    }
    *ev = (struct websocket_event){.op = (enum websocket_op)d->message_op,
                                   .data = buf_str(&d->message)};
    if (d->message_op == WEBSOCKET_TEXT && !utf8_valid(ev->data)) {
        return broken(d, ev, -E_PROTO, WEBSOCKET_BAD_DATA);
    }
    d->message_op = 0;
    return 1;
}

/* What the last event pointed to is no longer needed. */
static void drop_delivered(struct websocket_decoder *d)
{
    if (!d->in_payload && d->head_n == 0) {
        buf_clear(&d->control);
        if (d->message_op == 0) {
            buf_clear(&d->message);
        }
    }
}

int websocket_next(struct websocket_decoder *d, struct str *in, struct websocket_event *ev)
{
    if (d->closed) { /* section 5.5.1: nothing counts after a close */
        *in = str_n(in->p ? in->p + in->n : NULL, 0);
        return 0;
    }
    drop_delivered(d);
    for (;;) {
        int rc = d->in_payload ? 1 : take_head(d, in);
        if (rc == -E_TOOBIG) {
            return broken(d, ev, rc, WEBSOCKET_TOO_BIG);
        }
        if (rc < 0) {
            return broken(d, ev, rc, WEBSOCKET_PROTOCOL_ERROR);
        }
        if (rc == 0) {
            return 0;
        }
        rc = take_payload(d, in);
        if (rc < 0) {
            return broken(d, ev, rc, WEBSOCKET_INTERNAL);
        }
        if (rc == 0) {
            return 0;
        }
        rc = finish_frame(d, ev);
        if (rc != 0) {
            return rc;
        }
    }
}

int websocket_put(struct buf *out, bool server, enum websocket_op op, const void *data, size_t n)
{
    uint8_t head[14] = {(uint8_t)(FIN | op)}, mask[4];
    size_t head_n = 2, length_n = n > UINT16_MAX ? 8 : n > 125 ? 2 : 0;
    head[1] = (uint8_t)((server ? 0 : MASKED) | (length_n == 8 ? 127 : length_n == 2 ? 126 : n));
    for (size_t i = 0; i < length_n; i++) {
        head[head_n++] = (uint8_t)(n >> 8 * (length_n - 1 - i));
    }
    if (!server) {
        random_bytes(mask, sizeof(mask));
        memcpy(head + head_n, mask, sizeof(mask));
        head_n += sizeof(mask);
    }
    char *to = buf_reserve(out, head_n + n);
    if (!to) {
        return -ENOMEM;
    }
    memcpy(to, head, head_n);
    const char *from = data;
    for (size_t i = 0; i < n; i++) {
        to[head_n + i] = server ? from[i] : (char)(from[i] ^ mask[i & 3]);
    }
    buf_commit(out, head_n + n);
    return 0;
}

int websocket_put_close(struct buf *out, bool server, int code, const char *reason)
{
    char payload[CONTROL_MAX] = {(char)(code >> 8), (char)code};
    size_t n = MIN_OF(reason ? strlen(reason) : 0, sizeof(payload) - 2);
    while (n && !utf8_valid(str_n(reason, n))) {
        n--; /* never cut inside a character */
    }
    if (n) {
        memcpy(payload + 2, reason, n);
    }
    return websocket_put(out, server, WEBSOCKET_CLOSE, payload,
                         code == WEBSOCKET_NO_STATUS ? 0 : n + 2);
}

void websocket_accept_key(struct str key, char out[WEBSOCKET_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* section 1.3 */
    unsigned char text[64 + sizeof(guid)], digest[EVP_MAX_MD_SIZE];
    size_t n = MIN_OF(key.n, (size_t)64);
    memcpy(text, key.p, n);
    memcpy(text + n, guid, sizeof(guid) - 1);
    unsigned digest_n = 0;
    int ok = EVP_Digest(text, n + sizeof(guid) - 1, digest, &digest_n, EVP_sha1(), NULL);
    assert(ok == 1 && digest_n == 20);
    ok = EVP_EncodeBlock((unsigned char *)out, digest, (int)digest_n);
    assert(ok == WEBSOCKET_ACCEPT_SIZE - 1);
}

bool websocket_key_valid(struct str key)
{
    struct buf b = BUF_INIT;
    bool valid = base64_decode(&b, key) == 0 && buf_len(&b) == 16;
    buf_fini(&b);
    return valid;
}

void websocket_make_key(char out[WEBSOCKET_KEY_SIZE])
{
    unsigned char raw[16];
    random_bytes(raw, sizeof(raw));
    int n = EVP_EncodeBlock((unsigned char *)out, raw, sizeof(raw));
    assert(n == WEBSOCKET_KEY_SIZE - 1);
}

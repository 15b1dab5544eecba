/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPDY/3.1 frames; see spdy.h.
 *
 *     control frame                              data frame
 *     1 | version (15) | type (16)               0 | stream id (31)
 *     flags (8) | length (24)                    flags (8) | length (24)
 *     payload                                    payload
 *
 * Header blocks of one direction share one zlib stream with the dictionary of spdy_dictionary.c.
 *
 * Invariants
 * 1. streams[] holds each open stream once; a stream leaves it when both sides have finished or on
 * reset.
 * 2. A frame is handled only when it is complete in `in`, whose size is bounded by FRAME_MAX.
 */
#include "spdy.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "spdy_private.h"

#define VERSION 3
#define FRAME_MAX ((size_t)1 << 20)
#define DATA_CHUNK ((size_t)32 << 10)
#define HEADER_BLOCK_MAX ((size_t)16 << 10)
#define HEADERS_MAX 32
#define FLAG_FIN 1u

enum frame_type {
    SYN_STREAM = 1,
    SYN_REPLY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    HEADERS = 8,
    WINDOW_UPDATE = 9,
};

struct stream {
    uint32_t id;
    bool peer_done; /* the client sent its last data */
    bool done;      /* we sent ours */
};

struct spdy {
    const struct spdy_ops *ops;
    void *arg;
    struct buf in, out;
    z_stream inflate, deflate;
    bool zlib_ready;
    uint32_t last_id;
    size_t n;
    struct stream streams[LIMIT_STREAMS];
};

struct spdy *spdy_new(const struct spdy_ops *ops, void *arg)
{
    struct spdy *s = mem_zalloc(sizeof(*s));
    if (!s) {
        return NULL;
    }
    s->ops = ops;
    s->arg = arg;
    buf_init(&s->in, FRAME_MAX + 8 + 65536);
    if (inflateInit(&s->inflate) != Z_OK) {
        mem_free(s);
        return NULL;
    }
    if (deflateInit2(&s->deflate, Z_BEST_SPEED, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY) != Z_OK) {
        (void)inflateEnd(&s->inflate); /* cannot fail on a fresh stream */
        mem_free(s);
        return NULL;
    }
    s->zlib_ready = true;
    if (deflateSetDictionary(&s->deflate, spdy_dictionary, SPDY_DICTIONARY_SIZE) != Z_OK) {
        spdy_free(s);
        return NULL;
    }
    return s;
}

void spdy_free(struct spdy *s)
{
    if (!s) {
        return;
    }
    if (s->zlib_ready) {
        (void)inflateEnd(&s->inflate); /* unread input is thrown away on purpose */
        (void)deflateEnd(&s->deflate);
    }
    buf_fini(&s->in);
    buf_fini(&s->out);
    mem_free(s);
}

struct buf *spdy_output(struct spdy *s)
{
    return &s->out;
}

/* ---- streams ---- */

static struct stream *find(struct spdy *s, uint32_t id)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->streams[i].id == id) {
            return &s->streams[i];
        }
    }
    return NULL;
}

static void forget(struct spdy *s, struct stream *st)
{
    *st = s->streams[--s->n];
}

static void forget_when_done(struct spdy *s, struct stream *st)
{
    if (st->done && st->peer_done) {
        forget(s, st);
    }
}

/* ---- writing ---- */

static void put32(struct buf *b, uint32_t v)
{
    unsigned char raw[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16),
                            (unsigned char)(v >> 8), (unsigned char)v};
    (void)buf_append(b, raw, sizeof(raw)); /* buffers remember failure */
}

static void put_control(struct spdy *s, enum frame_type type, uint32_t flags, size_t length)
{
    put32(&s->out, 0x80000000u | VERSION << 16 | (uint32_t)type);
    put32(&s->out, flags << 24 | (uint32_t)length);
}

/* An empty header block: a count of zero through the shared compressor. */
static int empty_block(struct spdy *s, unsigned char *out, size_t size)
{
    unsigned char zero[4] = {0};
    s->deflate.next_in = zero;
    s->deflate.avail_in = sizeof(zero);
    s->deflate.next_out = out;
    s->deflate.avail_out = (uInt)size;
    int rc = deflate(&s->deflate, Z_SYNC_FLUSH);
    return rc == Z_OK && s->deflate.avail_in == 0 ? (int)(size - s->deflate.avail_out)
                                                  : -E_INTERNAL;
}

void spdy_reply(struct spdy *s, uint32_t id)
{
    unsigned char block[128];
    if (!find(s, id)) {
        return;
    }
    int n = empty_block(s, block, sizeof(block));
    if (n < 0) {
        s->out.failed = true; /* the connection cannot go on with a broken compressor */
        return;
    }
    put_control(s, SYN_REPLY, 0, 4 + (size_t)n);
    put32(&s->out, id);
    (void)buf_append(&s->out, block, (size_t)n); /* buffers remember failure */
}

void spdy_data(struct spdy *s, uint32_t id, struct str data, bool fin)
{
    struct stream *st = find(s, id);
    if (!st || st->done) {
        return;
    }
    do {
        size_t n = MIN_OF(data.n, DATA_CHUNK);
        bool last = fin && n == data.n;
        if (n || last) {
            put32(&s->out, id);
            put32(&s->out, (last ? FLAG_FIN : 0) << 24 | (uint32_t)n);
            (void)buf_append(&s->out, data.p, n); /* buffers remember failure */
        }
        data = n ? str_n(data.p + n, data.n - n) : STR_NULL;
    } while (data.n);
    if (fin) {
        st->done = true;
        forget_when_done(s, st);
    }
}

void spdy_reset(struct spdy *s, uint32_t id, enum spdy_reset status)
{
    struct stream *st = find(s, id);
    put_control(s, RST_STREAM, 0, 8);
    put32(&s->out, id);
    put32(&s->out, status);
    if (st) {
        forget(s, st);
    }
}

void spdy_goaway(struct spdy *s)
{
    put_control(s, GOAWAY, 0, 8);
    put32(&s->out, s->last_id);
    put32(&s->out, 0);
}

/* ---- reading ---- */

static uint32_t get32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* Inflates a header block into out; returns its size. */
static int inflate_block(struct spdy *s, struct str block, char *out, size_t size, struct err *err)
{
    z_stream *z = &s->inflate;
    z->next_in = (Bytef *)(uintptr_t)block.p; /* zlib does not write there */
    z->avail_in = (uInt)block.n;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)size;
    while (z->avail_in) {
        int rc = inflate(z, Z_SYNC_FLUSH);
        if (rc == Z_NEED_DICT &&
            inflateSetDictionary(z, spdy_dictionary, SPDY_DICTIONARY_SIZE) == Z_OK) {
            continue;
        }
        if (z->avail_out == 0) {
            return err_set(err, -E_LIMIT, "SPDY: headers over %zu bytes", size);
        }
        if (rc != Z_OK) {
            return err_set(err, -E_PROTO, "SPDY: a header block does not decompress");
        }
    }
    return (int)(size - z->avail_out);
}

static bool take_text(struct str *from, struct str *ret)
{
    if (from->n < 4 || get32(from->p) > from->n - 4) {
        return false;
    }
    *ret = str_n(from->p + 4, get32(from->p));
    *from = str_n(ret->p + ret->n, from->n - 4 - ret->n);
    return true;
}

static int parse_headers(struct str block, struct spdy_header *out, struct err *err)
{
    uint32_t count = block.n >= 4 ? get32(block.p) : 0;
    if (count > HEADERS_MAX) {
        return err_set(err, -E_LIMIT, "SPDY: more than %d headers", HEADERS_MAX);
    }
    block = block.n >= 4 ? str_n(block.p + 4, block.n - 4) : block;
    for (uint32_t i = 0; i < count; i++) {
        if (!take_text(&block, &out[i].name) || !take_text(&block, &out[i].value)) {
            return err_set(err, -E_PROTO, "SPDY: a header block is cut short");
        }
    }
    return (int)count;
}

static int on_syn_stream(struct spdy *s, struct str body, bool fin, struct err *err)
{
    char block[HEADER_BLOCK_MAX];
    struct spdy_header headers[HEADERS_MAX];
    if (body.n < 10) {
        return err_set(err, -E_PROTO, "SPDY: a SYN_STREAM frame is cut short");
    }
    uint32_t id = get32(body.p) & 0x7fffffffu;
    /* The block is read in any case: the compression state goes on. */
    int n = inflate_block(s, str_n(body.p + 10, body.n - 10), block, sizeof(block), err);
    int count = n < 0 ? n : parse_headers(str_n(block, (size_t)n), headers, err);
    if (count < 0) {
        return count;
    }
    if (id % 2 == 0 || id <= s->last_id) {
        return err_set(err, -E_PROTO, "SPDY: stream %u is out of order", id);
    }
    s->last_id = id;
    if (s->n == LIMIT_STREAMS) {
        spdy_reset(s, id, SPDY_REFUSED_STREAM);
        return 0;
    }
    s->streams[s->n++] = (struct stream){.id = id, .peer_done = fin};
    s->ops->stream(s->arg, id, headers, (size_t)count, fin);
    return 0;
}

static int on_headers(struct spdy *s, struct str body, size_t skip, struct err *err)
{
    char block[HEADER_BLOCK_MAX];
    if (body.n < skip) {
        return err_set(err, -E_PROTO, "SPDY: a HEADERS frame is cut short");
    }
    int n = inflate_block(s, str_n(body.p + skip, body.n - skip), block, sizeof(block), err);
    return n < 0 ? n : 0;
}

static int on_reset(struct spdy *s, struct str body, struct err *err)
{
    if (body.n != 8) {
        return err_set(err, -E_PROTO, "SPDY: a RST_STREAM frame of %zu bytes", body.n);
    }
    struct stream *st = find(s, get32(body.p) & 0x7fffffffu);
    if (st) {
        uint32_t id = st->id;
        forget(s, st);
        s->ops->reset(s->arg, id, get32(body.p + 4));
    }
    return 0;
}

static int on_ping(struct spdy *s, struct str body, struct err *err)
{
    if (body.n != 4) {
        return err_set(err, -E_PROTO, "SPDY: a PING frame of %zu bytes", body.n);
    }
    if (get32(body.p) % 2) { /* an even one would answer a ping of ours, and we send none */
        put_control(s, PING, 0, 4);
        put32(&s->out, get32(body.p));
    }
    return 0;
}

static int on_control(struct spdy *s, uint32_t head, uint32_t flags, struct str body,
                      struct err *err)
{
    if ((head >> 16 & 0x7fff) != VERSION) {
        return err_set(err, -E_PROTO, "SPDY: version %u is not supported", head >> 16 & 0x7fff);
    }
    switch (head & 0xffff) {
    case SYN_STREAM:
        return on_syn_stream(s, body, flags & FLAG_FIN, err);
    case SYN_REPLY:
    case HEADERS:
        return on_headers(s, body, 4, err);
    case RST_STREAM:
        return on_reset(s, body, err);
    case PING:
        return on_ping(s, body, err);
    case GOAWAY:
        s->ops->goaway(s->arg);
        return 0;
    case SETTINGS:
    case WINDOW_UPDATE:
        return 0;
    default:
        return 0; /* section 2.2.1: unknown control frames are ignored */
    }
}

static void on_data(struct spdy *s, uint32_t id, struct str data, bool fin)
{
    struct stream *st = find(s, id);
    if (!st || st->peer_done) {
        spdy_reset(s, id, SPDY_INVALID_STREAM);
        return;
    }
    st->peer_done = fin;
    s->ops->data(s->arg, id, data, fin);
    st = fin ? find(s, id) : NULL; /* the callback may have finished or reset it */
    if (st) {
        forget_when_done(s, st);
    }
}

int spdy_feed(struct spdy *s, struct str bytes, struct err *err)
{
    while (bytes.n) {
        size_t take = MIN_OF(bytes.n, (size_t)65536);
        if (buf_append(&s->in, bytes.p, take) < 0) {
            return err_set(err, -ENOMEM, "SPDY: out of memory");
        }
        bytes = str_n(bytes.p + take, bytes.n - take);
        while (buf_len(&s->in) >= 8) {
            const char *p = buf_data(&s->in);
            uint32_t head = get32(p), flags = get32(p + 4) >> 24;
            size_t length = get32(p + 4) & 0xffffff;
            if (length > FRAME_MAX) {
                return err_set(err, -E_LIMIT, "SPDY: a frame of %zu bytes", length);
            }
            if (buf_len(&s->in) < 8 + length) {
                break;
            }
            int rc = 0;
            if (head & 0x80000000u) {
                rc = on_control(s, head, flags, str_n(p + 8, length), err);
            } else {
                on_data(s, head, str_n(p + 8, length), flags & FLAG_FIN);
            }
            if (rc < 0) {
                return rc;
            }
            buf_consume(&s->in, 8 + length);
        }
    }
    return 0;
}

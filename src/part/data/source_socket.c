/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket source: programs on the node connect to a Unix socket (DATASOURCE is its path) and
 * send frames: a length of 4 bytes (little endian), then so many bytes, which the stream's FORMAT
 * decodes ("batch" takes many events in columns, format/frame.h). A connection that breaks the
 * frame's bounds is closed; others go on.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"
#include "io/stream.h"
#include "io/tcp.h"
#include "source.h"

#define PEERS_MAX 256
#define HEAD 4

struct peer {
    struct list link;
    struct socket *socket;
    struct stream *stream;
    struct buf in;
};

struct socket {
    struct source source;
    struct listener *listener;
    struct list peers;
    unsigned n_peers;
};

static void drop(struct peer *p)
{
    list_del(&p->link);
    p->socket->n_peers--;
    stream_close(p->stream);
    buf_fini(&p->in);
    mem_free(p);
}

static uint32_t length_of(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

/* All whole frames; false when a frame is out of bounds. */
static bool take_frames(struct peer *p)
{
    while (buf_len(&p->in) >= HEAD) {
        uint32_t n = length_of(buf_data(&p->in));
        if (n > LIMIT_EVENT_BYTES) {
            log_warn("stream %s: a frame of %u bytes is too large, closing", p->socket->source.name,
                     n);
            p->socket->source.errors++;
            return false;
        }
        if (buf_len(&p->in) - HEAD < n) {
            return true;
        }
        struct payload payload = {.bytes = str_n(buf_data(&p->in) + HEAD, n),
                                  .arrival_us = wall_now().us};
        source_deliver(&p->socket->source, &payload, 1);
        buf_consume(&p->in, HEAD + n);
    }
    return true;
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct peer *p = arg;
    if (buf_append(&p->in, data, n) < 0 || !take_frames(p)) {
        drop(p);
    }
}

static void on_eof(void *arg)
{
    drop(arg);
}

static void on_error(void *arg, int code)
{
    (void)code; /* the other side went away */
    drop(arg);
}

static void on_accept(void *arg, struct stream *stream)
{
    static const struct stream_events events = {
        .on_read = on_read, .on_eof = on_eof, .on_error = on_error};
    struct socket *k = arg;
    struct peer *p = k->n_peers < PEERS_MAX ? mem_zalloc(sizeof(*p)) : NULL;
    if (!p) {
        stream_close(stream);
        return;
    }
    p->socket = k;
    p->stream = stream;
    buf_init(&p->in, LIMIT_EVENT_BYTES + HEAD + ((size_t)1 << 20));
    list_push_back(&k->peers, &p->link);
    k->n_peers++;
    stream_set_events(stream, &events, p);
    stream_read_start(stream);
}

static int socket_open(struct source *s, struct err *err)
{
    struct socket *k = (struct socket *)s;
    list_init(&k->peers);
    if (s->datasource[0] != '/') {
        return err_set(err, -E_INVAL, "DATASOURCE '%s' is no path of a socket", s->datasource);
    }
    int rc = unix_listen(s->loop, s->datasource, 0660, on_accept, k, &k->listener, err);
    if (rc == 0) {
        source_told(s, true, NULL);
    }
    return rc;
}

static void socket_close(struct source *s)
{
    struct socket *k = (struct socket *)s;
    listener_close(k->listener);
    while (!list_empty(&k->peers)) {
        drop(CONTAINER_OF(k->peers.next, struct peer, link));
    }
}

const struct source_ops source_socket = {
    .type = "socket", .size = sizeof(struct socket), .open = socket_open, .close = socket_close};

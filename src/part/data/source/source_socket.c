/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket source: programs on the node connect to a Unix socket (DATASOURCE is its path) and
 * send frames (socket_frames.h), whose bytes the stream's FORMAT decodes ("batch" takes many events
 * in columns, format/frame.h). A connection that breaks the frame's bounds is closed; others go on.
 */
#include "base/log.h"
#include "base/mem.h"
#include "part/data/data_private.h"
#include "io/stream.h"
#include "io/tcp.h"
#include "socket_frames.h"
#include "source.h"

#define PEERS_MAX 256
#define DELIVERY 64 /* events at a time */

struct peer {
    struct list link;
    struct socket *socket;
    struct stream *stream;
    struct socket_frames frames;
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
    socket_frames_fini(&p->frames);
    mem_free(p);
}

/* All whole frames; false when a frame is out of bounds. */
static bool take_frames(struct peer *p)
{
    struct source *s = &p->socket->source;
    struct payload all[DELIVERY];
    uint32_t n = 0;
    int rc;
    while ((rc = socket_frames_next(&p->frames, &all[n].bytes)) == 1) {
        all[n] = (struct payload){.bytes = all[n].bytes, .arrival_us = wall_now().us};
        if (++n == DELIVERY) {
            source_deliver(s, all, n);
            n = 0;
        }
    }
    if (n > 0) {
        source_deliver(s, all, n);
    }
    (void)source_synced(s); /* nobody sends it again: told and counted */
    if (rc < 0) {
        log_warn("stream %s: a frame of %u bytes is too large, closing", s->name,
                 socket_frames_length(&p->frames));
        s->errors++;
    }
    return rc == 0;
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct peer *p = arg;
    struct socket *k = p->socket;
    if (socket_frames_feed(&p->frames, data, n) < 0 || !take_frames(p)) {
        drop(p);
    }
    if (!source_ready(&k->source)) {
        LIST_FOR_EACH_SAFE (l, &k->peers) {
            stream_read_stop(CONTAINER_OF(l, struct peer, link)->stream);
        }
    }
}

static void socket_resume(struct source *s)
{
    struct socket *k = (struct socket *)s;
    LIST_FOR_EACH_SAFE (l, &k->peers) {
        stream_read_start(CONTAINER_OF(l, struct peer, link)->stream);
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
    socket_frames_init(&p->frames);
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

const struct source_ops source_socket = {.type = "socket",
                                         .size = sizeof(struct socket),
                                         .kept = true,
                                         .open = socket_open,
                                         .close = socket_close,
                                         .resume = socket_resume};

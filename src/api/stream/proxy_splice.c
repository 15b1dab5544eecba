/* SPDX-License-Identifier: Apache-2.0 */
/* Two streams joined: what a proxy does after both sides have changed their protocol. */
#include "api/stream/proxy.h"
#include "io/stream.h"

#define HIGH ((ssize_t)256 << 10)

struct splice;

struct side {
    struct splice *splice;
    struct stream *stream;
    struct side *other;
};

struct splice {
    struct exec_proxy base;
    struct side sides[2];
};

static void splice_free(struct splice *p, bool politely)
{
    list_del(&p->base.link);
    for (int i = 0; i < 2; i++) {
        (politely ? stream_finish : stream_close)(p->sides[i].stream);
    }
    mem_free(p);
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct side *s = arg;
    ssize_t waits = stream_write(s->other->stream, data, n);
    if (waits < 0) {
        splice_free(s->splice, false);
    } else if (waits >= HIGH) {
        stream_read_stop(s->stream);
    }
}

/* As Kubernetes does: when one side has ended, what is queued still goes out, then both end. */
static void on_eof(void *arg)
{
    splice_free(((struct side *)arg)->splice, true);
}

static void on_error(void *arg, int code)
{
    struct side *s = arg;
    (void)code; /* the other side sees a cut connection */
    splice_free(s->splice, false);
}

static void on_drain(void *arg)
{
    stream_read_start(((struct side *)arg)->other->stream);
}

static void on_server_end(struct exec_proxy *base)
{
    splice_free(CONTAINER_OF(base, struct splice, base), true);
}

void proxy_splice(struct api_server *server, struct stream *a, struct stream *b)
{
    static const struct stream_events events = {
        .on_read = on_read, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};
    struct splice *p = mem_zalloc(sizeof(*p));
    if (!p) {
        stream_close(a);
        stream_close(b);
        return;
    }
    p->base.end = on_server_end;
    p->sides[0] = (struct side){.splice = p, .stream = a, .other = &p->sides[1]};
    p->sides[1] = (struct side){.splice = p, .stream = b, .other = &p->sides[0]};
    list_push_back(&server->streams, &p->base.link);
    for (int i = 0; i < 2; i++) {
        stream_set_events(p->sides[i].stream, &events, &p->sides[i]);
        stream_read_start(p->sides[i].stream);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* See socket_frames.h. */
#include "socket_frames.h"

#include "base/err.h"
#include "base/limits.h"

#define HEAD 4

void socket_frames_init(struct socket_frames *f)
{
    f->at = 0;
    buf_init(&f->in, LIMIT_EVENT_BYTES + HEAD + ((size_t)1 << 20)); /* one, and what came with it */
}

void socket_frames_fini(struct socket_frames *f)
{
    buf_fini(&f->in);
}

int socket_frames_feed(struct socket_frames *f, const char *data, size_t n)
{
    buf_consume(&f->in, f->at);
    f->at = 0;
    return buf_append(&f->in, data, n);
}

uint32_t socket_frames_length(const struct socket_frames *f)
{
    const unsigned char *u = (const unsigned char *)buf_data(&f->in) + f->at;
    return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

int socket_frames_next(struct socket_frames *f, struct str *ret)
{
    size_t left = buf_len(&f->in) - f->at;
    if (left < HEAD) {
        return 0;
    }
    uint32_t n = socket_frames_length(f);
    if (n > LIMIT_EVENT_BYTES) {
        return -E_TOOBIG;
    }
    if (left - HEAD < n) {
        return 0;
    }
    *ret = str_n(buf_data(&f->in) + f->at + HEAD, n);
    f->at += HEAD + n;
    return 1;
}

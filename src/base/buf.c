/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer; see buf.h. */
#include "buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"

#define KEEP_MAX ((size_t)64 << 10)

void buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit};
}

void buf_fini(struct buf *b)
{
    mem_free(b->data);
    buf_init(b, b->limit);
}

void buf_finip(struct buf *b)
{
    buf_fini(b);
}

void buf_clear(struct buf *b)
{
    if (b->cap > KEEP_MAX) {
        buf_fini(b);
        return;
    }
    b->start = b->end = 0;
    b->failed = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t len = buf_len(b);
    if (b->failed || n > SIZE_MAX / 4 || (b->limit && n > b->limit - MIN_OF(len, b->limit))) {
        b->failed = true;
        return NULL;
    }
    if (n <= b->cap - b->end) {
        return b->data + b->end;
    }
    if (b->start && len + n <= b->cap && b->start >= len) {
        memcpy(b->data, b->data + b->start, len); /* halves do not overlap */
        b->start = 0;
        b->end = len;
        return b->data + b->end;
    }
    size_t want = MAX_OF(b->cap * 2, (size_t)256);
    want = MAX_OF(want, len + n);
    char *p = mem_alloc(want);
    if (!p) {
        b->failed = true;
        return NULL;
    }
    if (len) {
        memcpy(p, b->data + b->start, len);
    }
    mem_free(b->data);
    b->data = p;
    b->cap = want;
    b->start = 0;
    b->end = len;
    return p + len;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->end);
    b->end += n;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end) {
        b->start = b->end = 0;
    }
}

int buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0) {
        return b->failed ? -ENOMEM : 0;
    }
    size_t len = buf_len(b);
    char *to = buf_reserve(b, n);
    if (!to) {
        return b->limit && n > b->limit - MIN_OF(len, b->limit) ? -EMSGSIZE : -ENOMEM;
    }
    memcpy(to, p, n);
    b->end += n;
    return 0;
}

int buf_append_str(struct buf *b, struct str s)
{
    return buf_append(b, s.p, s.n);
}

int buf_puts(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_putc(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *to = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
    if (to) {
        (void)vsnprintf(to, (size_t)n + 1, fmt, again); /* measured above */
        b->end += (size_t)n;
    }
    va_end(again);
    va_end(ap);
    return to ? 0 : -ENOMEM;
}

char *buf_take(struct buf *b, size_t *ret_n)
{
    size_t limit = b->limit;
    b->limit = 0;
    char *end = buf_reserve(b, 1);
    b->limit = limit;
    if (!end) {
        return NULL;
    }
    *end = '\0';
    size_t n = buf_len(b);
    if (b->start) {
        memmove(b->data, b->data + b->start, n + 1);
    }
    char *p = b->data;
    buf_init(b, limit);
    if (ret_n) {
        *ret_n = n;
    }
    return p;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte buffer with a read end and a write end.
 *
 *      data          start                 end            cap
 *       |  consumed    |  readable (buf_len) |  writable    |
 *
 * Failure is sticky: after one failed growth every append is ignored and buf_failed() is true until
 * buf_clear(). A cap (0 = none) bounds what may be readable at one time.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct buf {
    /* private: read through buf_data() and buf_len() */
    char *data;
    size_t start, end, cap;
    size_t limit;
    bool failed;
};

#define BUF_INIT ((struct buf){0})

void buf_init(struct buf *b, size_t limit);
void buf_fini(struct buf *b);  /* frees; usable again */
void buf_finip(struct buf *b); /* for CLEANUP(buf_finip) */
void buf_clear(struct buf *b); /* forgets the content, keeps the memory unless it is over 64 kB */

int buf_append(struct buf *b, const void *p,
               size_t n); /* 0 or -ENOMEM / -EMSGSIZE (over the limit) */
int buf_append_str(struct buf *b, struct str s);
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for at least n more bytes; the caller writes there and calls buf_commit. NULL on failure. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* n <= buf_len(b) */
/* Hands the memory to the caller (mem_free); *ret_n may be NULL. 0-terminated. NULL when failed. */
char *buf_take(struct buf *b, size_t *ret_n);

static inline const char *buf_data(const struct buf *b)
{
    return b->data ? b->data + b->start : "";
}
static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}
static inline struct str buf_str(const struct buf *b)
{
    return str_n(buf_data(b), buf_len(b));
}
static inline bool buf_failed(const struct buf *b)
{
    return b->failed;
}

#endif

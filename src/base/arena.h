/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Region memory: one arena a request, a reconcile or a batch; everything in it is freed at once.
 *
 * An arena has a byte cap. When the cap or the heap is exhausted an allocation returns NULL and the
 * arena stays failed until it is cleared, so a builder may go on with NULLs (the JSON functions
 * accept them) and ask arena_failed() once at the end. Chunks grow from 4 kB to 256 kB; memory is
 * 16-byte aligned. Not thread-safe: an arena belongs to one thread at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "str.h"

struct arena_chunk;

struct arena {
    /* private */
    struct arena_chunk *head;
    char *at, *end;
    size_t used, cap, first;
    bool failed;
};

#define ARENA_CAP_DEFAULT ((size_t)64 << 20)

void arena_init(struct arena *a, size_t cap); /* no allocation yet; cap 0 = ARENA_CAP_DEFAULT */
/* The same with a first chunk of 256 bytes, for what is small and there many times. */
void arena_init_small(struct arena *a, size_t cap);
/* The same with a first chunk of `first` bytes, for what is known to need that many. */
void arena_init_sized(struct arena *a, size_t cap, size_t first);
void arena_fini(struct arena *a);  /* frees all; the arena may be used again */
void arena_clear(struct arena *a); /* forgets all, keeps one chunk for reuse, resets `failed` */

void *arena_alloc(struct arena *a, size_t n);  /* uninitialised; NULL when failed */
void *arena_zalloc(struct arena *a, size_t n); /* zeroed */
/* Grows the last allocation in place where it can, else copies. old may be NULL with old_n 0. */
void *arena_grow(struct arena *a, void *old, size_t old_n, size_t new_n);
void *arena_dup(struct arena *a, const void *p, size_t n);
char *arena_strdup(struct arena *a, const char *s); /* NULL in, NULL out */
char *arena_strndup(struct arena *a, const char *p, size_t n);
char *arena_str(struct arena *a, struct str s); /* 0-terminated copy */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap);

static inline bool arena_failed(const struct arena *a)
{
    return a->failed;
}

#endif

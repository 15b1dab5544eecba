/* SPDX-License-Identifier: Apache-2.0 */
/* Region memory; see arena.h. */
#include "arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"

#define CHUNK_FIRST ((size_t)4096)
#define CHUNK_SMALL ((size_t)256)
#define CHUNK_MAX ((size_t)256 << 10)
#define ALIGNMENT ((size_t)16)

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of data */
    _Alignas(16) char data[];
};

void arena_init(struct arena *a, size_t cap)
{
    *a = (struct arena){.cap = cap ? cap : ARENA_CAP_DEFAULT, .first = CHUNK_FIRST};
}

void arena_init_small(struct arena *a, size_t cap)
{
    *a = (struct arena){.cap = cap ? cap : ARENA_CAP_DEFAULT, .first = CHUNK_SMALL};
}

void arena_init_sized(struct arena *a, size_t cap, size_t first)
{
    *a = (struct arena){.cap = cap ? cap : ARENA_CAP_DEFAULT, .first = MAX_OF(first, ALIGNMENT)};
}

static void free_chunks(struct arena_chunk *c)
{
    while (c) {
        struct arena_chunk *next = c->next;
        mem_free(c);
        c = next;
    }
}

void arena_fini(struct arena *a)
{
    free_chunks(a->head);
    *a = (struct arena){.cap = a->cap ? a->cap : ARENA_CAP_DEFAULT, /* also of a zeroed one */
                        .first = a->first ? a->first : CHUNK_FIRST};
}

void arena_clear(struct arena *a)
{
    struct arena_chunk *keep = a->head;
    if (!keep) {
        a->failed = false;
        return;
    }
    free_chunks(keep->next);
    keep->next = NULL;
    if (keep->size > CHUNK_MAX) {
        arena_fini(a);
        return;
    }
    a->at = keep->data;
    a->end = keep->data + keep->size;
    a->used = 0;
    a->failed = false;
}

static bool add_chunk(struct arena *a, size_t n)
{
    size_t size = a->head ? MIN_OF(a->head->size * 2, CHUNK_MAX) : a->first;
    size = MAX_OF(size, n);
    struct arena_chunk *c = mem_alloc(sizeof(*c) + size);
    if (!c) {
        return false;
    }
    c->next = a->head;
    c->size = size;
    a->head = c;
    a->at = c->data;
    a->end = c->data + size;
    return true;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2) {
        a->failed = true;
        return NULL;
    }
    n = (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (a->failed || n > a->cap - a->used) {
        a->failed = true;
        return NULL;
    }
    if ((!a->at || n > (size_t)(a->end - a->at)) && !add_chunk(a, n)) {
        a->failed = true;
        return NULL;
    }
    void *p = a->at;
    a->at += n;
    a->used += n;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void *arena_grow(struct arena *a, void *old, size_t old_n, size_t new_n)
{
    size_t held = (old_n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    size_t want = (new_n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (old && new_n <= held) {
        return old;
    }
    if (old && new_n < SIZE_MAX / 2 && (char *)old + held == a->at && !a->failed &&
        want - held <= (size_t)(a->end - a->at) && want - held <= a->cap - a->used) {
        a->at += want - held;
        a->used += want - held;
        return old;
    }
    void *p = arena_alloc(a, new_n);
    if (p && old_n) {
        memcpy(p, old, old_n);
    }
    return p;
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
    void *copy = arena_alloc(a, n);
    if (copy && n) {
        memcpy(copy, p, n);
    }
    return copy;
}

char *arena_strndup(struct arena *a, const char *p, size_t n)
{
    char *s = n < SIZE_MAX / 2 ? arena_alloc(a, n + 1) : NULL;
    if (s) {
        if (n) {
            memcpy(s, p, n);
        }
        s[n] = '\0';
    }
    return s;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_str(struct arena *a, struct str s)
{
    return arena_strndup(a, s.p, s.n);
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *s = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (s) {
        (void)vsnprintf(s, (size_t)n + 1, fmt, again); /* measured above */
    }
    va_end(again);
    return s;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Heap allocation with fault injection; see mem.h. */
#include "mem.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a thread: an injected failure hits the thread that asked for it. */
static _Thread_local unsigned long fail_countdown;
static _Thread_local unsigned long alloc_count;

static bool fails_now(void)
{
    alloc_count++;
    return __builtin_expect(fail_countdown != 0, 0) && --fail_countdown == 0;
}

unsigned long mem_fail_at(unsigned long n)
{
    unsigned long count = alloc_count;
    alloc_count = 0;
    fail_countdown = n;
    return count;
}

void *mem_alloc(size_t n)
{
    return fails_now() ? NULL : malloc(n ? n : 1);
}

void *mem_zalloc(size_t n)
{
    return fails_now() ? NULL : calloc(1, n ? n : 1);
}

void *mem_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : realloc(p, n ? n : 1);
}

void *mem_dup(const void *p, size_t n)
{
    void *copy = mem_alloc(n);
    if (copy && n) {
        memcpy(copy, p, n);
    }
    return copy;
}

char *mem_strndup(const char *s, size_t n)
{
    char *copy = mem_alloc(n + 1);
    if (copy) {
        if (n) {
            memcpy(copy, s, n);
        }
        copy[n] = '\0';
    }
    return copy;
}

char *mem_strdup(const char *s)
{
    return s ? mem_strndup(s, strlen(s)) : NULL;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *s = n < 0 ? NULL : mem_alloc((size_t)n + 1);
    if (s) {
        (void)vsnprintf(s, (size_t)n + 1, fmt, again); /* measured above */
    }
    va_end(again);
    va_end(ap);
    return s;
}

void mem_free(void *p)
{
    free(p);
}

void mem_trim(void)
{
    (void)malloc_trim(0); /* whether there was anything to give back does not matter */
}

void mem_freep(void *pp)
{
    mem_free(*(void **)pp);
}

void fd_closep(int *fd)
{
    if (*fd >= 0) {
        (void)close(
            *fd); /* nothing can be done about a failing close of a read or temporary descriptor */
        *fd = -EBADF;
    }
}

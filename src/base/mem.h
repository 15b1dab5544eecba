/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heap allocation, cleanup attributes and small macros that every file uses.
 *
 * All heap memory of the project goes through mem_alloc() and its sisters, so that a test can make
 * the n-th allocation fail (mem_fail_at) and prove that nothing leaks or crashes. Every function
 * here returns NULL when memory is short; none aborts.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

void *mem_alloc(size_t n);                  /* uninitialised */
void *mem_zalloc(size_t n);                 /* zeroed */
void *mem_realloc(void *p, size_t n);       /* p may be NULL; on failure p is untouched */
void *mem_dup(const void *p, size_t n);     /* a copy of n bytes */
char *mem_strdup(const char *s);            /* NULL in, NULL out */
char *mem_strndup(const char *s, size_t n); /* always 0-terminated */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mem_free(void *p); /* NULL is fine */
/* Gives freed memory back to the system; takes milliseconds after a large peak, so call it rarely.
 */
void mem_trim(void);

/* Tests: the n-th allocation from now on (1 = the next) fails once; 0 switches it off. Returns how
 * many allocations were made since the last call. Not thread-safe, for single-threaded tests only.
 */
unsigned long mem_fail_at(unsigned long n);

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/* x = TAKE_PTR(p): moves the pointer out, so that p's cleanup attribute frees nothing. */
#define TAKE_PTR(p)                    \
    ({                                 \
        __typeof__(p) take_tmp_ = (p); \
        (p) = NULL;                    \
        take_tmp_;                     \
    })
#define TAKE_FD(fd)           \
    ({                        \
        int take_tmp_ = (fd); \
        (fd) = -EBADF;        \
        take_tmp_;            \
    })

/* CLEANUP(fn) T x: calls fn(&x) when x leaves its scope. Common destroyers stand below. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
void mem_freep(void *pp); /* CLEANUP(mem_freep) char *s = NULL; */
void fd_closep(int *fd);  /* CLEANUP(fd_closep) int fd = -EBADF; */

/* A structure that is reached through a void pointer begins with a magic; CAST_OBJ checks it. */
#define CAST_OBJ(p, type, magic_value)                                  \
    ({                                                                  \
        type *cast_tmp_ = (type *)(p);                                  \
        assert(cast_tmp_ != NULL && cast_tmp_->magic == (magic_value)); \
        cast_tmp_;                                                      \
    })

#endif

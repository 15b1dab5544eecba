/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Borrowed pieces of text: a pointer and a length, not 0-terminated, owned by somebody else.
 *
 * Parsers cut outside bytes into struct str without copying. Numbers are parsed here with full
 * range checks; nothing in the project calls atoi or strtol.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p; /* may be NULL when n is 0 */
    size_t n;
};

#define STR_LIT(s) ((struct str){("" s ""), sizeof(s) - 1})
#define STR_NULL ((struct str){NULL, 0})
#define STR_FMT "%.*s"
#define STR_ARG(s) ((int)(s).n), ((s).p ? (s).p : "")

static inline struct str str_of(const char *s)
{
    return (struct str){s, s ? strlen(s) : 0};
}

static inline struct str str_n(const char *p, size_t n)
{
    return (struct str){p, n};
}

bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *s); /* equal to a C string; s NULL equals only an empty a */
bool str_ieq(struct str a, struct str b); /* ASCII case ignored */
bool str_iis(struct str a, const char *s);
int str_cmp(struct str a, struct str b); /* bytewise, as memcmp */
bool str_starts(struct str a, const char *prefix);
bool str_ends(struct str a, const char *suffix);
struct str str_trim(struct str a); /* spaces and tabs at both ends */
/* Cuts at the first sep: *head gets what is before, *tail what is after. False when there is no
 * sep: head is then all of a and tail is empty. head or tail may be &a, or
 * NULL. */
bool str_cut(struct str a, char sep, struct str *head, struct str *tail);
bool str_rcut(struct str a, char sep, struct str *head, struct str *tail); /* at the last sep */

/* Decimal, whole input, optional '-' (i64 only). Return 0, -EINVAL or -ERANGE; *ret only on
 * success. */
int str_i64(struct str a, int64_t *ret);
int str_u64(struct str a, uint64_t *ret);
int str_double(struct str a,
               double *ret);           /* JSON's grammar; no hex, no nan, independent of locale */
int str_bool(struct str a, bool *ret); /* 1 t T true TRUE True, 0 f F false FALSE False */

/* C strings: equality that accepts NULL (NULL equals only NULL). */
static inline bool cstr_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}
/* Copies with truncation, always 0-terminates; false when it was cut. */
bool cstr_copy(char *dst, size_t size, const char *src);

#endif

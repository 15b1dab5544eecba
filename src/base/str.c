/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed pieces of text; see str.h. */
#include "str.h"

#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_is(struct str a, const char *s)
{
    return str_eq(a, str_of(s));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_ieq(struct str a, struct str b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

bool str_iis(struct str a, const char *s)
{
    return str_ieq(a, str_of(s));
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.n >= n && (n == 0 || memcmp(a.p, prefix, n) == 0);
}

bool str_ends(struct str a, const char *suffix)
{
    size_t n = strlen(suffix);
    return a.n >= n && (n == 0 || memcmp(a.p + a.n - n, suffix, n) == 0);
}

struct str str_trim(struct str a)
{
    while (a.n && (a.p[0] == ' ' || a.p[0] == '\t')) {
        a.p++;
        a.n--;
    }
    while (a.n && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t')) {
        a.n--;
    }
    return a;
}

static bool cut_at(struct str a, const char *at, struct str *head, struct str *tail)
{
    size_t n = at ? (size_t)(at - a.p) : a.n;
    if (head) {
        *head = str_n(a.p, n);
    }
    if (tail) {
        *tail = at ? str_n(at + 1, a.n - n - 1) : STR_NULL;
    }
    return at != NULL;
}

bool str_cut(struct str a, char sep, struct str *head, struct str *tail)
{
    return cut_at(a, a.n ? memchr(a.p, sep, a.n) : NULL, head, tail);
}

bool str_rcut(struct str a, char sep, struct str *head, struct str *tail)
{
    return cut_at(a, a.n ? memrchr(a.p, sep, a.n) : NULL, head, tail);
}

int str_u64(struct str a, uint64_t *ret)
{
    uint64_t v = 0;
    if (a.n == 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < a.n; i++) {
        unsigned d = (unsigned)(unsigned char)a.p[i] - '0';
        if (d > 9) {
            return -EINVAL;
        }
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, d, &v)) {
            return -ERANGE;
        }
    }
    *ret = v;
    return 0;
}

int str_i64(struct str a, int64_t *ret)
{
    bool neg = a.n && a.p[0] == '-';
    uint64_t v;
    int rc = str_u64(neg ? str_n(a.p + 1, a.n - 1) : a, &v);
    if (rc < 0) {
        return rc;
    }
    if (v > (uint64_t)INT64_MAX + (neg ? 1u : 0u)) {
        return -ERANGE;
    }
    *ret = neg ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static bool json_number_grammar(struct str a)
{
    size_t i = 0;
    if (i < a.n && a.p[i] == '-') {
        i++;
    }
    size_t digits = i;
    while (i < a.n && a.p[i] >= '0' && a.p[i] <= '9') {
        i++;
    }
    if (i == digits || (a.p[digits] == '0' && i - digits > 1)) {
        return false;
    }
    if (i < a.n && a.p[i] == '.') {
        size_t from = ++i;
        while (i < a.n && a.p[i] >= '0' && a.p[i] <= '9') {
            i++;
        }
        if (i == from) {
            return false;
        }
    }
    if (i < a.n && (a.p[i] == 'e' || a.p[i] == 'E')) {
        i++;
        if (i < a.n && (a.p[i] == '+' || a.p[i] == '-')) {
            i++;
        }
        size_t from = i;
        while (i < a.n && a.p[i] >= '0' && a.p[i] <= '9') {
            i++;
        }
        if (i == from) {
            return false;
        }
    }
    return i == a.n;
}

int str_double(struct str a, double *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[512];
    if (a.n >= sizeof(text)) {
        return -ERANGE;
    }
    if (!json_number_grammar(a)) {
        return -EINVAL;
    }
    memcpy(text, a.p, a.n);
    text[a.n] = '\0';
    (void)pthread_once(&once, make_c_locale); /* fails only for a bad argument */
    *ret = strtod_l(text, NULL, c_locale);
    return 0;
}

int str_bool(struct str a, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (str_is(a, yes[i]) || str_is(a, no[i])) {
            *ret = str_is(a, yes[i]);
            return 0;
        }
    }
    return -EINVAL;
}

bool cstr_copy(char *dst, size_t size, const char *src)
{
    size_t n = strlen(src);
    bool fits = n < size;
    if (!fits) {
        n = size - 1;
    }
    memcpy(dst, src, n);
    dst[n] = '\0';
    return fits;
}

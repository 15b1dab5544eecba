/* SPDX-License-Identifier: Apache-2.0 */
/* LIKE: '%' any text, '_' one character, '\' takes the next as it is. */
#include "expr.h"

enum { LIKE_ANY = 256, LIKE_ONE = 257 };

struct like {
    uint32_t n;
    uint16_t steps[]; /* a byte, or one of the above */
};

const void *expr_like_compile(struct arena *a, struct str pattern)
{
    struct like *l = arena_alloc(a, sizeof(*l) + (pattern.n + 1) * sizeof(uint16_t));
    if (!l) {
        return NULL;
    }
    l->n = 0;
    for (size_t i = 0; i < pattern.n; i++) {
        unsigned char c = (unsigned char)pattern.p[i];
        if (c == '\\' && i + 1 < pattern.n) {
            l->steps[l->n++] = (unsigned char)pattern.p[++i];
        } else if (c == '%') {
            if (l->n == 0 || l->steps[l->n - 1] != LIKE_ANY) {
                l->steps[l->n++] = LIKE_ANY;
            }
        } else {
            l->steps[l->n++] = c == '_' ? (uint16_t)LIKE_ONE : c;
        }
    }
    return l;
}

/* Bytes of the character at p. */
static size_t character(struct str s, size_t at)
{
    size_t n = 1;
    while (at + n < s.n && ((unsigned char)s.p[at + n] & 0xC0) == 0x80) {
        n++;
    }
    return n;
}

/* Greedy with one place to go back to: linear in text times pattern. */
bool expr_like_match(const void *compiled, struct str text)
{
    const struct like *l = compiled;
    size_t t = 0, back_t = 0;
    uint32_t p = 0, back_p = UINT32_MAX;
    while (t < text.n) {
        if (p < l->n && l->steps[p] == LIKE_ANY) {
            back_p = p++;
            back_t = t;
        } else if (p < l->n && l->steps[p] == LIKE_ONE) {
            p++;
            t += character(text, t);
        } else if (p < l->n && l->steps[p] == (unsigned char)text.p[t]) {
            p++;
            t++;
        } else if (back_p != UINT32_MAX) {
            p = back_p + 1;
            t = back_t += character(text, back_t);
        } else {
            return false;
        }
    }
    while (p < l->n && l->steps[p] == LIKE_ANY) {
        p++;
    }
    return p == l->n;
}

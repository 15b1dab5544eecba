/* SPDX-License-Identifier: Apache-2.0 */
/* Characters of texts; see runes.h. */
#include "runes.h"

#include "base/mem.h"
#include "codec/utf8.h"

uint32_t text_rune(struct str s, size_t i, size_t *ret_n)
{
    const unsigned char *p = (const unsigned char *)s.p + i;
    size_t n = utf8_len(s.p + i, s.n - i);
    *ret_n = n ? n : 1;
    return n == 1   ? p[0]
           : n == 2 ? (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f)
           : n == 3 ? (uint32_t)(p[0] & 0xf) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f)
           : n == 4 ? (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
                          (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f)
                    : p[0] | RUNE_NONE;
}

size_t text_runes(struct str s)
{
    size_t n = 0, size;
    for (size_t i = 0; i < s.n; i += size, n++) {
        (void)text_rune(s, i, &size);
    }
    return n;
}

/* The byte where character number `at` begins; s.n when there are fewer. */
size_t text_offset(struct str s, uint64_t at)
{
    size_t i = 0, size;
    for (; at > 0 && i < s.n; at--, i += size) {
        (void)text_rune(s, i, &size);
    }
    return i;
}

bool rune_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Simple case mapping of the Latin, Greek, Cyrillic and Armenian letters. */
uint32_t rune_lower(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3ab && c != 0x3a2) ||
        (c >= 0x410 && c <= 0x42f)) {
        return c + 32;
    }
    if (c >= 0x400 && c <= 0x40f) {
        return c + 80;
    }
    if (c >= 0x531 && c <= 0x556) {
        return c + 48;
    }
    bool pair = (c >= 0x100 && c <= 0x137 && c != 0x130 && c != 0x131) ||
                (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x481) ||
                (c >= 0x48a && c <= 0x4bf) || (c >= 0x1e00 && c <= 0x1e95);
    bool odd = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    return (pair && c % 2 == 0) || (odd && c % 2 == 1) ? c + 1 : c;
}

uint32_t rune_upper(uint32_t c)
{
    static const uint32_t distances[] = {1, 32, 48, 80};
    for (size_t i = 0; i < ARRAY_SIZE(distances); i++) {
        if (c >= distances[i] && rune_lower(c - distances[i]) == c) {
            return c - distances[i];
        }
    }
    return c;
}

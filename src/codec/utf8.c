/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8; see utf8.h. */
#include "utf8.h"

#include <string.h>

static bool continues(const char *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (((unsigned char)p[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    return true;
}

size_t utf8_len(const char *p, size_t n)
{
    unsigned char c = (unsigned char)p[0], d = n > 1 ? (unsigned char)p[1] : 0;
    if (c < 0x80) {
        return 1;
    }
    if (c < 0xc2 || c > 0xf4) {
        return 0;
    }
    size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (n < len || !continues(p, 1, len)) {
        return 0;
    }
    bool bad = (c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
               (c == 0xf4 && d > 0x8f);
    return bad ? 0 : len;
}

bool utf8_valid(struct str s)
{
    for (size_t i = 0; i < s.n;) {
        uint64_t eight;
        if (s.n - i >= sizeof(eight)) { /* ASCII, mostly */
            memcpy(&eight, s.p + i, sizeof(eight));
            if (!(eight & 0x8080808080808080u)) {
                i += sizeof(eight);
                continue;
            }
        }
        size_t len = utf8_len(s.p + i, s.n - i);
        if (!len) {
            return false;
        }
        i += len;
    }
    return true;
}

size_t utf8_put(char out[4], uint32_t r)
{
    if (r < 0x80) {
        out[0] = (char)r;
        return 1;
    }
    if (r < 0x800) {
        out[0] = (char)(0xc0 | r >> 6);
        out[1] = (char)(0x80 | (r & 63));
        return 2;
    }
    if (r < 0x10000) {
        out[0] = (char)(0xe0 | r >> 12);
        out[1] = (char)(0x80 | (r >> 6 & 63));
        out[2] = (char)(0x80 | (r & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | r >> 18);
    out[1] = (char)(0x80 | (r >> 12 & 63));
    out[2] = (char)(0x80 | (r >> 6 & 63));
    out[3] = (char)(0x80 | (r & 63));
    return 4;
}

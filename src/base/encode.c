/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness and text encodings; see encode.h. */
#include "encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "mem.h"

void random_bytes(void *p, size_t n)
{
    char *at = p;
    while (n) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        assert(got > 0);
        at += got;
        n -= (size_t)got;
    }
}

uint64_t random_below(uint64_t bound)
{
    assert(bound > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound, v;
    do {
        random_bytes(&v, sizeof(v));
    } while (v >= limit);
    return v % bound;
}

void random_name(char *out, size_t n)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    for (size_t i = 0; i < n; i++) {
        out[i] = alphabet[random_below(sizeof(alphabet) - 1)];
    }
    out[n] = '\0';
}

void uuid_make(char out[UUID_TEXT_SIZE])
{
    unsigned char b[16];
    char hex[HEX_SIZE(16)];
    random_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    hex_encode(b, sizeof(b), hex);
    size_t o = 0;
    for (size_t i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) {
            out[o++] = '-';
        }
        out[o++] = hex[i];
    }
    out[o] = '\0';
}

void hex_encode(const void *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(struct str s, void *out, size_t size)
{
    unsigned char *b = out;
    if (s.n % 2) {
        return -EINVAL;
    }
    if (s.n / 2 > size) {
        return -ERANGE;
    }
    for (size_t i = 0; i < s.n / 2; i++) {
        int hi = hex_value(s.p[2 * i]), lo = hex_value(s.p[2 * i + 1]);
        if (hi < 0 || lo < 0) {
            return -EINVAL;
        }
        b[i] = (unsigned char)(hi << 4 | lo);
    }
    return (int)(s.n / 2);
}

static const char plain64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int encode64(struct buf *out, const void *p, size_t n, const char *alphabet, bool pad)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = MIN_OF(n - i, (size_t)3);
        uint32_t v = (uint32_t)b[i] << 16;
        v |= left > 1 ? (uint32_t)b[i + 1] << 8 : 0;
        v |= left > 2 ? b[i + 2] : 0;
        char q[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63], alphabet[v >> 6 & 63],
                     alphabet[v & 63]};
        size_t len = left + 1;
        while (pad && len < 4) {
            q[len++] = '=';
        }
        if (buf_append(out, q, len) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

int base64_encode(struct buf *out, const void *p, size_t n)
{
    return encode64(out, p, n, plain64, true);
}

int base64url_encode(struct buf *out, const void *p, size_t n)
{
    return encode64(out, p, n, url64, false);
}

static int value64(char c, const char *alphabet)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

static int decode64(struct buf *out, struct str s, const char *alphabet)
{
    if (s.n % 4 == 1) {
        return -EINVAL;
    }
    uint32_t v = 0;
    int bits = 0;
    for (size_t i = 0; i < s.n; i++) {
        int d = value64(s.p[i], alphabet);
        if (d < 0) {
            return -EINVAL;
        }
        v = v << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (buf_putc(out, (char)(v >> bits & 0xff)) < 0) {
                return -ENOMEM;
            }
        }
    }
    return v & ((1u << bits) - 1) ? -EINVAL : 0;
}

int base64_decode(struct buf *out, struct str s)
{
    if (s.n % 4) {
        return -EINVAL;
    }
    for (int i = 0; i < 2 && s.n && s.p[s.n - 1] == '='; i++) {
        s.n--;
    }
    return decode64(out, s, plain64);
}

int base64url_decode(struct buf *out, struct str s)
{
    return decode64(out, s, url64);
}

char *percent_decode(struct arena *a, struct str s, bool plus_is_space)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t o = 0;
    for (size_t i = 0; out && i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int hi = s.n - i > 2 ? hex_value(s.p[i + 1]) : -1;
            int lo = s.n - i > 2 ? hex_value(s.p[i + 2]) : -1;
            if (hi < 0 || lo < 0) {
                return NULL;
            }
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0') {
            return NULL;
        }
        out[o++] = c;
    }
    if (out) {
        out[o] = '\0';
    }
    return out;
}

int percent_encode(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        int rc = plain ? buf_putc(out, (char)c) : buf_printf(out, "%%%02X", c);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

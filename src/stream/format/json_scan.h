/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scanning of JSON texts (RFC 8259) that are followed by JSON_PAD readable bytes, of which the
 * first is 0: no function looks at a length, the 0 stops them all, and vectors may read beyond.
 *
 * Functions take the place where something begins and return the place behind it, or NULL where it
 * is no JSON. White space is the caller's. What is skipped is checked for balance and legal tokens,
 * what is read is checked entirely (UTF-8, escapes, numbers).
 */
#ifndef STREAM_FORMAT_JSON_SCAN_H
#define STREAM_FORMAT_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "stream/value.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define JSON_PAD 64

static inline const char *json_space(const char *at)
{
    while (__builtin_expect((unsigned char)*at <= ' ', 0) &&
           (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* The first byte that ends a run inside a string: a quote, a backslash or a control character.
 * *high is set where a byte of the run, or of the 15 behind it, is not ASCII. */
#if defined(__SSE2__)
static inline const char *json_run(const char *at, bool *high)
{
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'),
                  control = _mm_set1_epi8(0x1f);
    for (;;) {
        __m128i x = _mm_loadu_si128((const __m128i *)at);
        __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(x, control), x));
        unsigned mask = (unsigned)_mm_movemask_epi8(stop);
        *high |= _mm_movemask_epi8(x) != 0;
        if (mask) {
            return at + __builtin_ctz(mask);
        }
        at += 16;
    }
}
#elif defined(__aarch64__)
static inline const char *json_run(const char *at, bool *high)
{
    for (;;) {
        uint8x16_t x = vld1q_u8((const uint8_t *)at);
        uint8x16_t stop = vorrq_u8(vceqq_u8(x, vdupq_n_u8('"')), vceqq_u8(x, vdupq_n_u8('\\')));
        stop = vorrq_u8(stop, vcltq_u8(x, vdupq_n_u8(0x20)));
        uint64_t mask =
            vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(stop), 4)), 0);
        *high |= vmaxvq_u8(x) >= 0x80;
        if (mask) {
            return at + (__builtin_ctzll(mask) >> 2);
        }
        at += 16;
    }
}
#else
static inline const char *json_run(const char *at, bool *high)
{
    while (*at != '"' && *at != '\\' && (unsigned char)*at >= 0x20) {
        *high |= (unsigned char)*at >= 0x80;
        at++;
    }
    return at;
}
#endif

/* at stands behind the opening quote; returns the place behind the closing one. */
const char *json_skip_string(const char *at);
/* Any value. */
const char *json_skip(const char *at);

/* at stands behind the opening quote. *ret borrows from the text, or lies in the arena where there
 * are escapes. A failed arena gives an empty text. */
const char *json_read_escaped(const char *at, struct arena *a, struct str *ret);
bool json_text_valid(const char *from, const char *to); /* UTF-8 */

static inline const char *json_read_string(const char *at, struct arena *a, struct str *ret)
{
    bool high = false;
    const char *stop = json_run(at, &high);
    if (__builtin_expect(*stop != '"' || (high && !json_text_valid(at, stop)), 0)) {
        return json_read_escaped(at, a, ret);
    }
    *ret = str_n(at, (size_t)(stop - at));
    return stop + 1;
}

/* VALUE_INT when there is no fraction and no exponent and it fits, else VALUE_FLOAT, the nearest;
 * what is beyond the range of floats is refused. */
const char *json_read_number(const char *at, struct value *ret);

/* true, false, null. */
const char *json_read_word(const char *at, struct value *ret);

/* ---- whole values ---- */

/* Room for containers under construction; reused from value to value. */
struct json_stack {
    struct value_member *members;
    uint32_t n, cap;
    bool failed; /* no memory: the value is refused */
};

void json_stack_fini(struct json_stack *s);
bool json_stack_push(struct json_stack *s, struct str key, const struct value *v);
/* The members from `base` on as an object in the arena, the last of a key that comes twice in the
 * place of the first; they are taken off the stack. */
struct value json_stack_object(struct json_stack *s, uint32_t base, struct arena *a);

/* Any value, nested up to LIMIT_EVENT_DEPTH; containers lie in the arena. */
const char *json_read(const char *at, struct arena *a, struct json_stack *s, struct value *ret);

#endif

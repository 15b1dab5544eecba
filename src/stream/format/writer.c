/* SPDX-License-Identifier: Apache-2.0 */
/* Writing numbers, texts and JSON fast; see encoder_private.h. */
#include <math.h>
#include <string.h>

#include "encoder_private.h"
#include "json_scan.h"

#define ROOM ((size_t)4096)

static bool reserve(struct writer *w, size_t n)
{
    w->start = w->at = buf_reserve(w->out, n);
    w->end = w->at ? w->at + n : NULL;
    return w->at != NULL;
}

void writer_begin(struct writer *w, struct buf *out)
{
    *w = (struct writer){.out = out};
}

void writer_end(struct writer *w)
{
    if (w->at) {
        buf_commit(w->out, (size_t)(w->at - w->start));
    }
    w->start = w->at = w->end = NULL;
}

bool writer_grow(struct writer *w, size_t n)
{
    writer_end(w);
    return reserve(w, n + ROOM);
}

/* ---- numbers ---- */

static const char pairs[201] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";

static char *write_unsigned(char *at, uint64_t u)
{
    char text[20];
    char *p = text + sizeof(text);
    while (u >= 100) {
        p -= 2;
        memcpy(p, pairs + u % 100 * 2, 2);
        u /= 100;
    }
    if (u >= 10) {
        p -= 2;
        memcpy(p, pairs + u * 2, 2);
    } else {
        *--p = (char)('0' + u);
    }
    size_t n = (size_t)(text + sizeof(text) - p);
    memcpy(at, p, n);
    return at + n;
}

char *writer_int(char *at, int64_t i)
{
    if (i < 0) {
        *at++ = '-';
        return write_unsigned(at, 0 - (uint64_t)i);
    }
    return write_unsigned(at, (uint64_t)i);
}

/* Floats of few decimals, as sensors give them: the first d for which m / 10^d with an integer m is
 * the float has the fewest digits, as m < 2^53 and 10^d are exact. */
#define DECIMALS_MAX 6
#define FLOAT_PLAIN_MAX 1e9

static char *write_decimals(char *at, double f)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    static const uint64_t whole[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    double x = fabs(f);
    if (!(x < FLOAT_PLAIN_MAX)) {
        return NULL;
    }
    for (int d = 1; d <= DECIMALS_MAX; d++) {
        uint64_t m = (uint64_t)(x * powers[d] + 0.5);
        if ((double)m / powers[d] != x) {
            continue;
        }
        uint64_t part = m % whole[d];
        if (part == 0) { /* no decimals at all */
            return NULL;
        }
        if (f < 0) {
            *at++ = '-';
        }
        at = write_unsigned(at, m / whole[d]);
        *at = '.';
        for (int k = d; k > 0; k--, part /= 10) {
            at[k] = (char)('0' + part % 10);
        }
        return at + d + 1;
    }
    return NULL;
}

char *writer_float(char *at, double f)
{
    if (!isfinite(f)) {
        memcpy(at, "null", 4);
        return at + 4;
    }
    char *end = write_decimals(at, f);
    return end ? end : at + value_print_float(at, f);
}

/* ---- texts ---- */

/* Whether the text stands for itself in JSON: ASCII without quotes, backslashes and controls. */
static bool plain(struct str s)
{
    size_t i = 0;
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'),
                  first = _mm_set1_epi8(0x20);
    for (; i + 16 <= s.n; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(s.p + i));
        __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash));
        bad = _mm_or_si128(bad, _mm_cmplt_epi8(x, first)); /* signed: not ASCII is less */
        if (_mm_movemask_epi8(bad)) {
            return false;
        }
    }
#endif
    for (; i < s.n; i++) {
        if ((signed char)s.p[i] < 0x20 || s.p[i] == '"' || s.p[i] == '\\') {
            return false;
        }
    }
    return true;
}

bool writer_json_text(struct writer *w, struct str s)
{
    if (!plain(s)) {
        writer_end(w);
        return json_print_string(w->out, s) == 0;
    }
    if (!writer_need(w, s.n + 2)) {
        return false;
    }
    *w->at++ = '"';
    if (s.n) {
        memcpy(w->at, s.p, s.n);
    }
    w->at += s.n;
    *w->at++ = '"';
    return true;
}

/* ---- JSON ---- */

static bool put(struct writer *w, char c)
{
    if (!writer_need(w, 1)) {
        return false;
    }
    *w->at++ = c;
    return true;
}

static bool write_word(struct writer *w, const char *word, size_t n)
{
    if (!writer_need(w, n)) {
        return false;
    }
    memcpy(w->at, word, n);
    w->at += n;
    return true;
}

/* Values nest as deep as a decoder or a function made them, which is bounded. */
static bool write_array(struct writer *w, const struct value *v)
{
    bool ok = put(w, '[');
    for (uint32_t i = 0; ok && i < v->n; i++) {
        ok = (i == 0 || put(w, ',')) && writer_json(w, &v->items[i]);
    }
    return ok && put(w, ']');
}

static bool write_object(struct writer *w, const struct value *v)
{
    bool ok = put(w, '{'), first = true;
    for (uint32_t i = 0; ok && i < v->n; i++) {
        if (v->members[i].value.type == VALUE_ABSENT) {
            continue;
        }
        ok = (first || put(w, ',')) && writer_json_text(w, v->members[i].key) && put(w, ':') &&
             writer_json(w, &v->members[i].value);
        first = false;
    }
    return ok && put(w, '}');
}

bool writer_json(struct writer *w, const struct value *v)
{
    switch ((enum value_type)v->type) {
    case VALUE_STRING:
        return writer_json_text(w, value_text(v));
    case VALUE_INT:
        if (!writer_need(w, WRITER_NUMBER)) {
            return false;
        }
        w->at = writer_int(w->at, v->i);
        return true;
    case VALUE_FLOAT:
        if (!writer_need(w, WRITER_NUMBER)) {
            return false;
        }
        w->at = writer_float(w->at, v->f);
        return true;
    case VALUE_BOOL:
        return v->b ? write_word(w, "true", 4) : write_word(w, "false", 5);
    case VALUE_ABSENT:
    case VALUE_NULL:
        return write_word(w, "null", 4);
    case VALUE_ARRAY:
        return write_array(w, v);
    case VALUE_OBJECT:
        return write_object(w, v);
    default: /* times and bytes */
        writer_end(w);
        return value_print_json(w->out, v) == 0;
    }
}

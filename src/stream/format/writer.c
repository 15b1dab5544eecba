/* SPDX-License-Identifier: Apache-2.0 */
/* Writing texts and JSON fast; see encoder_private.h. */
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
        w->at += value_print_int(w->at, v->i);
        return true;
    case VALUE_FLOAT:
        if (!isfinite(v->f)) {
            return write_word(w, "null", 4);
        }
        if (!writer_need(w, WRITER_NUMBER)) {
            return false;
        }
        w->at += value_print_float(w->at, v->f);
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

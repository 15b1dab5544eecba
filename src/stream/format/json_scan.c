/* SPDX-License-Identifier: Apache-2.0 */
/* Scanning of JSON: strings, words, skipping; see json_scan.h. */
#include "json_scan.h"

#include "base/limits.h"
#include "codec/utf8.h"

#define ASCII_HIGH 0x8080808080808080ull

bool json_text_valid(const char *at, const char *to)
{
    while (at < to) {
        uint64_t eight;
        memcpy(&eight, at, sizeof(eight)); /* the padding may be read */
        if (to - at >= 8 && !(eight & ASCII_HIGH)) {
            at += 8;
            continue;
        }
        size_t n = utf8_len(at, (size_t)(to - at));
        if (!n) {
            return false;
        }
        at += n;
    }
    return true;
}

/* ---- escapes ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* Four digits; -1 when they are none. The 0 behind the text is no digit. */
static int32_t hex4(const char *at)
{
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(at[i]);
        if (d < 0) {
            return -1;
        }
        v = v << 4 | d;
    }
    return v;
}

/* at stands behind "\u". */
static const char *read_unicode(const char *at, char *out, size_t *n)
{
    int32_t r = hex4(at);
    if (r < 0 || (r >= 0xdc00 && r <= 0xdfff)) {
        return NULL;
    }
    at += 4;
    if (r >= 0xd800 && r <= 0xdbff) {
        int32_t low = at[0] == '\\' && at[1] == 'u' ? hex4(at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff) {
            return NULL;
        }
        at += 6;
        r = 0x10000 + ((r - 0xd800) << 10) + (low - 0xdc00);
    }
    *n += utf8_put(out + *n, (uint32_t)r);
    return at;
}

/* at stands behind the backslash. */
static const char *read_escape(const char *at, char *out, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (*at == 'u') {
        return read_unicode(at + 1, out, n);
    }
    const char *hit = *at ? strchr(from, *at) : NULL;
    if (!hit) {
        return NULL;
    }
    out[(*n)++] = to[hit - from];
    return at + 1;
}

const char *json_read_escaped(const char *at, struct arena *a, struct str *ret)
{
    const char *close = json_skip_string(at);
    char *out = close ? arena_alloc(a, (size_t)(close - at)) : NULL; /* escapes only shrink */
    size_t n = 0;
    if (!out) {
        *ret = STR_NULL;
        return close;
    }
    for (;;) {
        bool high = false;
        const char *stop = json_run(at, &high);
        if ((*stop != '"' && *stop != '\\') || (high && !json_text_valid(at, stop))) {
            return NULL;
        }
        memcpy(out + n, at, (size_t)(stop - at));
        n += (size_t)(stop - at);
        if (*stop == '"') {
            *ret = str_n(out, n);
            return stop + 1;
        }
        at = read_escape(stop + 1, out, &n);
        if (!at) {
            return NULL;
        }
    }
}

/* ---- words ---- */

const char *json_read_word(const char *at, struct value *ret)
{
    if (memcmp(at, "true", 4) == 0) {
        *ret = value_bool(true);
        return at + 4;
    }
    if (memcmp(at, "null", 4) == 0) {
        *ret = VALUE_OF_NULL;
        return at + 4;
    }
    if (memcmp(at, "false", 5) == 0) {
        *ret = value_bool(false);
        return at + 5;
    }
    return NULL;
}

/* ---- skipping ---- */

const char *json_skip_string(const char *at)
{
    for (;;) {
        bool high = false;
        at = json_run(at, &high);
        if (*at == '"') {
            return at + 1;
        }
        if (*at != '\\' || !at[1] || !strchr("\"\\/bfnrtu", at[1])) {
            return NULL;
        }
        at += 2;
    }
}

static const char *skip_digits(const char *at)
{
    const char *from = at;
    while ((unsigned char)(*at - '0') <= 9) {
        at++;
    }
    return at > from ? at : NULL;
}

static const char *skip_number(const char *at)
{
    at += *at == '-';
    at = *at == '0' ? at + 1 : skip_digits(at);
    if (at && *at == '.') {
        at = skip_digits(at + 1);
    }
    if (at && (*at | 32) == 'e') {
        at += 1 + (at[1] == '+' || at[1] == '-');
        at = skip_digits(at);
    }
    return at;
}

/* `"name" :` and the space behind it. */
static const char *skip_key(const char *at)
{
    at = json_space(at);
    at = *at == '"' ? json_skip_string(at + 1) : NULL;
    at = at ? json_space(at) : NULL;
    return at && *at == ':' ? json_space(at + 1) : NULL;
}

static const char *skip_scalar(const char *at)
{
    struct value v;
    return *at == '"'                                      ? json_skip_string(at + 1)
           : *at == '-' || (unsigned char)(*at - '0') <= 9 ? skip_number(at)
                                                           : json_read_word(at, &v);
}

/* Open containers: a bit each, set for objects; the innermost is the lowest. */
struct open {
    uint64_t objects;
    unsigned depth;
};

_Static_assert(LIMIT_EVENT_DEPTH <= 64, "open containers are bits of one word");

/* Behind a value: closes what closes. Returns where the next value begins, the end of all when
 * depth is 0, or NULL. */
static const char *after_value(const char *at, struct open *o)
{
    while (o->depth) {
        at = json_space(at);
        if (*at == ',') {
            return o->objects & 1 ? skip_key(at + 1) : json_space(at + 1);
        }
        if (*at != (o->objects & 1 ? '}' : ']')) {
            return NULL;
        }
        at++;
        o->objects >>= 1;
        o->depth--;
    }
    return at;
}

const char *json_skip(const char *at)
{
    struct open o = {0};
    do {
        if (*at == '{' || *at == '[') {
            bool object = *at == '{';
            at = json_space(at + 1);
            if (*at == (object ? '}' : ']')) {
                at = after_value(at + 1, &o);
                continue;
            }
            if (o.depth == LIMIT_EVENT_DEPTH) {
                return NULL;
            }
            o.objects = o.objects << 1 | object;
            o.depth++;
            at = object ? skip_key(at) : at;
            if (!at) {
                return NULL;
            }
            continue;
        }
        at = skip_scalar(at);
        at = at ? after_value(at, &o) : NULL;
    } while (at && o.depth);
    return at;
}

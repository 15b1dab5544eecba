/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text: JSON for sinks, bare text for concat() and messages. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "value.h"
#include "value_time.h"

/* Whole numbers below 2^53 need no search for digits. */
static size_t print_whole(char *out, int64_t v)
{
    char digits[24];
    size_t n = 0, at = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[n++] = (char)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    if (v < 0) {
        out[at++] = '-';
    }
    while (n > 0) {
        out[at++] = digits[--n];
    }
    return at;
}

/* Decimal fractions of few digits, which is what sensors send: exact when scaled by a power of ten
 * and back. */
static size_t print_short(char *out, double f)
{
    static const double powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    for (int digits = 1; digits <= 6; digits++) {
        double scaled = f * powers[digits];
        if (scaled != trunc(scaled) || (double)(int64_t)scaled / powers[digits] != f) {
            continue;
        }
        int64_t whole = (int64_t)fabs(scaled), unit = (int64_t)powers[digits];
        size_t n = 0;
        if (f < 0) {
            out[n++] = '-';
        }
        n += print_whole(out + n, whole / unit);
        out[n++] = '.';
        int64_t rest = whole % unit;
        for (int i = digits - 1; i >= 0; i--) {
            out[n + (size_t)i] = (char)('0' + rest % 10);
            rest /= 10;
        }
        return n + (size_t)digits;
    }
    return 0;
}

size_t value_print_float(char out[32], double f)
{
    if (f == trunc(f) && fabs(f) < 1e15) {
        if (f == 0 && signbit(f)) {
            out[0] = '-';
            out[1] = '0';
            return 2;
        }
        return print_whole(out, (int64_t)f);
    }
    if (fabs(f) < 1e9 && fabs(f) > 1e-4) {
        size_t n = print_short(out, f);
        if (n > 0) {
            return n;
        }
    }
    /* 15 digits always survive in a double that is normal; the least ones have fewer. */
    for (int precision = fabs(f) < 1e-300 ? 1 : 15; precision <= 17; precision++) {
        int n = snprintf(out, 32, "%.*g", precision, f);
        if (precision == 17 || strtod(out, NULL) == f) {
            return (size_t)n;
        }
    }
    return 0;
}

static int print_time(struct buf *out, const struct value *v, const char *quote)
{
    char text[VALUE_TIME_TEXT];
    size_t n = value_time_print(text, (struct wall){v->i});
    return buf_printf(out, "%s%.*s%s", quote, (int)n, text, quote);
}

static int print_float(struct buf *out, double f, const char *nan)
{
    char text[32];
    if (!isfinite(f)) {
        return buf_puts(out, nan ? nan : isnan(f) ? "NaN" : f > 0 ? "+Inf" : "-Inf");
    }
    return buf_append(out, text, value_print_float(text, f));
}

static int print_int(struct buf *out, int64_t i)
{
    char text[24];
    return buf_append(out, text, print_whole(text, i));
}

static int print_bytes(struct buf *out, const struct value *v)
{
    (void)buf_putc(out, '"'); /* sticky */
    (void)base64_encode(out, v->s, v->n);
    return buf_putc(out, '"');
}

int value_print_json(struct buf *out, const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        return buf_puts(out, v->b ? "true" : "false");
    case VALUE_INT:
        return print_int(out, v->i);
    case VALUE_FLOAT:
        return print_float(out, v->f, "null");
    case VALUE_TIME:
        return print_time(out, v, "\"");
    case VALUE_STRING:
        return json_print_string(out, value_text(v));
    case VALUE_BYTES:
        return print_bytes(out, v);
    case VALUE_ARRAY:
        (void)buf_putc(out, '['); /* sticky, as below */
        for (uint32_t i = 0; i < v->n; i++) {
            if (i > 0) {
                (void)buf_putc(out, ',');
            }
            (void)value_print_json(out, &v->items[i]);
        }
        return buf_putc(out, ']');
    case VALUE_OBJECT:
        (void)buf_putc(out, '{');
        for (uint32_t i = 0; i < v->n; i++) {
            if (i > 0) {
                (void)buf_putc(out, ',');
            }
            (void)json_print_string(out, v->members[i].key);
            (void)buf_putc(out, ':');
            (void)value_print_json(out, &v->members[i].value);
        }
        return buf_putc(out, '}');
    default:
        return buf_puts(out, "null");
    }
}

int value_print_text(struct buf *out, const struct value *v)
{
    switch (v->type) {
    case VALUE_STRING:
    case VALUE_BYTES:
        return buf_append_str(out, value_text(v));
    case VALUE_TIME:
        return print_time(out, v, "");
    case VALUE_FLOAT:
        return print_float(out, v->f, NULL);
    case VALUE_ABSENT:
    case VALUE_NULL:
        return buf_puts(out, "<nil>");
    default:
        return value_print_json(out, v);
    }
}

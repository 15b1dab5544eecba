/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text: JSON for sinks, bare text for concat() and messages. */
#include <math.h>

#include "base/encode.h"
#include "value.h"
#include "value_time.h"

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
    return buf_append(out, text, value_print_int(text, i));
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

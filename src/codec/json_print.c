/* SPDX-License-Identifier: Apache-2.0 */
/* Printing of JSON trees: compact and indented; see json.h. */
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "utf8.h"

#define DEPTH_MAX 1024

/* What a byte needs inside a JSON string: 0 = nothing, 1 = an escape, 2 = a look at its UTF-8
 * sequence. */
static int string_class(unsigned char c)
{
    if (c >= 0x80) {
        return 2;
    }
    return c < 0x20 || c == '"' || c == '\\';
}

static void print_escape(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"':
        (void)buf_append(out, "\\\"", 2); /* buffers remember failure, here and below */
        break;
    case '\\':
        (void)buf_append(out, "\\\\", 2);
        break;
    case '\n':
        (void)buf_append(out, "\\n", 2);
        break;
    case '\r':
        (void)buf_append(out, "\\r", 2);
        break;
    case '\t':
        (void)buf_append(out, "\\t", 2);
        break;
    default: {
        char u[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        (void)buf_append(out, u, sizeof(u));
        break;
    }
    }
}

int json_print_string(struct buf *out, struct str s)
{
    size_t from = 0, i = 0;
    (void)buf_putc(out, '"');
    while (i < s.n) {
        int class = string_class((unsigned char)s.p[i]);
        size_t len = class == 2 ? utf8_len(s.p + i, s.n - i) : 1;
        if (class == 0 || (class == 2 && len)) {
            i += len;
            continue;
        }
        (void)buf_append(out, s.p + from, i - from);
        if (class == 2) {
            (void)buf_append(out, "\xef\xbf\xbd", 3);
        } else {
            print_escape(out, (unsigned char)s.p[i]);
        }
        from = ++i;
    }
    (void)buf_append(out, s.p + from, i - from);
    return buf_putc(out, '"');
}

static void newline(struct buf *out, int indent, int depth)
{
    if (indent >= 0) {
        (void)buf_printf(out, "\n%*s", indent * depth, "");
    }
}

static void print(struct buf *out, const struct json *j, int indent, int depth);

static void print_object(struct buf *out, const struct json *j, int indent, int depth)
{
    (void)buf_putc(out, '{');
    for (uint32_t i = 0; i < j->n; i++) {
        if (i) {
            (void)buf_putc(out, ',');
        }
        newline(out, indent, depth + 1);
        (void)json_print_string(out, str_n(j->members[i].key, j->members[i].key_n));
        (void)buf_append(out, ": ", indent >= 0 ? 2 : 1);
        print(out, j->members[i].value, indent, depth + 1);
    }
    if (j->n) {
        newline(out, indent, depth);
    }
    (void)buf_putc(out, '}');
}

static void print_array(struct buf *out, const struct json *j, int indent, int depth)
{
    (void)buf_putc(out, '[');
    for (uint32_t i = 0; i < j->n; i++) {
        if (i) {
            (void)buf_putc(out, ',');
        }
        newline(out, indent, depth + 1);
        print(out, j->items[i], indent, depth + 1);
    }
    if (j->n) {
        newline(out, indent, depth);
    }
    (void)buf_putc(out, ']');
}

static void print_int(struct buf *out, int64_t v)
{
    char text[24], *at = text + sizeof(text);
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--at = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (v < 0) {
        *--at = '-';
    }
    (void)buf_append(out, at, (size_t)(text + sizeof(text) - at));
}

static void print(struct buf *out, const struct json *j, int indent, int depth)
{
    if (!j || depth > DEPTH_MAX) {
        (void)buf_append(out, "null", 4);
        out->failed |= j != NULL; /* too deep to print is a failure, a missing node is null */
        return;
    }
    switch (j->type) {
    case JSON_NULL:
        (void)buf_append(out, "null", 4);
        break;
    case JSON_BOOL:
        (void)buf_append(out, j->b ? "true" : "false", j->b ? 4 : 5);
        break;
    case JSON_INT:
        print_int(out, j->i);
        break;
    case JSON_REAL:
        (void)buf_append(out, j->s, j->n);
        break;
    case JSON_STRING:
        (void)json_print_string(out, str_n(j->s, j->n));
        break;
    case JSON_ARRAY:
        print_array(out, j, indent, depth);
        break;
    case JSON_OBJECT:
        print_object(out, j, indent, depth);
        break;
    }
}

int json_print(struct buf *out, const struct json *j)
{
    print(out, j, -1, 0);
    return buf_failed(out) ? -ENOMEM : 0;
}

int json_print_pretty(struct buf *out, const struct json *j, int indent)
{
    print(out, j, indent, 0);
    (void)buf_putc(out, '\n');
    return buf_failed(out) ? -ENOMEM : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text and as JSON: the format() function, what messages show, what leaves as JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "cel_fn.h"

static bool print_plain(struct buf *out, const struct cel_value *v, unsigned depth);

static void print_number(struct buf *out, const struct cel_value *v)
{
    if (v->kind == CEL_INT) {
        (void)buf_printf(out, "%" PRId64, v->i);
    } else if (v->kind == CEL_UINT) {
        (void)buf_printf(out, "%" PRIu64, v->u);
    } else if (isinf(v->d)) {
        (void)buf_puts(out, v->d > 0 ? "Infinity" : "-Infinity");
    } else {
        cel_double_print(out, v->d);
    }
}

struct printed {
    const char *key, *value;
};

static int printed_cmp(const void *a, const void *b)
{
    return strcmp(((const struct printed *)a)->key, ((const struct printed *)b)->key);
}

/* A map's entries in the order of their keys' texts. */
static bool print_map(struct buf *out, const struct cel_value *v, unsigned depth)
{
    struct arena a;
    uint32_t n = cel_length(v);
    bool ok = true;
    arena_init(&a, 0);
    struct printed *entries = arena_alloc(&a, ((size_t)n + 1) * sizeof(*entries));
    for (uint32_t i = 0; i < n && entries && ok; i++) {
        CLEANUP(buf_finip) struct buf text = BUF_INIT;
        struct cel_value key = cel_key_at(v, i), value = cel_value_at(v, i);
        ok = print_plain(&text, &key, depth + 1);
        entries[i].key = arena_str(&a, buf_str(&text));
        buf_clear(&text);
        ok = ok && print_plain(&text, &value, depth + 1);
        entries[i].value = arena_str(&a, buf_str(&text));
    }
    ok = ok && !arena_failed(&a);
    (void)buf_putc(out, '{');
    if (ok && n) {
        qsort(entries, n, sizeof(*entries), printed_cmp);
    }
    for (uint32_t i = 0; i < n && ok; i++) {
        (void)buf_printf(out, "%s%s: ", i ? ", " : "", entries[i].key);
        (void)buf_puts(out, entries[i].value);
    }
    (void)buf_putc(out, '}');
    arena_fini(&a);
    return ok;
}

static bool print_list(struct buf *out, const struct cel_value *v, unsigned depth)
{
    (void)buf_putc(out, '[');
    for (uint32_t i = 0; i < cel_length(v); i++) {
        struct cel_value item = cel_item(v, i);
        (void)buf_puts(out, i ? ", " : "");
        if (!print_plain(out, &item, depth + 1)) {
            return false;
        }
    }
    (void)buf_putc(out, ']');
    return true;
}

/* The form of %s; false for what has none. */
static bool print_plain(struct buf *out, const struct cel_value *v, unsigned depth)
{
    if (depth > LIMIT_CEL_DEPTH || buf_failed(out)) {
        return false;
    }
    switch (v->kind) {
    case CEL_NULL:
        (void)buf_puts(out, "null");
        return true;
    case CEL_BOOL:
        (void)buf_puts(out, v->b ? "true" : "false");
        return true;
    case CEL_INT:
    case CEL_UINT:
    case CEL_DOUBLE:
        print_number(out, v);
        return true;
    case CEL_STRING:
    case CEL_BYTES:
        (void)buf_append_str(out, cel_text(v));
        return true;
    case CEL_TIMESTAMP:
        cel_time_print(out, v);
        return true;
    case CEL_DURATION:
        cel_duration_print(out, v->i);
        return true;
    case CEL_TYPE:
        (void)buf_puts(out, cel_kind_name(v->type_value->kind));
        return true;
    case CEL_MAP:
    case CEL_OBJECT:
        return print_map(out, v, depth);
    case CEL_LIST:
        return print_list(out, v, depth);
    default:
        return false;
    }
}

/* ---- format() ---- */

struct clause {
    int precision; /* -1 = none said */
    char letter;
};

static bool wrong_argument(struct cel_run *r, const char *rule, const struct cel_value *v)
{
    return cel_fail(r, "error during formatting: %s, was given %s", rule, cel_kind_name(v->kind));
}

static void print_base(struct buf *out, uint64_t v, bool negative, unsigned shift, bool upper)
{
    char text[72];
    size_t at = sizeof(text);
    do {
        text[--at] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[v & ((1u << shift) - 1)];
        v >>= shift;
    } while (v);
    if (negative) {
        text[--at] = '-';
    }
    (void)buf_append(out, text + at, sizeof(text) - at);
}

static void print_integer(struct buf *out, const struct cel_value *v, unsigned shift, bool upper)
{
    bool negative = v->kind == CEL_INT && v->i < 0;
    uint64_t u = v->kind == CEL_BOOL ? (uint64_t)v->b : v->u;
    print_base(out, negative ? 0 - u : u, negative, shift, upper);
}

static bool format_hex(struct cel_run *r, const struct cel_value *v, bool upper, struct buf *out)
{
    if (v->kind == CEL_INT || v->kind == CEL_UINT) {
        print_integer(out, v, 4, upper);
        return true;
    }
    if (v->kind != CEL_STRING && v->kind != CEL_BYTES) {
        return wrong_argument(r, "only integers, byte buffers, and strings can be formatted as hex",
                              v);
    }
    for (uint32_t i = 0; i < v->n; i++) {
        (void)buf_printf(out, upper ? "%02X" : "%02x", (unsigned char)v->s[i]);
    }
    return true;
}

static bool format_float(struct cel_run *r, const struct cel_value *v, struct clause c,
                         struct buf *out)
{
    bool number = v->kind == CEL_DOUBLE || v->kind == CEL_INT || v->kind == CEL_UINT;
    if (!number) {
        return wrong_argument(r,
                              c.letter == 'e' ? "scientific clause can only be used on doubles"
                                              : "fixed-point clause can only be used on doubles",
                              v);
    }
    double d = v->kind == CEL_INT ? (double)v->i : v->kind == CEL_UINT ? (double)v->u : v->d;
    if (isnan(d) || isinf(d)) {
        (void)buf_puts(out, isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
        return true;
    }
    (void)buf_printf(out, c.letter == 'e' ? "%.*e" : "%.*f", c.precision < 0 ? 6 : c.precision, d);
    return true;
}

static bool format_clause(struct cel_run *r, const struct cel_value *v, struct clause c,
                          struct buf *out)
{
    bool whole = v->kind == CEL_INT || v->kind == CEL_UINT;
    switch (c.letter) {
    case 's':
        return print_plain(out, v, 0) ||
               wrong_argument(r,
                              "string clause can only be used on strings, bools, bytes, ints, "
                              "doubles, maps, lists, types, durations, and timestamps",
                              v);
    case 'd':
        if (!whole && !(v->kind == CEL_DOUBLE && (isnan(v->d) || isinf(v->d)))) {
            return wrong_argument(r, "decimal clause can only be used on integers", v);
        }
        print_number(out, v);
        return true;
    case 'b':
        if (!whole && v->kind != CEL_BOOL) {
            return wrong_argument(r, "only integers and bools can be formatted as binary", v);
        }
        print_integer(out, v, 1, false);
        return true;
    case 'o':
        if (!whole) {
            return wrong_argument(r, "octal clause can only be used on integers", v);
        }
        print_integer(out, v, 3, false);
        return true;
    case 'x':
    case 'X':
        return format_hex(r, v, c.letter == 'X', out);
    default:
        return format_float(r, v, c, out);
    }
}

/* Behind a '%': ".3f". Moves *at past it. */
static bool read_clause(struct cel_run *r, struct str f, size_t *at, struct clause *ret)
{
    *ret = (struct clause){-1, 0};
    if (*at < f.n && f.p[*at] == '.') {
        ret->precision = 0;
        for (++*at; *at < f.n && f.p[*at] >= '0' && f.p[*at] <= '9'; ++*at) {
            ret->precision = ret->precision * 10 + (f.p[*at] - '0');
            if (ret->precision > 100) {
                return cel_fail(r, "could not parse formatting clause: precision is too large");
            }
        }
    }
    if (*at >= f.n) {
        return cel_fail(r, "could not parse formatting clause: unexpected end of string");
    }
    ret->letter = f.p[(*at)++];
    if (!ret->letter || !strchr("sdfebxXo", ret->letter)) {
        return cel_fail(r,
                        "could not parse formatting clause: unrecognized formatting clause \"%c\"",
                        ret->letter ? ret->letter : '?');
    }
    return true;
}

bool cel_format_string(struct cel_run *r, struct str format, const struct cel_value *args,
                       struct buf *out)
{
    uint32_t used = 0;
    for (size_t at = 0; at < format.n;) {
        char c = format.p[at++];
        if (c != '%') {
            (void)buf_putc(out, c);
            continue;
        }
        if (at < format.n && format.p[at] == '%') {
            (void)buf_putc(out, '%');
            at++;
            continue;
        }
        struct clause clause;
        if (!read_clause(r, format, &at, &clause)) {
            return false;
        }
        if (used >= cel_length(args)) {
            return cel_fail(r, "index %" PRIu32 " out of range", used);
        }
        struct cel_value v = cel_item(args, used++);
        if (!format_clause(r, &v, clause, out)) {
            return false;
        }
    }
    return true;
}

/* ---- values as an expression writes them ---- */

static bool print_literal(struct buf *out, const struct cel_value *v, unsigned depth);

/* A list, or a map with its keys. */
static bool print_items(struct buf *out, const struct cel_value *v, unsigned depth)
{
    bool list = v->kind == CEL_LIST, ok = true;
    (void)buf_putc(out, list ? '[' : '{');
    for (uint32_t i = 0; ok && i < cel_length(v); i++) {
        (void)buf_puts(out, i ? ", " : "");
        struct cel_value item = list ? cel_item(v, i) : cel_key_at(v, i);
        ok = print_literal(out, &item, depth + 1);
        if (ok && !list) {
            (void)buf_puts(out, ": ");
            item = cel_value_at(v, i);
            ok = print_literal(out, &item, depth + 1);
        }
    }
    (void)buf_putc(out, list ? ']' : '}');
    return ok;
}

static bool print_literal(struct buf *out, const struct cel_value *v, unsigned depth)
{
    if (depth > LIMIT_CEL_DEPTH) {
        return false;
    }
    switch (v->kind) {
    case CEL_UINT:
        print_number(out, v);
        (void)buf_putc(out, 'u');
        return true;
    case CEL_STRING:
        cel_quote(out, cel_text(v));
        return true;
    case CEL_BYTES:
        (void)buf_putc(out, 'b');
        cel_quote(out, cel_text(v));
        return true;
    case CEL_LIST:
    case CEL_MAP:
    case CEL_OBJECT:
        return print_items(out, v, depth);
    case CEL_OPTIONAL:
        (void)buf_puts(out, v->optional ? "optional.of(" : "optional.none(");
        return (!v->optional || print_literal(out, v->optional, depth + 1)) &&
               buf_putc(out, ')') == 0;
    default:
        if (!print_plain(out, v, depth)) {
            (void)buf_puts(out, cel_kind_name(v->kind));
        }
        return true;
    }
}

int cel_print(struct buf *out, const struct cel_value *v)
{
    (void)print_literal(out, v, 0);
    return buf_failed(out) ? -E_NOMEM : 0;
}

/* ---- JSON ---- */

static struct json *printed_json(struct arena *a, const struct cel_value *v)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    if (v->kind == CEL_BYTES) {
        (void)base64_encode(&out, v->s, v->n);
    } else {
        (void)print_plain(&out, v, 0);
    }
    return buf_failed(&out) ? NULL : json_string_n(a, buf_str(&out));
}

static struct json *to_json(struct arena *a, const struct cel_value *v, unsigned depth);

static struct json *items_to_json(struct arena *a, const struct cel_value *v, unsigned depth)
{
    bool list = v->kind == CEL_LIST;
    struct json *j = list ? json_array(a) : json_object(a);
    for (uint32_t i = 0; j && i < cel_length(v); i++) {
        struct cel_value key = list ? cel_null() : cel_key_at(v, i);
        struct cel_value item = list ? cel_item(v, i) : cel_value_at(v, i);
        struct json *child = to_json(a, &item, depth + 1);
        CLEANUP(buf_finip) struct buf name = BUF_INIT;
        if (!child || !print_plain(&name, &key, 0)) {
            return NULL;
        }
        (void)(list ? json_push(j, child) : json_set_n(j, buf_str(&name), child));
    }
    return j;
}

static struct json *to_json(struct arena *a, const struct cel_value *v, unsigned depth)
{
    if (depth > LIMIT_CEL_DEPTH) {
        return NULL;
    }
    switch (v->kind) {
    case CEL_NULL:
        return json_null(a);
    case CEL_BOOL:
        return json_bool(a, v->b);
    case CEL_INT:
        return json_int(a, v->i);
    case CEL_UINT:
        return v->u <= INT64_MAX ? json_int(a, (int64_t)v->u) : json_real(a, (double)v->u);
    case CEL_DOUBLE:
        return isfinite(v->d) ? json_real(a, v->d) : printed_json(a, v);
    case CEL_STRING:
        return json_string_n(a, cel_text(v));
    case CEL_BYTES:
    case CEL_TIMESTAMP:
    case CEL_DURATION:
        return printed_json(a, v);
    case CEL_OPTIONAL:
        return v->optional ? to_json(a, v->optional, depth + 1) : json_null(a);
    case CEL_LIST:
    case CEL_MAP:
    case CEL_OBJECT:
        return v->in_json ? json_clone(a, v->j) : items_to_json(a, v, depth);
    default:
        return NULL;
    }
}

struct json *cel_to_json(struct arena *a, const struct cel_value *v)
{
    return to_json(a, v, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The strings extension (cel-go ext/strings): positions count code points. */
#include <inttypes.h>

#include "cel_fn.h"
#include "codec/utf8.h"

/* Byte where code point i begins; s.n behind the last. */
static size_t byte_of(struct str s, uint64_t i)
{
    size_t at = 0;
    while (i > 0 && at < s.n) {
        for (at++; at < s.n && ((unsigned char)s.p[at] & 0xC0) == 0x80; at++) {
        }
        i--;
    }
    return at;
}

static bool out_of_range(struct cel_run *r, int64_t i)
{
    return cel_fail(r, "index out of range: %" PRId64, i);
}

CEL_FN(char_at)
{
    struct str s = cel_text(&args[0]);
    int64_t i = args[1].i, len = (int64_t)cel_runes(s);
    if (i < 0 || i > len) {
        return out_of_range(r, i);
    }
    size_t from = byte_of(s, (uint64_t)i), to = byte_of(s, (uint64_t)i + 1);
    *ret = cel_string(str_n(s.p + from, to - from));
    return true;
}

/* ---- search ---- */

static bool list_index_of(const struct cel_value *list, const struct cel_value *v, bool last,
                          struct cel_value *ret)
{
    *ret = cel_int(-1);
    for (uint32_t i = 0; i < cel_length(list); i++) {
        struct cel_value item = cel_item(list, i);
        if (cel_equal(&item, v)) {
            *ret = cel_int(i);
            if (!last) {
                break;
            }
        }
    }
    return true;
}

CEL_FN(index_of)
{
    struct str s = cel_text(&args[0]), sub = cel_text(&args[1]);
    if (args[0].kind == CEL_LIST) {
        return list_index_of(&args[0], &args[1], false, ret);
    }
    int64_t from = n == 3 ? args[2].i : 0;
    if (sub.n == 0) {
        *ret = cel_int(from);
        return true;
    }
    if (from < 0 || from > (int64_t)cel_runes(s)) {
        return out_of_range(r, from);
    }
    size_t at = byte_of(s, (uint64_t)from);
    const char *hit = memmem(s.p + at, s.n - at, sub.p, sub.n);
    *ret = cel_int(hit ? (int64_t)cel_runes(str_n(s.p, (size_t)(hit - s.p))) : -1);
    return true;
}

CEL_FN(last_index_of)
{
    struct str s = cel_text(&args[0]), sub = cel_text(&args[1]);
    if (args[0].kind == CEL_LIST) {
        return list_index_of(&args[0], &args[1], true, ret);
    }
    int64_t len = (int64_t)cel_runes(s), from = n == 3 ? args[2].i : len;
    if (sub.n == 0) {
        *ret = cel_int(from);
        return true;
    }
    if (from < 0 || (n == 3 && from > len)) {
        return out_of_range(r, from);
    }
    size_t at = MIN_OF(byte_of(s, (uint64_t)from), s.n >= sub.n ? s.n - sub.n : 0);
    *ret = cel_int(-1);
    for (size_t i = at + 1; s.n >= sub.n && i > 0; i--) {
        if (memcmp(s.p + i - 1, sub.p, sub.n) == 0) {
            *ret = cel_int((int64_t)cel_runes(str_n(s.p, i - 1)));
            break;
        }
    }
    return true;
}

CEL_FN(substring)
{
    struct str s = cel_text(&args[0]);
    int64_t len = (int64_t)cel_runes(s), from = args[1].i, to = n == 3 ? args[2].i : len;
    if (n == 3 && from > to) {
        return cel_fail(r, "invalid substring range. start: %" PRId64 ", end: %" PRId64, from, to);
    }
    if (from < 0 || from > len) {
        return out_of_range(r, from);
    }
    if (to < 0 || to > len) {
        return out_of_range(r, to);
    }
    size_t a = byte_of(s, (uint64_t)from), b = byte_of(s, (uint64_t)to);
    *ret = cel_string(str_n(s.p + a, b - a));
    return true;
}

/* ---- building ---- */

CEL_FN(join)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    for (uint32_t i = 0; i < cel_length(&args[0]); i++) {
        struct cel_value item = cel_item(&args[0], i);
        if (item.kind != CEL_STRING) {
            return cel_no_overload(r);
        }
        if (i && n == 2) {
            (void)buf_append_str(&out, cel_text(&args[1]));
        }
        (void)buf_append_str(&out, cel_text(&item));
    }
    return cel_give_text(r, &out, ret);
}

static bool map_ascii(struct cel_run *r, struct str s, char from, char to, struct cel_value *ret)
{
    char *text = arena_strndup(r->a, s.p, s.n);
    if (!text) {
        return cel_no_memory(r);
    }
    for (size_t i = 0; i < s.n; i++) {
        if (text[i] >= from && text[i] <= from + 25) {
            text[i] = (char)(text[i] - from + to);
        }
    }
    *ret = cel_string(str_n(text, s.n));
    return true;
}

CEL_FN(lower_ascii)
{
    return map_ascii(r, cel_text(&args[0]), 'A', 'a', ret);
}

CEL_FN(upper_ascii)
{
    return map_ascii(r, cel_text(&args[0]), 'a', 'A', ret);
}

/* Unicode's White_Space. */
static bool is_space(struct str s, size_t at, size_t *ret_n)
{
    static const char *const spaces[] = {"\t",     "\n",       "\v",       "\f",     "\r",
                                         " ",      "\xC2\x85", "\xC2\xA0", "\u1680", "\u2000",
                                         "\u2001", "\u2002",   "\u2003",   "\u2004", "\u2005",
                                         "\u2006", "\u2007",   "\u2008",   "\u2009", "\u200a",
                                         "\u2028", "\u2029",   "\u202f",   "\u205f", "\u3000"};
    for (size_t i = 0; i < ARRAY_SIZE(spaces); i++) {
        *ret_n = strlen(spaces[i]);
        if (s.n - at >= *ret_n && memcmp(s.p + at, spaces[i], *ret_n) == 0) {
            return true;
        }
    }
    return false;
}

CEL_FN(trim)
{
    struct str s = cel_text(&args[0]);
    size_t len;
    while (s.n && is_space(s, 0, &len)) {
        s = str_n(s.p + len, s.n - len);
    }
    for (bool cut = true; cut && s.n;) {
        cut = false;
        for (size_t back = 1; back <= 3 && back <= s.n && !cut; back++) {
            if (is_space(s, s.n - back, &len) && len == back) {
                s.n -= back;
                cut = true;
            }
        }
    }
    *ret = cel_string(s);
    return true;
}

CEL_FN(replace)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    struct str s = cel_text(&args[0]), old = cel_text(&args[1]), new = cel_text(&args[2]);
    int64_t limit = n == 4 ? args[3].i : -1;
    size_t at = 0;
    buf_init(&out, LIMIT_OBJECT * 4);
    while (limit != 0) {
        if (old.n == 0) { /* before every code point and at the end */
            size_t next = at < s.n ? at + byte_of(str_n(s.p + at, s.n - at), 1) : at;
            (void)buf_append_str(&out, new);
            (void)buf_append(&out, s.p + at, next - at);
            limit--;
            if (at == s.n) {
                break;
            }
            at = next;
            continue;
        }
        const char *hit = memmem(s.p + at, s.n - at, old.p, old.n);
        if (!hit) {
            break;
        }
        (void)buf_append(&out, s.p + at, (size_t)(hit - s.p) - at);
        (void)buf_append_str(&out, new);
        at = (size_t)(hit - s.p) + old.n;
        limit--;
    }
    (void)buf_append(&out, s.p + at, s.n - at);
    return cel_give_text(r, &out, ret);
}

CEL_FN(split)
{
    struct str s = cel_text(&args[0]), sep = cel_text(&args[1]);
    int64_t limit = n == 3 ? args[2].i : -1;
    uint64_t most = sep.n ? s.n / sep.n + 1 : s.n + 1;
    struct cel_value *items = arena_alloc(r->a, (most + 1) * sizeof(*items));
    uint32_t count = 0;
    size_t at = 0;
    if (!items) {
        return cel_no_memory(r);
    }
    while (limit != 0 && (limit < 0 || count + 1 < (uint64_t)limit)) {
        size_t end, next;
        if (sep.n == 0) {
            next = end = at + byte_of(str_n(s.p + at, s.n - at), 1);
            if (next >= s.n) {
                break;
            }
        } else {
            const char *hit = memmem(s.p + at, s.n - at, sep.p, sep.n);
            if (!hit) {
                break;
            }
            end = (size_t)(hit - s.p);
            next = end + sep.n;
        }
        items[count++] = cel_string(str_n(s.p + at, end - at));
        at = next;
    }
    if (limit != 0 && (sep.n || s.n)) {
        items[count++] = cel_string(str_n(s.p + at, s.n - at));
    }
    *ret = cel_list_value(r->a, items, count);
    return true;
}

static bool reverse_list(struct cel_run *r, const struct cel_value *list, struct cel_value *ret)
{
    uint32_t n = cel_length(list);
    struct cel_value *items = arena_alloc(r->a, ((size_t)n + 1) * sizeof(*items));
    if (!items) {
        return cel_no_memory(r);
    }
    for (uint32_t i = 0; i < n; i++) {
        items[i] = cel_item(list, n - 1 - i);
    }
    *ret = cel_list_value(r->a, items, n);
    return true;
}

CEL_FN(reverse)
{
    if (args[0].kind == CEL_LIST) {
        return reverse_list(r, &args[0], ret);
    }
    struct str s = cel_text(&args[0]);
    char *text = arena_alloc(r->a, s.n + 1);
    if (!text) {
        return cel_no_memory(r);
    }
    for (size_t at = 0; at < s.n;) {
        size_t len = byte_of(str_n(s.p + at, s.n - at), 1);
        memcpy(text + s.n - at - len, s.p + at, len);
        at += len;
    }
    *ret = cel_string(str_n(text, s.n));
    return true;
}

void cel_quote(struct buf *out, struct str s)
{
    static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
    (void)buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        const char *escape = s.p[i] ? strchr(from, s.p[i]) : NULL;
        if (escape) {
            (void)buf_putc(out, '\\');
            (void)buf_putc(out, to[escape - from]);
        } else if ((unsigned char)s.p[i] >= 0x80) {
            size_t len = utf8_len(s.p + i, s.n - i);
            (void)(len ? buf_append(out, s.p + i, len) : buf_puts(out, "\uFFFD"));
            i += len ? len - 1 : 0;
        } else {
            (void)buf_putc(out, s.p[i]);
        }
    }
    (void)buf_putc(out, '"');
}

CEL_FN(quote)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    cel_quote(&out, cel_text(&args[0]));
    return cel_give_text(r, &out, ret);
}

CEL_FN(format)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    buf_init(&out, LIMIT_OBJECT * 4);
    return cel_format_string(r, cel_text(&args[0]), &args[1], &out) && cel_give_text(r, &out, ret);
}

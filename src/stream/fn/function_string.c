/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of text. Positions and lengths count characters (eKuiper's substring and indexof count
 * bytes and can cut a character in two). Regular expressions are those of codec/regex.h; the
 * compiled forms of the patterns used last are kept, a few a thread.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/limits.h"
#include "codec/regex.h"
#include "codec/utf8.h"
#include "family.h"
#include "stream/sql/ast.h"

#define PURE FUNCTION_F_PURE
#define NULLS (FUNCTION_F_PURE | FUNCTION_F_NULLS)

/* ---- checks of constant arguments ---- */

static int check_strings(const struct ast_expr *call, struct err *err)
{
    for (unsigned i = 0; i < call->n_args; i++) {
        if (!function_expect_string(call, i, err)) {
            return -E_INVAL;
        }
    }
    return 0;
}

static int check_pad(const struct ast_expr *call, struct err *err)
{
    return function_expect_string(call, 0, err) && function_expect_int(call, 1, err) ? 0 : -E_INVAL;
}

static int check_substring(const struct ast_expr *call, struct err *err)
{
    if (!function_expect_string(call, 0, err) || !function_expect_int(call, 1, err) ||
        !function_expect_int(call, 2, err)) {
        return -E_INVAL;
    }
    const struct value *from = function_constant(call, 1), *to = function_constant(call, 2);
    if (from && from->i < 0) {
        return err_set(err, -E_INVAL, "The start index should not be a nagtive integer.");
    }
    return from && to && to->i < from->i
               ? err_set(err, -E_INVAL, "The end index should be larger than start index.")
               : 0;
}

static int check_split(const struct ast_expr *call, struct err *err)
{
    if (!function_expect_string(call, 0, err) || !function_expect_string(call, 1, err) ||
        !function_expect_int(call, 2, err)) {
        return -E_INVAL;
    }
    const struct value *i = function_constant(call, 2);
    return i && i->i < 0 ? err_set(err, -E_INVAL, "The index should not be a nagtive integer.") : 0;
}

static int check_format(const struct ast_expr *call, struct err *err)
{
    return function_expect_number(call, 0, err) && function_expect_int(call, 1, err) &&
                   function_expect_string(call, 2, err)
               ? 0
               : -E_INVAL;
}

/* ---- characters ---- */

static uint32_t rune_at(struct str s, size_t i, size_t *ret_n)
{
    const unsigned char *p = (const unsigned char *)s.p + i;
    size_t n = utf8_len(s.p + i, s.n - i);
    *ret_n = n ? n : 1;
    return n == 1   ? p[0]
           : n == 2 ? (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f)
           : n == 3 ? (uint32_t)(p[0] & 0xf) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f)
           : n == 4 ? (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
                          (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f)
                    : p[0] | 0x80000000u; /* no character: stays as it is */
}

static size_t rune_count(struct str s)
{
    size_t n = 0, size;
    for (size_t i = 0; i < s.n; i += size, n++) {
        (void)rune_at(s, i, &size);
    }
    return n;
}

/* The byte where character number `at` begins; s.n when there are fewer. */
static size_t rune_offset(struct str s, uint64_t at)
{
    size_t i = 0, size;
    for (; at > 0 && i < s.n; at--, i += size) {
        (void)rune_at(s, i, &size);
    }
    return i;
}

static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Simple case mapping of the Latin, Greek, Cyrillic and Armenian letters. */
static uint32_t to_lower(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3ab && c != 0x3a2) ||
        (c >= 0x410 && c <= 0x42f)) {
        return c + 32;
    }
    if (c >= 0x400 && c <= 0x40f) {
        return c + 80;
    }
    if (c >= 0x531 && c <= 0x556) {
        return c + 48;
    }
    bool pair = (c >= 0x100 && c <= 0x137 && c != 0x130 && c != 0x131) ||
                (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x481) ||
                (c >= 0x48a && c <= 0x4bf) || (c >= 0x1e00 && c <= 0x1e95);
    bool odd = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    return (pair && c % 2 == 0) || (odd && c % 2 == 1) ? c + 1 : c;
}

static uint32_t to_upper(uint32_t c)
{
    static const uint32_t distances[] = {1, 32, 48, 80};
    for (size_t i = 0; i < ARRAY_SIZE(distances); i++) {
        if (c >= distances[i] && to_lower(c - distances[i]) == c) {
            return c - distances[i];
        }
    }
    return c;
}

/* ---- results ---- */

static int text_result(struct arena *a, struct str s, struct value *ret)
{
    *ret = value_string(s);
    return arena_failed(a) ? -ENOMEM : 0;
}

static int map_runes(struct eval *ev, const struct value *v, uint32_t (*map)(uint32_t c),
                     struct value *ret, struct err *err)
{
    struct str s;
    size_t n = 0, size;
    int rc = function_text(ev->arena, v, &s, err);
    char *out = rc < 0 ? NULL : arena_alloc(ev->arena, 2 * s.n + 4);
    for (size_t i = 0; out && i < s.n; i += size) {
        uint32_t c = rune_at(s, i, &size);
        if (c & 0x80000000u) {
            out[n++] = s.p[i];
        } else {
            n += utf8_put(out + n, map(c));
        }
    }
    return rc < 0 ? rc : text_result(ev->arena, str_n(out, n), ret);
}

static int eval_lower(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)argc;
    return map_runes(ev, &args[0], to_lower, ret, err);
}

static int eval_upper(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)argc;
    return map_runes(ev, &args[0], to_upper, ret, err);
}

/* ---- joining, cutting, padding ---- */

static int eval_concat(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    (void)err;
    for (unsigned i = 0; i < argc; i++) {
        if (!value_is_null(&args[i])) {
            (void)value_print_text(&b, &args[i]); /* sticky */
        }
    }
    if (buf_failed(&b)) {
        return -ENOMEM;
    }
    const char *text = arena_strndup(ev->arena, buf_data(&b), buf_len(&b));
    return text_result(ev->arena, str_n(text, buf_len(&b)), ret);
}

static int pad(struct eval *ev, const struct value *args, bool left, struct value *ret,
               struct err *err)
{
    struct str s;
    int64_t n = 0;
    int rc = function_text(ev->arena, &args[0], &s, err);
    if (rc < 0 || (rc = function_int(&args[1], &n, err)) < 0) {
        return rc;
    }
    if (n < 0 || n > LIMIT_EVENT_BYTES) {
        return err_set(err, -E_INVAL, "the number of blanks is out of range: %lld", (long long)n);
    }
    char *out = arena_alloc(ev->arena, s.n + (size_t)n + 1);
    if (!out) {
        return -ENOMEM;
    }
    memset(left ? out : out + s.n, ' ', (size_t)n);
    memcpy(left ? out + n : out, s.n ? s.p : "", s.n);
    return text_result(ev->arena, str_n(out, s.n + (size_t)n), ret);
}

static int eval_lpad(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                     struct err *err)
{
    (void)argc;
    return pad(ev, args, true, ret, err);
}

static int eval_rpad(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                     struct err *err)
{
    (void)argc;
    return pad(ev, args, false, ret, err);
}

static int trim(struct eval *ev, const struct value *v, bool left, bool right, struct value *ret,
                struct err *err)
{
    struct str s;
    size_t from = 0, end = 0, size;
    int rc = function_text(ev->arena, v, &s, err);
    if (rc < 0) {
        return rc;
    }
    while (left && from < s.n && is_space(rune_at(s, from, &size))) {
        from += size;
    }
    for (size_t i = from; i < s.n; i += size) {
        if (!is_space(rune_at(s, i, &size)) || !right) {
            end = i + size;
        }
    }
    return text_result(ev->arena, end > from ? str_n(s.p + from, end - from) : STR_LIT(""), ret);
}

static int eval_ltrim(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)argc;
    return trim(ev, &args[0], true, false, ret, err);
}

static int eval_rtrim(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)argc;
    return trim(ev, &args[0], false, true, ret, err);
}

static int eval_trim(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                     struct err *err)
{
    (void)argc;
    return trim(ev, &args[0], true, true, ret, err);
}

static int eval_reverse(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    struct str s;
    size_t size;
    int rc = function_text(ev->arena, &args[0], &s, err);
    char *out = rc < 0 ? NULL : arena_alloc(ev->arena, s.n + 1);
    (void)argc;
    for (size_t i = 0; out && i < s.n; i += size) {
        (void)rune_at(s, i, &size);
        memcpy(out + s.n - i - size, s.p + i, size);
    }
    return rc < 0 ? rc : text_result(ev->arena, str_n(out, s.n), ret);
}

static int eval_substring(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    struct str s;
    int64_t from = 0, to = INT64_MAX;
    int rc = function_text(ev->arena, &args[0], &s, err);
    rc = rc < 0 ? rc : function_int(&args[1], &from, err);
    rc = rc < 0 || argc < 3 ? rc : function_int(&args[2], &to, err);
    if (rc < 0) {
        return rc;
    }
    if (from < 0 || to < 0) {
        return err_set(err, -E_INVAL, "%s index must be a positive number",
                       from < 0 ? "start" : "end");
    }
    if (from > to) {
        return err_set(err, -E_INVAL, "start index must be smaller than end index");
    }
    size_t begin = rune_offset(s, (uint64_t)from), end = rune_offset(s, (uint64_t)to);
    return text_result(ev->arena, begin < end ? str_n(s.p + begin, end - begin) : STR_LIT(""), ret);
}

/* The i-th part of s; false when there are fewer. Parts are counted into *ret_n. */
static bool part_of(struct str s, struct str sep, int64_t i, struct str *ret, int64_t *ret_n)
{
    bool found = false;
    size_t size, at = 0;
    for (*ret_n = 0;; (*ret_n)++) {
        struct str rest = str_n(s.p + at, s.n - at);
        const char *end = sep.n && rest.n ? memmem(rest.p, rest.n, sep.p, sep.n) : NULL;
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        if (!sep.n && rest.n) { /* as Go: an empty separator cuts into characters */
            (void)rune_at(rest, 0, &size);
            n = size;
        }
        if (*ret_n == i) {
            *ret = str_n(rest.p, n);
            found = true;
        }
        at += n + (end ? sep.n : 0);
        if (sep.n ? !end : at >= s.n) {
            (*ret_n)++;
            return found;
        }
    }
}

static int eval_split(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    struct str s, sep, part = STR_NULL;
    int64_t i = 0, n = 0;
    int rc = function_text(ev->arena, &args[0], &s, err);
    rc = rc < 0 ? rc : function_text(ev->arena, &args[1], &sep, err);
    rc = rc < 0 ? rc : function_int(&args[2], &i, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    bool found = part_of(s, sep, i, &part, &n);
    if (i < 0 && i >= -n) {
        found = part_of(s, sep, n + i, &part, &n);
    }
    return found ? text_result(ev->arena, part, ret)
                 : err_set(err, -E_INVAL, "%lld out of index array (size = %lld)", (long long)i,
                           (long long)n);
}

/* ---- searching ---- */

/* Both texts; 1 when one argument is null. */
static int two_texts(struct eval *ev, const struct value *args, struct str *a, struct str *b,
                     struct err *err)
{
    if (value_is_null(&args[0]) || value_is_null(&args[1])) {
        return 1;
    }
    int rc = function_text(ev->arena, &args[0], a, err);
    return rc < 0 ? rc : function_text(ev->arena, &args[1], b, err);
}

static int eval_startswith(struct eval *ev, const struct value *args, unsigned argc,
                           struct value *ret, struct err *err)
{
    struct str s, prefix;
    int rc = two_texts(ev, args, &s, &prefix, err);
    (void)argc;
    *ret = value_bool(rc == 0 && s.n >= prefix.n && str_eq(str_n(s.p, prefix.n), prefix));
    return rc < 0 ? rc : 0;
}

static int eval_endswith(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    struct str s, suffix;
    int rc = two_texts(ev, args, &s, &suffix, err);
    (void)argc;
    *ret = value_bool(rc == 0 && s.n >= suffix.n &&
                      str_eq(str_n(s.p + s.n - suffix.n, suffix.n), suffix));
    return rc < 0 ? rc : 0;
}

static int eval_indexof(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    struct str s = STR_NULL, what = STR_NULL;
    int rc = two_texts(ev, args, &s, &what, err);
    (void)argc;
    const char *at = rc != 0       ? NULL
                     : what.n == 0 ? ""
                     : s.n         ? memmem(s.p, s.n, what.p, what.n)
                                   : NULL;
    *ret = value_int(!at           ? -1
                     : what.n == 0 ? 0
                                   : (int64_t)rune_count(str_n(s.p, (size_t)(at - s.p))));
    return rc < 0 ? rc : 0;
}

static int eval_length(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    struct str s = STR_NULL;
    (void)argc;
    if (args[0].type == VALUE_ARRAY || args[0].type == VALUE_OBJECT ||
        args[0].type == VALUE_BYTES) {
        *ret = value_int(args[0].n);
        return 0;
    }
    int rc = value_is_null(&args[0]) ? 0 : function_text(ev->arena, &args[0], &s, err);
    *ret = value_int((int64_t)rune_count(s));
    return rc;
}

static int eval_numbytes(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    struct str s = STR_NULL;
    int rc = value_is_null(&args[0]) ? 0 : function_text(ev->arena, &args[0], &s, err);
    (void)argc;
    *ret = value_int((int64_t)s.n);
    return rc;
}

/* ---- regular expressions ---- */

struct pattern {
    char *text;
    size_t n;
    struct regex *regex;
};

enum { PATTERNS = 16 };

struct patterns { /* of one thread */
    struct pattern kept[PATTERNS];
    unsigned next;
};

static pthread_key_t patterns_key;
static pthread_once_t patterns_once = PTHREAD_ONCE_INIT;

static void patterns_free(void *arg)
{
    struct patterns *p = arg;
    for (size_t i = 0; i < PATTERNS; i++) {
        regex_free(p->kept[i].regex);
        mem_free(p->kept[i].text);
    }
    mem_free(p);
}

static void patterns_key_make(void)
{
    int rc = pthread_key_create(&patterns_key, patterns_free);
    assert(rc == 0);
    (void)rc; /* without asserts it is not read */
}

static int pattern_make(struct patterns *p, struct str text, struct regex **ret, struct err *err)
{
    struct pattern *slot = &p->kept[p->next];
    char *copy = mem_strndup(text.p ? text.p : "", text.n);
    struct regex *regex = NULL;
    int rc = copy ? regex_compile(text, &regex, err) : -ENOMEM;
    if (rc < 0) {
        mem_free(copy);
        return rc;
    }
    p->next = (p->next + 1) % PATTERNS;
    regex_free(slot->regex);
    mem_free(slot->text);
    *slot = (struct pattern){copy, text.n, regex};
    *ret = regex;
    return 0;
}

static int pattern_of(struct str text, struct regex **ret, struct err *err)
{
    (void)pthread_once(&patterns_once, patterns_key_make); /* cannot fail */
    struct patterns *p = pthread_getspecific(patterns_key);
    if (!p) {
        p = mem_zalloc(sizeof(*p));
        if (!p || pthread_setspecific(patterns_key, p) != 0) {
            mem_free(p);
            return -ENOMEM;
        }
    }
    for (size_t i = 0; i < PATTERNS; i++) {
        if (p->kept[i].regex && str_eq(str_n(p->kept[i].text, p->kept[i].n), text)) {
            *ret = p->kept[i].regex;
            return 0;
        }
    }
    return pattern_make(p, text, ret, err);
}

static int eval_matches(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    struct str s, pattern;
    struct regex *re;
    int rc = two_texts(ev, args, &s, &pattern, err);
    (void)argc;
    *ret = value_bool(false);
    if (rc != 0 || (rc = pattern_of(pattern, &re, err)) < 0) {
        return rc < 0 ? rc : 0;
    }
    *ret = value_bool(regex_match(re, s));
    return 0;
}

static int eval_substr(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    struct str s, pattern;
    struct regex *re;
    struct regex_span span = {0, 0};
    int rc = two_texts(ev, args, &s, &pattern, err);
    (void)argc;
    if (rc < 0 || (rc = pattern_of(pattern, &re, err)) < 0 ||
        (rc = regex_find(re, s, 0, &span, 1)) < 0) {
        return rc;
    }
    return text_result(ev->arena, rc ? str_n(s.p + span.start, span.end - span.start) : STR_LIT(""),
                       ret);
}

/* What $name or ${name} at the start of s is: its length, 0 = a plain '$'. A number is a group. */
static size_t reference(struct str s, int64_t *ret_group)
{
    bool brace = s.n > 1 && s.p[1] == '{';
    size_t from = brace ? 2 : 1, end = from;
    while (end < s.n &&
           ((s.p[end] >= '0' && s.p[end] <= '9') || s.p[end] == '_' ||
            (s.p[end] >= 'a' && s.p[end] <= 'z') || (s.p[end] >= 'A' && s.p[end] <= 'Z'))) {
        end++;
    }
    if (end == from || (brace && (end == s.n || s.p[end] != '}'))) {
        return 0;
    }
    if (str_i64(str_n(s.p + from, end - from), ret_group) < 0) {
        *ret_group = -1;
    }
    return end + brace;
}

static void expand(struct buf *out, struct str with, struct str s, const struct regex_span *spans)
{
    for (size_t i = 0; i < with.n;) {
        struct str rest = str_n(with.p + i, with.n - i);
        int64_t group = -1;
        if (rest.p[0] != '$') {
            (void)buf_putc(out, rest.p[0]); /* sticky */
            i++;
            continue;
        }
        size_t n = rest.n > 1 && rest.p[1] == '$' ? 0 : reference(rest, &group);
        if (n == 0) {
            (void)buf_putc(out, '$');
            i += rest.n > 1 && rest.p[1] == '$' ? 2 : 1;
            continue;
        }
        if (group >= 0 && group <= LIMIT_REGEX_GROUPS && spans[group].start != REGEX_NONE) {
            (void)buf_append(out, s.p + spans[group].start, spans[group].end - spans[group].start);
        }
        i += n;
    }
}

/* Every match, from left to right; an empty one not where the last one ended. */
static int replace_all(struct regex *re, struct str s, struct str with, struct buf *out)
{
    struct regex_span spans[LIMIT_REGEX_GROUPS + 1];
    size_t done = 0, from = 0, size;
    bool first = true;
    while (from <= s.n) {
        int rc = regex_find(re, s, from, spans, ARRAY_SIZE(spans));
        if (rc < 0) {
            return rc;
        }
        if (rc == 0) {
            break;
        }
        bool empty = spans[0].start == spans[0].end;
        if (!empty || first || spans[0].start > done) {
            (void)buf_append(out, s.p + done, spans[0].start - done);
            expand(out, with, s, spans);
            done = spans[0].end;
            first = false;
        }
        from = spans[0].end;
        if (empty) {
            size = 1;
            if (from < s.n) {
                (void)rune_at(s, from, &size);
            }
            from += size;
        }
    }
    (void)buf_append(out, s.p + done, s.n - done);
    return buf_failed(out) ? -ENOMEM : 0;
}

static int eval_replace(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct str s, pattern, with;
    struct regex *re;
    int rc = two_texts(ev, args, &s, &pattern, err);
    (void)argc;
    buf_init(&b, LIMIT_EVENT_BYTES);
    if (rc < 0 || (rc = function_text(ev->arena, &args[2], &with, err)) < 0 ||
        (rc = pattern_of(pattern, &re, err)) < 0) {
        return rc;
    }
    if (!s.p) {
        s = STR_LIT("");
    }
    if (replace_all(re, s, with, &b) < 0) {
        return -ENOMEM;
    }
    const char *text = arena_strndup(ev->arena, buf_data(&b), buf_len(&b));
    return text_result(ev->arena, str_n(text, buf_len(&b)), ret);
}

/* ---- format ---- */

/* format(12332.1234, 2) is "12,332.12". */
static int eval_format(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    char digits[512], out[700];
    double x = 0;
    int64_t places = 0;
    size_t n = 0;
    int rc = function_double(&args[0], &x, err);
    if (rc < 0 || (rc = function_int(&args[1], &places, err)) < 0) {
        return rc;
    }
    if (places < 0) {
        return err_set(err, -E_INVAL, "the decimal places must greater or equal than 0");
    }
    if (argc == 3 && (args[2].type != VALUE_STRING || !str_is(value_text(&args[2]), "en_US"))) {
        return err_set(err, -E_INVAL, "only the locale en_US is supported");
    }
    (void)snprintf(digits, sizeof(digits), "%.*f", (int)MIN_OF(places, 30), x); /* fits */
    size_t whole = strcspn(digits, ".");
    size_t sign = digits[0] == '-' ? 1 : 0;
    for (size_t i = 0; digits[i]; i++) {
        if (i > sign && i < whole && (whole - i) % 3 == 0 && isfinite(x)) {
            out[n++] = ',';
        }
        out[n++] = digits[i];
    }
    const char *text = arena_strndup(ev->arena, out, n);
    return text_result(ev->arena, str_n(text, n), ret);
}

static const struct function functions[] = {
    SCALAR("concat", 1, FUNCTION_ARGS_ANY, NULLS, check_strings, eval_concat,
           "The texts one after the other; a null is left out."),
    SCALAR("endswith", 2, 2, NULLS, check_strings, eval_endswith,
           "Whether the first text ends with the second."),
    SCALAR("format", 2, 3, PURE, check_format, eval_format,
           "A number with commas and that many decimal places: format(12332.1, 2)."),
    SCALAR("indexof", 2, 2, NULLS, check_strings, eval_indexof,
           "Where the second text first stands in the first, from 0; -1 when it does not."),
    SCALAR("length", 1, 1, NULLS, NULL, eval_length,
           "Characters of a text, items of an array, members of an object."),
    SCALAR("lower", 1, 1, PURE, check_strings, eval_lower, "The text in lower case."),
    SCALAR("lpad", 2, 2, PURE, check_pad, eval_lpad, "The text with that many blanks before it."),
    SCALAR("ltrim", 1, 1, PURE, check_strings, eval_ltrim, "The text without blanks at its start."),
    SCALAR("numbytes", 1, 1, NULLS, check_strings, eval_numbytes, "Bytes of a text in UTF-8."),
    SCALAR("regexp_matches", 2, 2, NULLS, check_strings, eval_matches,
           "Whether the regular expression matches somewhere in the text."),
    SCALAR(
        "regexp_replace", 3, 3, PURE, check_strings, eval_replace,
        "The text with all matches replaced; $1 stands for a group: regexp_replace(text, regex, with)."),
    SCALAR("regexp_substr", 2, 2, PURE, check_strings, eval_substr,
           "The first match of the regular expression, or an empty text."),
    SCALAR("regexp_substring", 2, 2, PURE, check_strings, eval_substr,
           "The same as regexp_substr."),
    SCALAR("reverse", 1, 1, PURE, check_strings, eval_reverse,
           "The characters from the last to the first."),
    SCALAR("rpad", 2, 2, PURE, check_pad, eval_rpad, "The text with that many blanks behind it."),
    SCALAR("rtrim", 1, 1, PURE, check_strings, eval_rtrim, "The text without blanks at its end."),
    SCALAR("split_value", 3, 3, PURE, check_split, eval_split,
           "A part of a text, from 0: split_value(text, separator, index)."),
    SCALAR("startswith", 2, 2, NULLS, check_strings, eval_startswith,
           "Whether the first text begins with the second."),
    SCALAR("substring", 2, 3, PURE, check_substring, eval_substring,
           "Characters from start up to before end, from 0: substring(text, start[, end])."),
    SCALAR("trim", 1, 1, PURE, check_strings, eval_trim, "The text without blanks at both ends."),
    SCALAR("upper", 1, 1, PURE, check_strings, eval_upper, "The text in upper case."),
};

const struct function_family function_string = {functions, ARRAY_SIZE(functions)};

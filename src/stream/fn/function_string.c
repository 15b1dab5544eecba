/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of text. Positions and lengths count characters (eKuiper's substring and indexof count
 * bytes and can cut a character in two).
 */
#include <math.h>
#include <stdio.h>

#include "base/limits.h"
#include "codec/utf8.h"
#include "family.h"
#include "runes.h"
#include "stream/sql/ast.h"

#define PURE FUNCTION_F_PURE
#define NULLS (FUNCTION_F_PURE | FUNCTION_F_NULLS)

/* ---- checks of constant arguments ---- */

static int check_pad(const struct ast_expr *call, struct err *err)
{
    return function_expect(call, "si", err);
}

static int check_substring(const struct ast_expr *call, struct err *err)
{
    if (function_expect(call, "si", err) < 0) {
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
    if (function_expect(call, "ssi", err) < 0) {
        return -E_INVAL;
    }
    const struct value *i = function_constant(call, 2);
    return i && i->i < 0 ? err_set(err, -E_INVAL, "The index should not be a nagtive integer.") : 0;
}

static int check_format(const struct ast_expr *call, struct err *err)
{
    return function_expect(call, "nis", err);
}

/* ---- results ---- */

static int map_runes(struct eval *ev, const struct value *v, uint32_t (*map)(uint32_t c),
                     struct value *ret, struct err *err)
{
    struct str s;
    size_t n = 0, size;
    int rc = function_text(ev->arena, v, &s, err);
    char *out = rc < 0 ? NULL : arena_alloc(ev->arena, 2 * s.n + 4);
    for (size_t i = 0; out && i < s.n; i += size) {
        uint32_t c = text_rune(s, i, &size);
        if (c & RUNE_NONE) {
            out[n++] = s.p[i];
        } else {
            n += utf8_put(out + n, map(c));
        }
    }
    return rc < 0 ? rc : function_text_result(ev->arena, str_n(out, n), ret);
}

static int eval_lower(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)argc;
    return map_runes(ev, &args[0], rune_lower, ret, err);
}

static int eval_upper(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)argc;
    return map_runes(ev, &args[0], rune_upper, ret, err);
}

/* ---- joining, cutting, padding ---- */

static int eval_concat(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    struct buf b = BUF_INIT;
    (void)err;
    for (unsigned i = 0; i < argc; i++) {
        if (!value_is_null(&args[i])) {
            (void)value_print_text(&b, &args[i]); /* sticky */
        }
    }
    return function_take_text(ev, &b, ret);
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
    return function_text_result(ev->arena, str_n(out, s.n + (size_t)n), ret);
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
    while (left && from < s.n && rune_is_space(text_rune(s, from, &size))) {
        from += size;
    }
    for (size_t i = from; i < s.n; i += size) {
        if (!rune_is_space(text_rune(s, i, &size)) || !right) {
            end = i + size;
        }
    }
    return function_text_result(ev->arena, end > from ? str_n(s.p + from, end - from) : STR_LIT(""),
                                ret);
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
        (void)text_rune(s, i, &size);
        memcpy(out + s.n - i - size, s.p + i, size);
    }
    return rc < 0 ? rc : function_text_result(ev->arena, str_n(out, s.n), ret);
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
    size_t begin = text_offset(s, (uint64_t)from), end = text_offset(s, (uint64_t)to);
    return function_text_result(ev->arena,
                                begin < end ? str_n(s.p + begin, end - begin) : STR_LIT(""), ret);
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
            (void)text_rune(rest, 0, &size);
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
    return found ? function_text_result(ev->arena, part, ret)
                 : err_set(err, -E_INVAL, "%lld out of index array (size = %lld)", (long long)i,
                           (long long)n);
}

/* ---- searching ---- */

static int eval_startswith(struct eval *ev, const struct value *args, unsigned argc,
                           struct value *ret, struct err *err)
{
    struct str s, prefix;
    int rc = function_two_texts(ev, args, &s, &prefix, err);
    (void)argc;
    *ret = value_bool(rc == 0 && s.n >= prefix.n && str_eq(str_n(s.p, prefix.n), prefix));
    return rc < 0 ? rc : 0;
}

static int eval_endswith(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    struct str s, suffix;
    int rc = function_two_texts(ev, args, &s, &suffix, err);
    (void)argc;
    *ret = value_bool(rc == 0 && s.n >= suffix.n &&
                      str_eq(str_n(s.p + s.n - suffix.n, suffix.n), suffix));
    return rc < 0 ? rc : 0;
}

static int eval_indexof(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    struct str s = STR_NULL, what = STR_NULL;
    int rc = function_two_texts(ev, args, &s, &what, err);
    (void)argc;
    const char *at = rc != 0       ? NULL
                     : what.n == 0 ? ""
                     : s.n         ? memmem(s.p, s.n, what.p, what.n)
                                   : NULL;
    *ret = value_int(!at           ? -1
                     : what.n == 0 ? 0
                                   : (int64_t)text_runes(str_n(s.p, (size_t)(at - s.p))));
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
    *ret = value_int((int64_t)text_runes(s));
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
    return function_text_result(ev->arena, str_n(text, n), ret);
}

static const struct function functions[] = {
    SCALAR("concat", 1, FUNCTION_ARGS_ANY, NULLS, function_check_strings, eval_concat,
           "The texts one after the other; a null is left out."),
    SCALAR("endswith", 2, 2, NULLS, function_check_strings, eval_endswith,
           "Whether the first text ends with the second."),
    SCALAR("format", 2, 3, PURE, check_format, eval_format,
           "A number with commas and that many decimal places: format(12332.1, 2)."),
    SCALAR("indexof", 2, 2, NULLS, function_check_strings, eval_indexof,
           "Where the second text first stands in the first, from 0; -1 when it does not."),
    SCALAR("length", 1, 1, NULLS, NULL, eval_length,
           "Characters of a text, items of an array, members of an object."),
    SCALAR("lower", 1, 1, PURE, function_check_strings, eval_lower, "The text in lower case."),
    SCALAR("lpad", 2, 2, PURE, check_pad, eval_lpad, "The text with that many blanks before it."),
    SCALAR("ltrim", 1, 1, PURE, function_check_strings, eval_ltrim,
           "The text without blanks at its start."),
    SCALAR("numbytes", 1, 1, NULLS, function_check_strings, eval_numbytes,
           "Bytes of a text in UTF-8."),
    SCALAR("reverse", 1, 1, PURE, function_check_strings, eval_reverse,
           "The characters from the last to the first."),
    SCALAR("rpad", 2, 2, PURE, check_pad, eval_rpad, "The text with that many blanks behind it."),
    SCALAR("rtrim", 1, 1, PURE, function_check_strings, eval_rtrim,
           "The text without blanks at its end."),
    SCALAR("split_value", 3, 3, PURE, check_split, eval_split,
           "A part of a text, from 0: split_value(text, separator, index)."),
    SCALAR("startswith", 2, 2, NULLS, function_check_strings, eval_startswith,
           "Whether the first text begins with the second."),
    SCALAR("substring", 2, 3, PURE, check_substring, eval_substring,
           "Characters from start up to before end, from 0: substring(text, start[, end])."),
    SCALAR("trim", 1, 1, PURE, function_check_strings, eval_trim,
           "The text without blanks at both ends."),
    SCALAR("upper", 1, 1, PURE, function_check_strings, eval_upper, "The text in upper case."),
};

const struct function_family function_string = {functions, ARRAY_SIZE(functions)};

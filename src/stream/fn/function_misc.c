/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions, encodings, and what fits no other family. */
#include <math.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/limits.h"
#include "compress.h"
#include "family.h"
#include "io/zone.h"
#include "stream/sql/ast.h"
#include "stream/value_time.h"

/* ---- cast ---- */

static int type_of(struct str name, enum value_type *ret)
{
    static const enum value_type types[] = {VALUE_INT,  VALUE_FLOAT, VALUE_STRING,
                                            VALUE_BOOL, VALUE_TIME,  VALUE_BYTES};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (str_is(name, value_type_name(types[i]))) {
            *ret = types[i];
            return 0;
        }
    }
    return -E_INVAL;
}

static int check_cast(const struct ast_expr *call, struct err *err)
{
    enum value_type t;
    const struct value *type = function_constant(call, 1);
    if (!function_expect_string(call, 1, err)) {
        return -E_INVAL;
    }
    return type && type_of(value_text(type), &t) < 0
               ? err_set(err, -E_INVAL,
                         "Expect one of following value for the 2nd parameter: bigint, float, "
                         "string, boolean, datetime, bytea.")
               : 0;
}

static int cast(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                struct err *err)
{
    enum value_type t;
    (void)argc;
    if (args[1].type != VALUE_STRING) {
        return err_set(err, -E_INVAL, "Expect string type for the 2nd parameter.");
    }
    if (type_of(value_text(&args[1]), &t) < 0) {
        return err_set(err, -E_INVAL,
                       "Unknow type, only support bigint, float, string, boolean, datetime and "
                       "bytea.");
    }
    return value_cast(ev->arena, &args[0], t, ret, err);
}

/* ---- JSON ---- */

static int to_json(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                   struct err *err)
{
    struct buf b = BUF_INIT;
    (void)argc;
    (void)err;
    (void)value_print_json(&b, &args[0]); /* sticky */
    return function_take_text(ev, &b, ret);
}

static int parse_json(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    struct json *tree;
    (void)argc;
    if (args[0].type != VALUE_STRING && args[0].type != VALUE_BYTES) {
        return function_got(&args[0], "a text", err);
    }
    int rc = json_parse(ev->arena, value_text(&args[0]), NULL, &tree, err);
    if (rc < 0) {
        return err_wrap(err, rc == -E_PARSE ? -E_INVAL : rc, "fail to parse json");
    }
    *ret = value_from_json(ev->arena, tree);
    return arena_failed(ev->arena) ? -E_NOMEM : 0;
}

/* ---- base64 and compression ---- */

static int check_base64(const struct ast_expr *call, struct err *err)
{
    const struct value *how = function_constant(call, 1);
    if (function_expect(call, "s", err) < 0) {
        return -E_INVAL;
    }
    return how && !str_iis(value_text(how), "base64")
               ? err_set(err, -E_INVAL, "Only base64 is supported for the 2nd parameter.")
               : 0;
}

static int encode(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                  struct err *err)
{
    struct buf b = BUF_INIT;
    (void)argc;
    if (args[1].type != VALUE_STRING || !str_iis(value_text(&args[1]), "base64")) {
        return err_set(err, -E_INVAL, "Only base64 encoding is supported.");
    }
    if (args[0].type != VALUE_STRING && args[0].type != VALUE_BYTES) {
        return err_set(err, -E_INVAL, "Only string type can be encoded.");
    }
    (void)base64_encode(&b, args[0].s, args[0].n); /* sticky */
    return function_take_text(ev, &b, ret);
}

static int take_bytes(struct eval *ev, struct buf *b, struct value *ret)
{
    int rc = function_take_text(ev, b, ret);
    ret->type = VALUE_BYTES;
    return rc;
}

static int decode(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                  struct err *err)
{
    struct buf b = BUF_INIT;
    (void)argc;
    if (args[1].type != VALUE_STRING || !str_iis(value_text(&args[1]), "base64")) {
        return err_set(err, -E_INVAL, "Only base64 decoding is supported.");
    }
    if (args[0].type != VALUE_STRING) {
        return err_set(err, -E_INVAL, "Only string type can be decoded.");
    }
    int rc = base64_decode(&b, value_text(&args[0]));
    if (rc < 0) {
        buf_fini(&b);
        return rc == -E_NOMEM ? rc : err_set(err, -E_INVAL, "fail to decode base64 string");
    }
    return take_bytes(ev, &b, ret);
}

static int check_method(const struct ast_expr *call, struct err *err)
{
    const struct value *how = function_constant(call, 1);
    enum compress_method method;
    if (function_expect(call, "s", err) < 0) {
        return -E_INVAL;
    }
    return how ? compress_method(value_text(how), &method, err) : 0;
}

static int squeeze(struct eval *ev, const struct value *args, struct value *ret, bool back,
                   struct err *err)
{
    struct buf b;
    enum compress_method method;
    if (args[0].type != VALUE_STRING && args[0].type != VALUE_BYTES) {
        struct buf text = BUF_INIT;
        (void)value_print_text(&text, &args[0]); /* sticky */
        (void)err_set(err, -E_INVAL, "require string or bytea parameter, but got " STR_FMT,
                      STR_ARG(buf_str(&text)));
        buf_fini(&text);
        return -E_INVAL;
    }
    int rc = args[1].type == VALUE_STRING ? compress_method(value_text(&args[1]), &method, err)
                                          : function_got(&args[1], "a text", err);
    if (rc < 0) {
        return rc;
    }
    buf_init(&b, LIMIT_EVENT_BYTES);
    rc = back ? decompress_bytes(&b, method, value_text(&args[0]), err)
              : compress_bytes(&b, method, value_text(&args[0]), err);
    if (rc < 0) {
        buf_fini(&b);
        return rc;
    }
    return take_bytes(ev, &b, ret);
}

static int compress(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                    struct err *err)
{
    (void)argc;
    return squeeze(ev, args, ret, false, err);
}

static int decompress(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)argc;
    return squeeze(ev, args, ret, true, err);
}

/* ---- numbers ---- */

/* As eKuiper: the code of a character, of an integer itself. */
static int chr(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
               struct err *err)
{
    (void)ev;
    (void)argc;
    if (value_is_number(&args[0])) {
        return value_cast(ev->arena, &args[0], VALUE_INT, ret, err);
    }
    if (args[0].type != VALUE_STRING) {
        return err_set(err, -E_INVAL,
                       "Only bigint, float and string type can be convert to char type.");
    }
    if (args[0].n != 1) {
        return err_set(err, -E_INVAL,
                       args[0].n > 1 ? "Parameter length cannot larger than 1."
                                     : "Parameter length cannot be 0.");
    }
    *ret = value_int((unsigned char)args[0].s[0]);
    return 0;
}

static int check_chr(const struct ast_expr *call, struct err *err)
{
    const struct value *v = function_constant(call, 0);
    return v && v->type != VALUE_INT && v->type != VALUE_STRING
               ? err_set(err, -E_INVAL, "Expect int type for parameter 1")
               : 0;
}

static int check_trunc(const struct ast_expr *call, struct err *err)
{
    return function_expect(call, "ni", err);
}

/* As eKuiper, which rounds half away from zero. Places stand between 0 and 34. */
static int truncate_to(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    (void)ev;
    (void)argc;
    double d;
    if (!value_is_number(&args[0])) {
        return err_set(err, -E_INVAL, "Only int and float type can be truncated.");
    }
    if (args[1].type != VALUE_INT) {
        return err_set(err, -E_INVAL, "The 2nd parameter must be int value.");
    }
    int rc = function_double(&args[0], &d, err);
    double scale = pow(10, (double)(args[1].i < 0 ? 0 : args[1].i > 34 ? 34 : args[1].i));
    double scaled = d * scale;
    /* A double of 2^52 and above has no fraction to round. */
    *ret = value_float(fabs(scaled) < 4503599627370496.0 ? round(scaled) / scale : d);
    return rc;
}

static int hex2dec(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                   struct err *err)
{
    struct str s = value_text(&args[0]);
    uint64_t v = 0;
    (void)ev;
    (void)argc;
    if (args[0].type != VALUE_STRING) {
        return function_got(&args[0], "a text", err);
    }
    if (s.n > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'X')) {
        s = str_n(s.p + 2, s.n - 2);
    }
    if (s.n == 0) {
        return err_set(err, -E_INVAL, "invalid hexadecimal value: \"" STR_FMT "\"",
                       STR_ARG(value_text(&args[0])));
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0 || v > (uint64_t)INT64_MAX >> 4) {
            return err_set(err, -E_INVAL, "invalid hexadecimal value: \"" STR_FMT "\"",
                           STR_ARG(value_text(&args[0])));
        }
        v = v << 4 | (uint64_t)digit;
    }
    *ret = value_int((int64_t)v);
    return 0;
}

static int dec2hex(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                   struct err *err)
{
    int64_t i;
    int rc = function_int(&args[0], &i, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    char *text = arena_printf(ev->arena, "%s0x%llx", i < 0 ? "-" : "", (unsigned long long)u);
    *ret = value_string(str_of(text));
    return text ? 0 : -E_NOMEM;
}

/* ---- nulls ---- */

static int isnull(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                  struct err *err)
{
    (void)ev;
    (void)argc;
    (void)err;
    *ret = value_bool(value_is_null(&args[0]));
    return 0;
}

static int coalesce(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                    struct err *err)
{
    unsigned i = 0;
    (void)ev;
    (void)err;
    while (i < argc && value_is_null(&args[i])) {
        i++;
    }
    *ret = i < argc ? args[i] : argc > 0 ? args[argc - 1] : VALUE_OF_NULL;
    return 0;
}

/* ---- zones ---- */

/* The zone that this thread asked for last: its file is not read for every row. */
static __thread struct {
    char name[64];
    struct zone *zone;
} last_zone;

static int zone_named(struct str name, const struct zone **ret, struct err *err)
{
    struct zone *zone;
    char text[sizeof(last_zone.name)];
    if (name.n == 0 || name.n >= sizeof(text) || memchr(name.p, 0, name.n)) {
        return err_set(err, -E_INVAL, "unknown time zone " STR_FMT, STR_ARG(name));
    }
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    if (!cstr_eq(text, last_zone.name)) {
        int rc = zone_load(text, &zone, err);
        if (rc < 0) {
            return rc == -E_NOMEM ? rc : -E_INVAL;
        }
        zone_free(last_zone.zone);
        last_zone.zone = zone;
        memcpy(last_zone.name, text, name.n + 1);
    }
    *ret = last_zone.zone;
    return 0;
}

/* The moment as a text of that zone's clock, with its offset: a datetime here has no zone. */
static int convert_tz(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    struct wall w;
    struct str name;
    const struct zone *zone = NULL;
    char text[VALUE_TIME_TEXT];
    int rc = function_instant(&args[0], &w, err);
    (void)argc;
    rc = rc < 0 ? rc : function_text(ev->arena, &args[1], &name, err);
    rc = rc < 0 ? rc : zone_named(name, &zone, err);
    if (rc < 0) {
        return rc;
    }
    int64_t seconds = w.us / 1000000 - (w.us % 1000000 < 0);
    int32_t offset = zone_offset(zone, seconds), minutes = (offset < 0 ? -offset : offset) / 60;
    if (__builtin_add_overflow(w.us, (int64_t)offset * 1000000, &w.us)) {
        return err_set(err, -E_INVAL, "the time is out of range");
    }
    size_t n = value_time_print(text, w);
    char *out = offset == 0 ? arena_strndup(ev->arena, text, n)
                            : arena_printf(ev->arena, "%.*s%c%02d:%02d", (int)n - 1, text,
                                           offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
    *ret = value_string(str_of(out));
    return out ? 0 : -E_NOMEM;
}

#define PURE FUNCTION_F_PURE
#define NULLS (FUNCTION_F_PURE | FUNCTION_F_NULLS)

static const struct function functions[] = {
    SCALAR("cast", 2, 2, PURE, check_cast, cast, "A value as another type."),
    SCALAR("chr", 1, 1, PURE, check_chr, chr, "The code of a character."),
    SCALAR("coalesce", 1, FUNCTION_ARGS_ANY, NULLS, NULL, coalesce,
           "The first argument that is not null."),
    SCALAR("compress", 2, 2, PURE, check_method, compress,
           "Bytes compressed by zlib, gzip, flate or zstd."),
    SCALAR("convert_tz", 2, 2, PURE, NULL, convert_tz, "A moment by the clock of a time zone."),
    SCALAR("dec2hex", 1, 1, PURE, NULL, dec2hex, "An integer as a hexadecimal text."),
    SCALAR("decode", 2, 2, PURE, check_base64, decode, "The bytes of a base64 text."),
    SCALAR("decompress", 2, 2, PURE, check_method, decompress, "The bytes before compress()."),
    SCALAR("encode", 2, 2, PURE, check_base64, encode, "Bytes as a base64 text."),
    SCALAR("hex2dec", 1, 1, PURE, NULL, hex2dec, "The integer of a hexadecimal text."),
    SCALAR("isnull", 1, 1, NULLS, NULL, isnull, "Whether the argument is null."),
    SCALAR("parse_json", 1, 1, PURE, NULL, parse_json, "The value of a JSON text."),
    SCALAR("to_json", 1, 1, NULLS, NULL, to_json, "A value as JSON text."),
    SCALAR("trunc", 2, 2, PURE, check_trunc, truncate_to, "A number with so many decimal places."),
};

const struct function_family function_misc = {functions, ARRAY_SIZE(functions)};

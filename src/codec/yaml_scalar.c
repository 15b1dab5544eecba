/* SPDX-License-Identifier: Apache-2.0 */
/* Null, booleans, numbers and texts of YAML 1.1: see yaml_scalar.h. */
#include "yaml_scalar.h"

#include <string.h>

#include <yaml.h>

#include "base/buf.h"
#include "base/mem.h"

#define NUMBER_MAX 64 /* longer plain texts are no numbers */

static bool is_one_of(struct str s, const char *const *words)
{
    for (; *words; words++) {
        if (str_is(s, *words)) {
            return true;
        }
    }
    return false;
}

static struct json *word(struct arena *a, struct str s)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                        "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const falses[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                         "False", "FALSE", "off", "Off", "OFF", NULL};
    if (is_one_of(s, nulls)) {
        return json_null(a);
    }
    if (is_one_of(s, trues)) {
        return json_bool(a, true);
    }
    return is_one_of(s, falses) ? json_bool(a, false) : NULL;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* 0x1F, 0b101, 0o17 and 017; s has no sign and no underscores. */
static bool parse_based(const char *s, uint64_t *ret)
{
    int base = 8;
    s++;
    if (*s == 'x' || *s == 'X') {
        base = 16;
    } else if (*s == 'b' || *s == 'B') {
        base = 2;
    } else if (*s != 'o' && *s != 'O') {
        s--;
    }
    s++;
    uint64_t v = 0;
    if (!*s) {
        return false;
    }
    for (; *s; s++) {
        int d = digit(*s);
        if (d >= base || v > (UINT64_MAX - (uint64_t)d) / (uint64_t)base) {
            return false;
        }
        v = v * (uint64_t)base + (uint64_t)d;
    }
    *ret = v;
    return true;
}

/* A decimal number brought into JSON's form: no plus, no zeros before, digits round the point. */
static bool decimal(const char *s, bool negative, char out[NUMBER_MAX + 4])
{
    char *o = out;
    bool digits = false;
    if (negative) {
        *o++ = '-';
    }
    while (*s == '0' && s[1] >= '0' && s[1] <= '9') {
        s++;
    }
    if (*s == '.') {
        *o++ = '0';
    }
    for (; *s >= '0' && *s <= '9'; digits = true) {
        *o++ = *s++;
    }
    if (*s == '.') {
        *o++ = *s++;
        const char *from = s;
        for (; *s >= '0' && *s <= '9'; digits = true) {
            *o++ = *s++;
        }
        o -= s == from ? 1 : 0;
    }
    if (digits && (*s == 'e' || *s == 'E')) {
        *o++ = *s++;
        if (*s == '+' || *s == '-') {
            *o++ = *s++;
        }
        digits = false;
        for (; *s >= '0' && *s <= '9'; digits = true) {
            *o++ = *s++;
        }
    }
    *o = '\0';
    return digits && !*s;
}

static struct json *number(struct arena *a, struct str s)
{
    char text[NUMBER_MAX], json[NUMBER_MAX + 4];
    size_t n = 0;
    if (s.n == 0 || s.n >= NUMBER_MAX || !memchr("+-.0123456789", s.p[0], 13)) {
        return NULL;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_') {
            text[n++] = s.p[i];
        }
    }
    text[n] = '\0';
    const char *rest = text + (text[0] == '-' || text[0] == '+');
    bool negative = text[0] == '-' && strcmp(rest, "0") != 0;
    uint64_t u;
    if (rest[0] == '0' && rest[1] && parse_based(rest, &u) && u <= INT64_MAX) {
        return json_int(a, negative ? -(int64_t)u : (int64_t)u);
    }
    struct json *node;
    if (decimal(rest, negative, json) &&
        json_parse(a, str_of(json), /* opts= */ NULL, &node, /* err= */ NULL) == 0) {
        return node;
    }
    return NULL;
}

const char *yaml_scalar(struct arena *a, struct str text, bool plain, const char *tag,
                        struct json **ret)
{
    static const char *const resolved[] = {YAML_NULL_TAG, YAML_BOOL_TAG, YAML_INT_TAG,
                                           YAML_FLOAT_TAG, NULL};
    static const char *const infinite[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                           "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                           ".NaN",  ".NAN",  NULL};
    bool core = tag && is_one_of(str_of(tag), resolved);
    if (tag && !core && strcmp(tag, YAML_STR_TAG) != 0 && strcmp(tag, "!") != 0) {
        return "tags are not supported";
    }
    if (core || (plain && !tag)) {
        *ret = word(a, text);
        *ret = *ret ? *ret : number(a, text);
        if (*ret) {
            return NULL;
        }
        if (is_one_of(text, infinite)) {
            return "JSON knows neither infinity nor NaN";
        }
        if (core) {
            return "the value does not fit its tag";
        }
    }
    *ret = json_string_n(a, text);
    return NULL;
}

struct json *yaml_key_text(struct arena *a, struct json *scalar)
{
    if (!scalar || scalar->type == JSON_NULL) {
        return NULL;
    }
    if (scalar->type == JSON_STRING) {
        return scalar;
    }
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    return json_print(&text, scalar) < 0 ? NULL : json_string_n(a, buf_str(&text));
}

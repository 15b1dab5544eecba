/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The string formats that Kubernetes checks (go-openapi's strfmt); a format that is not named here
 * is not checked. Written as small patterns over classes of characters:
 *
 *     x a hex digit   d a decimal digit   v a hex digit that RFC 9562 allows as variant
 *     ? the character before it may be missing   others stand for themselves
 */
#include "api/crd/schema_private.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/mem.h"

static bool in_class(char class, char c)
{
    unsigned char u = (unsigned char)c;
    switch (class) {
    case 'x':
        return isxdigit(u);
    case 'd':
        return isdigit(u);
    case 'v':
        return strchr("89abAB", c) && c;
    default:
        return class == c;
    }
}

static bool like(struct str s, const char *pattern)
{
    size_t i = 0;
    for (const char *p = pattern; *p; p++) {
        bool optional = p[1] == '?';
        if (i < s.n && in_class(*p, s.p[i])) {
            i++;
        } else if (!optional) {
            return false;
        }
        p += optional;
    }
    return i == s.n;
}

#define UUID(version, variant) "xxxxxxxx-?xxxx-?" version "xxx-?" variant "xxx-?xxxxxxxxxxxx"

static const struct {
    const char *format;
    const char *patterns[2];
} shapes[] = {
    {"bsonobjectid", {"xxxxxxxxxxxxxxxxxxxxxxxx"}},
    {"hexcolor", {"#?xxx", "#?xxxxxx"}},
    {"ssn", {"ddd-?dd-?dddd", "ddd dd dddd"}},
    {"uuid", {UUID("x", "x")}},
    {"uuid3", {UUID("3", "x")}},
    {"uuid4", {UUID("4", "v")}},
    {"uuid5", {UUID("5", "v")}},
};

/* ---- addresses ---- */

static bool address(struct str s, int family)
{
    char text[INET6_ADDRSTRLEN + 1];
    unsigned char out[16];
    if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n)) {
        return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return inet_pton(family, text, out) == 1;
}

static bool ipv4(struct str s)
{
    return address(s, AF_INET);
}

static bool ipv6(struct str s)
{
    return address(s, AF_INET6);
}

static bool cidr(struct str s)
{
    struct str ip, bits;
    uint64_t n;
    if (!str_cut(s, '/', &ip, &bits) || str_u64(bits, &n) < 0) {
        return false;
    }
    return (ipv4(ip) && n <= 32) || (ipv6(ip) && n <= 128);
}

static bool mac(struct str s)
{
    static const char *const shapes_of_mac[] = {
        "xx:xx:xx:xx:xx:xx",       "xx-xx-xx-xx-xx-xx",       "xxxx.xxxx.xxxx",
        "xx:xx:xx:xx:xx:xx:xx:xx", "xx-xx-xx-xx-xx-xx-xx-xx", "xxxx.xxxx.xxxx.xxxx"};
    for (size_t i = 0; i < ARRAY_SIZE(shapes_of_mac); i++) {
        if (like(s, shapes_of_mac[i])) {
            return true;
        }
    }
    return false;
}

static bool hostname(struct str s)
{
    struct str label, rest = s;
    bool more = s.n > 0 && s.n <= 255;
    if (!more) {
        return false;
    }
    while (more) {
        more = str_cut(rest, '.', &label, &rest);
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-') {
            return false;
        }
        for (size_t i = 0; i < label.n; i++) {
            unsigned char u = (unsigned char)label.p[i];
            if (!isalnum(u) && u != '-' && u < 0x80) {
                return false;
            }
        }
    }
    return true;
}

static bool email(struct str s)
{
    struct str user, host;
    return str_rcut(s, '@', &user, &host) && user.n > 0 && hostname(host) &&
           !memchr(user.p, ' ', user.n);
}

/* As Go's url.ParseRequestURI: an absolute URI or an absolute path. */
static bool uri(struct str s)
{
    size_t i = 0;
    for (size_t c = 0; c < s.n; c++) {
        unsigned char u = (unsigned char)s.p[c];
        bool escape = u == '%' && !(c + 2 < s.n && isxdigit((unsigned char)s.p[c + 1]) &&
                                    isxdigit((unsigned char)s.p[c + 2]));
        if (u < 0x20 || u == 0x7f || u == ' ' || escape) {
            return false;
        }
    }
    if (s.n && s.p[0] == '/') {
        return true;
    }
    while (i < s.n && (isalnum((unsigned char)s.p[i]) || (i && strchr("+-.", s.p[i])))) {
        i++;
    }
    return i > 0 && isalpha((unsigned char)s.p[0]) && i < s.n && s.p[i] == ':';
}

/* ---- numbers of cards and books ---- */

/* The digits without spaces and hyphens; -1 when there is anything else ('X' may be the last). */
static int digits_of(struct str s, int out[20])
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == ' ' || c == '-') {
            continue;
        }
        bool ten = (c == 'X' || c == 'x') && i + 1 == s.n;
        if ((!isdigit((unsigned char)c) && !ten) || n == 20) {
            return -1;
        }
        out[n++] = ten ? 10 : c - '0';
    }
    return n;
}

static bool isbn10(struct str s)
{
    int d[20], sum = 0;
    if (digits_of(s, d) != 10) {
        return false;
    }
    for (int i = 0; i < 10; i++) {
        sum += (10 - i) * d[i];
    }
    return sum % 11 == 0;
}

static bool isbn13(struct str s)
{
    int d[20], sum = 0;
    if (digits_of(s, d) != 13 || d[12] == 10) {
        return false;
    }
    for (int i = 0; i < 13; i++) {
        sum += (i % 2 ? 3 : 1) * d[i];
    }
    return sum % 10 == 0;
}

static bool isbn(struct str s)
{
    return isbn10(s) || isbn13(s);
}

static bool creditcard(struct str s)
{
    int d[20], n = digits_of(s, d), sum = 0;
    if (n < 13 || n > 19 || d[n - 1] == 10) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        int v = d[n - 1 - i] * (i % 2 ? 2 : 1);
        sum += v > 9 ? v - 9 : v;
    }
    return sum % 10 == 0;
}

static bool rgbcolor(struct str s)
{
    struct str part, rest;
    bool more = true;
    int n = 0;
    if (!str_starts(s, "rgb(") || !str_ends(s, ")")) {
        return false;
    }
    rest = str_n(s.p + 4, s.n - 5);
    while (more) {
        uint64_t v;
        more = str_cut(rest, ',', &part, &rest);
        if (str_u64(str_trim(part), &v) < 0 || v > 255) {
            return false;
        }
        n++;
    }
    return n == 3;
}

/* ---- bytes and times ---- */

static bool byte(struct str s)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    return base64_decode(&out, s) >= 0;
}

static bool date_time(struct str s)
{
    struct wall when;
    return time_parse(s, &when) == 0;
}

static bool date(struct str s)
{
    char text[32];
    if (!like(s, "dddd-dd-dd")) {
        return false;
    }
    memcpy(text, s.p, s.n);
    memcpy(text + s.n, "T00:00:00Z", 10);
    return date_time(str_n(text, s.n + 10));
}

static bool unit(struct str u)
{
    static const char *const units[] = {
        "ns",   "us",         "\xc2\xb5s",   "ms",    "s",           "m",      "h",     "d",
        "w",    "nano",       "micro",       "sec",   "min",         "hr",     "hour",  "day",
        "week", "nanosecond", "microsecond", "milli", "millisecond", "second", "minute"};
    struct str one = str_ends(u, "s") && u.n > 3 ? str_n(u.p, u.n - 1) : u;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (str_is(u, units[i]) || str_is(one, units[i])) {
            return true;
        }
    }
    return false;
}

/* "1h30m", "1.5h", "2 days". */
static bool duration(struct str s)
{
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
    if (str_is(s, "0")) {
        return true;
    }
    bool any = false;
    while (i < s.n) {
        size_t from = i;
        while (i < s.n && (isdigit((unsigned char)s.p[i]) || s.p[i] == '.')) {
            i++;
        }
        if (i == from) {
            return false;
        }
        while (i < s.n && s.p[i] == ' ') {
            i++;
        }
        from = i;
        while (i < s.n && !isdigit((unsigned char)s.p[i]) && s.p[i] != ' ') {
            i++;
        }
        if (!unit(str_n(s.p + from, i - from))) {
            return false;
        }
        any = true;
    }
    return any;
}

bool crd_format_ok(const char *format, struct str s)
{
    static const struct {
        const char *format;
        bool (*ok)(struct str s);
    } formats[] = {
        {"byte", byte},
        {"cidr", cidr},
        {"creditcard", creditcard},
        {"date", date},
        {"datetime", date_time},
        {"duration", duration},
        {"email", email},
        {"hostname", hostname},
        {"ipv4", ipv4},
        {"ipv6", ipv6},
        {"isbn", isbn},
        {"isbn10", isbn10},
        {"isbn13", isbn13},
        {"mac", mac},
        {"rgbcolor", rgbcolor},
        {"uri", uri},
    };
    if (cstr_eq(format, "date-time")) {
        return date_time(s);
    }
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if (cstr_eq(format, formats[i].format)) {
            return formats[i].ok(s);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
        if (cstr_eq(format, shapes[i].format)) {
            return like(s, shapes[i].patterns[0]) ||
                   (shapes[i].patterns[1] && like(s, shapes[i].patterns[1]));
        }
    }
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Timestamps (RFC 3339, years 1 to 9999) and durations (Go's form), with nanoseconds. */
#include <inttypes.h>
#include <stdio.h>

#include "cel_fn.h"
#include "io/zone.h"

enum { ZONE_COST = 100 };

/* ---- the calendar ---- */

struct date {
    int64_t year;
    int month, day; /* from 1 */
    int hour, minute, second;
    int weekday, yearday; /* from 0; Sunday is 0 */
};

static int64_t days_of(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct date date_of(int64_t seconds)
{
    struct date d;
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    d.hour = (int)(rest / 3600);
    d.minute = (int)(rest / 60 % 60);
    d.second = (int)(rest % 60);
    d.weekday = (int)(((days + 4) % 7 + 7) % 7);
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    d.day = (int)(doy - (153 * mp + 2) / 5 + 1);
    d.month = (int)(mp < 10 ? mp + 3 : mp - 9);
    d.year = yoe + era * 400 + (d.month <= 2);
    d.yearday = (int)(days - days_of(d.year, 1, 1));
    return d;
}

static bool number(struct str s, size_t at, size_t n, int *ret)
{
    int v = 0;
    if (at + n > s.n) {
        return false;
    }
    for (size_t i = at; i < at + n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        v = v * 10 + (s.p[i] - '0');
    }
    *ret = v;
    return true;
}

static int month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* "Z" or "+hh:mm", the rest of the text. */
static bool parse_offset(struct str s, int64_t *ret)
{
    int h, m;
    if (s.n == 1 && (s.p[0] == 'Z' || s.p[0] == 'z')) {
        *ret = 0;
        return true;
    }
    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':' || !number(s, 1, 2, &h) ||
        !number(s, 4, 2, &m) || h > 23 || m > 59) {
        return false;
    }
    *ret = (s.p[0] == '-' ? -1 : 1) * (h * 3600 + m * 60);
    return true;
}

bool cel_time_parse(struct str s, struct cel_value *ret)
{
    int y, mo, d, h, mi, sec;
    int64_t offset, nanos = 0;
    if (s.n < 20 || !number(s, 0, 4, &y) || s.p[4] != '-' || !number(s, 5, 2, &mo) ||
        s.p[7] != '-' || !number(s, 8, 2, &d) || (s.p[10] != 'T' && s.p[10] != 't') ||
        !number(s, 11, 2, &h) || s.p[13] != ':' || !number(s, 14, 2, &mi) || s.p[16] != ':' ||
        !number(s, 17, 2, &sec)) {
        return false;
    }
    if (mo < 1 || mo > 12 || d < 1 || d > month_days(y, mo) || h > 23 || mi > 59 || sec > 59) {
        return false;
    }
    size_t at = 19;
    if (s.p[at] == '.') {
        int64_t unit = CEL_NANOS / 10;
        size_t from = ++at;
        for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++, unit /= 10) {
            nanos += unit * (s.p[at] - '0');
        }
        if (at == from) {
            return false;
        }
    }
    if (!parse_offset(str_n(s.p + at, s.n - at), &offset)) {
        return false;
    }
    int64_t t = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - offset;
    if (t < CEL_TIME_MIN || t > CEL_TIME_MAX) {
        return false;
    }
    *ret = cel_timestamp(t, (uint32_t)nanos);
    return true;
}

/* ".123", without trailing zeros. */
static void print_fraction(struct buf *out, uint32_t nanos)
{
    char text[16];
    int n = snprintf(text, sizeof(text), ".%09" PRIu32, nanos);
    while (n > 1 && text[n - 1] == '0') {
        n--;
    }
    (void)buf_append(out, text, n > 1 ? (size_t)n : 0);
}

void cel_time_print(struct buf *out, const struct cel_value *v)
{
    struct date d = date_of(v->i);
    (void)buf_printf(out, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d", d.year, d.month, d.day, d.hour,
                     d.minute, d.second);
    print_fraction(out, v->n);
    (void)buf_putc(out, 'Z');
}

void cel_duration_print(struct buf *out, int64_t nanos)
{
    uint64_t n = nanos < 0 ? 0 - (uint64_t)nanos : (uint64_t)nanos;
    (void)buf_printf(out, "%s%" PRIu64, nanos < 0 ? "-" : "", n / CEL_NANOS);
    print_fraction(out, (uint32_t)(n % CEL_NANOS));
    (void)buf_putc(out, 's');
}

/* ---- durations ---- */

static uint64_t unit_of(struct str *s)
{
    static const struct {
        const char *name;
        uint64_t nanos;
    } units[] = {{"ns", 1},
                 {"us", 1000},
                 {"µs", 1000},
                 {"μs", 1000},
                 {"ms", 1000000},
                 {"s", CEL_NANOS},
                 {"m", UINT64_C(60) * CEL_NANOS},
                 {"h", UINT64_C(3600) * CEL_NANOS}};
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        size_t n = strlen(units[i].name);
        if (str_starts(*s, units[i].name)) {
            *s = str_n(s->p + n, s->n - n);
            return units[i].nanos;
        }
    }
    return 0;
}

/* One "1.5h"; adds to *sum. */
static bool parse_part(struct str *s, unsigned __int128 *sum)
{
    unsigned __int128 whole = 0, fraction = 0, scale = 1;
    size_t any = 0;
    for (; s->n && s->p[0] >= '0' && s->p[0] <= '9'; any++, *s = str_n(s->p + 1, s->n - 1)) {
        whole = whole * 10 + (unsigned)(s->p[0] - '0');
        if (whole > UINT64_MAX) {
            return false;
        }
    }
    if (s->n && s->p[0] == '.') {
        *s = str_n(s->p + 1, s->n - 1);
        for (; s->n && s->p[0] >= '0' && s->p[0] <= '9'; any++, *s = str_n(s->p + 1, s->n - 1)) {
            if (scale < UINT64_C(1000000000000000)) {
                fraction = fraction * 10 + (unsigned)(s->p[0] - '0');
                scale *= 10;
            }
        }
    }
    uint64_t unit = any ? unit_of(s) : 0;
    *sum += whole * unit + fraction * unit / scale;
    return unit > 0 && *sum <= (unsigned __int128)INT64_MAX + 1;
}

bool cel_duration_parse(struct str s, struct cel_value *ret)
{
    unsigned __int128 sum = 0;
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
        s = str_n(s.p + 1, s.n - 1);
    }
    if (str_is(s, "0")) {
        *ret = cel_duration(0);
        return true;
    }
    if (!s.n) {
        return false;
    }
    while (s.n) {
        if (!parse_part(&s, &sum)) {
            return false;
        }
    }
    if (sum > (unsigned __int128)INT64_MAX + negative) {
        return false;
    }
    *ret = cel_duration(negative ? (int64_t)(0 - (uint64_t)sum) : (int64_t)sum);
    return true;
}

/* ---- conversions ---- */

CEL_FN(timestamp)
{
    const struct cel_value *v = &args[0];
    if (v->kind == CEL_TIMESTAMP) {
        *ret = *v;
        return true;
    }
    if (v->kind == CEL_INT) {
        if (v->i < CEL_TIME_MIN || v->i > CEL_TIME_MAX) {
            return cel_fail(r, "timestamp overflow");
        }
        *ret = cel_timestamp(v->i, 0);
        return true;
    }
    return cel_time_parse(cel_text(v), ret) ||
           cel_fail(r, "type conversion error from 'string' to 'google.protobuf.Timestamp'");
}

CEL_FN(duration)
{
    const struct cel_value *v = &args[0];
    if (v->kind != CEL_STRING) {
        *ret = cel_duration(v->i);
        return true;
    }
    return cel_duration_parse(cel_text(v), ret) ||
           cel_fail(r, "type conversion error from 'string' to 'google.protobuf.Duration'");
}

/* ---- parts ---- */

/* "+05:30", "-08:00", "05:30". */
static bool fixed_offset(struct str s, int32_t *ret)
{
    int sign = s.n && s.p[0] == '-' ? -1 : 1, h, m;
    if (s.n && (s.p[0] == '+' || s.p[0] == '-')) {
        s = str_n(s.p + 1, s.n - 1);
    }
    if (s.n != 5 || s.p[2] != ':' || !number(s, 0, 2, &h) || !number(s, 3, 2, &m) || h > 23 ||
        m > 59) {
        return false;
    }
    *ret = sign * (h * 3600 + m * 60);
    return true;
}

/* Reads a file for a zone that has a name, which therefore costs. */
static bool zone_at(struct cel_run *r, struct str name, int64_t at, int32_t *ret)
{
    struct zone *z = NULL;
    struct err err;
    if (fixed_offset(name, ret)) {
        return true;
    }
    r->cost += ZONE_COST;
    const char *text = arena_str(r->a, name);
    int rc = text ? zone_load(text, &z, &err) : -E_NOMEM;
    if (rc < 0) {
        return rc == -E_NOMEM ? cel_no_memory(r) : cel_fail(r, "%s", err.text);
    }
    *ret = zone_offset(z, at);
    zone_free(z);
    return true;
}

/* The local date of a timestamp in the zone of the second argument, if there is one. */
static bool local_date(struct cel_run *r, const struct cel_value *args, unsigned n,
                       struct date *ret)
{
    int32_t offset = 0;
    if (n == 2 && !zone_at(r, cel_text(&args[1]), args[0].i, &offset)) {
        return false;
    }
    *ret = date_of(args[0].i + offset);
    return true;
}

#define PART(name, expression)                 \
    CEL_FN(name)                               \
    {                                          \
        struct date d;                         \
        if (!local_date(r, args, n, &d)) {     \
            return false;                      \
        }                                      \
        *ret = cel_int((int64_t)(expression)); \
        return true;                           \
    }

PART(full_year, d.year)
PART(month, d.month - 1)
PART(day_of_year, d.yearday)
PART(day_of_month, d.day - 1)
PART(date, d.day)
PART(day_of_week, d.weekday)

/* Of a timestamp a part, of a duration the whole in that unit. */
#define PART_OR_WHOLE(name, expression, nanos)   \
    CEL_FN(name)                                 \
    {                                            \
        struct date d;                           \
        if (args[0].kind == CEL_DURATION) {      \
            *ret = cel_int(args[0].i / (nanos)); \
            return true;                         \
        }                                        \
        if (!local_date(r, args, n, &d)) {       \
            return false;                        \
        }                                        \
        *ret = cel_int((int64_t)(expression));   \
        return true;                             \
    }

PART_OR_WHOLE(hours, d.hour, INT64_C(3600) * CEL_NANOS)
PART_OR_WHOLE(minutes, d.minute, INT64_C(60) * CEL_NANOS)
PART_OR_WHOLE(seconds, d.second, CEL_NANOS)

CEL_FN(milliseconds)
{
    *ret = cel_int(args[0].kind == CEL_DURATION ? args[0].i / 1000000 % 1000
                                                : (int64_t)args[0].n / 1000000);
    return true;
}

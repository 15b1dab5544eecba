/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time; see clock.h. */
#include "clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "mem.h"

static int64_t clock_us(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);
    assert(rc == 0);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct mono mono_now(void)
{
    return (struct mono){clock_us(CLOCK_MONOTONIC)};
}

struct wall wall_now(void)
{
    return (struct wall){clock_us(CLOCK_REALTIME)};
}

static char *print_time(struct wall t, int fraction, char *out)
{
    time_t s = (time_t)(t.us / 1000000);
    int64_t us = t.us % 1000000;
    if (us < 0) {
        us += 1000000;
        s--;
    }
    struct tm tm;
    if (!gmtime_r(&s, &tm)) {
        tm = (struct tm){.tm_year = 70, .tm_mday = 1};
    }
    int n = snprintf(out, TIME_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (fraction) {
        (void)snprintf(out + n, TIME_TEXT_SIZE - (size_t)n, ".%06dZ", (int)us);
    } else {
        (void)snprintf(out + n, TIME_TEXT_SIZE - (size_t)n, "Z");
    }
    return out;
}

char *time_text(struct wall t, char out[TIME_TEXT_SIZE])
{
    return print_time(t, 0, out);
}

char *time_text_micro(struct wall t, char out[TIME_TEXT_SIZE])
{
    return print_time(t, 6, out);
}

static bool digits(struct str s, size_t at, size_t n, int *ret)
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

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant's civil calendar arithmetic).
 */
static int64_t days_of(int y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static bool parse_offset(struct str s, size_t at, int64_t *ret_s)
{
    int h, m;
    if (at + 1 == s.n && (s.p[at] == 'Z' || s.p[at] == 'z')) {
        *ret_s = 0;
        return true;
    }
    if (at + 6 != s.n || (s.p[at] != '+' && s.p[at] != '-') || !digits(s, at + 1, 2, &h) ||
        s.p[at + 3] != ':' || !digits(s, at + 4, 2, &m) || h > 23 || m > 59) {
        return false;
    }
    *ret_s = (s.p[at] == '-' ? -1 : 1) * (h * 3600 + m * 60);
    return true;
}

/* Their first seconds. */
#define YEAR_1 INT64_C(-62135596800)
#define YEAR_10000 INT64_C(253402300800)

int time_parse(struct str s, struct wall *ret)
{
    int y, mo, d, h, mi, sec;
    if (s.n < 20 || !digits(s, 0, 4, &y) || s.p[4] != '-' || !digits(s, 5, 2, &mo) ||
        s.p[7] != '-' || !digits(s, 8, 2, &d) || (s.p[10] != 'T' && s.p[10] != 't') ||
        !digits(s, 11, 2, &h) || s.p[13] != ':' || !digits(s, 14, 2, &mi) || s.p[16] != ':' ||
        !digits(s, 17, 2, &sec)) {
        return -EINVAL;
    }
    if (mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || sec > 60) {
        return -EINVAL;
    }
    size_t at = 19;
    int64_t us = 0, scale = 100000, offset;
    if (s.p[at] == '.') {
        size_t from = ++at;
        for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++, scale /= 10) {
            us += (s.p[at] - '0') * scale;
        }
        if (at == from) {
            return -EINVAL;
        }
    }
    if (at >= s.n || !parse_offset(s, at, &offset)) {
        return -EINVAL;
    }
    int64_t secs = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - offset;
    if (secs < YEAR_1 || secs >= YEAR_10000) {
        return -EINVAL; /* its offset moves it to where RFC 3339 has no text in UTC */
    }
    ret->us = secs * 1000000 + us;
    return 0;
}

static char *two_units(int64_t big, char big_unit, int64_t small, char small_unit, char *out)
{
    if (small) {
        (void)snprintf(out, AGE_TEXT_SIZE, "%lld%c%lld%c", (long long)big, big_unit,
                       (long long)small, small_unit);
    } else {
        (void)snprintf(out, AGE_TEXT_SIZE, "%lld%c", (long long)big, big_unit);
    }
    return out;
}

char *age_text(int64_t s, char out[AGE_TEXT_SIZE])
{
    int64_t m = s / 60, h = s / 3600, d = s / 86400;
    if (s < 0) {
        s = 0;
    }
    if (s < 120) {
        return two_units(s, 's', 0, 0, out);
    }
    if (m < 10) {
        return two_units(m, 'm', s % 60, 's', out);
    }
    if (m < 180) {
        return two_units(m, 'm', 0, 0, out);
    }
    if (h < 8) {
        return two_units(h, 'h', m % 60, 'm', out);
    }
    if (h < 48) {
        return two_units(h, 'h', 0, 0, out);
    }
    if (d < 8) {
        return two_units(d, 'd', h % 24, 'h', out);
    }
    if (d < 365 * 2) {
        return two_units(d, 'd', 0, 0, out);
    }
    if (d < 365 * 8) {
        return two_units(d / 365, 'y', d % 365, 'd', out);
    }
    return two_units(d / 365, 'y', 0, 0, out);
}

static int unit_us(struct str s, double *ret, size_t *ret_n)
{
    static const struct {
        const char *name;
        double us;
    } units[] = {{"ns", 0.001}, {"us", 1}, {"ms", 1000}, {"s", 1e6}, {"m", 60e6}, {"h", 3600e6}};
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (str_starts(s, units[i].name)) {
            *ret = units[i].us;
            *ret_n = strlen(units[i].name);
            return 0;
        }
    }
    return -EINVAL;
}

int duration_parse(struct str s, int64_t *ret_us)
{
    double total = 0;
    bool neg = s.n && s.p[0] == '-';
    if (neg) {
        s = str_n(s.p + 1, s.n - 1);
    }
    if (str_is(s, "0")) {
        *ret_us = 0;
        return 0;
    }
    if (s.n == 0) {
        return -EINVAL;
    }
    while (s.n) {
        size_t n = 0, unit_n;
        double v, unit;
        while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '.')) {
            n++;
        }
        if (str_double(str_n(s.p, n), &v) < 0) {
            return -EINVAL;
        }
        s = str_n(s.p + n, s.n - n);
        if (unit_us(s, &unit, &unit_n) < 0) {
            return -EINVAL;
        }
        s = str_n(s.p + unit_n, s.n - unit_n);
        total += v * unit;
    }
    if (total > 9e18) {
        return -ERANGE;
    }
    *ret_us = (int64_t)(neg ? -total : total);
    return 0;
}

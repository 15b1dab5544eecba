/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as text and back; see value_time.h. */
/* Points in time from values and text, and back to text. */
#include "value_time.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Reads exactly n digits; -1 when they are none. */
static int digits(struct str *s, size_t n)
{
    int v = 0;
    if (s->n < n) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') {
            return -1;
        }
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_n(s->p + n, s->n - n);
    return v;
}

static bool take(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c) {
        return false;
    }
    *s = str_n(s->p + 1, s->n - 1);
    return true;
}

/* ".123456789": microseconds, further digits are cut. */
static int fraction(struct str *s, int64_t *us)
{
    int64_t scale = 100000;
    *us = 0;
    if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9') {
        return -E_INVAL;
    }
    while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
        *us += (s->p[0] - '0') * scale;
        scale /= 10;
        *s = str_n(s->p + 1, s->n - 1);
    }
    return 0;
}

/* "Z", "+02:00", "-0700"; nothing is UTC. */
static int offset(struct str *s, int *ret_seconds)
{
    *ret_seconds = 0;
    if (s->n == 0 || take(s, 'Z')) {
        return 0;
    }
    int sign = take(s, '+') ? 1 : take(s, '-') ? -1 : 0;
    int hours = sign ? digits(s, 2) : -1;
    (void)take(s, ':'); /* may be missing */
    int minutes = hours >= 0 ? digits(s, 2) : -1;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return minutes < 0 || hours > 23 || minutes > 59 ? -E_INVAL : 0;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

int value_time_parse(struct str s, struct wall *ret)
{
    struct tm tm = {0};
    int64_t us = 0;
    int shift = 0;
    int year = digits(&s, 4);
    int month = year >= 0 && take(&s, '-') ? digits(&s, 2) : -1;
    int day = month >= 0 && take(&s, '-') ? digits(&s, 2) : -1;
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month)) {
        return -E_INVAL;
    }
    if (s.n > 0) {
        if (!take(&s, 'T') && !take(&s, ' ')) {
            return -E_INVAL;
        }
        tm.tm_hour = digits(&s, 2);
        tm.tm_min = take(&s, ':') ? digits(&s, 2) : -1;
        tm.tm_sec = s.n > 0 && take(&s, ':') ? digits(&s, 2) : 0;
        if (tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
            tm.tm_sec > 60 || (take(&s, '.') && fraction(&s, &us) < 0) || offset(&s, &shift) < 0 ||
            s.n > 0) {
            return -E_INVAL;
        }
    }
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    ret->us = ((int64_t)timegm(&tm) - shift) * 1000000 + us;
    return 0;
}

int value_time_of(const struct value *v, struct wall *ret)
{
    switch (v->type) {
    case VALUE_TIME:
        ret->us = v->i;
        return 0;
    case VALUE_INT:
        return __builtin_mul_overflow(v->i, INT64_C(1000), &ret->us) ? -E_INVAL : 0;
    case VALUE_FLOAT:
        if (!(fabs(v->f) < 9.2e15)) {
            return -E_INVAL;
        }
        ret->us = (int64_t)(v->f * 1000);
        return 0;
    case VALUE_STRING:
        return value_time_parse(value_text(v), ret);
    default:
        return -E_INVAL;
    }
}

size_t value_time_print(char out[VALUE_TIME_TEXT], struct wall t)
{
    struct tm tm;
    int64_t seconds = t.us / 1000000, rest = t.us % 1000000;
    if (rest < 0) {
        seconds--;
        rest += 1000000;
    }
    time_t at = (time_t)seconds;
    if (!gmtime_r(&at, &tm)) {
        memset(&tm, 0, sizeof(tm));
    }
    int n = snprintf(out, VALUE_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (rest > 0) {
        n += snprintf(out + n, VALUE_TIME_TEXT - (size_t)n, ".%06d", (int)rest);
        while (out[n - 1] == '0') {
            n--;
        }
    }
    out[n] = 'Z';
    return (size_t)n + 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event times: what a field holds as a point in time. Numbers are milliseconds; texts follow the
 * option TIMESTAMP_FORMAT, "YYYY-MM-dd HH:mm:ss.SSS ZZ" with as few of the parts as there are, or
 * are any text that reads as a time.
 */
#include <stdio.h>

#include "fill.h"
#include "stream/value_time.h"

struct parts {
    int year, month, day, hour, minute, second, micro;
    int zone; /* minutes east of UTC */
};

/* Up to `most` digits at *at. */
static bool digits(struct str *text, size_t most, int *ret)
{
    size_t n = 0;
    int v = 0;
    while (n < most && n < text->n && (unsigned char)(text->p[n] - '0') <= 9) {
        v = v * 10 + (text->p[n++] - '0');
    }
    *text = str_n(text->p + n, text->n - n);
    *ret = v;
    return n > 0;
}

static bool fraction(struct str *text, size_t most, int *ret_us)
{
    size_t before = text->n;
    int v;
    if (!digits(text, most > 6 ? 6 : most, &v)) {
        return false;
    }
    for (size_t n = before - text->n; n < 6; n++) {
        v *= 10;
    }
    *ret_us = v;
    return true;
}

/* Z, +0100, +01:00. */
static bool zone(struct str *text, int *ret_minutes)
{
    int h, m = 0;
    char sign = text->n ? text->p[0] : '\0';
    *ret_minutes = 0;
    if (sign != 'Z' && sign != '+' && sign != '-') {
        return false;
    }
    *text = str_n(text->p + 1, text->n - 1);
    if (sign == 'Z') {
        return true;
    }
    if (!digits(text, 2, &h)) {
        return false;
    }
    if (text->n && text->p[0] == ':') {
        *text = str_n(text->p + 1, text->n - 1);
    }
    (void)digits(text, 2, &m); /* hours alone are an offset as well */
    *ret_minutes = (sign == '-' ? -1 : 1) * (h * 60 + m);
    return h < 24 && m < 60;
}

/* A run of one letter of the format. */
static bool read_part(char letter, size_t run, struct str *text, struct parts *p)
{
    switch (letter) {
    case 'Y':
    case 'y': {
        bool found = digits(text, run > 2 ? 4 : 2, &p->year);
        p->year += run > 2 ? 0 : 2000;
        return found;
    }
    case 'M':
        return digits(text, 2, &p->month);
    case 'd':
    case 'D':
        return digits(text, 2, &p->day);
    case 'H':
        return digits(text, 2, &p->hour);
    case 'm':
        return digits(text, 2, &p->minute);
    case 's':
        return digits(text, 2, &p->second);
    case 'S':
        return fraction(text, run, &p->micro);
    case 'Z':
        return zone(text, &p->zone);
    default: /* stands for itself */
        for (size_t i = 0; i < run; i++) {
            if (text->n == 0 || text->p[0] != letter) {
                return false;
            }
            *text = str_n(text->p + 1, text->n - 1);
        }
        return true;
    }
}

static bool read_parts(struct str format, struct str text, struct parts *p)
{
    *p = (struct parts){.year = 1970, .month = 1, .day = 1};
    for (size_t i = 0; i < format.n;) {
        size_t run = 1;
        if (format.p[i] ==
            '\'') { /* 'T': what is quoted stands for itself, the quotes for nothing */
            for (i++; i < format.n && format.p[i] != '\''; i++) {
                if (text.n == 0 || text.p[0] != format.p[i]) {
                    return false;
                }
                text = str_n(text.p + 1, text.n - 1);
            }
            i++;
            continue;
        }
        while (i + run < format.n && format.p[i + run] == format.p[i]) {
            run++;
        }
        if (!read_part(format.p[i], run, &text, p)) {
            return false;
        }
        i += run;
    }
    return text.n == 0;
}

static int by_format(struct str format, struct str text, int64_t *ret_us)
{
    struct parts p;
    struct wall w;
    char iso[80];
    if (!read_parts(format, text, &p)) {
        return -E_INVAL;
    }
    int n = snprintf(iso, sizeof(iso), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", p.year, p.month,
                     p.day, p.hour, p.minute, p.second, p.micro);
    if (time_parse(str_n(iso, (size_t)n), &w) < 0) {
        return -E_INVAL;
    }
    *ret_us = w.us - (int64_t)p.zone * 60000000;
    return 0;
}

int fill_instant(const struct format_options *opts, const struct value *v, int64_t *ret_us,
                 struct err *err)
{
    struct wall w;
    if (v->type == VALUE_TIME) {
        *ret_us = v->i;
        return 0;
    }
    if (v->type == VALUE_INT) {
        return __builtin_mul_overflow(v->i, (int64_t)1000, ret_us)
                   ? err_set(err, -E_INVAL, "%lld is no time in milliseconds", (long long)v->i)
                   : 0;
    }
    if (v->type == VALUE_STRING && opts->timestamp_format.n) {
        return by_format(opts->timestamp_format, value_text(v), ret_us) == 0
                   ? 0
                   : err_set(err, -E_INVAL, "'" STR_FMT "' is no time in the form " STR_FMT,
                             STR_ARG(value_text(v)), STR_ARG(opts->timestamp_format));
    }
    if (value_time_of(v, &w) < 0) {
        return err_set(err, -E_INVAL, "a %s that is no time", value_type_name(v->type));
    }
    *ret_us = w.us;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of dates and times. Clock fields are those of the rule's time zone; arguments are
 * datetimes, milliseconds since 1970 or texts that read as a time. Patterns are those of Java's
 * SimpleDateFormat as far as eKuiper knows them:
 *
 *      yyyy yy  MMMM MMM MM M  dd d  EEEE EEE  HH H hh h  mm m  ss s  S..SSSSSSSSS  a
 *      z ZZZ (zone)  X XX XXX (offset)  'literal text'
 *
 * What is no letter of a pattern stands for itself.
 */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "family.h"
#include "io/zone.h"
#include "stream/sql/ast.h"

#define CLOCK FUNCTION_F_CONTEXT

static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};
static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};

/* ---- checks of constant arguments ---- */

static int refuse(unsigned i, const char *what, struct err *err)
{
    return err_set(err, -E_INVAL, "Expect %s type for parameter %u", what, i + 1);
}

static int check_times(const struct ast_expr *call, struct err *err)
{
    for (unsigned i = 0; i < call->n_args; i++) {
        if (function_constant(call, i)) {
            return refuse(i, "datetime", err);
        }
    }
    return 0;
}

static int check_time_text(const struct ast_expr *call, struct err *err)
{
    return function_constant(call, 0)             ? refuse(0, "datetime", err)
           : function_expect_string(call, 1, err) ? 0
                                                  : -E_INVAL;
}

static int check_fraction(const struct ast_expr *call, struct err *err)
{
    return function_expect(call, "i", err);
}

/* ---- a moment by the clock of the rule ---- */

struct moment {
    struct tm tm;
    int us;     /* of the second */
    int offset; /* seconds east of UTC */
};

static int64_t floor_seconds(int64_t us)
{
    return us / 1000000 - (us % 1000000 < 0);
}

static int moment_at(const struct eval *ev, int64_t us, struct moment *ret, struct err *err)
{
    const struct zone *zone = ev->rule ? ev->rule->zone : NULL;
    int64_t seconds = floor_seconds(us);
    int part = (int)(us % 1000000);
    ret->us = part < 0 ? part + 1000000 : part;
    ret->offset = zone_offset(zone, seconds);
    time_t local = (time_t)(seconds + ret->offset);
    return gmtime_r(&local, &ret->tm) ? 0 : err_set(err, -E_INVAL, "the time is out of range");
}

static int moment_of(const struct eval *ev, const struct value *v, struct moment *ret,
                     struct err *err)
{
    struct wall t;
    int rc = function_instant(v, &t, err);
    return rc < 0 ? rc : moment_at(ev, t.us, ret, err);
}

/* ---- patterns ---- */

static void put_offset(struct buf *out, int offset, bool zulu, size_t width)
{
    int minutes = offset / 60;
    char sign = minutes < 0 ? '-' : '+';
    minutes = minutes < 0 ? -minutes : minutes;
    if (zulu && minutes == 0) {
        (void)buf_putc(out, 'Z');
    } else if (width == 1) {
        (void)buf_printf(out, "%c%02d", sign, minutes / 60);
    } else {
        (void)buf_printf(out, "%c%02d%s%02d", sign, minutes / 60, width == 3 ? ":" : "",
                         minutes % 60);
    }
}

static void put_number(struct buf *out, int v, size_t width)
{
    (void)buf_printf(out, "%0*d", (int)MIN_OF(width, 2u), v);
}

/* A run of one letter; false when the letter is none of a pattern. */
static bool put_run(struct buf *out, const struct moment *m, char letter, size_t n)
{
    int hour = m->tm.tm_hour;
    switch (letter) {
    case 'y':
    case 'Y':
        (void)buf_printf(out, n == 2 ? "%02d" : "%04d",
                         n == 2 ? (m->tm.tm_year + 1900) % 100 : m->tm.tm_year + 1900);
        return true;
    case 'M':
        if (n >= 3) {
            (void)buf_printf(out, "%.*s", n == 3 ? 3 : 20, month_names[m->tm.tm_mon]);
        } else {
            put_number(out, m->tm.tm_mon + 1, n);
        }
        return true;
    case 'd':
        put_number(out, m->tm.tm_mday, n);
        return true;
    case 'E':
        (void)buf_printf(out, "%.*s", n <= 3 ? 3 : 20, day_names[m->tm.tm_wday]);
        return true;
    case 'H':
        put_number(out, hour, n);
        return true;
    case 'h':
        put_number(out, hour % 12 ? hour % 12 : 12, n);
        return true;
    case 'm':
        put_number(out, m->tm.tm_min, n);
        return true;
    case 's':
        put_number(out, m->tm.tm_sec, n);
        return true;
    case 'S': {
        char digits[16];
        (void)snprintf(digits, sizeof(digits), "%06d000", m->us);
        (void)buf_append(out, digits, MIN_OF(n, 9u));
        return true;
    }
    case 'a':
        (void)buf_puts(out, hour < 12 ? "AM" : "PM");
        return true;
    case 'z':
    case 'Z':
        put_offset(out, m->offset, false, n == 3 && letter == 'Z' ? 3 : 2);
        return true;
    case 'X':
        put_offset(out, m->offset, true, MIN_OF(n, 3u));
        return true;
    default:
        return false;
    }
}

static void put_pattern(struct buf *out, const struct moment *m, struct str pattern)
{
    for (size_t i = 0; i < pattern.n;) {
        size_t n = 1;
        if (pattern.p[i] == '\'') {
            const char *end = memchr(pattern.p + i + 1, '\'', pattern.n - i - 1);
            size_t length = end ? (size_t)(end - pattern.p) - i - 1 : pattern.n - i - 1;
            (void)buf_append(out, length ? pattern.p + i + 1 : "'", length ? length : 1);
            i += length + 2;
            continue;
        }
        while (i + n < pattern.n && pattern.p[i + n] == pattern.p[i]) {
            n++;
        }
        if (!put_run(out, m, pattern.p[i], n)) {
            (void)buf_append(out, pattern.p + i, n); /* sticky */
        }
        i += n;
    }
}

static int text_of(struct eval *ev, const struct moment *m, const char *pattern, struct value *ret)
{
    struct buf b = BUF_INIT;
    put_pattern(&b, m, str_of(pattern));
    return function_take_text(ev, &b, ret);
}

/* ---- the clock ---- */

static int clock_text(struct eval *ev, const struct value *args, unsigned argc, const char *pattern,
                      struct value *ret, struct err *err)
{
    char whole[40];
    struct moment m;
    int64_t digits = 0;
    int rc = argc ? function_int(&args[0], &digits, err) : 0;
    if (rc < 0 || (rc = moment_at(ev, ev->now_us, &m, err)) < 0) {
        return rc;
    }
    bool fraction = digits >= 1 && digits <= 6;
    (void)snprintf(whole, sizeof(whole), "%s%s%.*s", pattern, fraction ? "." : "",
                   fraction ? (int)digits : 0, "SSSSSS");
    return text_of(ev, &m, whole, ret);
}

static int eval_now(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                    struct err *err)
{
    return clock_text(ev, args, argc, "yyyy-MM-dd HH:mm:ss", ret, err);
}

static int eval_cur_date(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    (void)args;
    (void)argc;
    return clock_text(ev, NULL, 0, "yyyy-MM-dd", ret, err);
}

static int eval_cur_time(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    return clock_text(ev, args, argc, "HH:mm:ss", ret, err);
}

/* ---- fields of a time ---- */

#define FIELD(name, member)                                                                      \
    static int name(struct eval *ev, const struct value *args, unsigned argc, struct value *ret, \
                    struct err *err)                                                             \
    {                                                                                            \
        struct moment m;                                                                         \
        int rc = moment_of(ev, &args[0], &m, err);                                               \
        (void)argc;                                                                              \
        if (rc == 0) {                                                                           \
            *ret = value_int(m.member);                                                          \
        }                                                                                        \
        return rc;                                                                               \
    }

FIELD(eval_day, tm.tm_mday)
FIELD(eval_day_of_week, tm.tm_wday)
FIELD(eval_day_of_year, tm.tm_yday + 1)
FIELD(eval_hour, tm.tm_hour)
FIELD(eval_microsecond, us)
FIELD(eval_minute, tm.tm_min)
FIELD(eval_month, tm.tm_mon + 1)
FIELD(eval_second, tm.tm_sec)
FIELD(eval_year, tm.tm_year + 1900)

static int eval_day_name(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    struct moment m;
    int rc = moment_of(ev, &args[0], &m, err);
    (void)argc;
    if (rc == 0) {
        *ret = value_string(str_of(day_names[m.tm.tm_wday]));
    }
    return rc;
}

static int eval_month_name(struct eval *ev, const struct value *args, unsigned argc,
                           struct value *ret, struct err *err)
{
    struct moment m;
    int rc = moment_of(ev, &args[0], &m, err);
    (void)argc;
    if (rc == 0) {
        *ret = value_string(str_of(month_names[m.tm.tm_mon]));
    }
    return rc;
}

static int eval_last_day(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct moment m;
    int rc = moment_of(ev, &args[0], &m, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    int year = m.tm.tm_year + 1900;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    m.tm.tm_mday = days[m.tm.tm_mon] + (m.tm.tm_mon == 1 && leap);
    return text_of(ev, &m, "yyyy-MM-dd", ret);
}

/* ---- computing ---- */

static int eval_format_time(struct eval *ev, const struct value *args, unsigned argc,
                            struct value *ret, struct err *err)
{
    struct buf b = BUF_INIT;
    struct moment m;
    struct str pattern;
    int rc = moment_of(ev, &args[0], &m, err);
    (void)argc;
    if (rc < 0 || (rc = function_text(ev->arena, &args[1], &pattern, err)) < 0) {
        return rc;
    }
    put_pattern(&b, &m, pattern);
    return function_take_text(ev, &b, ret);
}

/* date_calc(time, "-1h30m") */
static int eval_date_calc(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    struct wall t;
    struct moment m;
    struct str text;
    int64_t us = 0;
    int rc = function_instant(&args[0], &t, err);
    (void)argc;
    if (rc < 0 || (rc = function_text(ev->arena, &args[1], &text, err)) < 0) {
        return rc;
    }
    bool minus = text.n > 0 && text.p[0] == '-';
    if (duration_parse(minus ? str_n(text.p + 1, text.n - 1) : text, &us) < 0) {
        return err_set(err, -E_INVAL, "time: invalid duration \"" STR_FMT "\"", STR_ARG(text));
    }
    if (__builtin_add_overflow(t.us, minus ? -us : us, &t.us)) {
        return err_set(err, -E_INVAL, "the time is out of range");
    }
    rc = moment_at(ev, t.us, &m, err);
    return rc < 0 ? rc : text_of(ev, &m, "yyyy-MM-dd HH:mm:ss", ret);
}

/* The second less the first, in nanoseconds, as eKuiper gives it. */
static int eval_date_diff(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    struct wall a, b;
    int64_t us = 0, ns = 0;
    int rc = function_instant(&args[0], &a, err);
    (void)ev;
    (void)argc;
    if (rc < 0 || (rc = function_instant(&args[1], &b, err)) < 0) {
        return rc;
    }
    if (__builtin_sub_overflow(b.us, a.us, &us) || __builtin_mul_overflow(us, (int64_t)1000, &ns)) {
        return err_set(err, -E_INVAL, "the difference is out of range");
    }
    *ret = value_int(ns);
    return 0;
}

/* Days or seconds since 1970 as a text; 0 is null, as in eKuiper. */
static int since_1970(struct eval *ev, int64_t n, int64_t unit, const char *pattern,
                      struct value *ret, struct err *err)
{
    struct moment m;
    int64_t us = 0;
    if (__builtin_mul_overflow(n, unit, &us)) {
        return err_set(err, -E_INVAL, "the time is out of range");
    }
    int rc = moment_at(ev, us, &m, err);
    return rc < 0 ? rc : text_of(ev, &m, pattern, ret);
}

static int eval_from_days(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    int64_t n = 0;
    int rc = function_int(&args[0], &n, err);
    struct eval utc = *ev;
    (void)argc;
    utc.rule = NULL; /* a day is no moment: no zone shifts it */
    *ret = VALUE_OF_NULL;
    return rc < 0 || n == 0 || n == INT64_MIN
               ? rc
               : since_1970(&utc, n - 1, 86400000000, "yyyy-MM-dd", ret, err);
}

static int eval_from_unix_time(struct eval *ev, const struct value *args, unsigned argc,
                               struct value *ret, struct err *err)
{
    int64_t n = 0;
    int rc = function_int(&args[0], &n, err);
    (void)argc;
    *ret = VALUE_OF_NULL;
    return rc < 0 || n == 0 ? rc : since_1970(ev, n, 1000000, "yyyy-MM-dd HH:mm:ss", ret, err);
}

static int eval_to_seconds(struct eval *ev, const struct value *args, unsigned argc,
                           struct value *ret, struct err *err)
{
    struct wall t;
    int rc = function_instant(&args[0], &t, err);
    (void)ev;
    (void)argc;
    if (rc == 0) {
        *ret = value_int(floor_seconds(t.us));
    }
    return rc;
}

static const struct function functions[] = {
    SCALAR("cur_date", 0, 0, CLOCK, NULL, eval_cur_date, "Today as yyyy-MM-dd."),
    SCALAR("cur_time", 0, 1, CLOCK, check_fraction, eval_cur_time,
           "The clock as HH:mm:ss, with that many digits of a fraction."),
    SCALAR("current_date", 0, 0, CLOCK, NULL, eval_cur_date, "The same as cur_date."),
    SCALAR("current_time", 0, 1, CLOCK, check_fraction, eval_cur_time, "The same as cur_time."),
    SCALAR("current_timestamp", 0, 1, CLOCK, check_fraction, eval_now, "The same as now."),
    SCALAR("date_calc", 2, 2, CLOCK, check_time_text, eval_date_calc,
           "A time moved by a duration: date_calc(time, \"-1h30m\")."),
    SCALAR("date_diff", 2, 2, CLOCK, check_times, eval_date_diff,
           "Nanoseconds from the first time to the second."),
    SCALAR("day", 1, 1, CLOCK, check_times, eval_day, "The same as day_of_month."),
    SCALAR("day_name", 1, 1, CLOCK, check_times, eval_day_name,
           "The English name of the day of the week."),
    SCALAR("day_of_month", 1, 1, CLOCK, check_times, eval_day, "The day of the month, from 1."),
    SCALAR("day_of_week", 1, 1, CLOCK, check_times, eval_day_of_week,
           "The day of the week; Sunday is 0."),
    SCALAR("day_of_year", 1, 1, CLOCK, check_times, eval_day_of_year,
           "The day of the year, from 1."),
    SCALAR("format_time", 2, 2, CLOCK, check_time_text, eval_format_time,
           "A time as text: format_time(time, \"yyyy-MM-dd HH:mm:ss\")."),
    SCALAR("from_days", 1, 1, CLOCK, NULL, eval_from_days,
           "The date of a day since 1970, which was day 1; 0 gives null."),
    SCALAR("from_unix_time", 1, 1, CLOCK, NULL, eval_from_unix_time,
           "Seconds since 1970 as yyyy-MM-dd HH:mm:ss; 0 gives null."),
    SCALAR("hour", 1, 1, CLOCK, check_times, eval_hour, "The hour, 0 to 23."),
    SCALAR("last_day", 1, 1, CLOCK, check_times, eval_last_day,
           "The last day of the month as yyyy-MM-dd."),
    SCALAR("local_time", 0, 1, CLOCK, check_fraction, eval_now, "The same as now."),
    SCALAR("local_timestamp", 0, 1, CLOCK, check_fraction, eval_now, "The same as now."),
    SCALAR("microsecond", 1, 1, CLOCK, check_times, eval_microsecond,
           "The microseconds of the second."),
    SCALAR("minute", 1, 1, CLOCK, check_times, eval_minute, "The minute, 0 to 59."),
    SCALAR("month", 1, 1, CLOCK, check_times, eval_month, "The month, 1 to 12."),
    SCALAR("month_name", 1, 1, CLOCK, check_times, eval_month_name,
           "The English name of the month."),
    SCALAR("now", 0, 1, CLOCK, check_fraction, eval_now,
           "The time as yyyy-MM-dd HH:mm:ss, with that many digits of a fraction."),
    SCALAR("second", 1, 1, CLOCK, check_times, eval_second, "The second, 0 to 59."),
    SCALAR("to_seconds", 1, 1, CLOCK, NULL, eval_to_seconds, "Seconds since 1970."),
    SCALAR("year", 1, 1, CLOCK, check_times, eval_year, "The year."),
};

const struct function_family function_time = {functions, ARRAY_SIZE(functions)};

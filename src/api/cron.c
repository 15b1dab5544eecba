/* SPDX-License-Identifier: Apache-2.0 */
/* See cron.h. Texts are robfig/cron's, for they reach users through validation. */
#include "api/cron.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"

#define CRON_STAR (UINT64_C(1) << 63)
#define SECOND INT64_C(1000000)
#define TEXT_MAX 256

/* ---- parsing ---- */

struct field {
    const char *what;
    unsigned min, max;
    const char *names; /* three letters each, of min and up; NULL when there are none */
};

static const struct field minutes = {"minute", 0, 59, NULL};
static const struct field hours = {"hour", 0, 23, NULL};
static const struct field days = {"day", 1, 31, NULL};
static const struct field months = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"};
static const struct field weekdays = {"weekday", 0, 6, "sunmontuewedthufrisat"};

static int value(const struct field *f, struct str s, unsigned *ret, struct err *err)
{
    uint64_t n;
    if (s.n == 3 && f->names && !isdigit((unsigned char)s.p[0])) {
        char low[4] = {(char)tolower((unsigned char)s.p[0]), (char)tolower((unsigned char)s.p[1]),
                       (char)tolower((unsigned char)s.p[2]), 0};
        for (size_t i = 0; i + 3 <= strlen(f->names); i += 3) {
            if (memcmp(f->names + i, low, 3) == 0) {
                *ret = (unsigned)(f->min + i / 3);
                return 0;
            }
        }
    }
    if (s.n > 1 && s.p[0] == '-' && str_u64(str_n(s.p + 1, s.n - 1), &n) == 0) {
        return err_set(err, -E_INVAL, "negative number (%.*s) not allowed: %.*s", (int)s.n, s.p,
                       (int)s.n, s.p);
    }
    if (str_u64(s, &n) < 0 || n > 1000000000) {
        return err_set(err, -E_INVAL,
                       "failed to parse int from %.*s: strconv.Atoi: parsing \"%.*s\": invalid "
                       "syntax",
                       (int)s.n, s.p, (int)s.n, s.p);
    }
    *ret = (unsigned)n;
    return 0;
}

static uint64_t bits(unsigned from, unsigned to, unsigned step)
{
    uint64_t set = 0;
    for (unsigned i = from; i <= to; i += step) {
        set |= UINT64_C(1) << i;
    }
    return set;
}

static unsigned count(struct str s, char c)
{
    unsigned n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += s.p[i] == c;
    }
    return n;
}

static int check_range(const struct field *f, struct str all, unsigned from, unsigned to,
                       struct err *err)
{
    if (from < f->min) {
        return err_set(err, -E_INVAL, "beginning of range (%u) below minimum (%u): %.*s", from,
                       f->min, (int)all.n, all.p);
    }
    if (to > f->max) {
        return err_set(err, -E_INVAL, "end of range (%u) above maximum (%u): %.*s", to, f->max,
                       (int)all.n, all.p);
    }
    if (from > to) {
        return err_set(err, -E_INVAL, "beginning of range (%u) beyond end of range (%u): %.*s",
                       from, to, (int)all.n, all.p);
    }
    return 0;
}

/* The part before the slash: "*", "5", "1-5". */
static int span(const struct field *f, struct str all, struct str range, unsigned *ret_from,
                unsigned *ret_to, bool *ret_star, struct err *err)
{
    struct str low, high = STR_NULL;
    bool two = str_cut(range, '-', &low, &high);
    *ret_star = str_is(low, "*") || str_is(low, "?");
    if (*ret_star) {
        *ret_from = f->min;
        *ret_to = f->max;
        return 0;
    }
    int code = value(f, low, ret_from, err);
    *ret_to = *ret_from;
    if (code == 0 && two) {
        code = count(high, '-')
                   ? err_set(err, -E_INVAL, "too many hyphens: %.*s", (int)all.n, all.p)
                   : value(f, high, ret_to, err);
    }
    return code;
}

static int range_bits(const struct field *f, struct str all, uint64_t *into, struct err *err)
{
    struct str range, step_text = STR_NULL;
    unsigned from = 0, to = 0, step = 1;
    bool star = false, stepped = str_cut(all, '/', &range, &step_text);
    int code = span(f, all, range, &from, &to, &star, err);
    if (code < 0) {
        return code;
    }
    if (stepped) {
        if (count(step_text, '/')) {
            return err_set(err, -E_INVAL, "too many slashes: %.*s", (int)all.n, all.p);
        }
        code = value(&minutes, step_text, &step, err);
        if (code < 0) {
            return code;
        }
        to = count(range, '-') || star ? to : f->max; /* "5/15" is "5-59/15" */
        star = star && step <= 1;
    }
    code = check_range(f, all, from, to, err);
    if (code == 0 && step == 0) {
        code = err_set(err, -E_INVAL, "step of range should be a positive number: %.*s", (int)all.n,
                       all.p);
    }
    if (code == 0) {
        *into |= bits(from, to, step) | (star ? CRON_STAR : 0);
    }
    return code;
}

static int field_bits(const struct field *f, struct str s, uint64_t *ret, struct err *err)
{
    struct str item;
    *ret = 0;
    for (bool more = true; more;) {
        more = str_cut(s, ',', &item, &s);
        if (item.n == 0) {
            continue;
        }
        int code = range_bits(f, item, ret, err);
        if (code < 0) {
            return code;
        }
    }
    return *ret ? 0 : err_set(err, -E_INVAL, "the field %s is empty", f->what);
}

static int descriptor(struct str s, struct cron *ret, struct err *err)
{
    static const struct {
        const char *name, *spec;
    } known[] = {
        {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
    };
    static const char every[] = "@every ";
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (str_is(s, known[i].name)) {
            return cron_parse(str_of(known[i].spec), ret, err);
        }
    }
    if (!str_starts(s, every)) {
        return err_set(err, -E_INVAL, "unrecognized descriptor: %.*s", (int)s.n, s.p);
    }
    struct str d = str_n(s.p + sizeof(every) - 1, s.n - sizeof(every) + 1);
    int64_t us;
    if (duration_parse(d, &us) < 0) {
        return err_set(err, -E_INVAL,
                       "failed to parse duration %.*s: time: invalid duration \"%.*s\"", (int)s.n,
                       s.p, (int)d.n, d.p);
    }
    *ret = (struct cron){.every_us = us < SECOND ? SECOND : us - us % SECOND};
    return 0;
}

/* Splits at white space; n is the number of all words, also of those beyond the room. */
static size_t words(struct str s, struct str *out, size_t room)
{
    size_t n = 0, i = 0;
    while (i < s.n) {
        while (i < s.n && isspace((unsigned char)s.p[i])) {
            i++;
        }
        size_t from = i;
        while (i < s.n && !isspace((unsigned char)s.p[i])) {
            i++;
        }
        if (i > from && n++ < room) {
            out[n - 1] = str_n(s.p + from, i - from);
        }
    }
    return n;
}

int cron_parse(struct str text, struct cron *ret, struct err *err)
{
    static const struct field *const fields[] = {&minutes, &hours, &days, &months, &weekdays};
    struct str word[ARRAY_SIZE(fields)];
    struct cron c = {0};
    uint64_t *const out[] = {&c.minute, &c.hour, &c.day, &c.month, &c.weekday};
    if (text.n == 0) {
        return err_set(err, -E_INVAL, "empty spec string");
    }
    if (text.n > TEXT_MAX) {
        return err_set(err, -E_INVAL, "the schedule is longer than %d characters", TEXT_MAX);
    }
    if (text.p[0] == '@') {
        return descriptor(text, ret, err);
    }
    size_t n = words(text, word, ARRAY_SIZE(word));
    if (n != ARRAY_SIZE(fields)) {
        return err_set(err, -E_INVAL, "expected exactly 5 fields, found %zu: [%.*s]", n,
                       (int)text.n, text.p);
    }
    for (size_t i = 0; i < n; i++) {
        int code = field_bits(fields[i], word[i], out[i], err);
        if (code < 0) {
            return code;
        }
    }
    *ret = c;
    return 0;
}

/* ---- the next time ---- */

struct local {
    int64_t day; /* since 1970 */
    unsigned month, mday, weekday, hour, minute;
    int64_t year;
};

static struct local local_of(int64_t s)
{
    struct local l;
    l.day = s / 86400 - (s % 86400 < 0);
    int64_t rest = s - l.day * 86400;
    l.hour = (unsigned)(rest / 3600);
    l.minute = (unsigned)(rest % 3600 / 60);
    l.weekday = (unsigned)(((l.day + 4) % 7 + 7) % 7);
    /* Howard Hinnant's civil_from_days, in eras of 400 years that begin in March. */
    int64_t z = l.day + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    l.mday = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    l.month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    l.year = yoe + era * 400 + (l.month <= 2);
    return l;
}

static bool in(uint64_t set, unsigned n)
{
    return set >> n & 1;
}

static bool day_fits(const struct cron *c, const struct local *l)
{
    bool day = in(c->day, l->mday), weekday = in(c->weekday, l->weekday);
    bool free = (c->day | c->weekday) & CRON_STAR;
    return in(c->month, l->month) && (free ? day && weekday : day || weekday);
}

/* The first second of the next local day. A day of 23 or 25 hours moves it by one. */
static int64_t next_day(const struct zone *z, int64_t at, const struct local *l)
{
    int64_t wanted = (l->day + 1) * 86400;
    int64_t guess = wanted - zone_offset(z, at);
    guess = wanted - zone_offset(z, guess);
    return guess > at ? guess : at + 3600;
}

bool cron_next(const struct cron *c, const struct zone *z, struct wall after, struct wall *ret)
{
    int64_t at = after.us / SECOND - (after.us % SECOND < 0);
    if (c->every_us) {
        ret->us = at * SECOND + c->every_us;
        return true;
    }
    at += 60 - ((at % 60) + 60) % 60;
    const int64_t last_year = local_of(at + zone_offset(z, at)).year + 5;
    for (;;) {
        int64_t offset = zone_offset(z, at);
        struct local l = local_of(at + offset);
        if (l.year > last_year) {
            return false;
        }
        if (!day_fits(c, &l)) {
            at = next_day(z, at, &l);
        } else if (!in(c->hour, l.hour)) {
            at += 3600 - (at + offset) % 3600;
        } else if (!in(c->minute, l.minute)) {
            at += 60;
        } else {
            ret->us = at * SECOND;
            return true;
        }
    }
}

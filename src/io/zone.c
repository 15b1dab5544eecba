/* SPDX-License-Identifier: Apache-2.0 */
/* Reads TZif: see zone.h. All counts of the file are checked against its length before use. */
#include "io/zone.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

#define ZONE_DIR "/usr/share/zoneinfo/"
#define ZONE_FILE_MAX (64 << 10)
#define ZONE_NAME_MAX 64
#define DAY 86400

/* When the clock changes, every year. */
struct change {
    char form; /* 'M': month, week, weekday; 'J': 1 to 365 without 29 February; '0': 0 to 365 */
    int month, week, day; /* day alone for 'J' and '0' */
    int32_t at;           /* seconds of local time after midnight; may be negative */
};

struct rule {
    bool any, dst;
    int32_t std_offset, dst_offset; /* seconds east of UTC */
    struct change start, end;       /* of summer time */
};

struct zone {
    size_t n;
    int64_t *at;      /* moments of change, rising */
    int32_t *offset;  /* from then on */
    int32_t first;    /* before all of them */
    struct rule rule; /* after all of them */
};

/* ---- the calendar ---- */

/* Days since 1970 of the first day of a month (1 to 12); proleptic Gregorian. */
static int64_t days_of(int64_t year, int month)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t year_of(int64_t at)
{
    int64_t days = at / DAY - (at % DAY < 0), year = 1970 + days / 366;
    while (days_of(year + 1, 1) <= days) {
        year++;
    }
    while (days_of(year, 1) > days) {
        year--;
    }
    return year;
}

static bool is_leap(int64_t year)
{
    return days_of(year + 1, 1) - days_of(year, 1) == 366;
}

/* The local time of a change in a year, in seconds since 1970 as if it were UTC. */
static int64_t change_in(const struct change *c, int64_t year)
{
    int64_t day = days_of(year, 1);
    if (c->form == 'J') {
        day += c->day - 1 + (c->day >= 60 && is_leap(year));
    } else if (c->form == '0') {
        day += c->day;
    } else {
        int64_t first = days_of(year, c->month),
                next = days_of(year + c->month / 12, c->month % 12 + 1);
        int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1 January 1970 was a Thursday */
        day = first + (c->day - weekday + 7) % 7 + 7 * (c->week - 1);
        while (day >= next) {
            day -= 7;
        }
    }
    return day * DAY + c->at;
}

static int32_t rule_offset(const struct rule *r, int64_t at)
{
    if (!r->dst) {
        return r->std_offset;
    }
    int64_t year = year_of(at + r->std_offset);
    int64_t start = change_in(&r->start, year) - r->std_offset;
    int64_t end = change_in(&r->end, year) - r->dst_offset;
    bool summer = start < end ? at >= start && at < end : at >= start || at < end;
    return summer ? r->dst_offset : r->std_offset;
}

int32_t zone_offset(const struct zone *z, int64_t at)
{
    if (!z) {
        return 0;
    }
    size_t lo = 0, hi = z->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (z->at[mid] <= at) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == z->n && z->rule.any) {
        return rule_offset(&z->rule, at);
    }
    return lo ? z->offset[lo - 1] : z->first;
}

/* ---- the footer: POSIX's TZ ---- */

struct text {
    const char *p, *end;
};

static bool eat(struct text *t, char c)
{
    if (t->p < t->end && *t->p == c) {
        t->p++;
        return true;
    }
    return false;
}

static bool number(struct text *t, int max, int *ret)
{
    int n = 0;
    const char *from = t->p;
    while (t->p < t->end && *t->p >= '0' && *t->p <= '9' && n <= max) {
        n = n * 10 + (*t->p++ - '0');
    }
    *ret = n;
    return t->p > from && n <= max;
}

static bool name(struct text *t)
{
    const char *from = t->p;
    if (eat(t, '<')) {
        while (t->p < t->end && *t->p != '>') {
            t->p++;
        }
        return eat(t, '>');
    }
    while (t->p < t->end && ((*t->p | 0x20) >= 'a' && (*t->p | 0x20) <= 'z')) {
        t->p++;
    }
    return t->p - from >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool clock_time(struct text *t, int32_t *ret)
{
    bool negative = eat(t, '-');
    int h, m = 0, s = 0;
    if (!negative) {
        (void)eat(t, '+');
    }
    if (!number(t, 167, &h) || (eat(t, ':') && !number(t, 59, &m)) ||
        (eat(t, ':') && !number(t, 59, &s))) {
        return false;
    }
    *ret = (negative ? -1 : 1) * (h * 3600 + m * 60 + s);
    return true;
}

static bool change(struct text *t, struct change *ret)
{
    *ret = (struct change){.form = '0', .at = 2 * 3600};
    bool fine;
    if (eat(t, 'M')) {
        ret->form = 'M';
        fine = number(t, 12, &ret->month) && eat(t, '.') && number(t, 5, &ret->week) &&
               eat(t, '.') && number(t, 6, &ret->day) && ret->month >= 1 && ret->week >= 1;
    } else {
        ret->form = eat(t, 'J') ? 'J' : '0';
        fine = number(t, 365, &ret->day);
    }
    return fine && (!eat(t, '/') || clock_time(t, &ret->at));
}

static bool parse_rule(struct text t, struct rule *ret)
{
    int32_t west;
    *ret = (struct rule){0};
    if (t.p == t.end) {
        return true; /* no rule: the last offset stays */
    }
    if (!name(&t) || !clock_time(&t, &west)) {
        return false;
    }
    ret->any = true;
    ret->std_offset = -west;
    if (t.p == t.end) {
        return true;
    }
    ret->dst = true;
    if (!name(&t)) {
        return false;
    }
    ret->dst_offset = ret->std_offset + 3600;
    if (t.p < t.end && *t.p != ',') {
        if (!clock_time(&t, &west)) {
            return false;
        }
        ret->dst_offset = -west;
    }
    return eat(&t, ',') && change(&t, &ret->start) && eat(&t, ',') && change(&t, &ret->end) &&
           t.p == t.end;
}

/* ---- the file ---- */

static uint32_t be32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int64_t be64(const char *p)
{
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

struct counts {
    size_t isut, isstd, leap, time, type, chars;
};

#define HEADER 44

static bool header(struct str s, struct counts *ret)
{
    if (s.n < HEADER || memcmp(s.p, "TZif", 4) != 0 || s.p[4] < '2') {
        return false;
    }
    size_t *const out[] = {&ret->isut, &ret->isstd, &ret->leap,
                           &ret->time, &ret->type,  &ret->chars};
    for (size_t i = 0; i < ARRAY_SIZE(out); i++) {
        *out[i] = be32(s.p + 20 + 4 * i);
        if (*out[i] > ZONE_FILE_MAX) {
            return false;
        }
    }
    return true;
}

static size_t body_size(const struct counts *c, size_t word)
{
    return c->time * (word + 1) + c->type * 6 + c->chars + c->leap * (word + 4) + c->isstd +
           c->isut;
}

static int fill(struct zone *z, const char *body, const struct counts *c)
{
    const char *index = body + c->time * 8, *types = index + c->time;
    z->at = mem_alloc((c->time + 1) * sizeof(z->at[0]));
    z->offset = mem_alloc((c->time + 1) * sizeof(z->offset[0]));
    if (!z->at || !z->offset) {
        return -ENOMEM;
    }
    z->first = (int32_t)be32(types);
    for (size_t i = 0; i < c->time; i++) {
        uint8_t type = (uint8_t)index[i];
        z->at[i] = be64(body + i * 8);
        if (type >= c->type || (i > 0 && z->at[i] <= z->at[i - 1])) {
            return -E_INVAL;
        }
        z->offset[i] = (int32_t)be32(types + type * 6);
        if (z->offset[i] < -2 * DAY || z->offset[i] > 2 * DAY) {
            return -E_INVAL;
        }
    }
    z->n = c->time;
    return z->first < -2 * DAY || z->first > 2 * DAY ? -E_INVAL : 0;
}

int zone_parse(struct str bytes, struct zone **ret)
{
    struct counts c;
    if (!header(bytes, &c) || bytes.n - HEADER < body_size(&c, 4)) {
        return -E_INVAL;
    }
    struct str rest =
        str_n(bytes.p + HEADER + body_size(&c, 4), bytes.n - HEADER - body_size(&c, 4));
    if (!header(rest, &c) || c.type == 0 || rest.n - HEADER < body_size(&c, 8) + 2) {
        return -E_INVAL;
    }
    const char *body = rest.p + HEADER, *footer = body + body_size(&c, 8);
    const char *end = rest.p + rest.n;
    const char *stop = memchr(footer + 1, '\n', (size_t)(end - footer) - 1);
    struct zone *z = mem_zalloc(sizeof(*z));
    if (!z) {
        return -ENOMEM;
    }
    int code = fill(z, body, &c);
    if (code == 0 &&
        (*footer != '\n' || !stop || !parse_rule((struct text){footer + 1, stop}, &z->rule))) {
        code = -E_INVAL;
    }
    if (code < 0) {
        zone_free(z);
        return code;
    }
    *ret = z;
    return 0;
}

void zone_free(struct zone *z)
{
    if (z) {
        mem_free(z->at);
        mem_free(z->offset);
        mem_free(z);
    }
}

static bool name_is_safe(const char *s)
{
    return *s && *s != '/' && strlen(s) <= ZONE_NAME_MAX && !strstr(s, "..") && !strchr(s, '\\');
}

int zone_load(const char *zone, struct zone **ret, struct err *err)
{
    char path[sizeof(ZONE_DIR) + ZONE_NAME_MAX];
    char *bytes = NULL;
    size_t n = 0;
    if (cstr_eq(zone, "UTC")) {
        *ret = mem_zalloc(sizeof(struct zone));
        return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
    }
    if (!name_is_safe(zone)) {
        return err_set(err, -E_NOENT, "unknown time zone %.64s", zone);
    }
    (void)snprintf(path, sizeof(path), ZONE_DIR "%s", zone); /* it fits */
    int code = file_read(path, ZONE_FILE_MAX, &bytes, &n, /* err= */ NULL);
    if (code == 0) {
        code = zone_parse(str_n(bytes, n), ret);
    }
    mem_free(bytes);
    return code == -ENOMEM ? err_set(err, code, "out of memory")
           : code < 0      ? err_set(err, -E_NOENT, "unknown time zone %.64s", zone)
                           : 0;
}

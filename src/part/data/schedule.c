/* SPDX-License-Identifier: Apache-2.0 */
/* See schedule.h. A cron expression runs at `now` when its first time after now - duration has
 * come: so it does not matter whether the process lived then. */
#include "schedule.h"

#include <stdio.h>
#include <string.h>

#include "api/cron.h"
#include "base/limits.h"
#include "base/mem.h"
#include "stream/value_time.h"

struct range {
    int64_t from_us, to_us; /* from <= t < to */
};

struct schedule {
    struct zone *zone; /* NULL = UTC */
    struct cron cron;
    bool by_cron;
    int64_t duration_us; /* 0 without one */
    uint32_t n_ranges;
    struct range ranges[]; /* none = always */
};

/* ---- from options ---- */

/* "2023-06-26 10:00:00", a time of the zone's clocks. */
static bool local_time(struct str s, const struct zone *z, int64_t *ret_us)
{
    struct wall utc;
    if (s.n != strlen("2006-01-02 15:04:05") || s.p[10] != ' ' || value_time_parse(s, &utc) < 0) {
        return false;
    }
    int64_t at = utc.us / 1000000;
    at -= zone_offset(z, at - zone_offset(z, at));
    *ret_us = at * 1000000;
    return true;
}

static int read_moment(const struct json *range, const char *name, const struct zone *z,
                       int64_t *ret_us, struct err *err)
{
    char stamp[32];
    (void)snprintf(stamp, sizeof(stamp), "%sTimestamp", name);
    int64_t ms = json_i64(json_get(range, stamp), 0);
    if (ms > 0 && ms <= INT64_MAX / 1000) {
        *ret_us = ms * 1000;
        return 0;
    }
    struct str text = json_text(json_get(range, name));
    return local_time(text, z, ret_us) ? 0
                                       : err_set(err, -E_INVAL,
                                                 "option cronDatetimeRange: %s '" STR_FMT
                                                 "' is not a time such as \"2023-06-26 10:00:00\"",
                                                 name, STR_ARG(text));
}

static int read_ranges(struct schedule *s, const struct json *list, struct err *err)
{
    JSON_FOR_EACH (item, list) {
        struct range *r = &s->ranges[s->n_ranges++];
        int rc = read_moment(item, "begin", s->zone, &r->from_us, err);
        rc = rc < 0 ? rc : read_moment(item, "end", s->zone, &r->to_us, err);
        if (rc < 0) {
            return rc;
        }
        if (r->from_us > r->to_us) {
            return err_set(err, -E_INVAL,
                           "option cronDatetimeRange: begin time shouldn't after end time");
        }
    }
    return 0;
}

static int read_cron(struct schedule *s, struct str cron, struct str duration, struct err *err)
{
    if (duration.n > 0 && (duration_parse(duration, &s->duration_us) < 0 || s->duration_us <= 0)) {
        return err_set(err, -E_INVAL, "option duration: '" STR_FMT "' is no duration such as '30m'",
                       STR_ARG(duration));
    }
    if (cron.n > 0 && duration.n == 0) {
        return err_set(err, -E_INVAL, "option cron needs option duration: how long each run lasts");
    }
    if (cron.n == 0 && duration.n > 0 && s->n_ranges > 0) {
        return err_set(err, -E_INVAL, "option duration beside cronDatetimeRange needs option cron");
    }
    if (str_starts(cron, "@every")) {
        return err_set(err, -E_INVAL, "option cron: @every has no fixed times: give five fields");
    }
    s->by_cron = cron.n > 0;
    int rc = s->by_cron ? cron_parse(cron, &s->cron, err) : 0;
    return rc < 0 ? err_wrap(err, rc, "option cron") : 0;
}

/* A list or nothing. */
static int check_list(const struct json *list, struct err *err)
{
    if (list && !json_is(list, JSON_ARRAY) && !json_is(list, JSON_NULL)) {
        return err_set(err, -E_INVAL, "option cronDatetimeRange: not a list");
    }
    return json_len(list) > LIMIT_SCHEDULE_RANGES
               ? err_set(err, -E_INVAL, "option cronDatetimeRange: more than %d ranges",
                         LIMIT_SCHEDULE_RANGES)
               : 0;
}

static int check_text(const struct json *j, const char *name, struct err *err)
{
    return !j || json_is(j, JSON_STRING) || json_is(j, JSON_NULL)
               ? 0
               : err_set(err, -E_INVAL, "option %s: not a text", name);
}

int schedule_read(const struct json *options, struct zone *zone, struct schedule **ret,
                  struct err *err)
{
    const struct json *list = json_get(options, "cronDatetimeRange");
    struct str cron = json_text(json_get(options, "cron"));
    struct str duration = json_text(json_get(options, "duration"));
    int rc = check_list(list, err);
    rc = rc < 0 ? rc : check_text(json_get(options, "cron"), "cron", err);
    rc = rc < 0 ? rc : check_text(json_get(options, "duration"), "duration", err);
    size_t n = rc == 0 && json_is(list, JSON_ARRAY) ? json_len(list) : 0;
    if (rc < 0 || (n == 0 && cron.n == 0 && duration.n == 0)) {
        zone_free(zone);
        if (rc == 0) {
            *ret = NULL;
        }
        return rc;
    }
    struct schedule *s = mem_zalloc(sizeof(*s) + n * sizeof(s->ranges[0]));
    if (!s) {
        zone_free(zone);
        return err_sys(err, -E_NOMEM, "read a schedule");
    }
    s->zone = zone;
    rc = n > 0 ? read_ranges(s, list, err) : 0;
    rc = rc < 0 ? rc : read_cron(s, cron, duration, err);
    if (rc < 0) {
        schedule_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void schedule_free(struct schedule *s)
{
    if (s) {
        zone_free(s->zone);
        mem_free(s);
    }
}

/* ---- moments ---- */

/* The first time of the expression after a moment; INT64_MAX when there is none. */
static int64_t next_time(const struct schedule *s, int64_t after_us)
{
    struct wall next;
    return cron_next(&s->cron, s->zone, (struct wall){after_us}, &next) ? next.us : INT64_MAX;
}

/* Whether the expression alone lets it run; *until_us comes down to when that changes. */
static bool cron_runs(const struct schedule *s, int64_t now_us, int64_t *until_us)
{
    int64_t began = next_time(s, now_us - s->duration_us);
    bool running = began <= now_us;
    *until_us = MIN_OF(*until_us, running ? began + s->duration_us : began);
    return running;
}

/* The first moment from `from_us` on, later than now, at which a run begins inside a range. */
static int64_t first_run(const struct schedule *s, struct range r, int64_t now_us)
{
    int64_t ignored = INT64_MAX;
    int64_t start = r.from_us;
    if (s->by_cron && (r.from_us <= now_us || !cron_runs(s, r.from_us, &ignored))) {
        start = next_time(s, MAX_OF(r.from_us, now_us));
    }
    return start > now_us && start < r.to_us ? start : INT64_MAX;
}

static struct schedule_now look_once(const struct schedule *s, int64_t now_us, int64_t started_us)
{
    int64_t end = started_us + s->duration_us;
    bool over = now_us >= end;
    return (struct schedule_now){.running = !over,
                                 .over = over,
                                 .until_us = over ? INT64_MAX : end,
                                 .reason = over ? "duration terminated" : NULL};
}

struct schedule_now schedule_look(const struct schedule *s, int64_t now_us, int64_t started_us)
{
    const struct range always = {INT64_MIN, INT64_MAX};
    if (!s->by_cron && s->n_ranges == 0) {
        return look_once(s, now_us, started_us);
    }
    struct schedule_now at = {.until_us = INT64_MAX, .over = s->n_ranges > 0};
    int64_t next = s->n_ranges == 0 ? first_run(s, always, now_us) : INT64_MAX;
    bool inside = s->n_ranges == 0;
    for (uint32_t i = 0; i < s->n_ranges; i++) {
        struct range r = s->ranges[i];
        inside |= r.from_us <= now_us && now_us < r.to_us;
        at.over &= now_us >= r.to_us;
        at.until_us = MIN_OF(at.until_us, r.from_us > now_us ? r.from_us : INT64_MAX);
        at.until_us = MIN_OF(at.until_us, r.to_us > now_us ? r.to_us : INT64_MAX);
        next = MIN_OF(next, first_run(s, r, now_us));
    }
    at.running = inside && (!s->by_cron || cron_runs(s, now_us, &at.until_us));
    at.next_us = next == INT64_MAX ? 0 : next;
    at.reason = at.over ? "schedule terminated" : NULL;
    return at;
}

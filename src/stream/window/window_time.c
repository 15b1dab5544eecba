/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Natural time: the ends of tumbling and hopping windows.
 *
 * Days end at local midnight, n days together by the number of the day. What divides a day is
 * counted from local midnight, so that windows of 6 hours end at 0, 6, 12 and 18 o'clock on the
 * wall; one of a day with a change of the clock is an hour shorter or longer. Other
 * lengths (7 s, 5 h) are counted from 1970 in UTC. eKuiper counts those from the start of the
 * minute, hour or day in which the rule began, so that two rules with the same window disagree.
 */
#include "window_private.h"

#include "io/zone.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (INT64_C(86400) * SECOND)

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - (a % b < 0);
}

static int64_t offset_at(const struct window *w, int64_t t)
{
    return zone_offset(w->spec.zone, floor_div(t, SECOND)) * SECOND;
}

/* The moment at which local day number `day` begins: the offset that holds there. */
static int64_t midnight(const struct window *w, int64_t day)
{
    int64_t local = day * DAY;
    int64_t t = local - offset_at(w, local);
    t = local - offset_at(w, t);
    /* Clocks that skip midnight: the day begins where they jump to. */
    if (floor_div(t + offset_at(w, t), DAY) < day) {
        t = local - offset_at(w, t - DAY);
    }
    return t;
}

static int64_t day_of(const struct window *w, int64_t t)
{
    return floor_div(t + offset_at(w, t), DAY);
}

static void look_up_day(struct window *w, int64_t t)
{
    struct natural *n = &w->natural;
    if (t >= n->day_from && t < n->day_until) {
        return;
    }
    int64_t day = day_of(w, t);
    n->day_from = midnight(w, day);
    n->day_until = midnight(w, day + 1);
    /* At a change of the clock around midnight the number of the day may be one off. */
    if (t < n->day_from) {
        n->day_until = n->day_from;
        n->day_from = midnight(w, day - 1);
    } else if (t >= n->day_until) {
        n->day_from = n->day_until;
        n->day_until = midnight(w, day + 2);
    }
}

static bool in_days(const struct window *w)
{
    return str_iis(w->spec.unit, "dd");
}

/* Clocks change by whole or half hours, so what divides an hour needs no wall. */
static int64_t after_elapsed(const struct window *w, int64_t t, int64_t interval)
{
    int64_t from = w->natural.day_from;
    return from + (floor_div(t - from, interval) + 1) * interval;
}

static int64_t after_wall(const struct window *w, int64_t t, int64_t interval)
{
    int64_t local = floor_div(t + offset_at(w, t), interval) * interval;
    int64_t end = t;
    while (end <= t) {
        local += interval;
        end = local - offset_at(w, local - offset_at(w, local));
    }
    return end;
}

int64_t natural_after(struct window *w, int64_t t, int64_t interval)
{
    if (in_days(w) && interval % DAY == 0) {
        int64_t days = interval / DAY;
        look_up_day(w, t);
        int64_t day = day_of(w, w->natural.day_from + DAY / 2);
        return midnight(w, (floor_div(day, days) + 1) * days);
    }
    if (DAY % interval == 0) {
        look_up_day(w, t);
        int64_t end = interval <= HOUR ? after_elapsed(w, t, interval) : after_wall(w, t, interval);
        return MIN_OF(end, w->natural.day_until);
    }
    return (floor_div(t, interval) + 1) * interval;
}

int64_t natural_start(struct window *w, int64_t end, int64_t length)
{
    if (in_days(w) && length % DAY == 0) {
        look_up_day(w, end);
        return midnight(w, day_of(w, w->natural.day_from + DAY / 2) - length / DAY);
    }
    return end - length;
}

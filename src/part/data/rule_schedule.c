/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules with a schedule (schedule.h): started by hand or by a restart of the process, they run or
 * wait, as the schedule says, until they are stopped by hand. A wake-up asks the schedule again at
 * each change, and at least once a minute, since the wall clock may be set.
 */
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"
#include "schedule.h"

#define WAKE_MAX_MS (60 * 1000)

struct rule_schedule {
    struct data_rule *rule;
    struct schedule *schedule;
    struct io_timer wake;
    int64_t begun_us; /* started by hand */
};

static void on_wake(void *arg);

int rule_schedule_read(struct data_rule *r, struct err *err)
{
    const struct json *options = json_get(r->json, "options");
    const char *name = json_cstr(json_get(options, "timezone"), r->data->zone);
    struct schedule *s = NULL;
    struct zone *zone = NULL;
    int rc = name && *name ? zone_load(name, &zone, err) : 0;
    rc = rc < 0 ? rc : schedule_read(options, zone, &s, err);
    if (rc < 0 || !s) {
        return rc;
    }
    struct rule_schedule *rs = mem_zalloc(sizeof(*rs));
    if (!rs) {
        schedule_free(s);
        return err_sys(err, -E_NOMEM, "schedule rule %s", r->id);
    }
    rs->rule = r;
    rs->schedule = s;
    io_timer_init(r->data->loop, &rs->wake, on_wake, rs);
    rule_schedule_free(r);
    r->schedule = rs;
    return 0;
}

void rule_schedule_free(struct data_rule *r)
{
    if (r->schedule) {
        io_timer_stop(&r->schedule->wake);
        schedule_free(r->schedule->schedule);
        mem_free(TAKE_PTR(r->schedule));
    }
}

/* Brings the rule to what the schedule wants now. */
static int follow(struct rule_schedule *rs, struct err *err)
{
    struct data_rule *r = rs->rule;
    int64_t now = wall_now().us;
    struct schedule_now at = schedule_look(rs->schedule, now, rs->begun_us);
    int rc = 0;
    if (at.over) {
        data_rule_stop(r, at.reason);
        return 0;
    }
    if (at.running) {
        rc = data_rule_run(r, err);
    } else {
        data_rule_rest(r, RULE_WAITING, NULL);
    }
    int64_t ms = at.until_us == INT64_MAX ? WAKE_MAX_MS : (at.until_us - now + 999) / 1000;
    io_timer_start(&rs->wake, MIN_OF(ms, WAKE_MAX_MS), 0);
    return rc;
}

static void on_wake(void *arg)
{
    struct rule_schedule *rs = arg;
    struct err err;
    if (follow(rs, &err) < 0) {
        log_error("start rule %s by its schedule: %s", rs->rule->id, err.text);
    }
}

int rule_schedule_start(struct data_rule *r, struct err *err)
{
    r->schedule->begun_us = wall_now().us;
    return follow(r->schedule, err);
}

void rule_schedule_stop(struct data_rule *r)
{
    if (r->schedule) {
        io_timer_stop(&r->schedule->wake);
    }
}

int64_t rule_schedule_next_ms(const struct data_rule *r)
{
    if (!r->schedule || !io_timer_active(&r->schedule->wake)) {
        return 0;
    }
    return schedule_look(r->schedule->schedule, wall_now().us, r->schedule->begun_us).next_us /
           1000;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the reconcile step of CronJobs. */
#include <string.h>

#include "api/object.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "cronjob.h"
#include "orchestrator_private.h"

#define ZONES_MAX 64 /* that are kept loaded */

struct cronjob_ctrl {
    struct controller base;
    struct map zones; /* name -> struct zone */
};

static struct cronjob_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct cronjob_ctrl, base);
}

static void free_zone(void *value)
{
    zone_free(value);
}

static int start(struct controller *c)
{
    map_init(&self(c)->zones);
    return 0;
}

static void stop(struct controller *c)
{
    map_fini(&self(c)->zones, free_zone);
}

static void add_owner(struct controller *c, const struct json *job)
{
    const struct json *ref = obj_controller_ref(job);
    if (strcmp(json_path_cstr(ref, "kind", ""), "CronJob") == 0) {
        controller_add(c, obj_ns(job), json_path_cstr(ref, "name", ""));
    }
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == known_kinds()->cron_job) {
        struct api_item *item = change->item ? change->item : change->old;
        controller_add(c, item->ns, item->name);
    } else if (change->kind == known_kinds()->job) {
        add_owner(c, change->object ? change->object : change->was);
    }
}

struct collect {
    struct arena *arena;
    const char *uid;
    struct json **jobs;
    size_t n, cap;
};

static bool collect(void *arg, struct api_item *item)
{
    struct collect *col = arg;
    /* Only those that name the owner are worth parsing. */
    if (!memmem(item->text.p, item->text.n, col->uid, strlen(col->uid))) {
        return true;
    }
    if (col->n == col->cap) {
        size_t cap = col->cap ? col->cap * 2 : 16;
        struct json **v =
            arena_grow(col->arena, (void *)col->jobs, col->cap * sizeof(*v), cap * sizeof(*v));
        if (!v) {
            return false;
        }
        col->jobs = v;
        col->cap = cap;
    }
    struct json *job = api_item_parse(item, col->arena);
    if (obj_controlled_by(job, col->uid)) {
        col->jobs[col->n++] = job;
    }
    return true;
}

/* The zone of spec.timeZone; NULL is UTC, or *ret_error says what is wrong. */
static const struct zone *zone_of(struct controller *c, struct arena *a, const struct json *cron,
                                  const char **ret_error)
{
    struct map *zones = &self(c)->zones;
    const char *name = json_path_cstr(cron, "spec.timeZone", "");
    struct zone *zone = map_get(zones, str_of(name));
    struct err err;
    if (!name[0] || zone) {
        return zone;
    }
    if (map_len(zones) >= ZONES_MAX) {
        map_fini(zones, free_zone);
    }
    if (zone_load(name, &zone, &err) < 0) {
        *ret_error = arena_strdup(a, err.text);
        return NULL;
    }
    if (map_put(zones, str_of(name), zone, NULL) < 0) {
        zone_free(zone);
        *ret_error = "out of memory";
        return NULL;
    }
    return zone;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *cron = orchestrator_get(c->o, plan->arena, known_kinds()->cron_job, ns, name);
    if (!cron) {
        return 0;
    }
    struct collect col = {.arena = plan->arena, .uid = obj_uid(cron)};
    struct cronjob_in in = {.cron = cron, .now = wall_now()};
    in.zone = zone_of(c, plan->arena, cron, &in.zone_error);
    informer_each(orchestrator_informer(c->o, known_kinds()->job), ns, collect, &col);
    in.jobs = col.jobs;
    in.n = col.n;
    return cronjob_reconcile(&in, plan);
}

const struct controller_ops cronjob_controller = {
    .name = "cronjob-controller",
    .size = sizeof(struct cronjob_ctrl),
    .workers = 4,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
};

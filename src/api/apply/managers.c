/* SPDX-License-Identifier: Apache-2.0 */
/* Managed fields: see managers.h. */
#include "api/apply/managers.h"

#include <stdlib.h>

#include "api/apply/field_set.h"
#include "api/apply/last_applied.h"
#include "api/apply/walk.h"
#include "api/object.h"
#include "base/limits.h"
#include "base/mem.h"

struct manager {
    const char *name, *api_version, *subresource, *time;
    bool apply;
    struct json *set;
};

struct managers {
    struct arena *arena;
    struct manager *items;
    size_t n;
};

#define CONFLICTS_MAX 100

/* ---- reading ---- */

/* [] and [{}] ask for none. */
static bool is_reset(const struct json *managed)
{
    return json_is(managed, JSON_ARRAY) &&
           (managed->n == 0 || (managed->n == 1 && json_len(json_at(managed, 0)) == 0));
}

const char *apply_managers_invalid(struct arena *a, const struct json *managed, const char **ret_at)
{
    size_t i = 0;
    if (is_reset(managed)) {
        return NULL;
    }
    JSON_FOR_EACH (e, managed) {
        const char *op = json_path_cstr(e, "operation", "");
        if (!cstr_eq(op, "Apply") && !cstr_eq(op, "Update")) {
            *ret_at = arena_printf(a, "metadata.managedFields[%zu].operation", i);
            return "must be `Apply` or `Update`";
        }
        if (*json_path_cstr(e, "fieldsType", "") &&
            !cstr_eq(json_path_cstr(e, "fieldsType", ""), "FieldsV1")) {
            *ret_at = arena_printf(a, "metadata.managedFields[%zu].fieldsType", i);
            return "must be `FieldsV1`";
        }
        if (strlen(json_path_cstr(e, "manager", "")) > APPLY_MANAGER_MAX) {
            *ret_at = arena_printf(a, "metadata.managedFields[%zu].manager", i);
            return "may not be more than 128 bytes";
        }
        i++;
    }
    return NULL;
}

/* False when an entry makes no sense; ms is empty then. */
static bool read_managers(struct arena *a, const struct json *managed, struct managers *ms)
{
    const char *at;
    size_t n = json_len(managed);
    *ms = (struct managers){.arena = a};
    if (n > LIMIT_FIELD_MANAGERS || apply_managers_invalid(a, managed, &at)) {
        return false;
    }
    /* Room for one more. */
    ms->items = arena_zalloc(a, (n + 2) * sizeof(*ms->items));
    JSON_FOR_EACH (e, managed) {
        struct json *set = json_get(e, "fieldsV1");
        if (!ms->items || (set && !set_valid(set))) {
            ms->n = 0;
            return false;
        }
        if (set_empty(set)) {
            continue; /* it has nothing; nobody would write it */
        }
        ms->items[ms->n++] =
            (struct manager){.name = json_path_cstr(e, "manager", ""),
                             .api_version = json_path_cstr(e, "apiVersion", ""),
                             .subresource = json_path_cstr(e, "subresource", ""),
                             .time = json_path_cstr(e, "time", ""),
                             .apply = cstr_eq(json_path_cstr(e, "operation", ""), "Apply"),
                             .set = set};
    }
    return ms->items != NULL;
}

/* ---- writing ---- */

static int by_order(const void *x, const void *y)
{
    const struct manager *a = x, *b = y;
    if (a->apply != b->apply) {
        return a->apply ? -1 : 1;
    }
    int order = strcmp(a->time, b->time);
    order = order ? order : strcmp(a->name, b->name);
    order = order ? order : strcmp(a->api_version, b->api_version);
    return order ? order : strcmp(a->subresource, b->subresource);
}

static void write_managers(struct managers *ms, struct json *obj)
{
    struct arena *a = ms->arena;
    struct json *meta = obj_meta(obj), *list = json_array(a);
    if (ms->n > 1) {
        qsort(ms->items, ms->n, sizeof(*ms->items), by_order);
    }
    for (size_t i = 0; i < ms->n; i++) {
        const struct manager *m = &ms->items[i];
        if (set_empty(m->set)) {
            continue;
        }
        struct json *e = json_push(list, json_object(a));
        json_set_str(e, "manager", m->name);
        json_set_str(e, "operation", m->apply ? "Apply" : "Update");
        json_set_str(e, "apiVersion", m->api_version);
        json_set_str(e, "time", *m->time ? m->time : NULL);
        json_set_str(e, "fieldsType", "FieldsV1");
        json_set(e, "fieldsV1", m->set);
        json_set_str(e, "subresource", *m->subresource ? m->subresource : NULL);
    }
    if (json_len(list) > 0) {
        json_set(meta, "managedFields", list);
    } else {
        (void)json_del(meta, "managedFields");
    }
}

/* ---- one write ---- */

static struct manager *find(struct managers *ms, const struct apply_request *r, bool apply)
{
    for (size_t i = 0; i < ms->n; i++) {
        struct manager *m = &ms->items[i];
        if (m->apply == apply && cstr_eq(m->name, r->manager) &&
            cstr_eq(m->subresource, r->subresource) &&
            (apply || cstr_eq(m->api_version, r->api_version))) {
            return m;
        }
    }
    return NULL;
}

static struct manager *find_or_add(struct managers *ms, const struct apply_request *r, bool apply)
{
    struct manager *m = find(ms, r, apply);
    if (!m && ms->items) {
        m = &ms->items[ms->n++];
        *m = (struct manager){.name = r->manager,
                              .api_version = r->api_version,
                              .subresource = r->subresource,
                              .time = "",
                              .apply = apply};
    }
    return m;
}

static const char *stamp(struct arena *a, const struct apply_request *r)
{
    char text[TIME_TEXT_SIZE];
    const char *copy = arena_strdup(a, time_text(r->now, text));
    return copy ? copy : "";
}

/* Others lose what was changed and what is gone. */
static void take_from_others(struct managers *ms, const struct manager *self,
                             const struct walk_difference *d)
{
    struct arena *a = ms->arena;
    struct json *lost = set_union(a, set_union(a, d->added, d->modified), d->removed);
    for (size_t i = 0; i < ms->n && lost; i++) {
        if (&ms->items[i] != self) {
            ms->items[i].set = set_difference(a, ms->items[i].set, lost);
        }
    }
}

/* More than LIMIT_UPDATE_MANAGERS updaters: the oldest become one. */
static void cap_updaters(struct managers *ms)
{
    struct manager *ancient = NULL;
    size_t updaters = 0;
    for (size_t i = 0; i < ms->n; i++) {
        updaters += !ms->items[i].apply && !set_empty(ms->items[i].set);
        if (!ms->items[i].apply && cstr_eq(ms->items[i].name, "ancient-changes")) {
            ancient = &ms->items[i];
        }
    }
    while (updaters > LIMIT_UPDATE_MANAGERS) {
        struct manager *oldest = NULL;
        for (size_t i = 0; i < ms->n; i++) {
            struct manager *m = &ms->items[i];
            bool counts = !m->apply && m != ancient && !set_empty(m->set);
            if (counts && (!oldest || strcmp(m->time, oldest->time) < 0)) {
                oldest = m;
            }
        }
        if (!oldest) {
            return;
        }
        if (!ancient) {
            ancient = oldest;
            ancient->name = "ancient-changes";
            continue;
        }
        ancient->set = set_union(ms->arena, ancient->set, oldest->set);
        ancient->time = strcmp(oldest->time, ancient->time) > 0 ? oldest->time : ancient->time;
        oldest->set = NULL;
        updaters--;
    }
}

/* Status is written through its subresource; what the server fills in otherwise is nobody's. */
static void ignore_status(struct arena *a, const struct apply_request *r, struct walk_difference *d)
{
    if (*r->subresource || !kind_has_status(r->kind)) {
        return;
    }
    struct json *status = json_object(a);
    set_put(status, STR_LIT("f:status"), true, NULL);
    d->added = set_without(a, d->added, status);
    d->modified = set_without(a, d->modified, status);
}

void apply_track(struct arena *a, const struct apply_request *r, const struct json *old,
                 struct json *obj)
{
    struct managers ms;
    struct walk_difference d;
    const struct json *sent = json_path(obj, "metadata.managedFields");
    const struct json *was = json_path(old, "metadata.managedFields");
    bool reset = !*r->subresource && is_reset(sent);
    bool usable = !*r->subresource && json_len(sent) > 0 && !reset && read_managers(a, sent, &ms);
    if (!usable && (reset || !read_managers(a, was, &ms))) {
        ms = (struct managers){.arena = a};
        ms.items = arena_zalloc(a, 2 * sizeof(*ms.items));
    }
    if (old && ms.n == 0) { /* an object that is not tracked stays so */
        (void)json_del(obj_meta(obj), "managedFields");
        return;
    }
    walk_compare(a, r->kind, old, obj, &d);
    ignore_status(a, r, &d);
    struct json *taken = set_union(a, d.added, d.modified);
    take_from_others(&ms, NULL, &d);
    if (!set_empty(taken)) {
        struct manager *self = find_or_add(&ms, r, false);
        if (self) {
            self->set = set_sorted(a, set_union(a, self->set, taken));
            self->time = stamp(a, r);
        }
        cap_updaters(&ms);
    }
    write_managers(&ms, obj);
}

/* ---- apply ---- */

struct gather {
    struct arena *arena;
    struct apply_conflicts *out;
    const char *manager;
};

static void add_conflict(void *arg, const char *path)
{
    struct gather *g = arg;
    size_t size = sizeof(*g->out->items);
    struct apply_conflict *items =
        arena_grow(g->arena, g->out->items, g->out->n * size, (g->out->n + 1) * size);
    if (items) {
        g->out->items = items;
        items[g->out->n++] = (struct apply_conflict){g->manager, path};
    }
}

static const char *shown(struct arena *a, const struct manager *m)
{
    const char *sub =
        *m->subresource ? arena_printf(a, " with subresource \"%s\"", m->subresource) : "";
    return m->apply ? arena_printf(a, "\"%s\"%s", m->name, sub)
                    : arena_printf(a, "\"%s\"%s using %s", m->name, sub, m->api_version);
}

static void find_conflicts(struct managers *ms, const struct manager *self,
                           const struct walk_difference *d, struct json *allowed,
                           struct apply_conflicts *out)
{
    struct arena *a = ms->arena;
    struct json *changed = set_difference(a, set_union(a, d->added, d->modified), allowed);
    for (size_t i = 0; i < ms->n; i++) {
        struct json *both =
            &ms->items[i] == self ? NULL : set_intersection(a, ms->items[i].set, changed);
        if (!set_empty(both)) {
            struct gather g = {a, out, shown(a, &ms->items[i])};
            set_paths(a, both, CONFLICTS_MAX - MIN_OF(out->n, CONFLICTS_MAX), add_conflict, &g);
        }
    }
}

/* What was there before anybody applied belongs to a manager of its own. */
static void adopt_untracked(struct managers *ms, const struct apply_request *r,
                            const struct json *live)
{
    struct walk_difference d;
    walk_compare(ms->arena, r->kind, NULL, live, &d);
    ignore_status(ms->arena, r, &d);
    if (!set_empty(d.added) && ms->items) {
        ms->items[ms->n++] = (struct manager){.name = "before-first-apply",
                                              .api_version = r->api_version,
                                              .subresource = "",
                                              .time = stamp(ms->arena, r),
                                              .set = set_sorted(ms->arena, d.added)};
    }
}

static struct json *others_set(struct managers *ms, const struct manager *self)
{
    struct json *all = NULL;
    for (size_t i = 0; i < ms->n; i++) {
        if (&ms->items[i] != self) {
            all = set_union(ms->arena, all, ms->items[i].set);
        }
    }
    return all;
}

int apply_config(struct arena *a, const struct apply_request *r, const struct json *live,
                 const struct json *config, struct json **ret,
                 struct apply_conflicts *ret_conflicts, struct err *err)
{
    struct managers ms;
    struct walk_difference d;
    struct json *wanted = NULL;
    *ret_conflicts = (struct apply_conflicts){0};
    int code = walk_applied_set(a, r->kind, config, &wanted, err);
    if (code < 0) {
        return code;
    }
    if (!read_managers(a, json_path(live, "metadata.managedFields"), &ms)) {
        ms = (struct managers){.arena = a};
        ms.items = arena_zalloc(a, 3 * sizeof(*ms.items));
    }
    if (live && ms.n == 0) {
        adopt_untracked(&ms, r, live);
    }
    struct manager *self = find_or_add(&ms, r, true);
    if (!self) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    struct json *before = self->set;
    struct json *merged = walk_merge(a, r->kind, live, config);
    struct json *kept = set_union(a, others_set(&ms, self), wanted);
    walk_prune(a, r->kind, merged, set_difference(a, before, wanted), kept);
    walk_compare(a, r->kind, live, merged, &d);
    if (live && !r->force) {
        find_conflicts(&ms, self, &d, last_applied_allowed(a, r, live), ret_conflicts);
        if (ret_conflicts->n > 0) {
            return err_set(err, -E_CONFLICT, "the configuration conflicts with other managers");
        }
    }
    take_from_others(&ms, self, &d);
    bool same = set_equal(before, wanted) && set_empty(d.added) && set_empty(d.modified) &&
                set_empty(d.removed) && cstr_eq(self->api_version, r->api_version);
    self->set = set_sorted(a, wanted);
    self->api_version = r->api_version;
    self->time = same ? self->time : stamp(a, r);
    write_managers(&ms, merged);
    last_applied_sync(a, r, config, merged);
    *ret = merged;
    return arena_failed(a) ? err_set(err, -E_NOMEM, "out of memory") : 0;
}

/* ---- texts ---- */

static int by_manager(const void *x, const void *y)
{
    const struct apply_conflict *a = x, *b = y;
    return strcmp(a->manager, b->manager);
}

const char *apply_conflict_text(struct arena *a, const struct apply_conflicts *c)
{
    if (c->n == 1) {
        return arena_printf(a, "Apply failed with 1 conflict: conflict with %s: %s",
                            c->items[0].manager, c->items[0].path);
    }
    struct apply_conflict *sorted = arena_dup(a, c->items, c->n * sizeof(*c->items));
    const char *out = "", *last = NULL;
    if (!sorted) {
        return NULL;
    }
    /* Mostly one manager; the order of one's paths must stay. */
    for (size_t i = 1; i < c->n; i++) {
        for (size_t j = i; j > 0 && by_manager(&sorted[j - 1], &sorted[j]) > 0; j--) {
            struct apply_conflict t = sorted[j];
            sorted[j] = sorted[j - 1];
            sorted[j - 1] = t;
        }
    }
    for (size_t i = 0; i < c->n && out; i++) {
        bool first = !last || !cstr_eq(last, sorted[i].manager);
        last = sorted[i].manager;
        out = first ? arena_printf(a, "%s%sconflicts with %s:\n- %s", out, i ? "\n" : "", last,
                                   sorted[i].path)
                    : arena_printf(a, "%s\n- %s", out, sorted[i].path);
    }
    return out ? arena_printf(a, "Apply failed with %zu conflicts: %s", c->n, out) : NULL;
}

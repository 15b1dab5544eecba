/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives status.used of ResourceQuotas. What refuses a write is the admission plug-in, which counts
 * for itself (api/admission/quota.c); this controller shows people what is used.
 */
#include <string.h>

#include "api/admission/quota_usage.h"
#include "api/object.h"
#include "orchestrator_private.h"

#define GATHER_MS 200

struct quota_ctrl {
    struct controller base;
    struct quota_table *table;
};

static struct quota_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct quota_ctrl, base);
}

static int start(struct controller *c)
{
    self(c)->table = quota_table_new();
    return self(c)->table ? 0 : -E_NOMEM;
}

static void stop(struct controller *c)
{
    quota_table_free(self(c)->table);
}

/* ---- what changed ---- */

static bool offer(void *arg, struct api_item *item)
{
    controller_add_after(arg, item->ns, item->name, GATHER_MS);
    return true;
}

static void changed(struct controller *c, const struct change *change)
{
    struct quota_table *t = self(c)->table;
    const struct api_item *item = change->item ? change->item : change->old;
    if (change->kind == known_kinds()->quota) {
        /* Other kinds may count now: the namespace is read anew. */
        const struct json *was = json_get(change->was, "spec"),
                          *is = json_get(change->object, "spec");
        if (!was || !is || !json_equal(was, is)) {
            quota_table_untrack(t, item->ns);
        }
        controller_add(c, item->ns, item->name);
    }
    if (!change->kind->namespaced || !quota_table_tracks(t, item->ns)) {
        return;
    }
    if (!change->object) {
        quota_table_forget(t, change->kind, item->ns, item->name);
    } else if (quota_table_set(t, change->kind, item->ns, item->name, change->object, item->rev) <
               0) {
        quota_table_untrack(t, item->ns);
    }
    if (change->kind != known_kinds()->event && change->kind != known_kinds()->lease) {
        informer_each(orchestrator_informer(c->o, known_kinds()->quota), item->ns, offer, c);
    }
}

/* ---- reading a namespace ---- */

struct reading {
    struct controller *c;
    const struct kind *kind;
    struct json *quotas;
    struct arena *arena;
    int code;
};

static bool keep_quota(void *arg, struct api_item *item)
{
    struct reading *r = arg;
    json_push(r->quotas, api_item_parse(item, r->arena));
    return true;
}

static bool count_item(void *arg, struct api_item *item)
{
    struct reading *r = arg;
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    const struct json *o = api_item_parse(item, &a);
    r->code = o ? quota_table_set(self(r->c)->table, r->kind, item->ns, item->name, o, item->rev)
                : -E_NOMEM;
    arena_fini(&a);
    return r->code == 0;
}

static bool some_concerns(const struct reading *r, const struct kind *k)
{
    JSON_FOR_EACH (q, r->quotas) {
        if (quota_concerns_kind(q, k)) {
            return true;
        }
    }
    return false;
}

static int read_namespace(struct controller *c, struct arena *a, const char *ns)
{
    struct reading r = {.c = c, .quotas = json_array(a), .arena = a};
    struct orchestrator *o = c->o;
    informer_each(orchestrator_informer(o, known_kinds()->quota), ns, keep_quota, &r);
    int rc = quota_table_track(self(c)->table, ns);
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct informer *inf = orchestrator_informer(o, kinds[i]);
        if (inf && kinds[i]->namespaced && some_concerns(&r, kinds[i])) {
            r.kind = kinds[i];
            informer_each(inf, ns, count_item, &r);
            rc = r.code;
        }
    }
    if (rc < 0) {
        quota_table_untrack(self(c)->table, ns);
    }
    return rc;
}

/* ---- reconcile ---- */

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct arena *a = plan->arena;
    const char *ns, *name;
    if (!controller_split(a, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *quota = orchestrator_get(c->o, a, known_kinds()->quota, ns, name);
    if (!quota || obj_deleting(quota)) {
        return 0;
    }
    if (!quota_table_tracks(self(c)->table, ns) && read_namespace(c, a, ns) < 0) {
        return -E_NOMEM;
    }
    struct resource_list used = quota_table_used(self(c)->table, a, quota, ns);
    struct json *status = json_object(a), *shown = json_object(a);
    json_set(status, "hard", json_path(quota, "spec.hard"));
    for (size_t i = 0; i < used.n; i++) {
        char text[QUANTITY_TEXT_SIZE];
        json_set_str(shown, used.v[i].name, quantity_print(used.v[i].q, text));
    }
    json_set(status, "used", shown);
    if (!json_get(quota, "status") || !json_equal(status, json_get(quota, "status"))) {
        json_set(quota, "status", status);
        plan_update(plan, known_kinds()->quota, quota, "status")->flags = ACTION_F_ABSENT_OK;
    }
    return 0;
}

const struct controller_ops quota_controller = {
    .name = "resourcequota-controller",
    .size = sizeof(struct quota_ctrl),
    .workers = 4,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
};

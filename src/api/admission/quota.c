/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ResourceQuota: a write that would make the namespace use more than a quota allows is refused.
 *
 * What is used is summed over the newest state of the objects, not read from status.used: the sums
 * of a namespace are read from the store when the first write there meets a quota, then follow
 * every accepted write. Pods are also written by the part that talks with the edges, past the
 * handlers: a watch of the store brings these.
 */
#include "api/admission/quota.h"

#include <stdlib.h>

#include "api/admission/admission.h"
#include "api/admission/lookup.h"
#include "api/admission/plugins.h"
#include "api/admission/quota_usage.h"
#include "api/handler_private.h"
#include "api/server_private.h"

struct quota_ledger {
    struct api_server *server;
    struct quota_table *table;
    struct store_watch *pods; /* open while something is tracked */
};

static const struct kind *quota_kind(void)
{
    static const struct kind *k;
    k = k ? k : kind_find("", "v1", "resourcequotas");
    return k;
}

static const struct kind *pod_kind(void)
{
    static const struct kind *k;
    k = k ? k : kind_find("", "v1", "pods");
    return k;
}

struct quota_ledger *quota_ledger_new(struct api_server *s)
{
    struct quota_ledger *l = mem_zalloc(sizeof(*l));
    struct quota_table *t = quota_table_new();
    if (!l || !t) {
        mem_free(l);
        quota_table_free(t);
        return NULL;
    }
    l->server = s;
    l->table = t;
    return l;
}

void quota_ledger_free(struct quota_ledger *l)
{
    if (l) {
        store_watch_close(l->pods);
        quota_table_free(l->table);
        mem_free(l);
    }
}

/* ---- following ---- */

static void take_event(struct quota_ledger *l, const struct store_event *ev)
{
    struct str key = store_item_key(ev->item), ns_text, name_text;
    struct arena a;
    struct json *pod = NULL;
    arena_init(&a, /* cap= */ 0);
    const struct kind *k = api_key_parse(key, &ns_text, &name_text);
    const char *ns = arena_str(&a, ns_text), *name = arena_str(&a, name_text);
    if (k && ns && name && quota_table_tracks(l->table, ns) &&
        quota_table_rev(l->table, k, ns, name) <= ev->rev) {
        if (ev->type == STORE_DELETE) {
            quota_table_forget(l->table, k, ns, name);
        } else if (quota_table_rev(l->table, k, ns, name) < ev->rev &&
                   json_parse(&a, store_item_value(ev->item), NULL, &pod, NULL) == 0 &&
                   quota_table_set(l->table, k, ns, name, pod, ev->rev) < 0) {
            quota_table_untrack(l->table, ns);
        }
    }
    arena_fini(&a);
}

static void drain(struct quota_ledger *l)
{
    struct store_event *ev;
    int rc;
    while (l->pods && (rc = store_watch_next(l->pods, &ev)) != 0) {
        if (rc == 1) {
            take_event(l, ev);
            continue;
        }
        /* Fell behind: everything is read anew when it is asked for. */
        store_watch_close(TAKE_PTR(l->pods));
        struct quota_table *t = quota_table_new();
        if (t) {
            quota_table_free(l->table);
            l->table = t;
        }
    }
}

static void on_ready(struct store_watch *w, void *arg)
{
    (void)w;
    drain(arg);
}

void quota_ledger_wrote(struct quota_ledger *l, const struct kind *k, const char *ns,
                        const char *name, const struct json *obj, int64_t rev)
{
    if (!k->namespaced || !quota_table_tracks(l->table, ns)) {
        return;
    }
    int rc = 0;
    if (k == quota_kind()) {
        rc = -E_AGAIN; /* other kinds may count now */
    } else if (!obj && k != pod_kind()) {
        quota_table_forget(l->table, k, ns, name);
    } else {
        rc = quota_table_set(l->table, k, ns, name, obj, rev);
    }
    if (rc < 0) {
        quota_table_untrack(l->table, ns);
    }
}

void quota_ledger_lost(struct quota_ledger *l, const struct kind *k, const char *ns,
                       const char *name)
{
    (void)k;
    (void)name;
    quota_table_untrack(l->table, ns);
}

/* ---- reading a namespace ---- */

static int fill_kind(struct quota_ledger *l, const struct kind *k, const char *ns)
{
    struct arena a;
    struct store_list list = {0};
    arena_init(&a, /* cap= */ 0);
    const char *prefix = api_key(&a, k, ns, "");
    int rc = prefix ? store_list(l->server->store,
                                 &(struct store_list_opts){.prefix = str_of(prefix)}, &list)
                    : -E_NOMEM;
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        struct store_item *it = store_get_latest(l->server->store, store_item_key(list.items[i]));
        struct arena one;
        struct json *obj = NULL;
        arena_init(&one, /* cap= */ 0);
        if (it) {
            rc = json_parse(&one, store_item_value(it), NULL, &obj, NULL);
            rc = rc < 0 ? rc : quota_table_set(l->table, k, ns, obj_name(obj), obj, it->rev);
        }
        arena_fini(&one);
    }
    store_list_fini(&list);
    arena_fini(&a);
    return rc;
}

static bool some_concerns(const struct lookup *quotas, const struct kind *k)
{
    for (size_t i = 0; i < quotas->n; i++) {
        if (quota_concerns_kind(quotas->v[i], k)) {
            return true;
        }
    }
    return false;
}

static int fill(struct quota_ledger *l, const char *ns, const struct lookup *quotas)
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    if (!l->pods) {
        int rc = store_watch_open(l->server->store, STR_LIT("pods/"), store_rev(l->server->store),
                                  on_ready, l, &l->pods);
        if (rc < 0) {
            return rc;
        }
    }
    int rc = quota_table_track(l->table, ns);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (kinds[i]->namespaced && kinds[i]->stored && kind_is_primary(kinds[i]) &&
            some_concerns(quotas, kinds[i])) {
            rc = fill_kind(l, kinds[i], ns);
        }
    }
    if (rc < 0) {
        quota_table_untrack(l->table, ns);
    }
    return rc;
}

/* ---- the check ---- */

static int by_name(const void *a, const void *b)
{
    const struct resource_amount *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* "cpu=1,pods=2" for the names of `of`. */
static const char *amounts_text(struct arena *a, const struct resource_list *l,
                                const struct resource_list *of)
{
    const char *text = "";
    for (size_t i = 0; i < of->n; i++) {
        char q[QUANTITY_TEXT_SIZE];
        const struct quantity *v = resource_list_get(l, of->v[i].name);
        text = arena_printf(a, "%s%s%s=%s", text ? text : "", i ? "," : "", of->v[i].name,
                            v ? quantity_print(*v, q) : "0");
    }
    return text ? text : "";
}

struct sums {
    struct resource_list hard, asked, over;
};

static bool exceeded(struct admission *ad, const struct json *quota, struct sums *s,
                     const struct resource_list *used)
{
    struct arena *a = ad->op->arena;
    if (s->over.n == 0) {
        return true;
    }
    qsort(s->over.v, s->over.n, sizeof(*s->over.v), by_name);
    return admission_forbid(ad, arena_printf(a,
                                             "exceeded quota: %s, requested: %s, used: %s, "
                                             "limited: %s",
                                             obj_name(quota), amounts_text(a, &s->asked, &s->over),
                                             amounts_text(a, used, &s->over),
                                             amounts_text(a, &s->hard, &s->over)));
}

static bool check_quota(struct admission *ad, const struct json *quota,
                        const struct quota_usage *now, const struct quota_usage *was)
{
    struct arena *a = ad->op->arena;
    struct sums s = {0};
    struct resource_list used =
        quota_table_used(ad->op->server->admission.quota->table, a, quota, ad->op->ns);
    JSON_FOR_EACH_MEMBER (m, json_path(quota, "spec.hard")) {
        const struct quantity *asks = resource_list_get(&now->amounts, m->key);
        const struct quantity *had = resource_list_get(&was->amounts, m->key);
        const struct quantity *uses = resource_list_get(&used, m->key);
        struct quantity hard, more;
        if (!asks || !uses || quantity_from_json(m->value, &hard, NULL) < 0) {
            continue;
        }
        more = had ? quantity_sub(*asks, *had) : *asks;
        if (more.nano <= 0) {
            continue;
        }
        resource_list_add(a, &s.asked, m->key, more);
        resource_list_add(a, &s.hard, m->key, hard);
        if (quantity_cmp(quantity_add(*uses, more), hard) > 0) {
            resource_list_add(a, &s.over, m->key, more);
        }
    }
    return exceeded(ad, quota, &s, &used);
}

static bool concerns_write(const struct admission *ad)
{
    static const char *const changing[] = {"PersistentVolumeClaim", "Pod", "Service"};
    if (!ad->obj || !ad->kind->namespaced) {
        return false;
    }
    if (ad->verb == SERVER_CREATE) {
        return *ad->subresource == '\0';
    }
    for (size_t i = 0; i < ARRAY_SIZE(changing); i++) {
        if (!*ad->kind->group && cstr_eq(ad->kind->kind, changing[i])) {
            return !*ad->subresource || cstr_eq(ad->subresource, "resize");
        }
    }
    return false;
}

static bool validate(struct admission *ad)
{
    struct arena *a = ad->op->arena;
    struct quota_ledger *l = ad->op->server->admission.quota;
    if (!concerns_write(ad)) {
        return true;
    }
    struct lookup quotas = lookup_all(ad->op->server, a, quota_kind(), ad->op->ns, NULL);
    if (quotas.n == 0) {
        return true;
    }
    bool is_pod = ad->kind == pod_kind();
    struct quota_usage now = quota_usage_of(a, ad->kind, ad->obj);
    struct quota_usage was = quota_usage_of(a, ad->kind, ad->old);
    for (size_t i = 0; i < quotas.n; i++) {
        const char *missing = is_pod && !ad->old && quota_scopes_match(quotas.v[i], &now)
                                  ? quota_missing(a, quotas.v[i], ad->obj)
                                  : NULL;
        if (missing) {
            return admission_forbid(
                ad, arena_printf(a, "failed quota: %s: %s", obj_name(quotas.v[i]), missing));
        }
    }
    drain(l);
    if (!quota_table_tracks(l->table, ad->op->ns) && fill(l, ad->op->ns, &quotas) < 0) {
        return admission_refuse(ad, status_code(a, -E_NOMEM, "out of memory"));
    }
    for (size_t i = 0; i < quotas.n; i++) {
        if (quota_concerns(quotas.v[i], &now) && !check_quota(ad, quotas.v[i], &now, &was)) {
            return false;
        }
    }
    return true;
}

const struct admission_plugin quota_plugin = {.name = "ResourceQuota", .validate = validate};

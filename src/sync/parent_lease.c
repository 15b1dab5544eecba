/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A heartbeat of a child renews its Lease in kube-node-lease here, so that the link carries one
 * byte and the node lifecycle controller sees what it knows from Kubernetes.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "parent_private.h"

#define LEASE_SECONDS 40

struct lease_write {
    struct store_req req;
};

static void lease_done(struct store_req *req, int code, const char *text)
{
    if (code < 0) {
        log_debug("sync: lease: %s", text ? text : err_text(code));
    }
    mem_free(CONTAINER_OF(req, struct lease_write, req));
}

static struct json *lease_make(struct arena *a, const char *node)
{
    char uid[UUID_TEXT_SIZE], now[TIME_TEXT_SIZE];
    struct json *o = json_object(a), *meta;
    json_set_str(o, "apiVersion", "coordination.k8s.io/v1");
    json_set_str(o, "kind", "Lease");
    meta = json_ensure_object(o, "metadata");
    json_set_str(meta, "name", node);
    json_set_str(meta, "namespace", "kube-node-lease");
    uuid_make(uid);
    json_set_str(meta, "uid", uid);
    json_set_str(meta, "creationTimestamp", time_text(wall_now(), now));
    struct json *spec = json_ensure_object(o, "spec");
    json_set_str(spec, "holderIdentity", node);
    json_set_int(spec, "leaseDurationSeconds", LEASE_SECONDS);
    return o;
}

void parent_lease_renew(struct sync_parent *p, const char *node)
{
    struct arena a;
    struct buf text = BUF_INIT;
    char now[TIME_TEXT_SIZE], rev[24];
    struct lease_write *w = mem_zalloc(sizeof(*w));
    arena_init(&a, 0);
    char *key = arena_printf(&a, "leases.coordination.k8s.io/kube-node-lease/%s", node);
    struct store_item *it = key ? store_get_latest(p->store, str_of(key)) : NULL;
    struct json *lease = NULL;
    if (!it || json_parse(&a, store_item_value(it), NULL, &lease, NULL) < 0) {
        lease = lease_make(&a, node);
    }
    json_set_str(json_ensure_object(lease, "spec"), "renewTime", time_text_micro(wall_now(), now));
    (void)snprintf(rev, sizeof(rev), "%lld", (long long)store_next_rev(p->store));
    json_set_str(json_ensure_object(lease, "metadata"), "resourceVersion", rev);
    struct store_put_opts opts = {.expected_rev = it ? it->rev : 0, .flags = STORE_F_EPHEMERAL};
    int rc = -ENOMEM;
    if (w && json_print(&text, lease) == 0 && !arena_failed(&a)) {
        w->req.done = lease_done;
        rc = store_put(p->store, &w->req, str_of(key), buf_str(&text), &opts);
    }
    if (rc < 0) { /* the next heartbeat tries again */
        mem_free(w);
        log_debug("sync: renew the lease of %s: %s", node, err_text(rc));
    }
    buf_fini(&text);
    arena_fini(&a);
}

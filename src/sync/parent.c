/* SPDX-License-Identifier: Apache-2.0 */
/* The upper end of the links to child nodes: what holds it together; see parent.h. */
#include "parent.h"

#include "parent_private.h"

static const struct {
    const char *path;
    unsigned flags;
    server_route_fn *fn;
} routes[] = {
    {"/selvedge/v1/ca", SERVER_ROUTE_ANONYMOUS, parent_ca_route},
    {"/selvedge/v1/join", 0, parent_join_route},
    {"/selvedge/v1/renew", SERVER_ROUTE_ANONYMOUS, parent_renew_route},
    {"/selvedge/v1/report", 0, parent_report_route},
    {"/selvedge/v1/sync", 0, conn_route},
    {"/selvedge/v1/tunnel", 0, parent_tunnel_route},
};

int sync_parent_new(struct io_loop *loop, struct store *store, struct sync_parent **ret,
                    struct err *err)
{
    struct sync_parent *p = mem_zalloc(sizeof(*p));
    if (!p) {
        return err_sys(err, -ENOMEM, "open the links to nodes");
    }
    p->loop = loop;
    p->store = store;
    map_init(&p->nodes);
    map_init(&p->by_ref);
    list_init(&p->conns);
    int rc = parent_index_open(p, err);
    if (rc < 0) {
        sync_parent_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

int sync_parent_register(struct sync_parent *p, struct api_server *server, const char *ca_cert_pem,
                         const char *ca_key_pem, struct err *err)
{
    p->ca_cert = mem_strdup(ca_cert_pem);
    p->ca_key = mem_strdup(ca_key_pem);
    int rc = p->ca_cert && p->ca_key ? 0 : -ENOMEM;
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(routes); i++) {
        rc = api_server_route(server, routes[i].path, routes[i].flags, routes[i].fn, p);
    }
    return rc < 0 ? err_sys(err, rc, "register the routes of nodes") : 0;
}

struct sync_node *parent_node(struct sync_parent *p, const char *name)
{
    struct sync_node *n = map_get(&p->nodes, str_of(name));
    if (n) {
        return n;
    }
    size_t size = strlen(name) + 1;
    n = mem_zalloc(sizeof(*n) + size);
    if (!n) {
        return NULL;
    }
    n->parent = p;
    map_init(&n->pods);
    memcpy(n->name, name, size);
    if (map_put(&p->nodes, str_of(name), n, NULL) < 0) {
        mem_free(n);
        return NULL;
    }
    return n;
}

void parent_node_release(struct sync_node *n)
{
    if (!n->conn && !n->tunnel && map_len(&n->pods) == 0) {
        (void)map_del(&n->parent->nodes, str_of(n->name)); /* returns n itself */
        map_fini(&n->pods, NULL);
        mem_free(n);
    }
}

static void node_free(void *value)
{
    struct sync_node *n = value;
    node_tunnel_close(n->tunnel);
    map_fini(&n->pods, NULL);
    mem_free(n);
}

void sync_parent_free(struct sync_parent *p)
{
    if (!p) {
        return;
    }
    parent_index_close(p);
    conn_abort_all(p);
    map_fini(&p->nodes, node_free);
    map_fini(&p->by_ref, mem_free);
    mem_free(p->ca_cert);
    mem_free(p->ca_key);
    mem_free(p);
}

void sync_parent_info(const struct sync_parent *p, struct sync_parent_info *ret)
{
    *ret = (struct sync_parent_info){.nodes = map_len(&p->nodes), .wants = p->n_wants};
    MAP_FOR_EACH (slot, &p->nodes) {
        const struct sync_node *n = slot->value;
        ret->connections += n->conn != NULL;
        ret->tunnels += n->tunnel != NULL;
    }
}

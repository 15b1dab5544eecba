/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Node object of this machine: made once, its status told when something about it changes, and
 * every hour (the heartbeat is the Lease's business; a status a minute would be most of the
 * traffic of an idle node).
 */
#include <stdio.h>

#include "api/object.h"
#include "infra_private.h"
#include "sync/digest.h"

#define LOOK_MS 10000
#define TELL_US ((int64_t)3600 * 1000000)
#define IMAGES_MAX 50
#define MEMORY_RESERVE ((int64_t)100 << 20) /* eviction hard limit of a kubelet */
#define KUBELET_VERSION "v1.32.13+selvedge." SELVEDGE_VERSION

struct node_agent {
    struct infra *inf;
    struct arena arena; /* of info and allocatable */
    struct hostinfo info;
    struct json *capacity, *allocatable;
    struct arena images_arena;
    struct json *images;
    struct io_timer timer;
    bool made; /* the replica knows how to register us */
    int64_t told_hash;
    struct mono told_at;
};

/* ---- what the machine has ---- */

static void set_bytes(struct json *o, const char *key, int64_t bytes)
{
    if (o && bytes >= 0) {
        json_set(o, key, json_printf(o->arena, "%lldKi", (long long)(bytes / 1024)));
    }
}

static void set_number(struct json *o, const char *key, int64_t n)
{
    if (o) {
        json_set(o, key, json_printf(o->arena, "%lld", (long long)n));
    }
}

static struct json *resources(struct node_agent *n, int64_t memory, int64_t ephemeral)
{
    struct json *o = json_object(&n->arena);
    set_number(o, "cpu", n->info.cpus);
    set_bytes(o, "ephemeral-storage", ephemeral);
    if (n->info.hugepages_1gi_bytes >= 0) {
        set_number(o, "hugepages-1Gi", n->info.hugepages_1gi_bytes);
    }
    if (n->info.hugepages_2mi_bytes >= 0) {
        set_number(o, "hugepages-2Mi", n->info.hugepages_2mi_bytes);
    }
    set_bytes(o, "memory", memory);
    set_number(o, "pods", n->inf->max_pods);
    return o;
}

static int read_machine(struct node_agent *n, struct err *err)
{
    struct infra *inf = n->inf;
    int rc = hostinfo_read(&n->arena, inf->state_dir, &n->info, err);
    if (rc < 0) {
        return rc;
    }
    int64_t memory = n->info.memory_bytes, disk = n->info.ephemeral_bytes;
    n->capacity = resources(n, memory, disk);
    n->allocatable = resources(n, MAX_OF(memory - MEMORY_RESERVE, 0), disk / 10 * 9);
    inf->memory_bytes = memory;
    if (!inf->node_ip) {
        inf->node_ip = mem_strdup(*n->info.ipv4 ? n->info.ipv4 : n->info.ipv6);
    }
    return arena_failed(&n->arena) || !inf->node_ip ? err_sys(err, -ENOMEM, "read the machine") : 0;
}

const struct json *node_allocatable(const struct infra *inf)
{
    return inf->node ? inf->node->allocatable : NULL;
}

static void read_images(struct node_agent *n)
{
    struct image **list = NULL;
    size_t count = 0;
    arena_fini(&n->images_arena);
    arena_init(&n->images_arena, 0);
    n->images = json_array(&n->images_arena);
    if (images_list(runtime_images(n->inf->runtime), &n->images_arena, &list, &count, NULL) < 0) {
        return; /* an empty list tells it */
    }
    for (size_t i = 0; i < count && i < IMAGES_MAX; i++) {
        struct json *o = json_push(n->images, json_object(&n->images_arena));
        struct json *names = json_ensure_array(o, "names");
        for (size_t k = 0; list[i]->names[k]; k++) {
            json_push(names, json_string(&n->images_arena, list[i]->names[k]));
        }
        json_set_int(o, "sizeBytes", list[i]->size);
    }
}

/* ---- conditions ---- */

static void set_condition(struct json *list, const struct json *old, const char *type, bool on,
                          const char *reason, const char *message)
{
    char now[TIME_TEXT_SIZE];
    const char *status = on ? "True" : "False";
    const struct json *before = conditions_get(old, type);
    bool same = cstr_eq(json_path_cstr(before, "status", ""), status);
    struct json *c = json_push(list, json_object(list ? list->arena : NULL));
    (void)time_text(wall_now(), now);
    json_set_str(c, "type", type);
    json_set_str(c, "status", status);
    json_set_str(c, "lastHeartbeatTime", now);
    json_set_str(c, "lastTransitionTime",
                 same ? json_path_cstr(before, "lastTransitionTime", now) : now);
    json_set_str(c, "reason", reason);
    json_set_str(c, "message", message);
}

/* Why the node cannot take pods; NULL when it can. */
static const char *not_ready(struct infra *inf, struct arena *a)
{
    struct err err;
    const char *problem = runtime_problem(inf->runtime);
    if (problem) {
        return arena_printf(a, "container runtime is down: %s", problem);
    }
    if (cni_check(runtime_cni(inf->runtime), &err) < 0) {
        return arena_printf(a,
                            "container runtime network not ready: NetworkReady=false "
                            "reason:NetworkPluginNotReady message:Network plugin returns error: %s",
                            err.text);
    }
    return NULL;
}

static void pressures(struct node_agent *n, struct json *list, const struct json *old)
{
    struct hostinfo_pressure p = {.memory_available = INT64_MAX};
    bool known = hostinfo_pressure(n->inf->state_dir, &p, NULL) == 0;
    bool memory = known && p.memory_available < MEMORY_RESERVE;
    bool disk = known && ((p.disk_size > 0 && p.disk_available < p.disk_size / 10) ||
                          (p.inodes > 0 && p.inodes_free < p.inodes / 20));
    bool pids = known && p.pids_max > 0 && p.pids > p.pids_max - p.pids_max / 10;
    set_condition(list, old, "MemoryPressure", memory,
                  memory ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
                  memory ? "kubelet has insufficient memory available"
                         : "kubelet has sufficient memory available");
    set_condition(list, old, "DiskPressure", disk,
                  disk ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
                  disk ? "kubelet has disk pressure" : "kubelet has no disk pressure");
    set_condition(list, old, "PIDPressure", pids,
                  pids ? "KubeletHasInsufficientPID" : "KubeletHasSufficientPID",
                  pids ? "kubelet has insufficient PID available"
                       : "kubelet has sufficient PID available");
}

static struct json *conditions(struct node_agent *n, struct arena *a, const struct json *old)
{
    struct json *list = json_array(a);
    const char *why = not_ready(n->inf, a);
    if (!list) {
        return NULL;
    }
    pressures(n, list, old);
    set_condition(list, old, "Ready", !why, why ? "KubeletNotReady" : "KubeletReady",
                  why ? why : "kubelet is posting ready status");
    return list;
}

/* ---- status ---- */

static struct json *node_info(struct node_agent *n, struct arena *a)
{
    const struct hostinfo *i = &n->info;
    struct json *o = json_object(a);
    json_set_str(o, "machineID", i->machine_id);
    json_set_str(o, "systemUUID", i->system_uuid);
    json_set_str(o, "bootID", i->boot_id);
    json_set_str(o, "kernelVersion", i->kernel_version);
    json_set_str(o, "osImage", i->os_image);
    json_set_str(o, "containerRuntimeVersion", runtime_version(n->inf->runtime));
    json_set_str(o, "kubeletVersion", KUBELET_VERSION);
    json_set_str(o, "kubeProxyVersion", "");
    json_set_str(o, "operatingSystem", i->os);
    json_set_str(o, "architecture", i->architecture);
    return o;
}

static void add_address(struct json *list, const char *type, const char *address)
{
    if (list && *address) {
        struct json *o = json_push(list, json_object(list->arena));
        json_set_str(o, "type", type);
        json_set_str(o, "address", address);
    }
}

static struct json *status_make(struct node_agent *n, struct arena *a, const struct json *old)
{
    struct json *s = json_object(a);
    struct json *addresses = json_ensure_array(s, "addresses");
    add_address(addresses, "InternalIP", n->inf->node_ip);
    add_address(addresses, "Hostname", replica_node(n->inf->replica));
    json_set(s, "allocatable", json_clone(a, n->allocatable));
    json_set(s, "capacity", json_clone(a, n->capacity));
    json_set(s, "conditions", conditions(n, a, json_get(old, "conditions")));
    json_set(s, "images", json_clone(a, n->images));
    json_set(s, "nodeInfo", node_info(n, a));
    return s;
}

/* Equal as long as nothing but the heartbeat times moved. */
static int64_t hash_without_times(struct arena *a, const struct json *status)
{
    struct json *copy = json_clone(a, status);
    JSON_FOR_EACH (c, json_get(copy, "conditions")) {
        (void)json_del(c, "lastHeartbeatTime"); /* always there */
    }
    return digest_hash(copy);
}

static struct json *node_make(struct node_agent *n, struct arena *a)
{
    const char *name = replica_node(n->inf->replica);
    struct json *o = json_object(a);
    json_set_str(o, "apiVersion", "v1");
    json_set_str(o, "kind", "Node");
    json_set_str(json_ensure_object(o, "metadata"), "name", name);
    obj_set_label(o, "kubernetes.io/hostname", name);
    obj_set_label(o, "kubernetes.io/os", n->info.os);
    obj_set_label(o, "kubernetes.io/arch", n->info.architecture);
    obj_set_label(o, "beta.kubernetes.io/os", n->info.os);
    obj_set_label(o, "beta.kubernetes.io/arch", n->info.architecture);
    struct str rest = str_of(n->inf->node_labels), pair, key, value;
    while (rest.n > 0) {
        (void)str_cut(rest, ',', &pair, &rest); /* the last one has no comma */
        (void)str_cut(pair, '=', &key, &value); /* without a value it is "" */
        if (key.n > 0) {
            char *k = arena_str(a, key), *v = arena_str(a, value);
            obj_set_label(o, k ? k : "", v ? v : "");
        }
    }
    obj_set_annotation(o, "volumes.kubernetes.io/controller-managed-attach-detach", "true");
    (void)json_ensure_object(o, "spec"); /* made empty */
    return o;
}

static void tell(struct node_agent *n)
{
    struct infra *inf = n->inf;
    struct arena a;
    struct err err;
    arena_init(&a, 0);
    struct json *node = replica_get(inf->replica, &a, "nodes", NULL, replica_node(inf->replica));
    int rc = node && n->made ? 0 : replica_make_node(inf->replica, node_make(n, &a), &err);
    n->made = rc == 0;
    struct json *status = status_make(n, &a, json_get(node, "status"));
    int64_t hash = hash_without_times(&a, status);
    bool due = hash != n->told_hash || mono_now().us - n->told_at.us > TELL_US;
    if (rc == 0 && arena_failed(&a)) {
        rc = err_sys(&err, -ENOMEM, "make the node's status");
    }
    if (rc == 0 && due) {
        rc = replica_set_status(inf->replica, "nodes", NULL, replica_node(inf->replica), NULL,
                                status, &err);
        n->told_hash = rc == 0 ? hash : 0;
        n->told_at = mono_now();
    }
    if (rc < 0) {
        log_warn("node status: %s; trying again", err.text);
    }
    arena_fini(&a);
}

static void look(void *arg)
{
    tell(arg);
}

void node_agent_changed(struct infra *inf)
{
    read_images(inf->node);
    tell(inf->node);
}

int node_agent_new(struct infra *inf, struct node_agent **ret, struct err *err)
{
    struct node_agent *n = mem_zalloc(sizeof(*n));
    if (!n) {
        return err_sys(err, -ENOMEM, "start the node agent");
    }
    n->inf = inf;
    arena_init(&n->arena, 0);
    arena_init(&n->images_arena, 0);
    io_timer_init(inf->loop, &n->timer, look, n);
    int rc = read_machine(n, err);
    if (rc < 0) {
        node_agent_free(n);
        return rc;
    }
    read_images(n);
    tell(n);
    io_timer_start(&n->timer, LOOK_MS, LOOK_MS);
    *ret = n;
    return 0;
}

void node_agent_free(struct node_agent *n)
{
    if (n) {
        io_timer_stop(&n->timer);
        arena_fini(&n->arena);
        arena_fini(&n->images_arena);
        mem_free(n);
    }
}

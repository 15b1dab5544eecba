/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's picture of nodes and pods, and the decision; the contract is in sched.h. */
#include "sched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "api/quantity.h"
#include "base/mem.h"
#include "sched_private.h"

#define KEY_SIZE 520
#define ENOUGH_NODES                                                            \
    100 /* feasible nodes among which to choose; above it the search ends early \
         */

static struct str pod_key(char *buf, const char *ns, const char *name)
{
    int n = snprintf(buf, KEY_SIZE, "%s/%s", ns, name);
    return str_n(buf, n < 0 ? 0 : (size_t)MIN_OF(n, KEY_SIZE - 1));
}

struct sched *sched_new(void)
{
    return mem_zalloc(sizeof(struct sched));
}

static void free_nominee(void *value)
{
    struct sched_nominee *n = value;
    if (n) {
        list_del(&n->on_node);
        mem_free(n->key);
        mem_free(n);
    }
}

static void free_pod(void *value)
{
    struct sched_pod *p = value;
    if (p) {
        list_del(&p->on_node);
        pod_facts_free(p->facts);
        arena_fini(&p->arena);
        mem_free(p);
    }
}

static void free_node(void *value)
{
    struct sched_node *n = value;
    if (n) {
        LIST_FOR_EACH_SAFE (l, &n->nominated) {
            list_del(l); /* its nominee lives on in the map */
        }
        map_fini(&n->owners, NULL);
        mem_free((void *)n->name);
        arena_fini(&n->arena);
        mem_free(n);
    }
}

struct sched_ns {
    struct arena arena;
    const struct json *labels;
};

static void free_ns(void *value)
{
    struct sched_ns *ns = value;
    if (ns) {
        arena_fini(&ns->arena);
        mem_free(ns);
    }
}

void sched_free(struct sched *s)
{
    if (s) {
        map_fini(&s->nominees, free_nominee);
        map_fini(&s->pods, free_pod);
        map_fini(&s->nodes, free_node);
        map_fini(&s->namespaces, free_ns);
        mem_free((void *)s->order);
        mem_free(s);
    }
}

size_t sched_nodes(const struct sched *s)
{
    return s->n;
}

/* ---- sums ---- */

static void amount_add(struct sched_amount *sum, const struct sched_amount *a, int64_t sign)
{
    sum->cpu += sign * a->cpu;
    sum->memory += sign * a->memory;
    sum->storage += sign * a->storage;
    sum->pods += sign * a->pods;
}

/* Keeps the number of an owner's pods on a node. When memory is short they only spread less well.
 */
static void count_owner(struct sched_node *node, const char *owner, intptr_t change)
{
    intptr_t n = (intptr_t)map_get(&node->owners, str_of(owner)) + change;
    if (!owner[0] || n < 0) {
        return;
    }
    if (n == 0) {
        (void)map_del(&node->owners, str_of(owner)); /* a number, nothing to free */
    } else {
        (void)map_put(&node->owners, str_of(owner), (void *)n, NULL);
    }
}

void sched_attach(struct sched *s, struct sched_pod *p)
{
    struct sched_node *node = map_get(&s->nodes, str_of(p->facts->node));
    s->anti_pods += p->anti.n > 0;
    if (node) {
        list_push_back(&node->pods, &p->on_node);
        count_owner(node, p->facts->owner, 1);
        amount_add(&node->used, &p->asks, 1);
        node->anti_pods += p->anti.n > 0;
    }
}

void sched_detach(struct sched *s, struct sched_pod *p)
{
    struct sched_node *node = map_get(&s->nodes, str_of(p->facts->node));
    s->anti_pods -= p->anti.n > 0;
    if (node) {
        list_del(&p->on_node);
        count_owner(node, p->facts->owner, -1);
        amount_add(&node->used, &p->asks, -1);
        node->anti_pods -= p->anti.n > 0;
    }
}

/* ---- pods ---- */

void sched_del_pod(struct sched *s, const char *ns, const char *name)
{
    char buf[KEY_SIZE];
    struct sched_pod *p = map_del(&s->pods, pod_key(buf, ns, name));
    if (p) {
        sched_detach(s, p);
        free_pod(p);
    }
}

static struct sched_pod *make_pod(const struct json *pod)
{
    struct sched_pod *p = mem_zalloc(sizeof(*p));
    if (!p) {
        return NULL;
    }
    list_init(&p->on_node);
    arena_init(&p->arena, /* cap= */ 0);
    p->facts = pod_facts_new(pod);
    p->asks = pod_asks(pod);
    p->priority = json_path_i64(pod, "spec.priority", 0);
    (void)time_parse(str_of(json_path_cstr(pod, "status.startTime", "")), &p->started); /* or 0 */
    p->extended = pod_extended(&p->arena, pod);
    /* Terms that make no sense repel nobody. */
    (void)read_pod_terms(&p->arena, pod, "podAntiAffinity", false, 1, &p->anti, NULL);
    if (!p->facts || !read_ports(&p->arena, pod, &p->ports, &p->n_ports) ||
        arena_failed(&p->arena)) {
        free_pod(p);
        return NULL;
    }
    return p;
}

int sched_set_pod(struct sched *s, const struct json *pod)
{
    char buf[KEY_SIZE];
    sched_del_pod(s, obj_ns(pod), obj_name(pod));
    const char *phase = json_path_cstr(pod, "status.phase", "");
    bool bound = json_path_cstr(pod, "spec.nodeName", "")[0] != '\0';
    if (!bound || strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0) {
        return 0;
    }
    struct sched_pod *p = make_pod(pod);
    if (!p || map_put(&s->pods, pod_key(buf, obj_ns(pod), obj_name(pod)), p, NULL) < 0) {
        free_pod(p);
        return -E_NOMEM;
    }
    sched_attach(s, p);
    return 0;
}

int sched_assume(struct sched *s, const struct json *pod, const char *node)
{
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    struct json *copy = json_clone(&a, pod);
    json_set_str(json_ensure_object(copy, "spec"), "nodeName", node);
    int r = arena_failed(&a) ? -E_NOMEM : sched_set_pod(s, copy);
    arena_fini(&a);
    return r;
}

/* ---- nodes ---- */

static struct sched_node *node_of(struct sched *s, const char *name)
{
    struct sched_node *node = map_get(&s->nodes, str_of(name));
    if (node) {
        return node;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        struct sched_node **order = mem_realloc((void *)s->order, cap * sizeof(*order));
        if (!order) {
            return NULL;
        }
        s->order = order;
        s->cap = cap;
    }
    node = mem_zalloc(sizeof(*node));
    if (!node) {
        return NULL;
    }
    arena_init(&node->arena, /* cap= */ 0);
    list_init(&node->pods);
    list_init(&node->nominated);
    if (!(node->name = mem_strdup(name)) || map_put(&s->nodes, str_of(name), node, NULL) < 0) {
        free_node(node);
        return NULL;
    }
    s->order[s->n++] = node;
    return node;
}

/* Pods that were bound to a node before it was known. */
static void attach_waiting(struct sched *s, struct sched_node *node)
{
    MAP_FOR_EACH (slot, &s->pods) {
        struct sched_pod *p = slot->value;
        if (strcmp(p->facts->node, node->name) == 0) {
            s->anti_pods -= p->anti.n > 0; /* attach() counts it again */
            sched_attach(s, p);
        }
    }
}

static const struct json *not_ready_taint(struct arena *a, const struct json *node)
{
    const char *status = obj_condition_status(node, "Ready");
    if (strcmp(status, "True") == 0) {
        return NULL;
    }
    struct json *taint = json_object(a);
    json_set_str(taint, "key",
                 strcmp(status, "Unknown") == 0 ? "node.kubernetes.io/unreachable"
                                                : "node.kubernetes.io/not-ready");
    json_set_str(taint, "effect", "NoSchedule");
    return taint;
}

static const struct json *copy(struct arena *a, const struct json *j)
{
    return j ? json_clone(a, j) : NULL;
}

static struct resource_list allocatable_extended(struct arena *a, const struct json *has)
{
    struct resource_list l = {0};
    JSON_FOR_EACH_MEMBER (m, has) {
        struct quantity q;
        if ((strchr(m->key, '/') || str_starts(str_of(m->key), "hugepages-")) &&
            quantity_from_json(m->value, &q, NULL) == 0) {
            resource_list_add(a, &l, m->key, q);
        }
    }
    return l;
}

int sched_set_node(struct sched *s, const struct json *json)
{
    const struct json *status = json_get(json, "status");
    const struct json *has = json_get(status, "allocatable");
    bool fresh = !map_get(&s->nodes, str_of(obj_name(json)));
    struct sched_node *node = node_of(s, obj_name(json));
    if (!node) {
        return -E_NOMEM;
    }
    arena_clear(&node->arena);
    node->labels = copy(&node->arena, obj_labels(json));
    node->taints = copy(&node->arena, json_path(json, "spec.taints"));
    node->images = copy(&node->arena, json_get(status, "images"));
    node->extended = allocatable_extended(&node->arena, has ? has : json_get(status, "capacity"));
    node->not_ready = not_ready_taint(&node->arena, json);
    node->unschedulable = json_path_true(json, "spec.unschedulable", false);
    has = has ? has : json_get(status, "capacity");
    node->has = (struct sched_amount){
        .cpu = quantity_json_milli(json_get(has, "cpu")),
        .memory = quantity_json_value(json_get(has, "memory")),
        .storage = quantity_json_value(json_get(has, "ephemeral-storage")),
        .pods = json_get(has, "pods") ? quantity_json_value(json_get(has, "pods")) : 110,
    };
    if (fresh) {
        attach_waiting(s, node);
    }
    return 0;
}

void sched_del_node(struct sched *s, const char *name)
{
    struct sched_node *node = map_get(&s->nodes, str_of(name));
    if (!node) {
        return;
    }
    LIST_FOR_EACH_SAFE (l, &node->pods) {
        list_del(l);
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->order[i] == node) {
            s->order[i] = s->order[--s->n];
            break;
        }
    }
    (void)map_del(&s->nodes, str_of(name)); /* node itself */
    free_node(node);
}

/* ---- namespaces ---- */

int sched_set_namespace(struct sched *s, const struct json *json)
{
    struct sched_ns *ns = mem_zalloc(sizeof(*ns)), *old = NULL;
    if (!ns) {
        return -E_NOMEM;
    }
    arena_init(&ns->arena, /* cap= */ 0);
    ns->labels = copy(&ns->arena, obj_labels(json));
    if (map_put(&s->namespaces, str_of(obj_name(json)), ns, (void **)&old) < 0) {
        free_ns(ns);
        return -E_NOMEM;
    }
    free_ns(old);
    return 0;
}

void sched_del_namespace(struct sched *s, const char *name)
{
    free_ns(map_del(&s->namespaces, str_of(name)));
}

const struct json *sched_namespace_labels(const struct sched *s, const char *name)
{
    const struct sched_ns *ns = map_get(&s->namespaces, str_of(name));
    return ns ? ns->labels : NULL;
}

/* ---- the decision ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable." */
static int explain(const struct want *w, const struct json *reasons, struct err *err)
{
    const char **lines = arena_alloc(w->arena, (json_len(reasons) + 1) * sizeof(*lines));
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    size_t n = 0;
    if (w->s->n == 0) {
        return err_set(err, -E_AGAIN, "no nodes available to schedule pods");
    }
    JSON_FOR_EACH_MEMBER (m, reasons) {
        const char *line =
            arena_printf(w->arena, "%lld %s", (long long)json_i64(m->value, 0), m->key);
        if (!lines || !line) {
            return err_set(err, -E_NOMEM, "out of memory");
        }
        lines[n++] = line;
    }
    qsort((void *)lines, n, sizeof(*lines), compare_keys);
    for (size_t i = 0; i < n; i++) {
        (void)buf_printf(&text, "%s%s", i ? ", " : "", lines[i]);
    }
    return err_set(err, -E_AGAIN, "0/%zu nodes are available: " STR_FMT ".", w->s->n,
                   STR_ARG(buf_str(&text)));
}

static void count_reasons(const struct want *w, struct json *reasons, const char *const *v,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_set(reasons, v[i], json_int(w->arena, json_i64(json_get(reasons, v[i]), 0) + 1));
    }
}

int sched_place(struct sched *s, struct arena *a, const struct json *pod,
                const struct sched_volumes *volumes, const char **ret_node, struct err *err)
{
    struct want w;
    int r = want_init(&w, s, a, pod, err);
    if (r < 0) {
        return r;
    }
    w.volumes = volumes;
    want_survey(&w);
    struct json *reasons = json_object(a);
    struct sched_node **fit = arena_alloc(a, (s->n + 1) * sizeof(*fit));
    size_t n = 0, seen = 0;
    for (; fit && seen < s->n && n < ENOUGH_NODES; seen++) {
        struct sched_node *node = s->order[(s->turn + seen) % s->n];
        const char *why[REASONS_MAX];
        size_t n_why = sched_filter(&w, node, why);
        if (n_why == 0) {
            fit[n++] = node;
        } else {
            count_reasons(&w, reasons, why, n_why);
        }
    }
    if (arena_failed(a)) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    if (n == 0) {
        return explain(&w, reasons, err);
    }
    s->turn = (s->turn + seen) % s->n;
    *ret_node = sched_best(&w, fit, n)->name;
    return 0;
}

/* ---- nominees ---- */

void sched_unnominate(struct sched *s, const char *ns, const char *name)
{
    char buf[KEY_SIZE];
    if (map_len(&s->nominees) > 0) {
        free_nominee(map_del(&s->nominees, pod_key(buf, ns, name)));
    }
}

int sched_nominate(struct sched *s, const struct json *pod, const char *name)
{
    char buf[KEY_SIZE];
    struct sched_node *node = map_get(&s->nodes, str_of(name));
    struct str key = pod_key(buf, obj_ns(pod), obj_name(pod));
    sched_unnominate(s, obj_ns(pod), obj_name(pod));
    if (!node) {
        return 0;
    }
    struct sched_nominee *n = mem_zalloc(sizeof(*n));
    if (!n) {
        return -E_NOMEM;
    }
    list_init(&n->on_node);
    n->key = mem_strndup(key.p, key.n);
    n->priority = json_path_i64(pod, "spec.priority", 0);
    n->asks = pod_asks(pod);
    if (!n->key || map_put(&s->nominees, key, n, NULL) < 0) {
        free_nominee(n);
        return -E_NOMEM;
    }
    list_push_back(&node->nominated, &n->on_node);
    return 0;
}

bool sched_room_is_coming(const struct sched *s, const struct json *pod, const char *name)
{
    const struct sched_node *node = map_get(&s->nodes, str_of(name));
    int64_t priority = json_path_i64(pod, "spec.priority", 0);
    if (!node) {
        return false;
    }
    LIST_FOR_EACH (l, &node->pods) {
        const struct sched_pod *p = CONTAINER_OF(l, struct sched_pod, on_node);
        if (p->facts->deleting && p->priority < priority) {
            return true;
        }
    }
    return false;
}

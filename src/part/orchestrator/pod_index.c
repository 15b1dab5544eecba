/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of pods and where to find them; the contract is in pod_index.h. */
#include "pod_index.h"

#include <stdio.h>
#include <string.h>

#include "api/object.h"
#include "base/map.h"

#define DELETION_COST "controller.kubernetes.io/pod-deletion-cost"

/* ---- facts ---- */

static enum pod_phase phase_of(const struct json *pod)
{
    static const char *const names[] = {
        [POD_PENDING] = "Pending", [POD_RUNNING] = "Running", [POD_SUCCEEDED] = "Succeeded",
        [POD_FAILED] = "Failed",   [POD_UNKNOWN] = "Unknown",
    };
    const char *text = json_path_cstr(pod, "status.phase", "Pending");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum pod_phase)i;
        }
    }
    return POD_PENDING;
}

static int64_t most_restarts(const struct json *pod)
{
    int64_t most = 0;
    JSON_FOR_EACH (status, json_path(pod, "status.containerStatuses")) {
        most = MAX_OF(most, json_i64(json_get(status, "restartCount"), 0));
    }
    return most;
}

static int64_t sum_of_restarts(const struct json *pod)
{
    static const char *const lists[] = {"status.initContainerStatuses", "status.containerStatuses"};
    int64_t sum = 0;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        JSON_FOR_EACH (status, json_path(pod, lists[i])) {
            sum += json_i64(json_get(status, "restartCount"), 0);
        }
    }
    return sum;
}

/* The node of a required node affinity to metadata.name, as DaemonSets write it. */
static const char *target_of(const struct json *pod)
{
    const struct json *terms =
        json_path(pod, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                       "nodeSelectorTerms");
    const struct json *field = json_at(json_get(json_at(terms, 0), "matchFields"), 0);
    if (strcmp(json_path_cstr(field, "key", ""), "metadata.name") != 0) {
        return "";
    }
    return json_cstr(json_at(json_get(field, "values"), 0), "");
}

/* Copies a text behind the struct and moves on. */
static const char *put_text(char **at, struct str s)
{
    char *out = *at;
    if (s.n) {
        memcpy(out, s.p, s.n);
    }
    out[s.n] = '\0';
    *at += s.n + 1;
    return out;
}

static size_t labels_size(const struct json *labels)
{
    size_t n = 1;
    JSON_FOR_EACH_MEMBER (m, labels) {
        n += m->key_n + 1 + json_text(m->value).n + 1;
    }
    return n;
}

static const char *put_labels(char **at, const struct json *labels)
{
    char *out = *at;
    JSON_FOR_EACH_MEMBER (m, labels) {
        if (m->key_n) {
            (void)put_text(at, str_n(m->key, m->key_n)); /* found again by walking */
            (void)put_text(at, json_text(m->value));
        }
    }
    (void)put_text(at, STR_NULL); /* an empty key ends the list */
    return out;
}

#define PORT_TEXT 24

/* Calls for each named port; at NULL: returns the room that they need. */
static size_t put_ports(char **at, const struct json *pod)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    size_t n = 1;
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        JSON_FOR_EACH (c, json_path(pod, lists[l])) {
            JSON_FOR_EACH (port, json_get(c, "ports")) {
                struct str name = json_text(json_get(port, "name"));
                struct str protocol = str_of(json_cstr(json_get(port, "protocol"), "TCP"));
                char number[PORT_TEXT];
                (void)snprintf(number, sizeof(number), "%lld",
                               (long long)json_i64(json_get(port, "containerPort"), 0));
                if (name.n && at) {
                    (void)put_text(at, name);
                    (void)put_text(at, protocol);
                    (void)put_text(at, str_of(number));
                }
                n += name.n ? name.n + protocol.n + PORT_TEXT + 3 : 0;
            }
        }
    }
    if (at) {
        (void)put_text(at, STR_NULL);
    }
    return n;
}

int64_t pod_port(const struct pod_facts *p, const char *name, const char *protocol)
{
    for (const char *at = p->ports; *at;) {
        const char *proto = at + strlen(at) + 1, *number = proto + strlen(proto) + 1;
        int64_t n;
        if (strcmp(at, name) == 0 && strcmp(proto, protocol) == 0 &&
            str_i64(str_of(number), &n) == 0) {
            return n;
        }
        at = number + strlen(number) + 1;
    }
    return 0;
}

static void read_state(struct pod_facts *p, const struct json *pod)
{
    p->phase = phase_of(pod);
    p->deleting = obj_deleting(pod);
    p->ready = obj_condition_true(pod, "Ready");
    p->containers_ready = obj_condition_true(pod, "ContainersReady");
    p->marked_not_ready =
        strcmp(json_cstr(json_get(obj_condition(pod, "Ready"), "reason"), ""), "NodeNotReady") == 0;
    p->created = obj_created(pod);
    p->restarts = most_restarts(pod);
    p->all_restarts = sum_of_restarts(pod);
    p->tracked = obj_has_finalizer(pod, JOB_TRACKING);
    const char *since = json_cstr(json_get(obj_condition(pod, "Ready"), "lastTransitionTime"), "");
    (void)time_parse(str_of(since), &p->ready_since); /* stays 0: since ever */
    (void)str_i64(str_of(obj_annotation(pod, DELETION_COST)), &p->deletion_cost); /* stays 0 */
}

struct pod_facts *pod_facts_new(const struct json *pod)
{
    const struct json *labels = obj_labels(pod), *ref = obj_controller_ref(pod);
    const char *texts[] = {obj_ns(pod),
                           obj_name(pod),
                           obj_uid(pod),
                           json_cstr(json_get(ref, "uid"), ""),
                           json_path_cstr(pod, "spec.nodeName", ""),
                           json_cstr(json_get(ref, "kind"), ""),
                           json_cstr(json_get(ref, "name"), ""),
                           json_path_cstr(pod, "status.podIP", ""),
                           json_path_cstr(pod, "spec.hostname", ""),
                           json_path_cstr(pod, "spec.subdomain", ""),
                           target_of(pod)};
    size_t n = labels_size(labels) + put_ports(NULL, pod);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        n += strlen(texts[i]) + 1;
    }
    struct pod_facts *p = mem_zalloc(sizeof(*p) + n);
    if (!p) {
        return NULL;
    }
    char *at = (char *)(p + 1);
    p->ns = put_text(&at, str_of(texts[0]));
    p->name = put_text(&at, str_of(texts[1]));
    p->uid = put_text(&at, str_of(texts[2]));
    p->owner = put_text(&at, str_of(texts[3]));
    p->node = put_text(&at, str_of(texts[4]));
    p->owner_kind = put_text(&at, str_of(texts[5]));
    p->owner_name = put_text(&at, str_of(texts[6]));
    p->ip = put_text(&at, str_of(texts[7]));
    p->hostname = put_text(&at, str_of(texts[8]));
    p->subdomain = put_text(&at, str_of(texts[9]));
    p->target = put_text(&at, str_of(texts[10]));
    p->labels = put_labels(&at, labels);
    p->ports = at;
    (void)put_ports(&at, pod);
    read_state(p, pod);
    list_init(&p->by_group);
    list_init(&p->by_node);
    list_init(&p->by_ns);
    return p;
}

void pod_facts_free(struct pod_facts *p)
{
    if (p) {
        list_del(&p->by_group);
        list_del(&p->by_node);
        list_del(&p->by_ns);
        mem_free(p);
    }
}

const char *pod_label(const void *pod, const char *key)
{
    const struct pod_facts *p = pod;
    for (const char *at = p->labels; *at;) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, key) == 0) {
            return value;
        }
        at = value + strlen(value) + 1;
    }
    return NULL;
}

bool pod_available(const struct pod_facts *p, int64_t min_ready_s, struct wall now,
                   int64_t *ret_wait_ms)
{
    if (!p->ready) {
        return false;
    }
    int64_t left = min_ready_s > 0 ? p->ready_since.us + min_ready_s * 1000000 - now.us : 0;
    if (left > 0 && ret_wait_ms) {
        int64_t ms = left / 1000 + 1;
        *ret_wait_ms = *ret_wait_ms < 0 || ms < *ret_wait_ms ? ms : *ret_wait_ms;
    }
    return left <= 0;
}

/* ---- the index ---- */

/* The pods under one name; freed when the last one leaves. */
struct group {
    struct list pods;
    size_t n; /* kept for groups of owners */
};

struct pod_index {
    struct map pods;   /* "ns/name" -> struct pod_facts */
    struct map groups; /* "u/UID" of owners, "n/NS" of pods without one -> struct group */
    struct map nodes;  /* node -> struct group */
    struct map spaces; /* namespace -> struct group */
};

struct pod_index *pod_index_new(void)
{
    return mem_zalloc(sizeof(struct pod_index));
}

static void free_pod(void *value)
{
    pod_facts_free(value);
}

void pod_index_free(struct pod_index *x)
{
    if (x) {
        map_fini(&x->pods, free_pod);
        map_fini(&x->groups, mem_free);
        map_fini(&x->nodes, mem_free);
        map_fini(&x->spaces, mem_free);
        mem_free(x);
    }
}

#define KEY_SIZE 560

static struct str make_key(char *buf, const char *a, const char *b)
{
    int n = snprintf(buf, KEY_SIZE, "%s/%s", a, b);
    return str_n(buf, n < 0 ? 0 : (size_t)MIN_OF(n, KEY_SIZE - 1));
}

static struct str group_key(char *buf, const struct pod_facts *p)
{
    return p->owner[0] ? make_key(buf, "u", p->owner) : make_key(buf, "n", p->ns);
}

static struct group *group_of(struct map *m, struct str key)
{
    struct group *g = map_get(m, key);
    if (!g) {
        g = mem_zalloc(sizeof(*g));
        if (!g || map_put(m, key, g, NULL) < 0) {
            mem_free(g);
            return NULL;
        }
        list_init(&g->pods);
    }
    return g;
}

static void drop_if_empty(struct map *m, struct str key)
{
    struct group *g = map_get(m, key);
    if (g && list_empty(&g->pods)) {
        (void)map_del(m, key); /* g itself */
        mem_free(g);
    }
}

static void remove_pod(struct pod_index *x, const char *ns, const char *name)
{
    char buf[KEY_SIZE];
    struct pod_facts *p = map_del(&x->pods, make_key(buf, ns, name));
    if (!p) {
        return;
    }
    struct group *group = map_get(&x->groups, group_key(buf, p));
    group->n--;
    list_del(&p->by_group);
    list_del(&p->by_node);
    list_del(&p->by_ns);
    drop_if_empty(&x->spaces, str_of(p->ns));
    drop_if_empty(&x->groups, group_key(buf, p));
    drop_if_empty(&x->nodes, str_of(p->node));
    pod_facts_free(p);
}

static void insert_pod(struct pod_index *x, const struct json *pod)
{
    char buf[KEY_SIZE];
    struct pod_facts *p = pod_facts_new(pod);
    if (!p) {
        return;
    }
    struct group *group = group_of(&x->groups, group_key(buf, p));
    struct group *node = p->node[0] ? group_of(&x->nodes, str_of(p->node)) : NULL;
    struct group *space = group_of(&x->spaces, str_of(p->ns));
    if (!group || !space || (p->node[0] && !node) ||
        map_put(&x->pods, make_key(buf, p->ns, p->name), p, NULL) < 0) {
        pod_facts_free(p);
        return;
    }
    list_push_back(&group->pods, &p->by_group);
    group->n++;
    list_push_back(&space->pods, &p->by_ns);
    if (node) {
        list_push_back(&node->pods, &p->by_node);
    }
}

void pod_index_change(struct pod_index *x, const struct json *was, const struct json *pod)
{
    if (was) {
        remove_pod(x, obj_ns(was), obj_name(was));
    }
    if (pod) {
        remove_pod(x, obj_ns(pod), obj_name(pod));
        insert_pod(x, pod);
    }
}

struct pod_facts *pod_index_get(const struct pod_index *x, const char *ns, const char *name)
{
    char buf[KEY_SIZE];
    return map_get(&x->pods, make_key(buf, ns, name));
}

static const struct list *pods_of(const struct map *m, struct str key)
{
    struct group *g = map_get(m, key);
    return g && !list_empty(&g->pods) ? &g->pods : NULL;
}

const struct list *pod_index_owned(const struct pod_index *x, const char *owner_uid)
{
    char buf[KEY_SIZE];
    return pods_of(&x->groups, make_key(buf, "u", owner_uid));
}

size_t pod_index_owned_n(const struct pod_index *x, const char *owner_uid)
{
    char buf[KEY_SIZE];
    const struct group *g = map_get(&x->groups, make_key(buf, "u", owner_uid));
    return g ? g->n : 0;
}

const struct list *pod_index_orphans(const struct pod_index *x, const char *ns)
{
    char buf[KEY_SIZE];
    return pods_of(&x->groups, make_key(buf, "n", ns));
}

const struct list *pod_index_on_node(const struct pod_index *x, const char *node)
{
    return pods_of(&x->nodes, str_of(node));
}

const struct list *pod_index_in_ns(const struct pod_index *x, const char *ns)
{
    return pods_of(&x->spaces, str_of(ns));
}

void pod_index_each(const struct pod_index *x, void (*fn)(void *arg, struct pod_facts *p),
                    void *arg)
{
    MAP_FOR_EACH (slot, &x->pods) {
        fn(arg, slot->value);
    }
}

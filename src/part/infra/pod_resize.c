/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources of a running pod that have changed (pods/resize): the groups of its containers get the
 * new bounds in place, or a container is started anew where its resizePolicy says so.
 *
 *     wanted (spec) != applied --fits--> pod's group, containers' groups, pod's group again -->
 * applied
 *                        \--larger than the node: Infeasible; than what is left of it: Deferred
 */
#include "api/object.h"
#include "api/quantity.h"
#include "infra_private.h"

#define RETRY_US 5000000

enum { CPU, MEMORY, AMOUNTS };
static const char *const names[AMOUNTS] = {"cpu", "memory"};

static char *text_of(const struct json *resources)
{
    struct buf b = BUF_INIT;
    if (resources && json_print(&b, resources) < 0) {
        buf_fini(&b);
        return NULL;
    }
    (void)buf_append(&b, "", 0); /* an absent one is "" */
    char *text = buf_take(&b, NULL);
    return text ? text : mem_strdup("");
}

void slot_resources_applied(struct slot *s)
{
    char *text = text_of(json_get(s->spec, "resources"));
    if (text) { /* without memory the next look applies them once more */
        mem_free(s->applied);
        s->applied = text;
    }
}

static bool differs(const struct slot *s)
{
    CLEANUP(mem_freep) char *text = text_of(json_get(s->spec, "resources"));
    return text && s->applied && !cstr_eq(text, s->applied);
}

/* ---- does it fit? ---- */

static int64_t request_of(const struct json *container, int what)
{
    const struct json *r = json_path(container, "resources.requests");
    const struct json *v = json_get(r, names[what]);
    return what == CPU ? quantity_json_milli(v) : quantity_json_value(v);
}

static int64_t requests_of(const struct pod *p, int what)
{
    int64_t sum = 0;
    JSON_FOR_EACH (c, json_path(p->obj, "spec.containers")) {
        sum += request_of(c, what);
    }
    return sum;
}

/* NULL, or what status.resize says. */
static const char *obstacle(const struct pod *p)
{
    for (int what = 0; what < AMOUNTS; what++) {
        const struct json *v = json_get(node_allocatable(p->inf), names[what]);
        int64_t room = what == CPU ? quantity_json_milli(v) : quantity_json_value(v);
        int64_t own = requests_of(p, what), all = 0;
        if (own > room) {
            return "Infeasible";
        }
        MAP_FOR_EACH (slot, &p->inf->pods) {
            const struct pod *q = slot->value;
            all += q->obj && q->sm.state <= POD_RUNNING ? requests_of(q, what) : 0;
        }
        if (all > room) {
            return "Deferred";
        }
    }
    return NULL;
}

/* ---- doing it ---- */

static bool changed(const struct slot *s, int what)
{
    static const char *const lists[] = {"requests", "limits"};
    struct arena a;
    struct json *old = NULL;
    bool is = false;
    arena_init(&a, 0);
    (void)json_parse(&a, str_of(s->applied), NULL, &old, NULL); /* "" reads as nothing */
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct json *now = json_get(json_path(s->spec, "resources"), lists[i]);
        is |=
            !json_equal(json_get(json_get(old, lists[i]), names[what]), json_get(now, names[what]));
    }
    arena_fini(&a);
    return is;
}

static bool must_restart(const struct slot *s)
{
    bool restart = false;
    JSON_FOR_EACH (policy, json_get(s->spec, "resizePolicy")) {
        for (int what = 0; what < AMOUNTS; what++) {
            restart |= cstr_eq(json_path_cstr(policy, "resourceName", ""), names[what]) &&
                       cstr_eq(json_path_cstr(policy, "restartPolicy", ""), "RestartContainer") &&
                       changed(s, what);
        }
    }
    return restart;
}

static int resize_slot(struct slot *s, struct err *err)
{
    struct cgroup_limits limits;
    if (must_restart(s)) {
        slot_event(s, "Normal", "Killing", "Container %s resize requires restart", s->name);
        slot_stop(s, pod_grace_us(s->pod), NULL);
        slot_resources_applied(s); /* the next start takes them */
        return 0;
    }
    slot_limits(s, &limits);
    int rc = container_set_limits(s->c, &limits, err);
    if (rc == 0) {
        slot_resources_applied(s);
    }
    return rc;
}

void pod_resize(struct pod *p)
{
    struct err err = {0};
    bool any = false;
    int rc = 0;
    for (size_t i = 0; i < p->n_slots; i++) {
        any |= p->slots[i]->sm.state == SLOT_RUNNING && differs(p->slots[i]);
    }
    p->resize = any ? obstacle(p) : NULL;
    if (!any || p->resize) {
        if (p->resize && strcmp(p->resize, "Deferred") == 0) {
            pod_wake_at(p, (struct mono){mono_now().us + RETRY_US});
        }
        return;
    }
    (void)pod_make_cgroup(p,
                          &err); /* a smaller bound is refused until the containers have theirs */
    for (size_t i = 0; i < p->n_slots; i++) {
        struct slot *s = p->slots[i];
        if (s->sm.state == SLOT_RUNNING && differs(s)) {
            int r = resize_slot(s, &err);
            rc = rc < 0 ? rc : r;
        }
    }
    rc = rc < 0 ? rc : pod_make_cgroup(p, &err);
    if (rc < 0) {
        p->resize = "InProgress";
        pod_event(p, NULL, "Warning", "ResizeError", "%s", err.text);
        pod_wake_at(p, (struct mono){mono_now().us + RETRY_US});
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* ControllerRevisions; the contract is in revision.h. */
#include "revision.h"

#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "base/mem.h"
#include "deployment.h"
#include "orchestrator_private.h"
#include "workload.h"

#define OWN_HASH_LABEL "controller.kubernetes.io/hash"

static int64_t number(const struct json *revision)
{
    return json_i64(json_get(revision, "revision"), 0);
}

/* As Kubernetes: by number, then age, then name. */
static int compare(const void *x, const void *y)
{
    const struct json *a = *(struct json *const *)x, *b = *(struct json *const *)y;
    int64_t p = number(a), q = number(b);
    if (p != q) {
        return p < q ? -1 : 1;
    }
    p = obj_created(a).us;
    q = obj_created(b).us;
    return p != q ? (p < q ? -1 : 1) : strcmp(obj_name(a), obj_name(b));
}

static bool claim(const struct revisions_in *in, struct plan *plan, const struct selector *selector,
                  const struct json *revision)
{
    const struct kind *kind = known_kinds()->revision;
    bool match = selector_match_labels(selector, obj_labels(revision));
    if (obj_controlled_by(revision, obj_uid(in->owner))) {
        if (!match && !obj_deleting(in->owner)) {
            workload_release(plan, kind, obj_ns(revision), obj_name(revision), obj_uid(revision),
                             in->owner);
        }
        return match;
    }
    if (obj_controller_ref(revision) || !match || obj_deleting(in->owner) ||
        obj_deleting(revision)) {
        return false;
    }
    workload_adopt(plan, kind, obj_ns(revision), obj_name(revision), obj_uid(revision), in->owner,
                   in->kind);
    return true;
}

const struct json *revision_template(const struct json *revision)
{
    return json_path(revision, "data.spec.template");
}

const char *revision_hash(const struct json *revision)
{
    const char *own = obj_label(revision, OWN_HASH_LABEL);
    return own[0] ? own : obj_label(revision, REVISION_HASH_LABEL);
}

const struct json *revisions_find(const struct revisions *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++) {
        if (strcmp(obj_name(r->v[i]), name) == 0) {
            return r->v[i];
        }
    }
    return NULL;
}

static struct json *data_of(struct arena *a, const struct json *owner)
{
    struct json *data = json_object(a);
    struct json *template = json_clone(a, json_path(owner, "spec.template"));
    json_set_str(template, "$patch", "replace");
    json_set(json_ensure_object(data, "spec"), "template", template);
    return data;
}

/* The owner's annotations go along; the last applied file says nothing about one revision. */
static void copy_annotations(const struct json *owner, struct json *revision)
{
    JSON_FOR_EACH_MEMBER (m, obj_annotations(owner)) {
        if (strcmp(m->key, "kubectl.kubernetes.io/last-applied-configuration") != 0) {
            obj_set_annotation(revision, m->key, json_cstr(m->value, ""));
        }
    }
}

static struct json *new_revision(const struct revisions_in *in, struct arena *a, const char *name,
                                 const char *hash, int64_t revision)
{
    struct json *r = json_object(a);
    json_set_str(r, "apiVersion", "apps/v1");
    json_set_str(r, "kind", "ControllerRevision");
    struct json *meta = obj_meta(r);
    json_set_str(meta, "name", name);
    json_set_str(meta, "namespace", obj_ns(in->owner));
    JSON_FOR_EACH_MEMBER (m, json_path(in->owner, "spec.template.metadata.labels")) {
        obj_set_label(r, m->key, json_cstr(m->value, ""));
    }
    obj_set_label(r, OWN_HASH_LABEL, hash);
    if (strcmp(in->kind->kind, "DaemonSet") == 0) {
        obj_set_label(r, REVISION_HASH_LABEL, hash);
    }
    copy_annotations(in->owner, r);
    json_push(json_ensure_array(meta, "ownerReferences"),
              obj_controller_ref_new(a, in->owner, in->kind->api_version, in->kind->kind));
    json_set(r, "data", data_of(a, in->owner));
    json_set_int(r, "revision", revision);
    return r;
}

static void make(const struct revisions_in *in, struct plan *plan, struct revisions *ret)
{
    char hash[TEMPLATE_HASH_SIZE];
    int64_t collisions = json_path_i64(in->owner, "status.collisionCount", 0);
    int64_t next = ret->n ? number(ret->v[ret->n - 1]) + 1 : 1;
    (void)template_hash(json_path(in->owner, "spec.template"), collisions, hash);
    const char *name = arena_printf(plan->arena, "%.223s-%s", obj_name(in->owner), hash);
    if (!name || (in->name_taken && in->name_taken(in->arg, name))) {
        json_set_int(json_ensure_object(in->owner, "status"), "collisionCount", collisions + 1);
        plan_requeue(plan, 0);
        return;
    }
    struct json *fresh = new_revision(in, plan->arena, name, hash, next);
    plan_create(plan, known_kinds()->revision, obj_ns(in->owner), fresh);
    ret->v[ret->n++] = fresh;
    ret->update = fresh;
    ret->fresh = true;
}

/* The newest one that holds the template; it gets the highest number. */
static bool find(const struct revisions_in *in, struct plan *plan, struct revisions *ret)
{
    const struct json *template = json_path(in->owner, "spec.template");
    for (size_t i = ret->n; i > 0; i--) {
        struct json *r = ret->v[i - 1];
        if (!template_equal(revision_template(r), template)) {
            continue;
        }
        ret->update = r;
        if (i < ret->n) {
            json_set_int(r, "revision", number(ret->v[ret->n - 1]) + 1);
            plan_update(plan, known_kinds()->revision, r, NULL);
            memmove((void *)&ret->v[i - 1], (void *)&ret->v[i], (ret->n - i) * sizeof(*ret->v));
            ret->v[ret->n - 1] = r;
        }
        return true;
    }
    return false;
}

int revisions_sync(const struct revisions_in *in, struct plan *plan, struct revisions *ret,
                   struct err *err)
{
    struct selector *selector;
    *ret = (struct revisions){0};
    int r = selector_from_json(plan->arena, json_path(in->owner, "spec.selector"), &selector, err);
    if (r < 0) {
        return r;
    }
    ret->v = arena_alloc(plan->arena, (in->n + 1) * sizeof(*ret->v));
    if (!ret->v) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < in->n; i++) {
        if (claim(in, plan, selector, in->found[i])) {
            ret->v[ret->n++] = in->found[i];
        }
    }
    qsort((void *)ret->v, ret->n, sizeof(*ret->v), compare);
    if (!find(in, plan, ret) && !obj_deleting(in->owner)) {
        make(in, plan, ret);
    }
    return 0;
}

void revisions_trim(const struct revisions *r, struct plan *plan, int64_t limit,
                    bool (*in_use)(const void *arg, const struct json *revision), const void *arg)
{
    int64_t spare = 0;
    for (size_t i = 0; i < r->n; i++) {
        spare += r->v[i] != r->update && !in_use(arg, r->v[i]);
    }
    for (size_t i = 0; i < r->n && spare > limit; i++) {
        const struct json *old = r->v[i];
        if (old != r->update && !in_use(arg, old)) {
            plan_delete(plan, known_kinds()->revision, obj_ns(old), obj_name(old), obj_uid(old));
            spare--;
        }
    }
}

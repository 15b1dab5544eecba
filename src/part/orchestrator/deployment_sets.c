/* SPDX-License-Identifier: Apache-2.0 */
/* The ReplicaSets of a Deployment: claiming, finding, making, scaling, cleaning up. */
#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "base/mem.h"
#include "deployment_private.h"
#include "orchestrator_private.h"

#define HISTORY_MAX 2000 /* bytes of the revision-history annotation */

static int64_t annotation_number(const struct json *o, const char *key, int64_t def)
{
    int64_t v;
    return str_i64(str_of(obj_annotation(o, key)), &v) == 0 ? v : def;
}

/* ---- claiming ---- */

static void read_set(struct rset *set, struct json *rs)
{
    *set = (struct rset){
        .rs = rs,
        .replicas = json_path_i64(rs, "spec.replicas", 1),
        .actual = json_path_i64(rs, "status.replicas", 0),
        .ready = json_path_i64(rs, "status.readyReplicas", 0),
        .available = json_path_i64(rs, "status.availableReplicas", 0),
        .revision = annotation_number(rs, REVISION_ANNOTATION, 0),
        .created = obj_created(rs),
    };
}

static void plan_owner(struct dep *d, const struct json *rs, struct json *ref)
{
    struct json *patch = json_object(d->arena);
    struct json *meta = obj_meta(patch);
    json_set_str(meta, "uid", obj_uid(rs));
    json_push(json_ensure_array(meta, "ownerReferences"), ref);
    plan_patch(d->plan, known_kinds()->replicaset, obj_ns(rs), obj_name(rs), NULL,
               API_PATCH_STRATEGIC, patch)
        ->flags = ACTION_F_ABSENT_OK;
}

static bool claim(struct dep *d, const struct selector *selector, const struct json *rs)
{
    bool match = selector_match_labels(selector, obj_labels(rs));
    bool deleting = obj_deleting(d->d);
    if (obj_controlled_by(rs, obj_uid(d->d))) {
        if (!match && !deleting) {
            struct json *ref = json_object(d->arena);
            json_set_str(ref, "$patch", "delete");
            json_set_str(ref, "uid", obj_uid(d->d));
            plan_owner(d, rs, ref);
        }
        return match;
    }
    if (obj_controller_ref(rs) || !match || deleting || obj_deleting(rs)) {
        return false;
    }
    plan_owner(d, rs, obj_controller_ref_new(d->arena, d->d, "apps/v1", "Deployment"));
    return true;
}

int dep_collect(struct dep *d, struct err *err)
{
    struct selector *selector;
    int r = selector_from_json(d->arena, json_path(d->d, "spec.selector"), &selector, err);
    if (r < 0) {
        return r;
    }
    d->sets = arena_zalloc(d->arena, (d->in->n + 2) * sizeof(*d->sets));
    if (!d->sets) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < d->in->n; i++) {
        if (claim(d, selector, d->in->sets[i])) {
            read_set(&d->sets[d->n++], d->in->sets[i]);
        }
    }
    const struct json *template = json_path(d->d, "spec.template");
    DEP_FOR_EACH(set, d)
    {
        /* The oldest that fits, so that a race between two does not swing to and fro. */
        if (template_equal(json_path(set->rs, "spec.template"), template) &&
            (!d->newest || set->created.us < d->newest->created.us)) {
            d->newest = set;
        }
    }
    return 0;
}

/* ---- annotations and revisions ---- */

static bool is_own_annotation(const char *key)
{
    static const char *const own[] = {
        REVISION_ANNOTATION,
        REVISION_HISTORY_ANNOTATION,
        DESIRED_REPLICAS_ANNOTATION,
        MAX_REPLICAS_ANNOTATION,
        "deprecated.deployment.rollback.to",
        "kubectl.kubernetes.io/last-applied-configuration",
    };
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        if (strcmp(key, own[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool set_annotation(struct json *o, const char *key, const char *value)
{
    if (cstr_eq(json_cstr(json_get(obj_annotations(o), key), NULL), value)) {
        return false;
    }
    obj_set_annotation(o, key, value);
    return true;
}

/* The Deployment's annotations (the change cause above all) go along with the template. */
static bool copy_annotations(struct dep *d, struct json *rs)
{
    bool changed = false;
    JSON_FOR_EACH_MEMBER (m, obj_annotations(d->d)) {
        if (!is_own_annotation(m->key)) {
            changed |= set_annotation(rs, m->key, json_cstr(m->value, ""));
        }
    }
    return changed;
}

static bool set_size_annotations(struct dep *d, struct json *rs)
{
    bool changed = set_annotation(rs, DESIRED_REPLICAS_ANNOTATION,
                                  arena_printf(d->arena, "%lld", (long long)d->replicas));
    return set_annotation(rs, MAX_REPLICAS_ANNOTATION,
                          arena_printf(d->arena, "%lld", (long long)(d->replicas + d->surge))) ||
           changed;
}

/* Oldest entries fall off the front. */
static void push_history(struct dep *d, struct json *rs, int64_t revision)
{
    const char *was = obj_annotation(rs, REVISION_HISTORY_ANNOTATION);
    while (strlen(was) > HISTORY_MAX) {
        const char *comma = strchr(was, ',');
        was = comma ? comma + 1 : "";
    }
    obj_set_annotation(
        rs, REVISION_HISTORY_ANNOTATION,
        arena_printf(d->arena, "%s%s%lld", was, was[0] ? "," : "", (long long)revision));
}

static bool set_revision(struct dep *d, struct rset *set, int64_t revision)
{
    if (set->revision >= revision) {
        return false;
    }
    if (set->revision > 0) {
        push_history(d, set->rs, set->revision);
    }
    obj_set_annotation(set->rs, REVISION_ANNOTATION,
                       arena_printf(d->arena, "%lld", (long long)revision));
    set->revision = revision;
    return true;
}

static int64_t next_revision(const struct dep *d)
{
    int64_t most = 0;
    DEP_FOR_EACH(set, d)
    {
        if (set != d->newest) {
            most = MAX_OF(most, set->revision);
        }
    }
    return most + 1;
}

static void follow_revision(struct dep *d)
{
    char *text = arena_printf(d->arena, "%lld", (long long)d->newest->revision);
    d->annotations_changed |= set_annotation(d->d, REVISION_ANNOTATION, text);
}

/* ---- making ---- */

static struct json *with_hash_label(struct dep *d, const struct json *j, const char *hash)
{
    struct json *copy = j ? json_clone(d->arena, j) : json_object(d->arena);
    json_set_str(copy, TEMPLATE_HASH_LABEL, hash);
    return copy;
}

static struct json *new_set_object(struct dep *d, const char *name, const char *hash)
{
    const struct json *spec = json_get(d->d, "spec");
    struct json *template = json_clone(d->arena, json_get(spec, "template"));
    struct json *labels = with_hash_label(d, json_path(template, "metadata.labels"), hash);
    struct json *selector = json_clone(d->arena, json_get(spec, "selector"));
    struct json *rs = json_object(d->arena);
    json_set_str(rs, "apiVersion", "apps/v1");
    json_set_str(rs, "kind", "ReplicaSet");
    json_set(json_ensure_object(template, "metadata"), "labels", labels);
    json_set(selector, "matchLabels", with_hash_label(d, json_get(selector, "matchLabels"), hash));
    struct json *meta = obj_meta(rs);
    json_set_str(meta, "name", name);
    json_set_str(meta, "namespace", obj_ns(d->d));
    json_set(meta, "labels", json_clone(d->arena, labels));
    json_push(json_ensure_array(meta, "ownerReferences"),
              obj_controller_ref_new(d->arena, d->d, "apps/v1", "Deployment"));
    struct json *out = json_ensure_object(rs, "spec");
    json_set_int(out, "replicas", 0);
    if (json_path_i64(spec, "minReadySeconds", 0)) {
        json_set_int(out, "minReadySeconds", json_path_i64(spec, "minReadySeconds", 0));
    }
    json_set(out, "selector", selector);
    json_set(out, "template", template);
    return rs;
}

/* Another ReplicaSet has the name: count a collision, so that the next step picks another one. */
static void count_collision(struct dep *d)
{
    int64_t n = json_path_i64(d->d, "status.collisionCount", 0);
    json_set_int(json_ensure_object(d->d, "status"), "collisionCount", n + 1);
    plan_requeue(d->plan, 0);
}

static void make_newest(struct dep *d, int64_t revision)
{
    char hash[TEMPLATE_HASH_SIZE];
    (void)template_hash(json_path(d->d, "spec.template"),
                        json_path_i64(d->d, "status.collisionCount", 0), hash);
    const char *name = arena_printf(d->arena, "%.242s-%s", obj_name(d->d), hash);
    if (name && d->in->name_taken && d->in->name_taken(d->in->arg, name)) {
        count_collision(d);
        return;
    }
    struct rset *set = &d->sets[d->n++];
    read_set(set, new_set_object(d, name, hash));
    set->created = d->in->now;
    set->fresh = set->changed = true;
    d->newest = set;
    (void)copy_annotations(d, set->rs);
    (void)set_revision(d, set, revision);
    set->replicas = 0;
    set->replicas = dep_new_size(d);
    json_set_int(json_get(set->rs, "spec"), "replicas", set->replicas);
    (void)set_size_annotations(d, set->rs);
    follow_revision(d);
    if (d->in->create_error) {
        dep_condition_set(d, "Progressing", "False", "ReplicaSetCreateError",
                          arena_printf(d->arena, "Failed to create new replica set \"%s\": %s",
                                       name, d->in->create_error));
    } else if (dep_has_deadline(d)) {
        dep_condition_set(d, "Progressing", "True", "NewReplicaSetCreated",
                          arena_printf(d->arena, "Created new replica set \"%s\"", name));
    }
}

void dep_sync_revision(struct dep *d, bool create)
{
    int64_t revision = next_revision(d);
    struct rset *set = d->newest;
    if (!set) {
        if (create) {
            make_newest(d, revision);
        }
        return;
    }
    if (set->fresh) {
        return;
    }
    set->changed |= copy_annotations(d, set->rs);
    set->changed |= set_revision(d, set, revision);
    int64_t min_ready = json_path_i64(d->d, "spec.minReadySeconds", 0);
    if (json_path_i64(set->rs, "spec.minReadySeconds", 0) != min_ready) {
        json_set_int(json_get(set->rs, "spec"), "minReadySeconds", min_ready);
        set->changed = true;
    }
    follow_revision(d);
    if (dep_has_deadline(d) && !obj_condition(d->d, "Progressing")) {
        dep_condition_set(
            d, "Progressing", "True", "FoundNewReplicaSet",
            arena_printf(d->arena, "Found new replica set \"%s\"", obj_name(set->rs)));
    }
}

/* ---- sizes ---- */

int64_t dep_total(const struct dep *d)
{
    int64_t sum = 0;
    DEP_FOR_EACH(set, d)
    {
        sum += set->replicas;
    }
    return sum;
}

int64_t dep_new_size(const struct dep *d)
{
    int64_t room = d->replicas + d->surge - dep_total(d);
    int64_t now = d->newest->replicas;
    if (!d->rolling) {
        return d->replicas;
    }
    return room <= 0 ? now : now + MIN_OF(room, d->replicas - now);
}

bool dep_scale_set(struct dep *d, struct rset *set, int64_t replicas)
{
    int64_t was = set->replicas;
    set->changed |= set_size_annotations(d, set->rs);
    if (was == replicas) {
        return false;
    }
    set->replicas = replicas;
    set->changed = true;
    json_set_int(json_ensure_object(set->rs, "spec"), "replicas", replicas);
    plan_event(d->plan, known_kinds()->deployment, d->d, "Normal", "ScalingReplicaSet",
               "Scaled %s replica set %s from %lld to %lld", replicas > was ? "up" : "down",
               obj_name(set->rs), (long long)was, (long long)replicas);
    return true;
}

/* The only set with pods, or the newest when none has any; NULL when several have. */
static struct rset *only_active(struct dep *d)
{
    struct rset *active = NULL, *latest = d->newest;
    size_t n = 0;
    DEP_FOR_EACH(set, d)
    {
        if (set->replicas > 0) {
            active = set;
            n++;
        }
        if (!d->newest && (!latest || set->created.us > latest->created.us)) {
            latest = set;
        }
    }
    return n == 0 ? latest : n == 1 ? active : NULL;
}

static bool newest_has_all(const struct dep *d)
{
    const struct rset *set = d->newest;
    return set && set->replicas == d->replicas && set->available == d->replicas &&
           annotation_number(set->rs, DESIRED_REPLICAS_ANNOTATION, -1) == d->replicas;
}

/* The set's share of a change of the whole by `left`; never more than that. */
static int64_t share(const struct dep *d, const struct rset *set, int64_t left)
{
    if (set->replicas == 0 || left == 0) {
        return 0;
    }
    int64_t part = -set->replicas;
    if (d->replicas > 0) {
        int64_t was = annotation_number(set->rs, MAX_REPLICAS_ANNOTATION, 0);
        was = was > 0 ? was : json_path_i64(d->d, "status.replicas", 0);
        was = was > 0 ? was : set->replicas;
        int64_t size = (2 * set->replicas * (d->replicas + d->surge) + was) / (2 * was);
        part = size - set->replicas;
    }
    return left > 0 ? MIN_OF(part, left) : MAX_OF(part, left);
}

static int by_size_newer(const void *x, const void *y)
{
    const struct rset *a = *(struct rset *const *)x, *b = *(struct rset *const *)y;
    if (a->replicas != b->replicas) {
        return a->replicas > b->replicas ? -1 : 1;
    }
    return (a->created.us < b->created.us) - (a->created.us > b->created.us);
}

static int by_size_older(const void *x, const void *y)
{
    const struct rset *a = *(struct rset *const *)x, *b = *(struct rset *const *)y;
    if (a->replicas != b->replicas) {
        return a->replicas > b->replicas ? -1 : 1;
    }
    return (a->created.us > b->created.us) - (a->created.us < b->created.us);
}

/* In the middle of a rollout the change is spread over the sets by their sizes. */
static void scale_in_proportion(struct dep *d)
{
    struct rset **v = arena_alloc(d->arena, (d->n + 1) * sizeof(*v));
    size_t n = 0;
    if (!v) {
        return;
    }
    DEP_FOR_EACH(set, d)
    {
        if (set->replicas > 0) {
            v[n++] = set;
        }
    }
    int64_t left = (d->replicas > 0 ? d->replicas + d->surge : 0) - dep_total(d);
    qsort((void *)v, n, sizeof(*v), left > 0 ? by_size_newer : by_size_older);
    int64_t *size = arena_zalloc(d->arena, (n + 1) * sizeof(*size));
    for (size_t i = 0; size && i < n; i++) {
        int64_t part = share(d, v[i], left);
        size[i] = v[i]->replicas + part;
        left -= part;
    }
    for (size_t i = 0; size && i < n; i++) {
        int64_t wanted = size[i] + (i == 0 ? left : 0);
        (void)dep_scale_set(d, v[i], MAX_OF(wanted, 0));
    }
}

void dep_scale(struct dep *d)
{
    struct rset *only = only_active(d);
    if (only) {
        (void)dep_scale_set(d, only, d->replicas);
        return;
    }
    if (newest_has_all(d)) {
        DEP_FOR_EACH(set, d)
        {
            if (set != d->newest && set->replicas > 0) {
                (void)dep_scale_set(d, set, 0);
            }
        }
        return;
    }
    if (d->rolling) {
        scale_in_proportion(d);
        return;
    }
    /* Recreate in the middle: the sizes are right as they are, only note what they were made for.
     */
    DEP_FOR_EACH(set, d)
    {
        if (set->replicas > 0) {
            (void)dep_scale_set(d, set, set->replicas);
        }
    }
}

bool dep_is_scaling(const struct dep *d)
{
    DEP_FOR_EACH(set, d)
    {
        int64_t desired = annotation_number(set->rs, DESIRED_REPLICAS_ANNOTATION, -1);
        if (set->replicas > 0 && desired >= 0 && desired != d->replicas) {
            return true;
        }
    }
    return false;
}

/* ---- cleaning up and writing ---- */

static int by_revision(const void *x, const void *y)
{
    const struct rset *a = *(struct rset *const *)x, *b = *(struct rset *const *)y;
    int r = (a->revision > b->revision) - (a->revision < b->revision);
    return r ? r : (a->created.us > b->created.us) - (a->created.us < b->created.us);
}

void dep_clean_up(struct dep *d)
{
    const struct json *limit = json_path(d->d, "spec.revisionHistoryLimit");
    struct rset **v = arena_alloc(d->arena, (d->n + 1) * sizeof(*v));
    size_t n = 0;
    if (!limit || !v) {
        return;
    }
    DEP_FOR_EACH(set, d)
    {
        if (set != d->newest && !obj_deleting(set->rs)) {
            v[n++] = set;
        }
    }
    int64_t surplus = (int64_t)n - json_i64(limit, 10);
    qsort((void *)v, n, sizeof(*v), by_revision);
    for (int64_t i = 0; i < surplus; i++) {
        const struct rset *set = v[i];
        bool settled =
            json_path_i64(set->rs, "status.observedGeneration", 0) >= obj_generation(set->rs);
        if (set->replicas == 0 && set->actual == 0 && settled) {
            plan_delete(d->plan, known_kinds()->replicaset, obj_ns(set->rs), obj_name(set->rs),
                        obj_uid(set->rs));
        }
    }
}

void dep_write_sets(struct dep *d)
{
    const struct kind *kind = known_kinds()->replicaset;
    DEP_FOR_EACH(set, d)
    {
        if (!set->changed) {
            continue;
        }
        if (!set->fresh) {
            plan_update(d->plan, kind, set->rs, NULL);
            continue;
        }
        struct action *a = plan_create(d->plan, kind, obj_ns(d->d), set->rs);
        if (set->replicas > 0) {
            a->ok = (struct action_event){
                known_kinds()->deployment, d->d, "ScalingReplicaSet",
                arena_printf(d->arena, "Scaled up replica set %s from 0 to %lld", obj_name(set->rs),
                             (long long)set->replicas)};
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes of a pod; see pod_volumes.h. */
#include "pod_volumes.h"

#include "api/object.h"
#include "api/quantity.h"
#include "base/mem.h"

#define DEFAULT_MODE 0644
#define TOKEN_SECONDS 3600

struct planner {
    const struct env_input *in;
    struct volume_plan *plan;
    struct arena *arena;
    size_t room; /* of the item's files */
};

/* ---- names ---- */

static const struct {
    const char *member, *folder;
} sources[] = {
    {"configMap", "kubernetes.io~configmap"}, {"downwardAPI", "kubernetes.io~downward-api"},
    {"emptyDir", "kubernetes.io~empty-dir"},  {"projected", "kubernetes.io~projected"},
    {"secret", "kubernetes.io~secret"},
};

/* The volume behind a claim: a path of this node. NULL with a sentence when there is none. */
static const struct json *claimed(const struct env_input *in, struct arena *a,
                                  const struct json *volume, struct err *err)
{
    const char *name = json_path_cstr(volume, "persistentVolumeClaim.claimName", "");
    const struct json *claim =
        in->get(in->get_arg, a, "persistentvolumeclaims", obj_ns(in->pod), name);
    const char *pv_name = json_path_cstr(claim, "spec.volumeName", "");
    if (!claim || !*pv_name) {
        (void)err_set(err, -E_NOENT, "persistentvolumeclaim \"%s\" %s", name,
                      claim ? "is not bound yet" : "not found");
        return NULL;
    }
    const struct json *pv = in->get(in->get_arg, a, "persistentvolumes", "", pv_name);
    const struct json *host = json_path(pv, "spec.hostPath");
    const struct json *source = host ? host : json_path(pv, "spec.local");
    if (!pv) {
        (void)err_set(err, -E_NOENT, "persistentvolume \"%s\" not found", pv_name);
    } else if (!source) {
        (void)err_set(
            err, -E_NOTSUP,
            "persistentvolume \"%s\" is neither a hostPath nor a local volume: other kinds "
            "are not supported yet",
            pv_name);
    }
    return source;
}

static const char *folder_of(const struct env_input *in, struct arena *a, const struct json *volume,
                             const char *dir)
{
    const struct json *host = json_get(volume, "hostPath");
    if (!host && json_get(volume, "persistentVolumeClaim")) {
        host = claimed(in, a, volume, NULL);
    }
    if (host) {
        return json_path_cstr(host, "path", "/");
    }
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        if (json_get(volume, sources[i].member)) {
            return arena_printf(a, "%s/%s/%s", dir, sources[i].folder,
                                json_path_cstr(volume, "name", ""));
        }
    }
    return NULL;
}

static const struct json *volume_named(const struct json *pod, const char *name)
{
    JSON_FOR_EACH (v, json_path(pod, "spec.volumes")) {
        if (cstr_eq(json_path_cstr(v, "name", ""), name)) {
            return v;
        }
    }
    return NULL;
}

const char *volumes_path(struct arena *a, const struct env_input *in, const char *dir,
                         const char *name)
{
    const struct json *v = volume_named(in->pod, name);
    return v ? folder_of(in, a, v, dir) : NULL;
}

bool volumes_read_only(const struct json *pod, const char *name)
{
    return json_path_true(volume_named(pod, name), "persistentVolumeClaim.readOnly", false);
}

/* ---- content ---- */

static void add_file(struct planner *p, struct volume_item *it, const char *path, struct str data,
                     int64_t mode)
{
    size_t size = sizeof(*it->files);
    if (it->n_files == p->room) {
        size_t room = p->room ? p->room * 2 : 8;
        struct volume_file *files = arena_grow(p->arena, it->files, p->room * size, room * size);
        if (!files) {
            return; /* the arena's failure is seen at the end */
        }
        it->files = files;
        p->room = room;
    }
    it->files[it->n_files++] = (struct volume_file){
        .path = arena_strdup(p->arena, path),
        .data = arena_dup(p->arena, data.p ? data.p : "", data.n),
        .n = data.n,
        .mode = (mode_t)mode,
    };
}

static int64_t mode_of(const struct json *item, int64_t def)
{
    return json_i64(json_get(item, "mode"), def);
}

/* Some keys under chosen paths. */
static int add_items(struct planner *p, struct volume_item *it, const char *resource,
                     const struct json *obj, const struct json *source, int64_t mode,
                     struct err *err)
{
    JSON_FOR_EACH (i, json_get(source, "items")) {
        struct str data;
        const char *key = json_path_cstr(i, "key", "");
        if (env_object_key(p->arena, resource, obj, key, &data)) {
            add_file(p, it, json_path_cstr(i, "path", ""), data, mode_of(i, mode));
        } else if (!json_path_true(source, "optional", false)) {
            return err_set(err, -E_NOENT, "references non-existent %s key: %s",
                           cstr_eq(resource, "secrets") ? "secret" : "config", key);
        }
    }
    return 0;
}

static void add_keys(struct planner *p, struct volume_item *it, const char *resource,
                     const struct json *obj, const struct json *map, int64_t mode)
{
    JSON_FOR_EACH_MEMBER (m, map) {
        struct str data;
        if (env_object_key(p->arena, resource, obj, m->key, &data)) {
            add_file(p, it, m->key, data, mode);
        }
    }
}

static int add_object(struct planner *p, struct volume_item *it, const char *resource,
                      const char *name, const struct json *source, int64_t mode, struct err *err)
{
    const struct json *obj =
        p->in->get(p->in->get_arg, p->arena, resource, obj_ns(p->in->pod), name);
    if (!obj) {
        return json_path_true(source, "optional", false)
                   ? 0
                   : err_set(err, -E_NOENT, "%s \"%s\" not found",
                             cstr_eq(resource, "secrets") ? "secret" : "configmap", name);
    }
    if (json_len(json_get(source, "items")) > 0) {
        return add_items(p, it, resource, obj, source, mode, err);
    }
    add_keys(p, it, resource, obj, json_get(obj, "data"), mode);
    add_keys(p, it, resource, obj, json_get(obj, "binaryData"), mode);
    return 0;
}

static const struct json *container_named(const struct json *pod, const char *name)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        JSON_FOR_EACH (c, json_path(pod, lists[i])) {
            if (cstr_eq(json_path_cstr(c, "name", ""), name)) {
                return c;
            }
        }
    }
    return NULL;
}

static int add_downward(struct planner *p, struct volume_item *it, const struct json *source,
                        int64_t mode, struct err *err)
{
    JSON_FOR_EACH (i, json_get(source, "items")) {
        const struct json *field = json_get(i, "fieldRef"), *res = json_get(i, "resourceFieldRef");
        const char *text = NULL;
        int rc =
            field ? env_field(p->in, p->arena, json_path_cstr(field, "fieldPath", ""), &text, err)
                  : env_resource(
                        p->in, p->arena,
                        container_named(p->in->pod, json_path_cstr(res, "containerName", "")), res,
                        &text, err);
        if (rc < 0) {
            return rc;
        }
        add_file(p, it, json_path_cstr(i, "path", ""), str_of(text), mode_of(i, mode));
    }
    return 0;
}

/* The file comes later when there is no token yet: a node does not wait for its parent. */
static void add_token(struct planner *p, struct volume_item *it, const struct json *source,
                      int64_t mode)
{
    const char *text = p->in->token
                           ? p->in->token(p->in->token_arg, json_path_cstr(source, "audience", ""),
                                          json_path_i64(source, "expirationSeconds", TOKEN_SECONDS))
                           : NULL;
    if (text) {
        add_file(p, it, json_path_cstr(source, "path", ""), str_of(text), mode);
    }
}

/* The same for the cluster's CA, which comes with the token. */
static bool root_ca_missing(struct planner *p, const struct json *source)
{
    const char *name = json_path_cstr(source, "name", "");
    return cstr_eq(name, "kube-root-ca.crt") &&
           !p->in->get(p->in->get_arg, p->arena, "configmaps", obj_ns(p->in->pod), name);
}

static int add_projected(struct planner *p, struct volume_item *it, const struct json *projected,
                         struct err *err)
{
    int64_t mode = json_i64(json_get(projected, "defaultMode"), DEFAULT_MODE);
    int rc = 0;
    JSON_FOR_EACH (s, json_get(projected, "sources")) {
        const struct json *part;
        if ((part = json_get(s, "configMap"))) {
            rc = root_ca_missing(p, part)
                     ? 0
                     : add_object(p, it, "configmaps", json_path_cstr(part, "name", ""), part, mode,
                                  err);
        } else if ((part = json_get(s, "secret"))) {
            rc = add_object(p, it, "secrets", json_path_cstr(part, "name", ""), part, mode, err);
        } else if ((part = json_get(s, "downwardAPI"))) {
            rc = add_downward(p, it, part, mode, err);
        } else if ((part = json_get(s, "serviceAccountToken"))) {
            add_token(p, it, part, mode);
        } else if (json_get(s, "clusterTrustBundle")) {
            rc = err_set(err, -E_NOTSUP, "projected clusterTrustBundles are not supported");
        } else {
            rc = err_set(err, -E_NOTSUP, "this kind of projected source is not supported");
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- one volume ---- */

static int plan_content(struct planner *p, const struct json *v, struct volume_item *it,
                        struct err *err)
{
    const struct json *s;
    it->kind = VOLUME_CONTENT;
    p->room = 0;
    if ((s = json_get(v, "configMap"))) {
        return add_object(p, it, "configmaps", json_path_cstr(s, "name", ""), s,
                          json_i64(json_get(s, "defaultMode"), DEFAULT_MODE), err);
    }
    if ((s = json_get(v, "secret"))) {
        it->memory = true;
        return add_object(p, it, "secrets", json_path_cstr(s, "secretName", ""), s,
                          json_i64(json_get(s, "defaultMode"), DEFAULT_MODE), err);
    }
    if ((s = json_get(v, "downwardAPI"))) {
        return add_downward(p, it, s, json_i64(json_get(s, "defaultMode"), DEFAULT_MODE), err);
    }
    it->memory = true; /* may hold secrets */
    return add_projected(p, it, json_get(v, "projected"), err);
}

static int plan_volume(struct planner *p, const struct json *v, const char *dir, struct err *err)
{
    struct volume_item *it = &p->plan->items[p->plan->n];
    const struct json *empty = json_get(v, "emptyDir"), *host = json_get(v, "hostPath");
    if (!host && json_get(v, "persistentVolumeClaim")) {
        host = claimed(p->in, p->arena, v, err);
        if (!host) {
            return err ? err->code : -E_NOENT;
        }
    }
    const char *folder = folder_of(p->in, p->arena, v, dir);
    *it = (struct volume_item){.name = arena_strdup(p->arena, json_path_cstr(v, "name", "")),
                               .dir = arena_strdup(p->arena, folder)};
    if (!folder) {
        return err_set(err, -E_NOTSUP, "this kind of volume is not supported yet");
    }
    if (empty) {
        it->kind = VOLUME_EMPTY;
        it->memory = cstr_eq(json_path_cstr(empty, "medium", ""), "Memory");
        it->size = quantity_json_value(json_get(empty, "sizeLimit"));
    } else if (host) {
        it->kind = VOLUME_HOST;
        it->type = arena_strdup(p->arena, json_path_cstr(host, "type", ""));
    } else {
        int rc = plan_content(p, v, it, err);
        if (rc < 0) {
            return rc;
        }
    }
    p->plan->n++;
    return 0;
}

int volumes_plan(const struct env_input *in, const char *dir, bool refresh,
                 struct volume_plan **ret, struct err *err)
{
    const struct json *list = json_path(in->pod, "spec.volumes");
    struct volume_plan *plan = mem_zalloc(sizeof(*plan));
    if (!plan) {
        return err_sys(err, -ENOMEM, "plan volumes");
    }
    arena_init(&plan->arena, 0);
    plan->items = arena_zalloc(&plan->arena, (json_len(list) + 1) * sizeof(*plan->items));
    plan->gid = json_path_i64(in->pod, "spec.securityContext.fsGroup", -1);
    plan->content_only = refresh;
    struct planner p = {.in = in, .plan = plan, .arena = &plan->arena};
    int rc = 0;
    JSON_FOR_EACH (v, plan->items ? list : NULL) {
        rc = plan_volume(&p, v, dir, err);
        if (rc < 0) {
            rc = err_wrap(err, rc, "MountVolume.SetUp failed for volume \"%s\" ",
                          json_path_cstr(v, "name", ""));
            break;
        }
    }
    if (rc == 0 && arena_failed(&plan->arena)) {
        rc = err_sys(err, -ENOMEM, "plan volumes");
    }
    if (rc < 0) {
        volumes_plan_free(plan);
        return rc;
    }
    *ret = plan;
    return 0;
}

void volumes_plan_free(struct volume_plan *p)
{
    if (p) {
        arena_fini(&p->arena);
        mem_free(p);
    }
}

int volumes_work(void *arg, struct err *err)
{
    struct volume_plan *p = arg;
    for (size_t i = 0; i < p->n; i++) {
        struct volume_item *it = &p->items[i];
        int rc = 0;
        if (it->kind == VOLUME_CONTENT) {
            rc = volume_content(it->dir, it->memory, it->files, it->n_files, p->gid, NULL, err);
        } else if (!p->content_only && it->kind == VOLUME_EMPTY) {
            rc = volume_empty_dir(it->dir, it->memory, it->size, p->gid, err);
        } else if (!p->content_only) {
            rc = volume_host_path(it->dir, it->type, err);
        }
        if (rc < 0) {
            return err_wrap(err, rc, "MountVolume.SetUp failed for volume \"%s\" ", it->name);
        }
    }
    return 0;
}

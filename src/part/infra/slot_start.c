/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that one start of a container needs, put together from the pod's spec: command,
 * environment, mounts, resources, security. Nothing is kept: a restart makes it anew, so that
 * changed config maps are seen.
 */
#include "api/object.h"
#include "api/quantity.h"
#include "infra_private.h"
#include "pod_files.h"
#include "pod_volumes.h"
#include "runtime/volumes.h"

#define TERMINATION_PATH "/dev/termination-log"

struct maker {
    struct slot *slot;
    struct pod *pod;
    struct arena *arena;
    struct image *image;
    const struct json *spec; /* of the container */
    const char *const *env;
    struct oci_spec *oci;
    struct oci_mount *mounts;
    size_t n_mounts;
};

char *slot_termination_path(struct slot *s, struct arena *a, int attempt)
{
    char *dir = runtime_pod_dir(s->pod->inf->runtime, a, s->pod->uid);
    return dir ? arena_printf(a, "%s/etc/term/%s.%d", dir, s->name, attempt) : NULL;
}

/* ---- sub paths ---- */

struct subpath {
    const char *dir, *path, *target;
};

struct subpaths {
    struct arena arena;
    struct subpath *items;
    size_t n;
};

static const char *subpath_target(struct slot *s, struct arena *a, size_t i)
{
    char *dir = runtime_volume_dir(s->pod->inf->runtime, a, s->pod->uid);
    return dir ? arena_printf(a, "%s/subpaths/%s/%zu", dir, s->name, i) : NULL;
}

static const char *mount_subpath(struct slot *s, struct arena *a, const struct json *mount,
                                 const char *const *env)
{
    const char *expr = json_path_cstr(mount, "subPathExpr", "");
    (void)s;
    return *expr ? env_expand(a, expr, env) : json_path_cstr(mount, "subPath", "");
}

static int own_env(struct slot *s, struct arena *a, const char *const *image_env,
                   const char *const **ret, struct err *err)
{
    struct env_input in;
    pod_env_input(s->pod, s->spec, &in);
    in.image_env = image_env;
    in.hostname = pod_hostname(a, s->pod->obj, s->pod->inf->hostname);
    return env_build(&in, a, ret, err);
}

static bool has_subpaths(const struct slot *s)
{
    JSON_FOR_EACH (m, json_get(s->spec, "volumeMounts")) {
        if (*json_path_cstr(m, "subPath", "") || *json_path_cstr(m, "subPathExpr", "")) {
            return true;
        }
    }
    return false;
}

void *slot_subpaths(struct slot *s, struct arena *a, int *ret_rc, struct err *err)
{
    const struct json *mounts = json_get(s->spec, "volumeMounts");
    const char *const *env = NULL;
    *ret_rc = has_subpaths(s) ? own_env(s, a, NULL, &env, err) : 0;
    struct subpaths *p = *ret_rc == 0 && has_subpaths(s) ? mem_zalloc(sizeof(*p)) : NULL;
    if (!p) {
        return NULL;
    }
    arena_init(&p->arena, 0);
    p->items = arena_zalloc(&p->arena, json_len(mounts) * sizeof(*p->items));
    char *dir = runtime_volume_dir(s->pod->inf->runtime, a, s->pod->uid);
    struct env_input in;
    pod_env_input(s->pod, s->spec, &in);
    size_t i = 0;
    JSON_FOR_EACH (m, p->items && dir ? mounts : NULL) {
        const char *sub = mount_subpath(s, a, m, env);
        const char *volume = volumes_path(a, &in, dir, json_path_cstr(m, "name", ""));
        if (sub && *sub && volume) {
            p->items[p->n++] =
                (struct subpath){.dir = arena_strdup(&p->arena, volume),
                                 .path = arena_strdup(&p->arena, sub),
                                 .target = arena_strdup(&p->arena, subpath_target(s, a, i))};
        }
        i++;
    }
    return p;
}

int slot_subpaths_work(void *plan, struct err *err)
{
    struct subpaths *p = plan;
    for (size_t i = 0; i < p->n; i++) {
        int rc = p->items[i].target
                     ? volume_sub_path(p->items[i].dir, p->items[i].path, p->items[i].target, err)
                     : err_sys(err, -ENOMEM, "prepare a sub path");
        if (rc < 0) {
            return err_wrap(err, rc, "failed to prepare subPath for volumeMount");
        }
    }
    return 0;
}

void slot_subpaths_free(void *plan)
{
    struct subpaths *p = plan;
    if (p) {
        arena_fini(&p->arena);
        mem_free(p);
    }
}

/* ---- mounts ---- */

static void add_mount(struct maker *m, const char *source, const char *destination, bool read_only,
                      const char *propagation)
{
    m->mounts[m->n_mounts++] = (struct oci_mount){.source = source,
                                                  .destination = destination,
                                                  .read_only = read_only,
                                                  .propagation = propagation};
}

static bool mounts_over(const struct maker *m, const char *path)
{
    JSON_FOR_EACH (v, json_get(m->spec, "volumeMounts")) {
        if (cstr_eq(json_path_cstr(v, "mountPath", ""), path)) {
            return true;
        }
    }
    return false;
}

static const char *propagation_of(const struct json *mount)
{
    const char *text = json_path_cstr(mount, "mountPropagation", "");
    return cstr_eq(text, "Bidirectional")     ? "rshared"
           : cstr_eq(text, "HostToContainer") ? "rslave"
                                              : NULL;
}

static int add_volumes(struct maker *m, struct err *err)
{
    char *dir = runtime_volume_dir(m->pod->inf->runtime, m->arena, m->pod->uid);
    struct env_input in;
    pod_env_input(m->pod, m->spec, &in);
    size_t i = 0;
    JSON_FOR_EACH (v, json_get(m->spec, "volumeMounts")) {
        const char *name = json_path_cstr(v, "name", "");
        const char *source = dir ? volumes_path(m->arena, &in, dir, name) : NULL;
        const char *sub = mount_subpath(m->slot, m->arena, v, m->env);
        const char *at = json_path_cstr(v, "mountPath", "");
        if (!source) {
            return err_set(err, -E_INVAL, "volume \"%s\" of the container is not one of the pod",
                           name);
        }
        if (sub && *sub) {
            source = subpath_target(m->slot, m->arena, i);
        }
        if (*at != '/') {
            at = arena_printf(m->arena, "/%s", at);
        }
        add_mount(m, source, at,
                  json_path_true(v, "readOnly", false) || volumes_read_only(m->pod->obj, name),
                  propagation_of(v));
        i++;
    }
    return 0;
}

static int add_etc(struct maker *m, struct err *err)
{
    static const char *const files[] = {"hosts", "hostname", "resolv.conf"};
    char *dir = runtime_pod_dir(m->pod->inf->runtime, m->arena, m->pod->uid);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char *at = arena_printf(m->arena, "/etc/%s", files[i]);
        if (at && !mounts_over(m, at)) {
            add_mount(m, arena_printf(m->arena, "%s/etc/%s", dir, files[i]), at,
                      m->oci->security.read_only_root, NULL);
        }
    }
    char *log = slot_termination_path(m->slot, m->arena, m->slot->attempt + 1);
    const char *path = json_path_cstr(m->spec, "terminationMessagePath", TERMINATION_PATH);
    int rc = log ? volume_write_file(log, "", 0, 0666, err) : err_sys(err, -ENOMEM, "mounts");
    if (rc == 0) {
        add_mount(m, log, *path ? path : TERMINATION_PATH, false, NULL);
    }
    return rc;
}

static int make_mounts(struct maker *m, struct err *err)
{
    size_t room = json_len(json_get(m->spec, "volumeMounts")) + 8;
    m->mounts = arena_zalloc(m->arena, room * sizeof(*m->mounts));
    int rc = m->mounts ? add_volumes(m, err) : err_sys(err, -ENOMEM, "mounts");
    rc = rc < 0 ? rc : add_etc(m, err);
    m->oci->mounts = m->mounts;
    m->oci->mounts_n = m->n_mounts;
    return rc;
}

/* ---- resources ---- */

void slot_limits(struct slot *s, struct cgroup_limits *ret)
{
    const struct json *limits = json_path(s->spec, "resources.limits");
    const struct json *cpu = json_path(s->spec, "resources.requests.cpu");
    int64_t cpu_limit = quantity_json_milli(json_get(limits, "cpu"));
    *ret = (struct cgroup_limits){
        .cpu_shares = cgroup_shares(cpu ? quantity_json_milli(cpu) : cpu_limit),
        .cpu_quota_us = cgroup_quota_us(cpu_limit),
        .cpu_period_us = cpu_limit > 0 ? 100000 : 0,
        .memory_limit = quantity_json_value(json_get(limits, "memory")),
    };
}

static void make_resources(struct maker *m)
{
    const struct json *limits = json_path(m->spec, "resources.limits");
    const struct json *requests = json_path(m->spec, "resources.requests");
    const struct json *memory = json_get(requests, "memory");
    struct cgroup_limits own;
    int64_t memory_limit = quantity_json_value(json_get(limits, "memory"));
    const char *class = pod_qos_class(m->pod->obj);
    enum cgroup_qos qos = cstr_eq(class, "Guaranteed")  ? QOS_GUARANTEED
                          : cstr_eq(class, "Burstable") ? QOS_BURSTABLE
                                                        : QOS_BEST_EFFORT;
    slot_limits(m->slot, &own);
    m->oci->resources = (struct oci_resources){
        .cpu_shares = own.cpu_shares,
        .cpu_quota_us = own.cpu_quota_us,
        .cpu_period_us = own.cpu_period_us,
        .memory_limit = own.memory_limit,
    };
    m->oci->oom_score_adj = cgroup_oom_score_adj(
        qos, memory ? quantity_json_value(memory) : memory_limit, m->pod->inf->memory_bytes);
    m->oci->cgroup_path =
        cgroup_pod_path(runtime_cgroups(m->pod->inf->runtime), m->arena, qos, m->pod->uid);
}

/* ---- security ---- */

/* The container's own word, else the pod's. */
static const struct json *security_get(const struct maker *m, const char *name)
{
    const struct json *own = json_get(json_get(m->spec, "securityContext"), name);
    return own ? own : json_get(json_path(m->pod->obj, "spec.securityContext"), name);
}

static const char *const *text_list(struct arena *a, const struct json *list)
{
    const char **out = arena_zalloc(a, (json_len(list) + 1) * sizeof(*out));
    size_t n = 0;
    JSON_FOR_EACH (item, out ? list : NULL) {
        out[n++] = json_cstr(item, "");
    }
    return (const char *const *)out;
}

static void make_groups(struct maker *m, struct oci_security *s)
{
    const struct json *context = json_path(m->pod->obj, "spec.securityContext");
    const struct json *list = json_get(context, "supplementalGroups");
    const struct json *fs = json_get(context, "fsGroup");
    int64_t *groups = arena_zalloc(m->arena, (json_len(list) + 1) * sizeof(*groups));
    if (!groups) {
        return; /* seen at the end */
    }
    JSON_FOR_EACH (g, list) {
        groups[s->groups_n++] = json_i64(g, 0);
    }
    if (fs) {
        groups[s->groups_n++] = json_i64(fs, 0);
    }
    s->groups = groups;
}

/* runAsNonRoot, with a kubelet's words; the OCI spec checks again with the image's own users. */
static int check_non_root(struct maker *m, const struct oci_security *s, struct err *err)
{
    struct str user = str_of(m->image->user), uid_text;
    const struct pod *p = m->pod;
    uint64_t uid = 0;
    if (!s->must_be_non_root) {
        return 0;
    }
    if (s->has_uid) {
        return s->uid != 0 ? 0
                           : err_set(err, -E_INVAL,
                                     "container's runAsUser breaks non-root policy (pod: "
                                     "\"%s_%s(%s)\", container: %s; runAsNonRoot)",
                                     p->name, p->ns, p->uid, m->slot->name);
    }
    (void)str_cut(user, ':', &uid_text, &(struct str){0}); /* without a group it is all of it */
    if (uid_text.n > 0 && str_u64(uid_text, &uid) < 0) {
        return err_set(err, -E_INVAL,
                       "container has runAsNonRoot and image has non-numeric user (" STR_FMT
                       "), cannot verify user is non-root (pod: \"%s_%s(%s)\", container: %s)",
                       STR_ARG(uid_text), p->name, p->ns, p->uid, m->slot->name);
    }
    return uid != 0 ? 0
                    : err_set(err, -E_INVAL,
                              "container has runAsNonRoot and image will run as root (pod: "
                              "\"%s_%s(%s)\", container: %s)",
                              p->name, p->ns, p->uid, m->slot->name);
}

static int make_security(struct maker *m, struct err *err)
{
    const struct json *own = json_get(m->spec, "securityContext");
    const struct json *uid = security_get(m, "runAsUser"), *gid = security_get(m, "runAsGroup");
    const char *seccomp = json_path_cstr(security_get(m, "seccompProfile"), "type", "");
    struct oci_security *s = &m->oci->security;
    *s = (struct oci_security){
        .privileged = json_path_true(own, "privileged", false),
        .read_only_root = json_path_true(own, "readOnlyRootFilesystem", false),
        .no_new_privileges = !json_path_true(own, "allowPrivilegeEscalation", true),
        .seccomp_default = cstr_eq(seccomp, "RuntimeDefault"),
        .proc_unmasked = cstr_eq(json_path_cstr(own, "procMount", ""), "Unmasked"),
        .caps_add = text_list(m->arena, json_path(own, "capabilities.add")),
        .caps_drop = text_list(m->arena, json_path(own, "capabilities.drop")),
        .has_uid = uid != NULL,
        .uid = json_i64(uid, 0),
        .has_gid = gid != NULL,
        .gid = json_i64(gid, 0),
        .must_be_non_root = json_true(security_get(m, "runAsNonRoot"), false),
    };
    make_groups(m, s);
    if (cstr_eq(seccomp, "Localhost")) {
        return err_set(err, -E_NOTSUP, "seccompProfile Localhost is not supported yet");
    }
    return check_non_root(m, s, err);
}

/* ---- namespaces ---- */

/* An ephemeral container sees the processes of its target. */
static int join_target(struct maker *m, struct err *err)
{
    const char *name = json_path_cstr(m->spec, "targetContainerName", "");
    struct slot *target = *name ? pod_slot(m->pod, name) : NULL;
    if (!*name) {
        return 0;
    }
    if (!target || target->sm.state != SLOT_RUNNING) {
        return err_set(err, -E_INVAL, "target container \"%s\" is not running", name);
    }
    m->oci->pid = arena_printf(m->arena, "/proc/%d/ns/pid", (int)container_status(target->c)->pid);
    return 0;
}

static int make_namespaces(struct maker *m, struct err *err)
{
    struct sandbox_paths paths;
    struct sandbox_config config = {
        .pod_uid = m->pod->uid,
        .hostname = pod_hostname(m->arena, m->pod->obj, m->pod->inf->hostname),
        .host_network = json_path_true(m->pod->obj, "spec.hostNetwork", false),
        .host_ipc = json_path_true(m->pod->obj, "spec.hostIPC", false),
        .share_pid = json_path_true(m->pod->obj, "spec.shareProcessNamespace", false),
    };
    int rc = sandbox_paths(m->pod->inf->runtime, &config, m->arena, &paths);
    if (rc < 0) {
        return err_sys(err, rc, "find the pod's namespaces");
    }
    m->oci->net = paths.net;
    m->oci->ipc = paths.ipc;
    m->oci->uts = paths.uts;
    m->oci->shm = paths.shm;
    m->oci->pid = json_path_true(m->pod->obj, "spec.hostPID", false) ? "" : paths.pid;
    return m->oci->pid ? 0 : join_target(m, err);
}

/* ---- all ---- */

static int make_process(struct maker *m, struct err *err)
{
    const char *cwd = json_path_cstr(m->spec, "workingDir", "");
    int rc = own_env(m->slot, m->arena, m->image->env, &m->env, err);
    m->oci->env = m->env;
    m->oci->cwd = *cwd ? cwd : m->image->cwd;
    m->oci->tty = json_path_true(m->spec, "tty", false);
    return rc < 0 ? rc
                  : env_argv(m->arena, m->spec, m->image->entrypoint, m->image->cmd, m->env,
                             &m->oci->args, err);
}

int slot_config(struct slot *s, struct arena *a, struct image *image, struct container_config *ret,
                const char **ret_reason, struct err *err)
{
    char *normal = NULL;
    *ret = (struct container_config){
        .pod_uid = s->pod->uid,
        .pod_namespace = s->pod->ns,
        .pod_name = s->pod->name,
        .name = s->name,
        .image = image,
        .stdin_open = json_path_true(s->spec, "stdin", false),
        .stdin_once = json_path_true(s->spec, "stdinOnce", false),
        .note = pod_spec_mark(a, s->spec),
    };
    struct maker m = {
        .slot = s, .pod = s->pod, .arena = a, .image = image, .spec = s->spec, .oci = &ret->spec};
    *ret_reason = "CreateContainerConfigError";
    int rc = image_name_normalise(a, json_path_cstr(s->spec, "image", ""), &normal, err);
    ret->image_name = normal;
    rc = rc < 0 ? rc : make_process(&m, err);
    rc = rc < 0 ? rc : make_security(&m, err);
    rc = rc < 0 ? rc : make_mounts(&m, err);
    rc = rc < 0 ? rc : make_namespaces(&m, err);
    if (rc < 0) {
        return rc;
    }
    make_resources(&m);
    return arena_failed(a) ? err_sys(err, -ENOMEM, "configure container %s", s->name) : 0;
}

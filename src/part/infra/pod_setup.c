/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pod needs around its containers: volumes, control group, namespaces, network, files under
 * /etc; and giving all that back. Each step is one operation of the runtime; a step that failed is
 * tried again, later each time.
 */
#include <stdio.h>

#include "api/object.h"
#include "api/quantity.h"
#include "infra_private.h"
#include "io/file.h"
#include "pod_files.h"
#include "pod_tokens.h"
#include "pod_volumes.h"

#define RETRY_FIRST_US 1000000
#define RETRY_MAX_US 60000000
#define CGROUP_RETRY_US 50000
#define HOST_FILE_LIMIT ((size_t)256 << 10)

static bool host_network(const struct pod *p)
{
    return json_path_true(p->obj, "spec.hostNetwork", false);
}

/* ---- operations ---- */

static void op_begin(struct pod *p, runtime_done_fn *done)
{
    p->op = (struct runtime_op){.done = done, .arg = p};
    p->op_busy = true;
    infra_op_begin(p->inf);
}

static struct pod *op_end(struct runtime_op *op)
{
    struct pod *p = op->arg;
    p->op_busy = false;
    infra_op_end(p->inf);
    pod_drop_stale(p);
    pod_wake(p);
    return p;
}

static void setup_failed(struct pod *p, const char *reason, const char *prefix, const char *text)
{
    int64_t wait = (int64_t)RETRY_FIRST_US << MIN_OF(p->setup_failures, 6);
    p->setup_failures++;
    p->retry_at = (struct mono){mono_now().us + MIN_OF(wait, RETRY_MAX_US)};
    pod_event(p, NULL, "Warning", reason, "%s%s", prefix, text);
    pod_wake_at(p, p->retry_at);
}

static void advance(struct pod *p, enum pod_state to)
{
    p->setup_failures = 0;
    p->retry_at = (struct mono){0};
    sm_move(&p->sm, (int)to);
    pod_wake(p);
}

/* ---- volumes ---- */

static int make_plan(struct pod *p, bool refresh, struct err *err)
{
    struct arena a;
    struct env_input in;
    arena_init(&a, 0);
    char *dir = runtime_volume_dir(p->inf->runtime, &a, p->uid);
    pod_env_input(p, NULL, &in);
    int rc =
        dir ? volumes_plan(&in, dir, refresh, &p->plan, err) : err_sys(err, -ENOMEM, "volumes");
    arena_fini(&a);
    return rc;
}

static void volumes_done(struct runtime_op *op, int code)
{
    struct pod *p = op_end(op);
    volumes_plan_free(TAKE_PTR(p->plan));
    if (p->sm.state != POD_VOLUMES) {
        return; /* it is being stopped */
    }
    if (code < 0) {
        setup_failed(p, "FailedMount", "", op->err.text);
    } else {
        advance(p, POD_SANDBOX);
    }
}

static void start_volumes(struct pod *p)
{
    struct err err;
    if (json_len(json_path(p->obj, "spec.volumes")) == 0) {
        advance(p, POD_SANDBOX);
        return;
    }
    pod_tokens_step(p);
    if (pod_tokens_wait(p)) {
        return;
    }
    if (make_plan(p, /* refresh= */ false, &err) < 0) {
        setup_failed(p, "FailedMount", "", err.text);
        return;
    }
    op_begin(p, volumes_done);
    runtime_work(p->inf->runtime, volumes_work, p->plan, &p->op);
}

static void refresh_done(struct runtime_op *op, int code)
{
    struct pod *p = op_end(op);
    p->refreshing = false;
    volumes_plan_free(TAKE_PTR(p->plan));
    if (code < 0) {
        pod_event(p, NULL, "Warning", "FailedMount", "%s", op->err.text);
    }
}

void pod_refresh(struct pod *p)
{
    struct err err;
    p->refresh = false;
    if (p->op_busy || json_len(json_path(p->obj, "spec.volumes")) == 0) {
        return;
    }
    if (make_plan(p, /* refresh= */ true, &err) < 0) {
        return; /* what was mounted stays as it is, as long as it is not complete */
    }
    p->refreshing = true;
    op_begin(p, refresh_done);
    runtime_work(p->inf->runtime, volumes_work, p->plan, &p->op);
}

/* ---- control group ---- */

struct sums {
    int64_t cpu_request, cpu_limit, memory_request, memory_limit;
    bool all_cpu, all_memory; /* every container has a limit */
};

static void sum_container(struct sums *s, const struct json *c)
{
    const struct json *limits = json_path(c, "resources.limits");
    const struct json *requests = json_path(c, "resources.requests");
    const struct json *cpu = json_get(requests, "cpu");
    int64_t cpu_limit = quantity_json_milli(json_get(limits, "cpu"));
    int64_t memory_limit = quantity_json_value(json_get(limits, "memory"));
    s->cpu_request += cpu ? quantity_json_milli(cpu) : cpu_limit;
    s->cpu_limit += cpu_limit;
    s->memory_limit += memory_limit;
    s->all_cpu &= cpu_limit > 0;
    s->all_memory &= memory_limit > 0;
}

static enum cgroup_qos qos_of(const struct json *pod)
{
    const char *class = pod_qos_class(pod);
    return cstr_eq(class, "Guaranteed")  ? QOS_GUARANTEED
           : cstr_eq(class, "Burstable") ? QOS_BURSTABLE
                                         : QOS_BEST_EFFORT;
}

int pod_make_cgroup(struct pod *p, struct err *err)
{
    struct cgroup_root *root = runtime_cgroups(p->inf->runtime);
    struct sums s = {.all_cpu = true, .all_memory = true};
    struct arena a;
    JSON_FOR_EACH (c, json_path(p->obj, "spec.containers")) {
        sum_container(&s, c);
    }
    bool inits = json_len(json_path(p->obj, "spec.initContainers")) > 0;
    struct cgroup_limits limits = {
        .cpu_shares = cgroup_shares(s.cpu_request),
        /* An init container may need more than the others together: then the pod has no limit. */
        .cpu_quota_us = s.all_cpu && !inits ? cgroup_quota_us(s.cpu_limit) : 0,
        .cpu_period_us = s.all_cpu && !inits ? 100000 : 0,
        .memory_limit = s.all_memory && !inits ? s.memory_limit : 0,
    };
    arena_init(&a, 0);
    char *path = cgroup_pod_path(root, &a, qos_of(p->obj), p->uid);
    int rc = path ? cgroup_make(root, path, &limits, err) : -ENOMEM;
    arena_fini(&a);
    return rc;
}

/* ---- sandbox ---- */

static void sandbox_done(struct runtime_op *op, int code)
{
    struct pod *p = op_end(op);
    if (p->sm.state != POD_SANDBOX) {
        return;
    }
    if (code < 0) {
        setup_failed(p, "FailedCreatePodSandBox", "Failed to create pod sandbox: ", op->err.text);
    } else {
        advance(p, POD_NETWORK);
    }
}

static void sandbox_config(struct pod *p, struct arena *a, struct sandbox_config *ret)
{
    const struct json *list = json_path(p->obj, "spec.securityContext.sysctls");
    struct sandbox_sysctl *sysctls = arena_zalloc(a, (json_len(list) + 1) * sizeof(*sysctls));
    size_t n = 0;
    JSON_FOR_EACH (s, sysctls ? list : NULL) {
        sysctls[n++] = (struct sandbox_sysctl){.name = json_path_cstr(s, "name", ""),
                                               .value = json_path_cstr(s, "value", "")};
    }
    *ret = (struct sandbox_config){
        .pod_uid = p->uid,
        .hostname = pod_hostname(a, p->obj, p->inf->hostname),
        .host_network = host_network(p),
        .host_ipc = json_path_true(p->obj, "spec.hostIPC", false),
        .share_pid = json_path_true(p->obj, "spec.shareProcessNamespace", false),
        .sysctls = sysctls,
        .sysctls_n = n,
    };
}

/* What keeps the pod's RuntimeClass from being had here; NULL when nothing does. A node has one
 * runtime: classes may name it. */
static const char *runtime_class_problem(struct pod *p, struct arena *a)
{
    const char *name = json_path_cstr(p->obj, "spec.runtimeClassName", "");
    if (!*name) {
        return NULL;
    }
    const struct json *class =
        replica_get(p->inf->replica, a, "runtimeclasses.node.k8s.io", NULL, name);
    const char *handler = json_path_cstr(class, "handler", "");
    if (!class) {
        return arena_printf(a, "failed to get runtime class \"%s\": it has not reached the node",
                            name);
    }
    if (cstr_eq(handler, runtime_name(p->inf->runtime))) {
        return NULL;
    }
    return arena_printf(a, "no runtime for \"%s\" is configured: this node has %s", handler,
                        runtime_name(p->inf->runtime));
}

static void start_sandbox(struct pod *p)
{
    struct err err;
    /* Borrowed by the runtime until done: p->arena is not freed meanwhile, see pod_update(). */
    struct arena *a = &p->arena;
    struct sandbox_config *config = arena_zalloc(a, sizeof(*config));
    const char *problem = runtime_problem(p->inf->runtime);
    problem = problem ? problem : runtime_class_problem(p, a);
    if (problem) {
        setup_failed(p, "FailedCreatePodSandBox", "Failed to create pod sandbox: ", problem);
        return;
    }
    if (!config) {
        setup_failed(p, "FailedCreatePodSandBox",
                     "Failed to create pod sandbox: ", "out of memory");
        return;
    }
    if (pod_make_cgroup(p, &err) < 0) {
        setup_failed(p, "FailedCreatePodContainer",
                     "unable to ensure pod container exists: ", err.text);
        return;
    }
    sandbox_config(p, a, config);
    p->sandbox_kept = sandbox_exists(p->inf->runtime, config);
    op_begin(p, sandbox_done);
    sandbox_create(p->inf->runtime, config, &p->op);
}

/* ---- network ---- */

static void take_ips(struct pod *p, const struct cni_result *r)
{
    size_t n = MIN_OF(r->ips_n, (size_t)CNI_IPS);
    for (size_t i = 0; i < n; i++) {
        (void)cstr_copy(p->ip_texts[i], sizeof(p->ip_texts[i]), r->ips[i]); /* same size */
        p->ips[i] = p->ip_texts[i];
    }
    p->ips[n] = NULL;
}

static int files_path(struct pod *p, char *out, size_t size, const char *name)
{
    struct arena a;
    arena_init(&a, 0);
    char *dir = runtime_pod_dir(p->inf->runtime, &a, p->uid);
    int n = dir ? snprintf(out, size, "%s/etc/%s", dir, name) : -1;
    arena_fini(&a);
    return n < 0 || (size_t)n >= size ? -E_RANGE : 0;
}

static int write_file(struct pod *p, const char *name, const char *text, struct err *err)
{
    char path[1024];
    if (!text || files_path(p, path, sizeof(path), name) < 0) {
        return err_sys(err, -ENOMEM, "make /etc/%s", name);
    }
    return volume_write_file(path, text, strlen(text), 0644, err);
}

static char *host_file(const char *path)
{
    char *text = NULL;
    size_t n;
    if (file_read(path, HOST_FILE_LIMIT, &text, &n, NULL) < 0) {
        return mem_strdup(""); /* a node without it: the pod gets none either */
    }
    return text;
}

static int write_files(struct pod *p, struct err *err)
{
    CLEANUP(mem_freep) char *hosts = host_file("/etc/hosts");
    CLEANUP(mem_freep) char *resolv = host_file("/etc/resolv.conf");
    struct arena a;
    arena_init(&a, 0);
    const char *hostname = pod_hostname(&a, p->obj, p->inf->hostname);
    int rc = write_file(p, "hosts",
                        pod_hosts_file(&a, p->obj, hostname, p->ips, hosts ? hosts : ""), err);
    rc = rc < 0
             ? rc
             : write_file(p, "resolv.conf", pod_resolv_file(&a, p->obj, resolv ? resolv : ""), err);
    rc = rc < 0 ? rc : write_file(p, "hostname", arena_printf(&a, "%s\n", hostname), err);
    arena_fini(&a);
    return rc;
}

static void network_up(struct pod *p)
{
    struct err err;
    if (write_files(p, &err) < 0) {
        setup_failed(p, "FailedCreatePodSandBox", "Failed to create pod sandbox: ", err.text);
        return;
    }
    p->sandbox_ready = true;
    advance(p, POD_RUNNING);
}

static bool load_ips(struct pod *p)
{
    struct cni_result r;
    if (host_network(p)) {
        p->ips[0] = p->inf->node_ip;
        p->ips[1] = NULL;
        return true;
    }
    if (cni_status(runtime_cni(p->inf->runtime), p->uid, &r) < 0) {
        return false;
    }
    take_ips(p, &r);
    return true;
}

/* Pods that waited for the first one to make the bridge. */
static void wake_waiting(struct infra *inf)
{
    MAP_FOR_EACH (slot, &inf->pods) {
        struct pod *p = slot->value;
        if (p->sm.state == POD_NETWORK) {
            pod_wake(p);
        }
    }
}

static void network_done(struct runtime_op *op, int code)
{
    struct pod *p = op_end(op);
    p->inf->attaching--;
    if (!p->inf->network_made) {
        p->inf->network_made = code == 0;
        wake_waiting(p->inf);
    }
    if (p->sm.state != POD_NETWORK) {
        return;
    }
    if (code < 0 || !load_ips(p)) {
        setup_failed(p, "FailedCreatePodSandBox", "Failed to create pod sandbox: ",
                     code < 0 ? op->err.text : "the network plugin gave no address");
        return;
    }
    network_up(p);
}

static size_t gather_ports(struct pod *p, struct cni_port *ports, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_slots; i++) {
        JSON_FOR_EACH (port, json_get(p->slots[i]->spec, "ports")) {
            int64_t host = json_path_i64(port, "hostPort", 0);
            const char *protocol = json_path_cstr(port, "protocol", "TCP");
            if (host <= 0 || n == room) {
                continue;
            }
            ports[n++] = (struct cni_port){
                .protocol = cstr_eq(protocol, "UDP")    ? "udp"
                            : cstr_eq(protocol, "SCTP") ? "sctp"
                                                        : "tcp",
                .host_ip = json_path_cstr(port, "hostIP", NULL),
                .host_port = (uint16_t)host,
                .container_port = (uint16_t)json_path_i64(port, "containerPort", 0),
            };
        }
    }
    return n;
}

static void forgotten(struct runtime_op *op, int code)
{
    struct pod *p = op_end(op);
    if (code < 0) {
        log_debug("pod %s/%s: detach: %s", p->ns, p->name, op->err.text); /* ADD tells better */
    }
}

/* The network of this pod is from before a reboot: gives it back first. True when that is done. */
static bool forget_network(struct pod *p)
{
    struct cni *cni = runtime_cni(p->inf->runtime);
    if (p->detached) {
        return true;
    }
    p->detached = true;
    if (cni_forget(cni, p->uid) != -E_NOTSUP) {
        return true;
    }
    op_begin(p, forgotten);
    cni_del(cni, p->uid, "", &p->op);
    return false;
}

static void start_network(struct pod *p)
{
    enum { PORTS = 256 };
    struct sandbox_config config;
    struct sandbox_paths paths;
    if (host_network(p) || (p->sandbox_kept && load_ips(p))) {
        (void)load_ips(p); /* has just succeeded, or cannot fail */
        network_up(p);
        return;
    }
    if (!forget_network(p) || (!p->inf->network_made && p->inf->attaching > 0)) {
        return; /* woken when that is done; two first ADDs would both make the bridge */
    }
    sandbox_config(p, &p->arena, &config);
    struct cni_port *ports = arena_zalloc(&p->arena, PORTS * sizeof(*ports));
    struct cni_attachment *at = arena_zalloc(&p->arena, sizeof(*at));
    if (!ports || !at || sandbox_paths(p->inf->runtime, &config, &p->arena, &paths) < 0) {
        setup_failed(p, "FailedCreatePodSandBox",
                     "Failed to create pod sandbox: ", "out of memory");
        return;
    }
    *at = (struct cni_attachment){.pod_uid = p->uid,
                                  .pod_namespace = p->ns,
                                  .pod_name = p->name,
                                  .netns = paths.net,
                                  .ports = ports,
                                  .ports_n = gather_ports(p, ports, PORTS)};
    p->inf->attaching++;
    op_begin(p, network_done);
    cni_add(runtime_cni(p->inf->runtime), at, &p->op);
}

void pod_setup(struct pod *p)
{
    if (p->op_busy) {
        return;
    }
    if (mono_now().us < p->retry_at.us) {
        pod_wake_at(p, p->retry_at);
        return;
    }
    if (p->sm.state == POD_VOLUMES) {
        start_volumes(p);
    } else if (p->sm.state == POD_SANDBOX) {
        start_sandbox(p);
    } else {
        start_network(p);
    }
}

bool pod_adopt_sandbox(struct pod *p)
{
    struct sandbox_config config;
    struct arena a;
    arena_init(&a, 0);
    sandbox_config(p, &a, &config);
    bool there = sandbox_exists(p->inf->runtime, &config) && load_ips(p);
    arena_fini(&a);
    p->sandbox_ready = there;
    return there;
}

/* ---- giving back ---- */

static void step_done(struct runtime_op *op, int code)
{
    struct pod *p = op_end(op);
    if (code < 0) {
        log_warn("pod %s/%s: clean up: %s, ignoring", p->ns, p->name, op->err.text);
    }
    p->teardown++;
}

static void detach(struct pod *p)
{
    struct sandbox_config config;
    struct sandbox_paths paths = {0};
    struct arena a;
    arena_init(&a, 0);
    sandbox_config(p, &a, &config);
    config.host_network = false; /* what is not there is fine */
    if (sandbox_paths(p->inf->runtime, &config, &a, &paths) < 0) {
        paths.net = NULL;
    }
    char *netns = arena_strdup(&p->arena, paths.net ? paths.net : "");
    arena_fini(&a);
    op_begin(p, step_done);
    cni_del(runtime_cni(p->inf->runtime), p->uid, netns ? netns : "", &p->op);
}

static int remove_volumes(void *arg, struct err *err)
{
    return volume_remove(arg, err);
}

static int remove_logs(void *arg, struct err *err)
{
    return tree_remove(arg, err);
}

static void remove_dir(struct pod *p, runtime_work_fn *fn, char *dir)
{
    if (!dir) {
        p->teardown++;
        pod_wake(p);
        return;
    }
    op_begin(p, step_done);
    runtime_work(p->inf->runtime, fn, dir, &p->op);
}

/* The class may be unknown for remains of a pod: every class is tried. */
static void remove_cgroups(struct pod *p)
{
    struct cgroup_root *root = runtime_cgroups(p->inf->runtime);
    struct arena a;
    bool busy = false;
    arena_init(&a, 0);
    for (int q = 0; q < QOS_NR; q++) {
        char *path = cgroup_pod_path(root, &a, (enum cgroup_qos)q, p->uid);
        busy |= path && cgroup_remove(root, path, NULL) == -E_BUSY;
    }
    arena_fini(&a);
    if (busy) {
        pod_wake_at(p, (struct mono){mono_now().us + CGROUP_RETRY_US});
        return;
    }
    p->teardown++;
    pod_wake(p);
}

static void forget_all(struct pod *p)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        slot_forget(p->slots[i], &p->slots[i]->c);
        slot_forget(p->slots[i], &p->slots[i]->previous);
    }
    pod_forget_found(p);
}

static bool slots_busy(const struct pod *p)
{
    bool busy = false;
    for (size_t i = 0; i < p->n_slots; i++) {
        busy |= slot_alive(p->slots[i]) || p->slots[i]->op_busy;
    }
    return busy;
}

/* The steps that ENDING and TEARDOWN share; false when there are no more of them. */
static bool give_back(struct pod *p)
{
    struct runtime *rt = p->inf->runtime;
    switch (p->teardown) {
    case 1:
        p->sandbox_ready = false;
        detach(p);
        return true;
    case 2:
        op_begin(p, step_done);
        sandbox_remove(rt, p->uid, &p->op);
        return true;
    case 3:
        remove_dir(p, remove_volumes, runtime_volume_dir(rt, &p->arena, p->uid));
        return true;
    case 4:
        remove_cgroups(p);
        return true;
    default:
        return false;
    }
}

static void end(struct pod *p)
{
    if (p->teardown == 0) {
        for (size_t i = 0; i < p->n_slots; i++) {
            slot_stop(p->slots[i], pod_grace_us(p), "Stopping container"); /* sidecars */
        }
        if (slots_busy(p)) {
            return;
        }
        p->teardown = 1;
    }
    if (!give_back(p)) {
        sm_move(&p->sm, POD_ENDED);
    }
}

void pod_teardown(struct pod *p)
{
    struct runtime *rt = p->inf->runtime;
    if (p->op_busy) {
        return;
    }
    if (p->sm.state == POD_ENDING) {
        end(p);
        return;
    }
    if (p->teardown == 0) {
        if (slots_busy(p)) {
            return;
        }
        forget_all(p);
        if (p->dead > 0) {
            return;
        }
        p->teardown = 1;
    }
    if (give_back(p)) {
        return;
    }
    if (p->teardown == 5) {
        op_begin(p, step_done);
        runtime_pod_remove(rt, p->uid, &p->op);
    } else if (p->teardown == 6) {
        remove_dir(p, remove_logs, runtime_log_dir(rt, &p->arena, p->ns, p->name, p->uid));
    } else {
        sm_move(&p->sm, POD_GONE);
        pod_wake(p);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CNI executor: one attachment is a job that runs the plugins of a network one after the other.
 *
 *   ADD: plugins 0..n-1, prevResult handed on; the last result is cached
 *   DEL: plugins n-1..0, with the cached result; failures do not stop it, the first is reported
 *   a failed ADD goes over into DEL by itself and then reports the ADD's failure
 *
 * state_dir/cni/<pod uid>.json: {"network":{the list
 * used},"netns":...,"args":...,"ports":[...],"result":{...}}; "result" is absent while ADD is under
 * way.
 */
#include "runtime/cni.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/process.h"
#include "runtime/cni_private.h"
#include "runtime/fs.h"
#include "runtime/runtime_private.h"

#define PLUGIN_TIMEOUT_MS 60000
#define RESULT_MAX ((size_t)1 << 20)

enum job_kind { JOB_ADD, JOB_DEL };

struct job {
    struct cni *cni;
    struct arena a;
    enum job_kind kind;
    bool undoing; /* DEL after a failed ADD */
    struct runtime_op *op;
    char *uid, *netns, *args;
    struct json *network, *ports, *result;
    int at; /* the plugin that runs */
    struct io_run *run;
    struct err err; /* the first failure */
};

int cni_new(const struct cni_setup *setup, struct cni **ret, struct err *err)
{
    struct cni *c = mem_zalloc(sizeof(*c));
    if (c) {
        c->rt = setup->rt;
        c->conf_dir = mem_strdup(setup->conf_dir);
        c->bin_dirs = mem_strdup(setup->bin_dirs);
        c->bridge = mem_strdup(setup->bridge);
        c->subnet = mem_strdup(setup->subnet);
        c->dir = mem_printf("%s/cni", setup->state_dir);
    }
    if (!c || !c->conf_dir || !c->bin_dirs || !c->bridge || !c->subnet || !c->dir) {
        cni_free(c);
        return err_set(err, -ENOMEM, "out of memory");
    }
    *ret = c;
    return 0;
}

void cni_free(struct cni *c)
{
    if (c) {
        mem_free(c->conf_dir);
        mem_free(c->bin_dirs);
        mem_free(c->bridge);
        mem_free(c->subnet);
        mem_free(c->dir);
        mem_free(c);
    }
}

/* ---- the cache ---- */

static char *cache_path(struct cni *c, struct arena *a, const char *uid)
{
    return arena_printf(a, "%s/%s.json", c->dir, uid);
}

static int cache_write(struct job *j, struct err *err)
{
    struct json *o = json_object(&j->a);
    char *path = cache_path(j->cni, &j->a, j->uid);
    json_set(o, "network", j->network);
    json_set_str(o, "netns", j->netns);
    json_set_str(o, "args", j->args);
    json_set(o, "ports", j->ports);
    json_set(o, "result", j->result);
    if (arena_failed(&j->a)) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    return fs_write_json(path, o, 0600, err);
}

/* ---- one plugin ---- */

static void job_next(struct job *j);
static void job_end(struct job *j, int code);

/* The plugin's configuration: its entry of the list with name and version of the network, what it
 * can do of the runtime's, and the result so far (specification 1.0, section 3). */
static struct json *plugin_config(struct job *j, const struct json *plugin)
{
    struct json *conf = json_clone(&j->a, plugin);
    json_set(conf, "cniVersion", json_clone(&j->a, json_get(j->network, "cniVersion")));
    json_set(conf, "name", json_clone(&j->a, json_get(j->network, "name")));
    if (json_true(json_path(plugin, "capabilities.portMappings"), false) &&
        json_len(j->ports) > 0) {
        json_set(json_ensure_object(conf, "runtimeConfig"), "portMappings",
                 json_clone(&j->a, j->ports));
    }
    (void)json_del(conf, "capabilities");
    json_set(conf, "prevResult", json_clone(&j->a, j->result));
    return conf;
}

/* {"code":11,"msg":"...","details":"..."} on stdout, or whatever stands on stderr. */
static void plugin_failed(struct job *j, const char *type, struct str out, struct str err_text)
{
    struct json *o = NULL;
    char *text;
    if (json_parse(&j->a, out, NULL, &o, NULL) == 0 && json_path_cstr(o, "msg", NULL)) {
        const char *details = json_path_cstr(o, "details", "");
        text = arena_printf(&j->a, "%s%s%s", json_path_cstr(o, "msg", ""), details[0] ? ": " : "",
                            details);
    } else {
        text = arena_str(&j->a, str_trim(err_text.n ? err_text : out));
    }
    if (!j->err.code) {
        err_set(&j->err, -E_INTERNAL, "network plugin %s: %.500s", type,
                text && text[0] ? text : "failed without a word");
    }
}

static const char *plugin_type(const struct job *j)
{
    return json_path_cstr(json_at(json_get(j->network, "plugins"), (size_t)j->at), "type", "?");
}

static void on_plugin_done(void *arg, int code, int status, struct str out, struct str err_text)
{
    struct job *j = arg;
    const char *type = plugin_type(j);
    j->run = NULL;
    if (code < 0) {
        if (!j->err.code) {
            err_sys(&j->err, code, "network plugin %s", type);
        }
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        plugin_failed(j, type, out, err_text);
        code = -E_INTERNAL;
    } else if (j->kind == JOB_ADD) {
        struct json *result = NULL;
        code = json_parse(&j->a, out, NULL, &result, &j->err);
        if (code < 0) {
            err_wrap(&j->err, code, "result of network plugin %s", type);
        } else {
            j->result = result;
        }
    }
    if (code < 0 && j->kind == JOB_ADD) {
        j->kind = JOB_DEL;
        j->undoing = true;
        j->at = (int)json_len(json_get(j->network, "plugins"));
    }
    job_next(j);
}

static int run_plugin(struct job *j, struct err *err)
{
    const struct json *plugin = json_at(json_get(j->network, "plugins"), (size_t)j->at);
    const char *type = plugin_type(j);
    CLEANUP(buf_finip) struct buf input = BUF_INIT;
    char *path = cni_find_plugin(j->cni, &j->a, type);
    if (!path) {
        return err_set(err, -E_NOENT, "network plugin %s is not in %s", type, j->cni->bin_dirs);
    }
    struct json *conf = plugin_config(j, plugin);
    const char *const argv[] = {path, NULL};
    const char *const env[] = {j->kind == JOB_ADD ? "CNI_COMMAND=ADD" : "CNI_COMMAND=DEL",
                               arena_printf(&j->a, "CNI_CONTAINERID=%s", j->uid),
                               arena_printf(&j->a, "CNI_NETNS=%s", j->netns),
                               "CNI_IFNAME=eth0",
                               arena_printf(&j->a, "CNI_ARGS=%s", j->args),
                               arena_printf(&j->a, "CNI_PATH=%s", j->cni->bin_dirs),
                               "PATH=" RUNTIME_PATH,
                               NULL};
    if (arena_failed(&j->a) || json_print(&input, conf) < 0) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    const struct io_process_config cfg = {.argv = argv, .env = env};
    return io_run_start(j->cni->rt->loop, &cfg, buf_str(&input), RESULT_MAX, PLUGIN_TIMEOUT_MS,
                        on_plugin_done, j, &j->run, err);
}

/* ---- the order ---- */

static void add_done(struct job *j)
{
    struct err err = {0};
    int r = cache_write(j, &err);
    if (r < 0) {
        j->err = err;
        j->kind = JOB_DEL;
        j->undoing = true;
        j->at = (int)json_len(json_get(j->network, "plugins"));
        job_next(j);
        return;
    }
    job_end(j, 0);
}

static void del_done(struct job *j)
{
    char *path = cache_path(j->cni, &j->a, j->uid);
    if (!j->err.code || j->undoing) {
        if (path) {
            (void)unlink(path); /* gone is as wanted */
        }
    }
    job_end(j, j->err.code);
}

static void job_next(struct job *j)
{
    int n = (int)json_len(json_get(j->network, "plugins"));
    for (;;) {
        struct err err = {0};
        j->at += j->kind == JOB_ADD ? 1 : -1;
        if (j->kind == JOB_ADD && j->at == n) {
            add_done(j);
            return;
        }
        if (j->kind == JOB_DEL && j->at < 0) {
            del_done(j);
            return;
        }
        if (run_plugin(j, &err) == 0) {
            return;
        }
        j->err = j->err.code ? j->err : err;
        if (j->kind == JOB_ADD) {
            j->kind = JOB_DEL;
            j->undoing = true;
            j->at = n;
        }
    }
}

static void job_free(struct job *j)
{
    arena_fini(&j->a);
    mem_free(j);
}

static void job_end(struct job *j, int code)
{
    struct runtime_op *op = j->op;
    struct runtime *rt = j->cni->rt;
    if (code < 0) {
        op->err = j->err;
    }
    job_free(j);
    runtime_op_finish(rt, op, code);
}

static struct job *job_new(struct cni *c, enum job_kind kind, const char *uid,
                           struct runtime_op *op)
{
    struct job *j = mem_zalloc(sizeof(*j));
    if (j) {
        j->cni = c;
        j->kind = kind;
        j->op = op;
        arena_init(&j->a, 0);
        j->uid = arena_strdup(&j->a, uid);
    }
    return j;
}

/* ---- ADD ---- */

static struct json *ports_of(struct arena *a, const struct cni_attachment *at)
{
    struct json *list = json_array(a);
    for (size_t i = 0; i < at->ports_n; i++) {
        const struct cni_port *p = &at->ports[i];
        struct json *o = json_push(list, json_object(a));
        json_set_int(o, "hostPort", p->host_port);
        json_set_int(o, "containerPort", p->container_port);
        json_set_str(o, "protocol", p->protocol ? p->protocol : "tcp");
        json_set_str(o, "hostIP", p->host_ip && p->host_ip[0] ? p->host_ip : NULL);
    }
    return list;
}

void cni_add(struct cni *c, const struct cni_attachment *at, struct runtime_op *op)
{
    struct job *j = job_new(c, JOB_ADD, at->pod_uid, op);
    if (!j) {
        runtime_op_finish(c->rt, op, -ENOMEM);
        return;
    }
    j->netns = arena_strdup(&j->a, at->netns);
    j->args = arena_printf(
        &j->a, "IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;K8S_POD_INFRA_CONTAINER_ID=%s",
        at->pod_namespace, at->pod_name, at->pod_uid);
    j->ports = ports_of(&j->a, at);
    j->at = -1;
    int r = cni_load_network(c, &j->a, &j->network, &j->err);
    r = r == 0 ? cache_write(j, &j->err) : r;
    if (r < 0) {
        job_end(j, r);
        return;
    }
    job_next(j);
}

/* ---- DEL ---- */

void cni_del(struct cni *c, const char *uid, const char *netns, struct runtime_op *op)
{
    struct json *o = NULL;
    struct job *j = job_new(c, JOB_DEL, uid, op);
    char *path = j ? cache_path(c, &j->a, uid) : NULL;
    if (!path) {
        if (j) {
            job_free(j);
        }
        runtime_op_finish(c->rt, op, -ENOMEM);
        return;
    }
    if (access(path, F_OK) < 0) {
        job_end(j, 0);
        return;
    }
    if (fs_read_json(&j->a, path, RESULT_MAX * 2, &o, /* err= */ NULL) < 0) {
        (void)cni_load_network(c, &j->a, &j->network, NULL); /* torn: undo by today's network */
    }
    j->network = j->network ? j->network : json_get(o, "network");
    j->args = arena_strdup(&j->a, json_path_cstr(o, "args", ""));
    j->ports = json_get(o, "ports");
    j->result = json_get(o, "result");
    /* A namespace that is gone is said by an empty path (specification 1.0, section 2). */
    const char *ns = netns && netns[0] ? netns : json_path_cstr(o, "netns", "");
    j->netns = arena_strdup(&j->a, access(ns, F_OK) == 0 ? ns : "");
    j->at = (int)json_len(json_get(j->network, "plugins"));
    job_next(j);
}

/* ---- reading ---- */

static void add_ip(struct cni_result *ret, const char *address)
{
    struct str ip, prefix;
    str_cut(str_of(address), '/', &ip, &prefix);
    if (ret->ips_n < CNI_IPS && ip.n > 0 && ip.n < sizeof(ret->ips[0])) {
        memcpy(ret->ips[ret->ips_n], ip.p, ip.n);
        ret->ips[ret->ips_n++][ip.n] = '\0';
    }
}

/* 0.3.1 and later: ips[].address; before: ip4.ip and ip6.ip. */
static void parse_result(const struct json *result, struct cni_result *ret)
{
    JSON_FOR_EACH (ip, json_get(result, "ips")) {
        add_ip(ret, json_path_cstr(ip, "address", ""));
    }
    if (ret->ips_n == 0) {
        add_ip(ret, json_path_cstr(result, "ip4.ip", ""));
        add_ip(ret, json_path_cstr(result, "ip6.ip", ""));
    }
}

/* host-local keeps a file an address: the container's id, a line break, the interface. */
static void forget_address(struct cni *c, struct arena *a, const char *network, const char *ip,
                           const char *uid)
{
    char *path = arena_printf(a, "%s/addresses/%s/%s", c->dir, network, ip);
    char *text = path ? fs_read_text(a, path, 1024) : NULL;
    if (text && strncmp(text, uid, strlen(uid)) == 0) {
        (void)unlink(path); /* ADD tells when it could not be removed */
    }
}

int cni_forget(struct cni *c, const char *pod_uid)
{
    struct arena a;
    struct cni_result r;
    struct json *o = NULL;
    int rc = cni_status(c, pod_uid, &r);
    if (rc < 0) {
        return rc;
    }
    arena_init(&a, 0);
    char *path = cache_path(c, &a, pod_uid);
    rc = path ? fs_read_json(&a, path, RESULT_MAX * 2, &o, /* err= */ NULL) : -ENOMEM;
    const struct json *network = json_get(o, "network");
    const char *data_dir =
        json_path_cstr(json_at(json_get(network, "plugins"), 0), "ipam.dataDir", "");
    char *own = arena_printf(&a, "%s/addresses", c->dir);
    if (rc == 0 && !cstr_eq(data_dir, own)) {
        rc = -E_NOTSUP;
    }
    for (size_t i = 0; rc == 0 && i < r.ips_n; i++) {
        forget_address(c, &a, json_path_cstr(network, "name", ""), r.ips[i], pod_uid);
    }
    arena_fini(&a);
    return rc;
}

int cni_status(struct cni *c, const char *pod_uid, struct cni_result *ret)
{
    struct arena a;
    struct json *o = NULL;
    struct cni_result res = {0};
    arena_init(&a, 0);
    char *path = cache_path(c, &a, pod_uid);
    int r = path ? fs_read_json(&a, path, RESULT_MAX * 2, &o, /* err= */ NULL) : -ENOMEM;
    r = r == 0 && !json_get(o, "result") ? -E_NOENT : r;
    if (r == 0) {
        parse_result(json_get(o, "result"), &res);
        *ret = res;
    }
    arena_fini(&a);
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `edge`: a node's replica of what concerns it, the local API over it, the link to the
 * parent and the agent that runs pods. This file is the wiring: start in order, stop in reverse
 * order.
 *
 *     STATE/store.db          the replica           STATE/node/   key and certificate of the node
 *     STATE/images, pods/ ... the runtime's         STATE/pki/    those of the local API
 *     STATE/run/api.sock      the local API         STATE/kubeconfig
 *     STATE/data/             of the program `data` (data_child.h), when the node has rules
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/server.h"
#include "api/server_pki.h"
#include "base/log.h"
#include "base/mem.h"
#include "data_child.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/tls.h"
#include "net/http_server.h"
#include "options.h"
#include "part/infra/infra.h"
#include "part/infra/teardown.h"
#include "runtime/cgroup.h"
#include "runtime/runtime.h"
#include "store/store.h"
#include "sync/child.h"
#include "sync/replica.h"

#define STOP_POLL_MS 20
#define STOP_MAX_MS 5000
#define RENEWAL_LOOK_MS ((int64_t)12 * 3600 * 1000)
#define HISTORY_COUNT 1024
#define HISTORY_BYTES ((size_t)2 << 20)

struct edge {
    const struct edge_options *opts;
    struct io_loop *loop;
    struct store *store;
    struct replica *replica;
    struct runtime *runtime;
    struct infra *infra;
    struct api_server *api;
    struct server_pki pki;
    struct tls_ctx *tls;
    struct http_server *http;
    struct sync_child *child;
    struct data_child *data;
    struct io_timer renewal, stop;
    int64_t stop_waited_ms;
    bool stopping;
    bool leave; /* the process ends with operations under way */
};

static char *in_state(const struct edge *e, const char *name)
{
    return mem_printf("%s/%s", e->opts->state_dir, name);
}

/* ---- store and runtime ---- */

static int open_store(struct edge *e, struct err *err)
{
    CLEANUP(mem_freep) char *path = in_state(e, "store.db");
    struct store_opts opts = {.path = path,
                              .index = &api_store_index,
                              .history_count = HISTORY_COUNT,
                              .history_bytes = HISTORY_BYTES};
    int rc =
        path ? store_open(e->loop, &opts, &e->store, err) : err_sys(err, -ENOMEM, "open the store");
    return rc < 0 ? rc : replica_new(e->loop, e->store, e->opts->name, &e->replica, err);
}

static int open_runtime(struct edge *e, struct err *err)
{
    const struct edge_options *o = e->opts;
    CLEANUP(mem_freep) char *run = in_state(e, "run");
    CLEANUP(mem_freep) char *logs = in_state(e, "logs");
    struct runtime_config config = {
        .state_dir = o->state_dir,
        .run_dir = run,
        .log_dir = o->log_dir ? o->log_dir : logs,
        .cgroup_parent = o->cgroup,
        .oci_runtime = o->oci_runtime,
        .conmon = o->conmon,
        .cni_conf_dir = o->cni_conf_dir ? o->cni_conf_dir : "",
        .cni_bin_dirs = o->cni_bin_dirs,
        .cni_bridge = o->bridge,
        .cni_subnet = o->pod_subnet,
    };
    int rc = run && logs ? runtime_new(e->loop, &config, &e->runtime, err)
                         : err_sys(err, -ENOMEM, "open the runtime");
    if (rc < 0) {
        return rc;
    }
    struct str notes = str_of(runtime_notes(e->runtime)), line;
    while (notes.n > 0) {
        (void)str_cut(notes, '\n', &line, &notes); /* the last line may lack its end */
        log_info("this machine: " STR_FMT, STR_ARG(line));
    }
    if (runtime_problem(e->runtime)) {
        log_error("no container can run here: %s", runtime_problem(e->runtime));
    }
    return 0;
}

static int open_infra(struct edge *e, struct err *err)
{
    struct infra_opts opts = {
        .loop = e->loop,
        .runtime = e->runtime,
        .replica = e->replica,
        .state_dir = e->opts->state_dir,
        .node_ip = e->opts->node_ip,
        .node_labels = e->opts->node_labels,
        .image_gc_high = e->opts->gc_high,
        .image_gc_low = e->opts->gc_low,
    };
    return infra_new(&opts, &e->infra, err);
}

/* ---- the local API ---- */

/* Everything here is a mirror: what is to be is written at the parent, what is, by the agent. */
static int guard(void *arg, const struct api_user *user, enum server_write verb,
                 const struct kind *kind, const char *ns, const char *name, const char *subresource,
                 const struct json *old, struct err *err)
{
    (void)arg;
    (void)user;
    (void)kind;
    (void)ns;
    (void)subresource;
    (void)old;
    return err_set(err, -E_ACCESS,
                   verb == SERVER_CREATE
                       ? "%s: a node holds what its parent gives it; make the object at the parent"
                       : "%s is mirrored from the parent; change it there",
                   name && *name ? name : "the object");
}

static void on_exchange(struct http_exchange *x, void *arg)
{
    struct edge *e = arg;
    api_server_handle(e->api, x);
}

static int open_pki(struct edge *e, struct server_pki *ret, struct err *err)
{
    CLEANUP(mem_freep) char *dir = in_state(e, "pki");
    CLEANUP(mem_freep) char *kubeconfig = in_state(e, "kubeconfig");
    struct server_pki_opts opts = {.dir = dir,
                                   .kubeconfig = kubeconfig,
                                   .name = e->opts->name,
                                   .host = e->opts->local_host,
                                   .port = e->opts->local_port};
    return dir && kubeconfig ? server_pki_open(&opts, ret, err)
                             : err_sys(err, -ENOMEM, "open the certificates");
}

static int open_api(struct edge *e, struct err *err)
{
    struct api_server_opts opts = {.open_stream = infra_open_stream,
                                   .open_stream_arg = e->infra,
                                   .write_guard = guard,
                                   .no_namespaces = true};
    int rc = open_pki(e, &e->pki, err);
    if (rc < 0) {
        return rc;
    }
    e->api = api_server_new(e->loop, e->store, &opts, err);
    rc = e->api
             ? api_server_route(e->api, "/selvedge/v1/report", 0, replica_report_route, e->replica)
             : err->code;
    return rc < 0 && e->api ? err_sys(err, rc, "open the local API") : rc;
}

static int open_http(struct edge *e, struct err *err)
{
    CLEANUP(mem_freep) char *socket = in_state(e, "run/api.sock");
    struct tls_config tls = {.cert_pem = str_of(e->pki.server_chain),
                             .key_pem = str_of(e->pki.server_key),
                             .ca_pem = str_of(e->pki.ca_cert),
                             .h2 = true};
    struct http_server_config http = {
        .loop = e->loop, .handler = on_exchange, .arg = e, .error_body = api_error_body};
    int rc = tls_server_new(&tls, &e->tls, err);
    if (rc < 0) {
        return rc;
    }
    rc = socket ? http_server_new(&http, &e->http) : -ENOMEM;
    if (rc < 0) {
        return err_sys(err, rc, "make the HTTP server");
    }
    rc = http_server_listen_unix(e->http, socket, 0600, err);
    return rc < 0 ? rc
                  : http_server_listen_tcp(e->http, e->opts->local_host, e->opts->local_port,
                                           e->tls, NULL, err);
}

/* Connections that are open keep the old certificate. */
static void on_renewal(void *arg)
{
    struct edge *e = arg;
    struct server_pki pki = {0};
    struct err err;
    int rc = open_pki(e, &pki, &err);
    rc = rc < 0 ? rc
                : tls_ctx_reload(e->tls, str_of(pki.server_chain), str_of(pki.server_key), &err);
    if (rc < 0) {
        log_warn("renew the local certificate: %s, ignoring until the next look", err.text);
    }
    server_pki_fini(&pki);
}

/* ---- the link to the parent ---- */

static int open_child(struct edge *e, struct err *err)
{
    CLEANUP(mem_freep) char *dir = in_state(e, "node");
    struct sync_child_opts opts = {
        .loop = e->loop,
        .replica = e->replica,
        .parent = e->opts->parent,
        .pki_dir = dir,
        .token = e->opts->bearer,
        .heartbeat_ms = e->opts->heartbeat_ms,
        .open_stream = infra_open_stream,
        .open_stream_arg = e->infra,
    };
    int rc = dir ? sync_child_new(&opts, &e->child, err)
                 : err_sys(err, -ENOMEM, "open the link to the parent");
    infra_set_parent(e->infra, e->child);
    return rc;
}

static int open_data(struct edge *e, struct err *err)
{
    const struct data_child_opts opts = {
        .loop = e->loop,
        .store = e->store,
        .state_dir = e->opts->state_dir,
        .program = e->opts->data_program,
        .args = e->opts->data_args,
        .log_level = e->opts->log_level,
    };
    return data_child_new(&opts, &e->data, err);
}

/* ---- stop: in reverse order, the store last ---- */

static void on_store_closed(void *arg, int code)
{
    struct edge *e = arg;
    if (code < 0) {
        log_error("close the store: %s", err_text(code));
    }
    loop_stop(e->loop);
}

static void close_parts(struct edge *e)
{
    io_timer_stop(&e->renewal);
    if (e->infra) {
        infra_set_parent(e->infra, NULL);
    }
    data_child_free(TAKE_PTR(e->data));
    sync_child_free(TAKE_PTR(e->child));
    http_server_free(TAKE_PTR(e->http));
    api_server_free(TAKE_PTR(e->api));
    tls_ctx_unref(TAKE_PTR(e->tls));
    server_pki_fini(&e->pki);
    if (e->infra && infra_pods(e->infra) == 0) {
        cgroup_root_remove(runtime_cgroups(e->runtime));
    }
    infra_free(TAKE_PTR(e->infra));
    runtime_free(TAKE_PTR(e->runtime));
    replica_free(TAKE_PTR(e->replica));
}

/* What the runtime has begun is let finish, so that no container is left half made; but a container
 * that takes its time to end is left to the next agent, which finds everything as it is. */
static void stop_when_idle(void *arg)
{
    struct edge *e = arg;
    e->stop_waited_ms += STOP_POLL_MS;
    size_t busy = infra_busy(e->infra) + data_child_running(e->data);
    if (busy > 0 && e->stop_waited_ms < STOP_MAX_MS) {
        return;
    }
    io_timer_stop(&e->stop);
    if (busy > 0) {
        log_info("%zu operations are left to the next agent", busy);
        e->leave = true;
        http_server_free(TAKE_PTR(e->http));
    } else {
        close_parts(e);
    }
    store_close(TAKE_PTR(e->store), on_store_closed, e);
}

static void on_signal(void *arg, int signum)
{
    struct edge *e = arg;
    if (e->stopping) {
        return;
    }
    e->stopping = true;
    log_info("stopping signal=%d, containers go on", signum);
    api_server_drain(e->api);
    data_child_stop(e->data);
    sync_child_free(TAKE_PTR(e->child));
    infra_stop(e->infra);
    io_timer_init(e->loop, &e->stop, stop_when_idle, e);
    io_timer_start(&e->stop, 0, STOP_POLL_MS);
}

/* ---- main ---- */

static int start(struct edge *e, struct err *err)
{
    int rc = dir_make(e->opts->state_dir, 0711, err);
    rc = rc < 0 ? rc : edge_options_save(e->opts, err);
    rc = rc < 0 ? rc : open_store(e, err);
    rc = rc < 0 ? rc : open_runtime(e, err);
    rc = rc < 0 ? rc : open_infra(e, err);
    rc = rc < 0 ? rc : open_api(e, err);
    rc = rc < 0 ? rc : open_http(e, err);
    rc = rc < 0 ? rc : open_child(e, err);
    rc = rc < 0 ? rc : open_data(e, err);
    rc = rc < 0 ? rc : loop_on_signal(e->loop, SIGTERM, on_signal, e, err);
    rc = rc < 0 ? rc : loop_on_signal(e->loop, SIGINT, on_signal, e, err);
    if (rc == 0) {
        io_timer_init(e->loop, &e->renewal, on_renewal, e);
        io_timer_start(&e->renewal, RENEWAL_LOOK_MS, RENEWAL_LOOK_MS);
        log_info("node %s of %s version=%s runtime=%s", e->opts->name, e->opts->parent,
                 SELVEDGE_VERSION, runtime_version(e->runtime));
    }
    return rc;
}

/* What a failed start has opened. */
static void abandon(struct edge *e)
{
    if (e->infra) {
        infra_stop(e->infra);
        while (infra_busy(e->infra) > 0) {
            loop_run_once(e->loop);
        }
    }
    close_parts(e);
    if (e->store) {
        store_close(TAKE_PTR(e->store), on_store_closed, e);
        loop_run(e->loop);
    }
}

static int run(const struct edge_options *o, struct err *err)
{
    struct edge e = {.opts = o};
    int rc = loop_new(&e.loop, err);
    if (rc < 0) {
        return rc;
    }
    rc = start(&e, err);
    if (rc < 0) {
        abandon(&e);
    } else {
        loop_run(e.loop);
        log_info("stopped");
    }
    if (e.leave) {
        _exit(0);
    }
    loop_free(e.loop);
    return rc;
}

static int teardown(const struct edge_options *o, struct err *err)
{
    struct edge e = {.opts = o};
    int rc = loop_new(&e.loop, err);
    if (rc < 0) {
        return rc;
    }
    data_child_end_left(o->state_dir);
    rc = open_runtime(&e, err);
    rc = rc < 0 ? rc : infra_teardown(e.loop, e.runtime, err);
    runtime_free(e.runtime);
    loop_free(e.loop);
    return rc;
}

int main(int argc, char **argv)
{
    struct edge_options o = {0};
    struct err err = {0};
    struct rlimit files;
    log_init("edge", LOG_INFO);
    int rc = edge_options_parse(argc, argv, &o, &err);
    if (rc != 0) {
        if (rc < 0) {
            (void)fprintf(stderr, "edge: %s\n", err.text);
        }
        return rc < 0 ? 2 : 0;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* where it fails the lower limit serves */
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)mallopt(M_ARENA_MAX, 1); /* one loop thread allocates; the others hardly do */
    (void)mallopt(M_TRIM_THRESHOLD, 128 << 10);
    rc = o.check ? 0 : o.teardown ? teardown(&o, &err) : run(&o, &err);
    if (rc < 0) {
        log_error("%s", err.text);
    }
    edge_options_fini(&o);
    return rc < 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `center`: a root or site API server with its store, its controllers and the upper end
 * of its children's links. This file is the wiring: options, start in order, stop in reverse order.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "api/alloc/service_alloc.h"
#include "api/client.h"
#include "api/server.h"
#include "api/server_pki.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/tls.h"
#include "net/http_server.h"
#include "part/orchestrator/orchestrator.h"
#include "store/store.h"
#include "sync/parent.h"

#define STOP_GRACE_MS 3000
#define NODE_GRACE_MAX_S 86400
#define RENEWAL_LOOK_MS (INT64_C(12) * 3600 * 1000)

struct options {
    const char *data_dir, *listen, *sans, *service_range, *node_grace, *log_level;
    bool check, no_controllers;
    char *host;
    uint16_t port;
    int64_t node_grace_ms; /* 0 = the default */
};

struct center {
    const struct options *opts;
    struct io_loop *loop;
    struct store *store;
    struct sync_parent *parent;
    struct api_server *api;
    struct api_client *client;
    struct orchestrator *orchestrator;
    struct server_pki pki;
    struct tls_ctx *tls;
    struct http_server *http;
    struct io_timer renewal;
    char first_ip[SERVICE_IP_SIZE]; /* of the Service `kubernetes` */
    bool stopping;
};

static const char usage[] =
    "usage: selvedge center [options]\n"
    "\n"
    "  --data-dir FOLDER       store, certificates and kubeconfig; default: /var/lib/selvedge/center\n"
    "  --listen ADDRESS:PORT   of the API (TLS); default: 0.0.0.0:6443\n"
    "  --san NAME[,NAME...]    further names and addresses for the server's certificate\n"
    "  --service-range CIDR    addresses of Services; default: 10.96.0.0/16\n"
    "  --node-grace SECONDS    a node that is silent for so long becomes Unknown; default: 50. More\n"
    "                          than the nodes' --heartbeat\n"
    "  --no-controllers        the API alone: nothing acts on the objects (for tests of operators)\n"
    "  --log-level LEVEL       debug, info, warn or error; default: info\n"
    "  -n                      check the options and end\n"
    "\n"
    "At the first start an admin's kubeconfig is written to FOLDER/kubeconfig.\n";

static int parse_node_grace(struct options *o, struct err *err)
{
    uint64_t seconds = 0;
    if (o->node_grace && (str_u64(str_of(o->node_grace), &seconds) < 0 || seconds < 1 ||
                          seconds > NODE_GRACE_MAX_S)) {
        return err_set(err, -E_INVAL, "--node-grace: '%s' is not a number of seconds from 1 to %d",
                       o->node_grace, NODE_GRACE_MAX_S);
    }
    o->node_grace_ms = (int64_t)seconds * 1000;
    return 0;
}

static int parse_options(int argc, char **argv, struct options *o, struct err *err)
{
    const struct option_spec specs[] = {
        {"data-dir", &o->data_dir, NULL},
        {"listen", &o->listen, NULL},
        {"san", &o->sans, NULL},
        {"log-level", &o->log_level, NULL},
        {"n", NULL, &o->check},
        {"service-range", &o->service_range, NULL},
        {"node-grace", &o->node_grace, NULL},
        {"no-controllers", NULL, &o->no_controllers},
    };
    int rc = options_parse("center", argc, argv, specs, ARRAY_SIZE(specs), usage, NULL);
    if (rc != 0) {
        return rc > 0 ? 1 : err_set(err, -E_INVAL, "bad options");
    }
    rc = options_log("center", o->log_level, err);
    rc = rc < 0 ? rc : parse_node_grace(o, err);
    return rc < 0 ? rc : options_address("listen", o->listen, &o->host, &o->port, err);
}

static void on_exchange(struct http_exchange *x, void *arg)
{
    struct center *c = arg;
    api_server_handle(c->api, x);
}

static const char *not_ready(void *arg)
{
    struct center *c = arg;
    bool acting = c->orchestrator && orchestrator_synced(c->orchestrator);
    return acting || c->opts->no_controllers ? NULL : "the controllers have not listed yet";
}

/* ---- start ---- */

static int read_range(struct center *c, struct err *err)
{
    struct service_alloc *sa = NULL;
    int rc = service_alloc_new(c->opts->service_range, &sa, err);
    if (rc < 0) {
        return err_wrap(err, rc, "--service-range");
    }
    service_alloc_first_ip(sa, c->first_ip);
    service_alloc_free(sa);
    return 0;
}

static int open_pki(struct center *c, struct server_pki *ret, struct err *err)
{
    CLEANUP(mem_freep) char *dir = mem_printf("%s/pki", c->opts->data_dir);
    CLEANUP(mem_freep) char *kubeconfig = mem_printf("%s/kubeconfig", c->opts->data_dir);
    CLEANUP(mem_freep)
    char *sans = mem_printf("%s%s%s", c->first_ip, c->opts->sans ? "," : "",
                            c->opts->sans ? c->opts->sans : "");
    const struct server_pki_opts opts = {.dir = dir,
                                         .kubeconfig = kubeconfig,
                                         .name = "selvedge",
                                         .host = c->opts->host,
                                         .port = c->opts->port,
                                         .extra_sans = sans,
                                         .token_keys = true};
    return dir && kubeconfig && sans ? server_pki_open(&opts, ret, err)
                                     : err_sys(err, -ENOMEM, "open the certificates");
}

static int open_api(struct center *c, struct err *err)
{
    char *path = mem_printf("%s/store.db", c->opts->data_dir);
    const struct store_opts store_opts = {.path = path, .index = &api_store_index};
    int rc = path ? store_open(c->loop, &store_opts, &c->store, err)
                  : err_sys(err, -ENOMEM, "open the store");
    mem_free(path);
    rc = rc < 0 ? rc : sync_parent_new(c->loop, c->store, &c->parent, err);
    if (rc < 0) {
        return rc;
    }
    char address[SERVER_ADDRESS_SIZE];
    bool reached = server_pki_address(c->opts->host, address);
    const struct api_server_opts api_opts = {.service_range = c->opts->service_range,
                                             .advertise_address = reached ? address : NULL,
                                             .advertise_port = c->opts->port,
                                             .open_stream = sync_parent_open_stream,
                                             .open_stream_arg = c->parent,
                                             .not_ready = not_ready,
                                             .not_ready_arg = c,
                                             .token_keys = (const char *const *)c->pki.token_keys,
                                             .root_ca = c->pki.ca_cert};
    c->api = api_server_new(c->loop, c->store, &api_opts, err);
    return c->api ? sync_parent_register(c->parent, c->api, c->pki.ca_cert, c->pki.ca_key, err)
                  : err->code;
}

static int open_http(struct center *c, struct err *err)
{
    const struct tls_config tls = {.cert_pem = str_of(c->pki.server_chain),
                                   .key_pem = str_of(c->pki.server_key),
                                   .ca_pem = str_of(c->pki.ca_cert),
                                   .h2 = true};
    const struct http_server_config http = {
        .loop = c->loop, .handler = on_exchange, .arg = c, .error_body = api_error_body};
    int rc = tls_server_new(&tls, &c->tls, err);
    if (rc < 0) {
        return rc;
    }
    rc = http_server_new(&http, &c->http);
    if (rc < 0) {
        return err_sys(err, rc, "make the HTTP server");
    }
    return http_server_listen_tcp(c->http, c->opts->host, c->opts->port, c->tls, NULL, err);
}

static int open_controllers(struct center *c, struct err *err)
{
    if (c->opts->no_controllers) {
        return 0;
    }
    c->client = api_client_local(c->api, "system:selvedge-controllers");
    const struct orchestrator_opts opts = {.root_ca = c->pki.ca_cert,
                                           .node_grace_ms = c->opts->node_grace_ms};
    c->orchestrator = c->client ? orchestrator_start(c->client, c->loop, &opts) : NULL;
    return c->orchestrator ? 0 : err_sys(err, -ENOMEM, "start the controllers");
}

/* The certificate of the server is renewed while it runs; connections that are open keep the old
 * one. */
static void on_renewal(void *arg)
{
    struct center *c = arg;
    struct server_pki pki = {0};
    struct err err;
    int rc = open_pki(c, &pki, &err);
    rc = rc < 0 ? rc
                : tls_ctx_reload(c->tls, str_of(pki.server_chain), str_of(pki.server_key), &err);
    if (rc < 0) {
        log_warn("renew the server's certificate: %s, ignoring until the next look", err.text);
    }
    server_pki_fini(&pki);
}

/* ---- stop: in reverse order, the store last ---- */

static void on_store_closed(void *arg, int code)
{
    struct center *c = arg;
    if (code < 0) {
        log_error("close the store: %s", err_text(code));
    }
    loop_stop(c->loop);
}

static void close_parts(struct center *c)
{
    io_timer_stop(&c->renewal);
    orchestrator_stop(TAKE_PTR(c->orchestrator));
    api_client_free(TAKE_PTR(c->client));
    sync_parent_free(TAKE_PTR(c->parent));
    http_server_free(TAKE_PTR(c->http));
    api_server_free(TAKE_PTR(c->api));
    tls_ctx_unref(TAKE_PTR(c->tls));
    server_pki_fini(&c->pki);
}

static void on_http_stopped(void *arg)
{
    struct center *c = arg;
    close_parts(c);
    store_close(TAKE_PTR(c->store), on_store_closed, c);
}

static void on_signal(void *arg, int signum)
{
    struct center *c = arg;
    if (c->stopping) {
        return;
    }
    c->stopping = true;
    log_info("stopping signal=%d", signum);
    orchestrator_stop(TAKE_PTR(c->orchestrator));
    api_server_drain(c->api);
    http_server_stop(c->http, STOP_GRACE_MS, on_http_stopped, c);
}

/* ---- main ---- */

static int start(struct center *c, struct err *err)
{
    int rc = dir_make(c->opts->data_dir, 0700, err);
    rc = rc < 0 ? rc : read_range(c, err);
    rc = rc < 0 ? rc : open_pki(c, &c->pki, err);
    rc = rc < 0 ? rc : open_api(c, err);
    rc = rc < 0 ? rc : open_controllers(c, err);
    rc = rc < 0 ? rc : open_http(c, err);
    rc = rc < 0 ? rc : loop_on_signal(c->loop, SIGTERM, on_signal, c, err);
    rc = rc < 0 ? rc : loop_on_signal(c->loop, SIGINT, on_signal, c, err);
    if (rc == 0) {
        io_timer_init(c->loop, &c->renewal, on_renewal, c);
        io_timer_start(&c->renewal, RENEWAL_LOOK_MS, RENEWAL_LOOK_MS);
        log_info("listening on %s version=%s revision=%lld", c->opts->listen, SELVEDGE_VERSION,
                 (long long)store_rev(c->store));
    }
    return rc;
}

/* What a failed start has opened. */
static void abandon(struct center *c)
{
    close_parts(c);
    if (c->store) {
        store_close(TAKE_PTR(c->store), on_store_closed, c);
        loop_run(c->loop);
    }
}

static int run(const struct options *o, struct err *err)
{
    struct center c = {.opts = o};
    int rc = loop_new(&c.loop, err);
    if (rc < 0) {
        return rc;
    }
    rc = start(&c, err);
    if (rc < 0) {
        abandon(&c);
    } else {
        loop_run(c.loop);
        log_info("stopped");
    }
    loop_free(c.loop);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.data_dir = "/var/lib/selvedge/center",
                        .listen = "0.0.0.0:6443",
                        .service_range = SERVICE_RANGE_DEFAULT,
                        .log_level = "info"};
    struct err err = {0};
    struct rlimit files;
    log_init("center", LOG_INFO);
    int rc = parse_options(argc, argv, &o, &err);
    if (rc != 0) {
        if (rc < 0) {
            (void)fprintf(stderr, "center: %s\n", err.text);
        }
        mem_free(o.host);
        return rc < 0 ? 2 : 0;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* where it fails the lower limit serves */
    }
    (void)mallopt(M_ARENA_MAX, 1); /* one loop thread allocates; the others hardly do */
    (void)mallopt(M_TRIM_THRESHOLD, 256 << 10);
    rc = o.check ? 0 : run(&o, &err);
    if (rc < 0) {
        log_error("%s", err.text);
    }
    mem_free(o.host);
    return rc < 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `data`: streams, tables and rules of a node, with the REST interface of eKuiper. This
 * file is the wiring: options, start in order, stop in reverse order.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "io/loop.h"
#include "net/http_server.h"
#include "part/data/data.h"

#define STOP_GRACE_MS 5000

struct options {
    const char *state_dir, *listen, *zone, *log_level;
    bool check;
    char *host;
    uint16_t port;
};

struct program {
    const struct options *opts;
    struct io_loop *loop;
    struct http_server *http;
    struct data *data;
    bool stopping;
};

static const char usage[] =
    "usage: selvedge data [options]\n"
    "\n"
    "  --state-dir FOLDER      definitions, checkpoints, caches; default: /var/lib/selvedge/data\n"
    "  --listen ADDRESS:PORT   of the REST interface; default: 127.0.0.1:9081\n"
    "  --timezone NAME         of windows and time formats, such as Europe/Berlin; default: UTC\n"
    "  --log-level LEVEL       debug, info, warn or error; default: info\n"
    "  -n                      check the options and end\n";

static int parse_listen(struct options *o, struct err *err)
{
    struct str host, port_text;
    uint64_t port;
    if (!str_rcut(str_of(o->listen), ':', &host, &port_text) || str_u64(port_text, &port) < 0 ||
        port > UINT16_MAX) {
        return err_set(err, -E_INVAL, "--listen: '%s' is not ADDRESS:PORT", o->listen);
    }
    o->host = mem_strndup(host.p, host.n);
    o->port = (uint16_t)port;
    return o->host ? 0 : err_sys(err, -ENOMEM, "read the options");
}

static int parse_options(int argc, char **argv, struct options *o, struct err *err)
{
    const struct option_spec specs[] = {
        {"state-dir", &o->state_dir, NULL},
        {"listen", &o->listen, NULL},
        {"timezone", &o->zone, NULL},
        {"log-level", &o->log_level, NULL},
        {"n", NULL, &o->check},
    };
    int rc = options_parse("data", argc, argv, specs, ARRAY_SIZE(specs), usage, NULL);
    if (rc != 0) {
        return rc > 0 ? 1 : err_set(err, -E_INVAL, "bad options");
    }
    enum log_level level;
    if (log_level_parse(str_of(o->log_level), &level) < 0) {
        return err_set(err, -E_INVAL, "--log-level: '%s' is not debug, info, warn or error",
                       o->log_level);
    }
    log_init("data", level);
    return parse_listen(o, err);
}

static void on_exchange(struct http_exchange *x, void *arg)
{
    struct program *p = arg;
    if (p->stopping) {
        http_reply_text(x, 503, "text/plain; charset=utf-8", STR_LIT("stopping\n"));
        return;
    }
    data_handle(p->data, x);
}

/* ---- stop: the REST interface, then rules and sinks, then the loop ---- */

static void on_data_stopped(void *arg)
{
    struct program *p = arg;
    loop_stop(p->loop);
}

static void on_http_stopped(void *arg)
{
    struct program *p = arg;
    http_server_free(TAKE_PTR(p->http));
    data_stop(TAKE_PTR(p->data), STOP_GRACE_MS, on_data_stopped, p);
}

static void on_signal(void *arg, int signum)
{
    struct program *p = arg;
    if (!p->stopping) {
        p->stopping = true;
        log_info("stopping signal=%d", signum);
        http_server_stop(p->http, 0, on_http_stopped, p);
    }
}

/* ---- start ---- */

static int open_http(struct program *p, uint16_t *ret_port, struct err *err)
{
    const struct http_server_config cfg = {.loop = p->loop, .handler = on_exchange, .arg = p};
    int rc = http_server_new(&cfg, &p->http);
    if (rc < 0) {
        return err_sys(err, rc, "start the server");
    }
    return http_server_listen_tcp(p->http, p->opts->host, p->opts->port, NULL, ret_port, err);
}

static int start(struct program *p, struct err *err)
{
    uint16_t port = 0;
    int rc = open_http(p, &port, err);
    if (rc == 0) {
        const struct data_config cfg = {
            .loop = p->loop, .dir = p->opts->state_dir, .zone = p->opts->zone, .port = port};
        rc = data_start(&cfg, &p->data, err);
    }
    rc = rc < 0 ? rc : loop_on_signal(p->loop, SIGTERM, on_signal, p, err);
    rc = rc < 0 ? rc : loop_on_signal(p->loop, SIGINT, on_signal, p, err);
    if (rc == 0) {
        log_info("listening on %s:%u version=%s", p->opts->host, port, SELVEDGE_VERSION);
    }
    return rc;
}

static int run(const struct options *o, struct err *err)
{
    struct program p = {.opts = o};
    int rc = loop_new(&p.loop, err);
    if (rc < 0) {
        return rc;
    }
    rc = start(&p, err);
    if (rc == 0) {
        loop_run(p.loop);
        log_info("stopped");
    } else {
        http_server_free(p.http);
        if (p.data) {
            data_stop(p.data, 0, on_data_stopped, &p);
            loop_run(p.loop);
        }
    }
    loop_free(p.loop);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {
        .state_dir = "/var/lib/selvedge/data", .listen = "127.0.0.1:9081", .log_level = "info"};
    struct err err = {0};
    struct rlimit files;
    log_init("data", LOG_INFO);
    int rc = parse_options(argc, argv, &o, &err);
    if (rc != 0) {
        if (rc < 0) {
            (void)fprintf(stderr, "data: %s\n", err.text);
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

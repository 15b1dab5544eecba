/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `data`: streams, tables and rules of a node, with the REST interface of eKuiper. This
 * file is the wiring: options, start in order, stop in reverse order.
 */
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "io/file.h"
#include "io/loop.h"
#include "net/http_server.h"
#include "part/data/broker/broker.h"
#include "part/data/data.h"

#define STOP_GRACE_MS 5000

struct address {
    char *host; /* heap */
    uint16_t port;
};

struct options {
    const char *state_dir, *listen, *zone, *log_level, *api, *threads_text;
    unsigned threads;
    const char *mqtt, *mqtt_tls, *cert, *key, *ca, *users, *acl;
    bool check, anonymous;
    struct address rest, plain, tls;
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
    "  --listen ADDRESS:PORT   of the REST interface; default: 127.0.0.1:9081. unix:PATH: a socket\n"
    "  --api unix:PATH         also run the streams, tables and rules of this API (an edge's); what\n"
    "                          became of them is told to it\n"
    "  --timezone NAME         of windows and time formats, such as Europe/Berlin; default: UTC\n"
    "  --threads N             threads that run rules, or auto: one a core; default: 1\n"
    "  --mqtt ADDRESS:PORT     run an MQTT broker (mosquitto) and listen there, without TLS\n"
    "  --mqtt-tls ADDRESS:PORT listen there with TLS; needs --mqtt-cert and --mqtt-key\n"
    "  --mqtt-cert FILE, --mqtt-key FILE, --mqtt-ca FILE\n"
    "                          certificate, its key, and whose client certificates are believed\n"
    "  --mqtt-users FILE       names and passwords, as mosquitto_passwd makes them\n"
    "  --mqtt-acl FILE         who may read and write what, as mosquitto's acl_file\n"
    "  --mqtt-anonymous        clients without a name are let in\n"
    "  --log-level LEVEL       debug, info, warn or error; default: info\n"
    "  -n                      check the options and end\n";

/* "ADDRESS:PORT"; NULL leaves *ret as it is. */
static int parse_address(const char *option, const char *text, struct address *ret, struct err *err)
{
    return text ? options_address(option, text, &ret->host, &ret->port, err) : 0;
}

/* The PATH of "unix:PATH", else NULL. */
static const char *socket_path(const char *text)
{
    return str_starts(str_of(text), "unix:/") ? text + strlen("unix:") : NULL;
}

static int parse_threads(struct options *o, struct err *err)
{
    uint64_t n = 1;
    if (o->threads_text && cstr_eq(o->threads_text, "auto")) {
        cpu_set_t mine;
        n = sched_getaffinity(0, sizeof(mine), &mine) == 0 ? (uint64_t)CPU_COUNT(&mine) : 1;
        n = MIN_OF(n, (uint64_t)LIMIT_SHARDS);
    } else if (o->threads_text &&
               (str_u64(str_of(o->threads_text), &n) < 0 || n < 1 || n > LIMIT_SHARDS)) {
        return err_set(err, -E_INVAL, "--threads: '%s' is not auto or a number from 1 to %d",
                       o->threads_text, LIMIT_SHARDS);
    }
    o->threads = (unsigned)n;
    return 0;
}

static int check_mqtt(const struct options *o, struct err *err)
{
    bool broker = o->mqtt || o->mqtt_tls;
    if (!broker && (o->cert || o->key || o->ca || o->users || o->acl || o->anonymous)) {
        return err_set(err, -E_INVAL, "options of the broker need --mqtt or --mqtt-tls");
    }
    if (o->mqtt_tls && (!o->cert || !o->key)) {
        return err_set(err, -E_INVAL, "--mqtt-tls needs --mqtt-cert and --mqtt-key");
    }
    return 0;
}

static int parse_options(int argc, char **argv, struct options *o, struct err *err)
{
    const struct option_spec specs[] = {
        {"state-dir", &o->state_dir, NULL},
        {"listen", &o->listen, NULL},
        {"api", &o->api, NULL},
        {"timezone", &o->zone, NULL},
        {"log-level", &o->log_level, NULL},
        {"threads", &o->threads_text, NULL},
        {"mqtt", &o->mqtt, NULL},
        {"mqtt-tls", &o->mqtt_tls, NULL},
        {"mqtt-cert", &o->cert, NULL},
        {"mqtt-key", &o->key, NULL},
        {"mqtt-ca", &o->ca, NULL},
        {"mqtt-users", &o->users, NULL},
        {"mqtt-acl", &o->acl, NULL},
        {"mqtt-anonymous", NULL, &o->anonymous},
        {"n", NULL, &o->check},
    };
    int rc = options_parse("data", argc, argv, specs, ARRAY_SIZE(specs), usage, NULL);
    if (rc != 0) {
        return rc > 0 ? 1 : err_set(err, -E_INVAL, "bad options");
    }
    rc = options_log("data", o->log_level, err);
    if (rc < 0) {
        return rc;
    }
    if (o->api && !socket_path(o->api)) {
        return err_set(err, -E_INVAL, "--api: '%s' is not unix:PATH", o->api);
    }
    rc = socket_path(o->listen) ? 0 : parse_address("listen", o->listen, &o->rest, err);
    rc = rc < 0 ? rc : parse_threads(o, err);
    rc = rc < 0 ? rc : parse_address("mqtt", o->mqtt, &o->plain, err);
    rc = rc < 0 ? rc : parse_address("mqtt-tls", o->mqtt_tls, &o->tls, err);
    return rc < 0 ? rc : check_mqtt(o, err);
}

static void free_options(struct options *o)
{
    mem_free(o->rest.host);
    mem_free(o->plain.host);
    mem_free(o->tls.host);
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
    const char *path = socket_path(p->opts->listen);
    return path ? http_server_listen_unix(p->http, path, 0600, err)
                : http_server_listen_tcp(p->http, p->opts->rest.host, p->opts->rest.port, NULL,
                                         ret_port, err);
}

/* Held as long as the process lives: the state is one program's, and an edge finds it by the lock.
 */
static int lock_state(const char *dir, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/lock", dir);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = path ? dir_make(dir, 0711, err) : err_sys(err, -ENOMEM, "lock the state");
    int fd = rc < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (rc < 0) {
        return rc;
    }
    if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0) { /* never closed: that would let go of it */
        return err_sys(err, -errno, "lock '%s' (does another process use it?)", path);
    }
    return 0;
}

static int start(struct program *p, struct err *err)
{
    uint16_t port = 0;
    int rc = lock_state(p->opts->state_dir, err);
    rc = rc < 0 ? rc : open_http(p, &port, err);
    if (rc == 0) {
        const struct options *o = p->opts;
        const struct broker_config broker = {.address = o->plain.host,
                                             .port = o->plain.port,
                                             .tls = {.address = o->tls.host,
                                                     .port = o->tls.port,
                                                     .cert_file = o->cert,
                                                     .key_file = o->key,
                                                     .ca_file = o->ca},
                                             .users_file = o->users,
                                             .acl_file = o->acl,
                                             .anonymous = o->anonymous};
        const struct data_config cfg = {.loop = p->loop,
                                        .dir = o->state_dir,
                                        .zone = o->zone,
                                        .threads = o->threads,
                                        .port = port,
                                        .api = o->api ? socket_path(o->api) : NULL,
                                        .broker = o->mqtt || o->mqtt_tls ? &broker : NULL};
        rc = data_start(&cfg, &p->data, err);
    }
    rc = rc < 0 ? rc : loop_on_signal(p->loop, SIGTERM, on_signal, p, err);
    rc = rc < 0 ? rc : loop_on_signal(p->loop, SIGINT, on_signal, p, err);
    if (rc == 0) {
        const char *path = socket_path(p->opts->listen);
        log_info("listening on %s:%u version=%s", path ? path : p->opts->rest.host, port,
                 SELVEDGE_VERSION);
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
        free_options(&o);
        return rc < 0 ? 2 : 0;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* where it fails the lower limit serves */
    }
    (void)mallopt(M_ARENA_MAX, MAX_OF((int)o.threads, 1)); /* other threads hardly allocate */
    (void)mallopt(M_TRIM_THRESHOLD, 256 << 10);
    rc = o.check ? 0 : run(&o, &err);
    if (rc < 0) {
        log_error("%s", err.text);
    }
    free_options(&o);
    return rc < 0;
}

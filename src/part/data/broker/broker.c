/* SPDX-License-Identifier: Apache-2.0 */
/* The broker as the rest of the part has it: begin, files that change, status, end. */
#include "broker.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/limits.h"
#include "base/log.h"
#include "broker_private.h"
#include "codec/mqtt_topic.h"
#include "io/file.h"
#include "io/process.h"
#include "io/ring.h"
#include "io/stream.h"

#define RING_BYTES ((size_t)64 << 20)
#define GRACE_MS 5000
#define SETTLE_MS 200

/* ---- state ---- */

static void tell(void *arg)
{
    struct broker *b = arg;
    if (b->cfg.on_state) {
        b->cfg.on_state(b->cfg.arg);
    }
}

void broker_enter(struct broker *b, enum broker_state state)
{
    static const bool may[BROKER_STATE_NR][BROKER_STATE_NR] = {
        [BROKER_STARTING] =
            {[BROKER_RUNNING] = true, [BROKER_WAITING] = true, [BROKER_STOPPING] = true},
        [BROKER_RUNNING] = {[BROKER_WAITING] = true, [BROKER_STOPPING] = true},
        [BROKER_WAITING] = {[BROKER_STARTING] = true, [BROKER_STOPPING] = true},
    };
    assert(may[b->state][state]);
    b->state = state;
    if (state != BROKER_STOPPING) {
        loop_defer(b->cfg.loop, &b->tell);
    }
}

/* ---- files that change ---- */

int broker_reload(struct broker *b, struct err *err)
{
    int code = broker_files_renew(b, err);
    if (code > 0 && b->process) {
        (void)io_process_kill(b->process, SIGHUP); /* one that just ended reads them anew anyway */
    }
    return code < 0 ? code : 0;
}

static void on_settled(void *arg)
{
    struct broker *b = arg;
    struct err err;
    if (broker_reload(b, &err) < 0) {
        log_warn("broker: %s; the old state stays, ignoring", err.text);
    }
}

static void on_change(void *arg, const char *name)
{
    struct broker *b = arg;
    io_timer_start(&b->settle, SETTLE_MS, /* repeat_ms= */ 0);
}

/* Folders are watched, not files, because files are replaced. */
static int watch(struct broker *b, const char *path, struct io_fswatch **ret, struct err *err)
{
    if (!path) {
        return 0;
    }
    struct str dir = STR_NULL;
    CLEANUP(mem_freep) char *folder = NULL;
    if (!str_rcut(str_of(path), '/', &dir, NULL)) {
        dir = STR_LIT(".");
    }
    folder = mem_strndup(dir.n ? dir.p : "/", dir.n ? dir.n : 1);
    if (!folder) {
        return err_set(err, -E_NOMEM, "broker: out of memory");
    }
    return io_fswatch_new(b->cfg.loop, folder, on_change, b, ret, err);
}

static int watch_all(struct broker *b, struct err *err)
{
    const char *const paths[BROKER_WATCHES] = {b->cfg.users_file, b->cfg.acl_file,
                                               b->cfg.tls.cert_file, b->cfg.tls.key_file,
                                               b->cfg.tls.ca_file};
    int code = 0;
    for (size_t i = 0; i < BROKER_WATCHES && code >= 0; i++) {
        code = watch(b, paths[i], &b->watches[i], err);
    }
    return code;
}

/* ---- begin and end ---- */

static void free_now(struct broker *b)
{
    for (size_t i = 0; i < BROKER_WATCHES; i++) {
        io_fswatch_close(b->watches[i]);
    }
    io_task_cancel(&b->drain);
    io_task_cancel(&b->tell);
    io_timer_stop(&b->timer);
    io_timer_stop(&b->settle);
    io_poll_close(b->bell);
    io_poll_close(b->pause);
    fd_closep(&b->pause_fd);
    ring_reader_free(b->ring);
    stream_close(b->output);
    arena_fini(&b->arena);
    mem_free(b);
}

static void end(void *arg)
{
    struct broker *b = arg;
    void (*done)(void *) = b->done;
    void *done_arg = b->done_arg;
    broker_files_remove(b);
    free_now(b);
    if (done) {
        done(done_arg);
    }
}

static bool plain_text(const char *s)
{
    for (; s && *s; s++) {
        if ((unsigned char)*s <= ' ' || *s == 0x7f) {
            return false;
        }
    }
    return true;
}

/* mosquitto where Debian puts it, our plugin beside this program. */
static int find_programs(struct broker *b, struct err *err)
{
    struct broker_config *c = &b->cfg;
    if (!c->program) {
        c->program = file_exists("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto";
    }
    if (!c->plugin) {
        char self[4096 - 32];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
        struct str dir = STR_NULL;
        if (n > 0 && str_rcut(str_n(self, (size_t)n), '/', &dir, NULL)) {
            c->plugin = arena_printf(&b->arena, STR_FMT "/broker_plugin.so", STR_ARG(dir));
        }
    }
    if (c->program[0] == '/' && !file_exists(c->program)) {
        return err_set(err, -E_NOENT, "broker: '%s' is not there: install mosquitto", c->program);
    }
    if (!c->plugin || !file_exists(c->plugin)) {
        return err_set(err, -E_NOENT, "broker: the plugin '%s' is not there",
                       c->plugin ? c->plugin : "");
    }
    return 0;
}

static int check(const struct broker_config *c, struct err *err)
{
    if (c->dir[0] != '/' || strlen(c->dir) > BROKER_DIR_MAX) {
        return err_set(err, -E_INVAL, "broker: '%s' is no absolute path of at most %d bytes",
                       c->dir, BROKER_DIR_MAX);
    }
    if (!plain_text(c->dir) || !plain_text(c->address) || !plain_text(c->tls.address) ||
        !plain_text(c->plugin)) {
        return err_set(err, -E_INVAL, "broker: blanks in '%s', in the plugin's path or an address",
                       c->dir);
    }
    if (c->tls.port && (!c->tls.cert_file || !c->tls.key_file)) {
        return err_set(err, -E_INVAL, "broker: TLS needs a certificate and a key");
    }
    if (c->tls.require_certificate && !c->tls.ca_file) {
        return err_set(err, -E_INVAL, "broker: client certificates need a CA");
    }
    return 0;
}

static const char *keep(struct broker *b, const char *text)
{
    return text ? arena_strdup(&b->arena, text) : NULL;
}

static void copy_config(struct broker *b, const struct broker_config *cfg)
{
    struct broker_config *c = &b->cfg;
    *c = *cfg;
    c->dir = keep(b, cfg->dir);
    c->program = keep(b, cfg->program);
    c->plugin = keep(b, cfg->plugin);
    c->address = keep(b, cfg->address ? cfg->address : "127.0.0.1");
    c->tls.address = keep(b, cfg->tls.address);
    c->tls.cert_file = keep(b, cfg->tls.cert_file);
    c->tls.key_file = keep(b, cfg->tls.key_file);
    c->tls.ca_file = keep(b, cfg->tls.ca_file);
    c->users_file = keep(b, cfg->users_file);
    c->acl_file = keep(b, cfg->acl_file);
    c->max_message = cfg->max_message ? cfg->max_message : (size_t)LIMIT_EVENT_BYTES;
    c->max_connections =
        cfg->max_connections ? cfg->max_connections : (size_t)LIMIT_BROKER_CONNECTIONS;
    c->ring_bytes = cfg->ring_bytes ? cfg->ring_bytes : RING_BYTES;
    /* The largest message is at most half of the ring. */
    c->ring_bytes = MAX_OF(c->ring_bytes, 2 * c->max_message + ((size_t)1 << 20));
}

static void make_credentials(struct broker *b)
{
    uint8_t secret[(BROKER_PASSWORD_SIZE - 1) / 2];
    char name[9];
    random_bytes(secret, sizeof(secret));
    hex_encode(secret, sizeof(secret), b->password);
    random_name(name, sizeof(name) - 1);
    (void)snprintf(b->user, sizeof(b->user), "selvedge-%s", name);
    (void)snprintf(b->socket, sizeof(b->socket), "%s/run/local.sock",
                   b->cfg.dir); /* dir is short */
}

static int prepare(struct broker *b, struct err *err)
{
    int code = find_programs(b, err);
    code = code < 0 ? code : check(&b->cfg, err);
    if (code < 0) {
        return code;
    }
    make_credentials(b);
    code = broker_files_make(b, err);
    code = code < 0 ? code : ring_reader_new(b->cfg.ring_bytes, &b->ring, err);
    code = code < 0 ? code : watch_all(b, err);
    return code < 0 ? code : broker_events_open(b, err);
}

int broker_start(const struct broker_config *cfg, struct broker **ret, struct err *err)
{
    struct broker *b = mem_zalloc(sizeof(*b));
    if (!b) {
        return err_set(err, -E_NOMEM, "broker: out of memory");
    }
    arena_init(&b->arena, /* cap= */ (size_t)1 << 20);
    copy_config(b, cfg);
    io_task_init(&b->tell, tell, b);
    io_task_init(&b->end, end, b);
    broker_process_init(b);
    broker_events_init(b);
    io_timer_init(cfg->loop, &b->settle, on_settled, b);
    int code =
        arena_failed(&b->arena) ? err_set(err, -E_NOMEM, "broker: out of memory") : prepare(b, err);
    if (code < 0) {
        free_now(b);
        return code;
    }
    loop_defer(cfg->loop, &b->drain); /* goes to sleep there */
    broker_spawn(b);
    *ret = b;
    return 0;
}

int broker_topics(struct broker *b, const char *const *filters, size_t n, struct err *err)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    if (n > LIMIT_MQTT_FILTERS) {
        return err_set(err, -E_LIMIT, "more than %d topics", LIMIT_MQTT_FILTERS);
    }
    for (size_t i = 0; i < n; i++) {
        if (!mqtt_filter_valid(str_of(filters[i])) || strchr(filters[i], '\n')) {
            return err_set(err, -E_INVAL, "'%s' is no topic filter", filters[i]);
        }
        (void)buf_printf(&text, "%s\n", filters[i]); /* a failure is sticky */
    }
    if (buf_failed(&text) || buf_len(&text) > LIMIT_BROKER_FILE) {
        return err_set(err, -E_LIMIT, "the topics are too long");
    }
    int code = broker_files_topics(b, buf_str(&text), err);
    if (code == 0) {
        ring_control_set(b->ring, ++b->control);
    }
    return code;
}

void broker_status(struct broker *b, struct broker_status *ret)
{
    struct ring_stats s;
    ring_reader_stats(b->ring, &s);
    *ret = (struct broker_status){
        .state = b->state,
        .why = b->state == BROKER_WAITING ? b->why : NULL,
        .restarts = b->restarts,
        .pid = b->process ? (int)io_process_pid(b->process) : 0,
        .events = s.records - b->odd,
        .bytes = b->bytes,
        .dropped = s.dropped,
        .broken = s.broken + b->odd,
    };
}

void broker_local(const struct broker *b, struct broker_local *ret)
{
    *ret = (struct broker_local){b->socket, b->user, b->password};
}

void broker_stop(struct broker *b, void (*done)(void *arg), void *arg)
{
    b->done = done;
    b->done_arg = arg;
    b->cfg.on_state = NULL;
    broker_enter(b, BROKER_STOPPING);
    io_task_cancel(&b->drain);
    io_task_cancel(&b->tell);
    io_timer_stop(&b->timer);
    io_timer_stop(&b->settle);
    io_poll_set(b->bell, 0);
    io_poll_set(b->pause, 0);
    if (b->process && io_process_kill(b->process, SIGTERM) == 0) {
        io_timer_start(&b->timer, GRACE_MS, /* repeat_ms= */ 0);
    } else if (!b->process) {
        loop_defer(b->cfg.loop, &b->end);
    }
}

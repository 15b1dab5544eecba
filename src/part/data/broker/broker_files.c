/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of the broker. Where this process is root, mosquitto drops to a user of its own: the
 * folder belongs to that user's group (set-group-id, so that what is written here does too), and
 * the two places where the broker itself writes belong to that group for writing.
 *
 *      DIR/mosquitto.conf topics users acl      what it reads: copies that were checked here
 *      DIR/server.crt server.key clients.crt
 *      DIR/run/local.sock                       where own clients connect
 *      DIR/db/broker.db                         sessions and retained messages
 */
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "broker_private.h"
#include "io/file.h"
#include "io/ring.h"
#include "io/x509.h"
#include "net/mqtt_acl.h"
#include "net/mqtt_users.h"

#define RING_FD 3
#define BELL_FD 4
#define PATH_SIZE (BROKER_DIR_MAX + 64)

static const char *path_of(const struct broker *b, const char *name, char out[PATH_SIZE])
{
    (void)snprintf(out, PATH_SIZE, "%s/%s", b->cfg.dir, name); /* dir is short */
    return out;
}

/* Whether the broker's user may pass through every folder above the path. */
static int reachable(const struct broker *b, const char *path, struct err *err)
{
    char part[4096];
    if (geteuid() != 0 || !cstr_copy(part, sizeof(part), path)) {
        return 0;
    }
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        struct stat st;
        mode_t need = S_IXOTH;
        if (stat(part, &st) == 0) {
            need = st.st_uid == b->uid ? S_IXUSR : st.st_gid == b->gid ? S_IXGRP : S_IXOTH;
            if (!(st.st_mode & need)) {
                return err_set(err, -E_ACCESS, "broker: its user cannot pass through '%s' to '%s'",
                               part, path);
            }
        }
        *slash = '/';
    }
    return 0;
}

static int make_dir(const struct broker *b, const char *path, mode_t mode, struct err *err)
{
    int code = dir_make(path, mode & 0777, err);
    if (code < 0) {
        return code;
    }
    if ((geteuid() == 0 && chown(path, 0, b->gid) < 0) || chmod(path, mode) < 0) {
        return err_sys(err, -errno, "broker: folder '%s'", path);
    }
    return 0;
}

/* As whom the broker runs: as mosquitto decides it. */
static void find_user(struct broker *b)
{
    struct passwd entry, *pw = NULL;
    char text[4096];
    b->uid = geteuid();
    b->gid = getegid();
    if (b->uid != 0) {
        return;
    }
    if (getpwnam_r("mosquitto", &entry, text, sizeof(text), &pw) != 0 || !pw) {
        (void)getpwnam_r("nobody", &entry, text, sizeof(text), &pw); /* none: pw is NULL */
    }
    if (pw) {
        b->uid = pw->pw_uid;
        b->gid = pw->pw_gid;
    }
}

static int make_dirs(struct broker *b, struct err *err)
{
    char path[PATH_SIZE];
    find_user(b);
    int code = make_dir(b, b->cfg.dir, 02750, err);
    code = code < 0 ? code : reachable(b, path_of(b, "x", path), err);
    code = code < 0 ? code : reachable(b, b->cfg.plugin, err);
    code = code < 0 ? code : tree_remove(path_of(b, "run", path), err);
    code = code < 0 ? code : make_dir(b, path_of(b, "run", path), 02770, err);
    return code < 0 ? code : make_dir(b, path_of(b, "db", path), 02770, err);
}

/* 1 when the file was not like that. */
static int put(struct broker *b, const char *name, struct str text, struct err *err)
{
    char path[PATH_SIZE];
    CLEANUP(mem_freep) char *old = NULL;
    size_t n = 0;
    path_of(b, name, path);
    if (file_read(path, LIMIT_BROKER_FILE, &old, &n, NULL) == 0 && str_eq(str_n(old, n), text)) {
        return 0;
    }
    int code = file_write_replace(path, text.p ? text.p : "", text.n, 0640, err);
    return code < 0 ? err_wrap(err, code, "broker") : 1;
}

/* ---- what users give ---- */

static int check_users(struct str text, const char *name, struct err *err)
{
    struct mqtt_users *users = NULL;
    int code = mqtt_users_parse(text, name, &users, err);
    mqtt_users_free(users);
    return code;
}

static int check_acl(struct str text, const char *name, struct err *err)
{
    struct mqtt_acl *acl = NULL;
    int code = mqtt_acl_parse(text, name, &acl, err);
    mqtt_acl_free(acl);
    return code;
}

static int check_certificate(struct str text, const char *name, struct err *err)
{
    struct x509_info *info = NULL;
    int code = x509_cert_parse(text, &info, err);
    x509_info_free(info);
    return code < 0 ? err_wrap(err, code, "%s", name) : 0;
}

struct given {
    const char *from, *to;
    int (*check)(struct str text, const char *name, struct err *err);
    char *text;
    size_t n;
};

static void given_free(struct given *g, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mem_free(g[i].text);
    }
}

static int given_read(struct given *g, struct err *err)
{
    int code = file_read(g->from, LIMIT_BROKER_FILE, &g->text, &g->n, err);
    if (code == 0 && g->check) {
        code = g->check(str_n(g->text, g->n), g->from, err);
    }
    return code;
}

int broker_files_renew(struct broker *b, struct err *err)
{
    const struct broker_config *c = &b->cfg;
    struct given g[] = {{c->users_file, "users", check_users},
                        {c->acl_file, "acl", check_acl},
                        {c->tls.cert_file, "server.crt", check_certificate},
                        {c->tls.key_file, "server.key", NULL},
                        {c->tls.ca_file, "clients.crt", check_certificate}};
    int code = 0, changed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(g) && code >= 0; i++) {
        code = g[i].from ? given_read(&g[i], err) : 0;
    }
    if (code >= 0 && g[2].text) {
        code = x509_check(str_n(g[2].text, g[2].n), /* ca_pem= */ NULL, g[3].text, err);
        code = code < 0 ? err_wrap(err, code, "%s", c->tls.cert_file) : 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(g) && code >= 0; i++) {
        code = g[i].from ? put(b, g[i].to, str_n(g[i].text, g[i].n), err) : 0;
        changed |= code > 0;
    }
    given_free(g, ARRAY_SIZE(g));
    return code < 0 ? code : changed;
}

int broker_files_topics(struct broker *b, struct str text, struct err *err)
{
    int code = put(b, "topics", text, err);
    return code < 0 ? code : 0;
}

/* ---- mosquitto.conf ---- */

static void print_listener(struct buf *out, const char *address, uint16_t port, size_t connections)
{
    (void)buf_printf(out, "listener %u %s\nmax_connections %zu\n", port, address, connections);
}

static void print_tls(const struct broker *b, struct buf *out)
{
    const struct broker_config *c = &b->cfg;
    print_listener(out, c->tls.address ? c->tls.address : "", c->tls.port, c->max_connections);
    (void)buf_printf(out, "certfile %s/server.crt\nkeyfile %s/server.key\ntls_version tlsv1.2\n",
                     c->dir, c->dir);
    if (c->tls.ca_file) {
        (void)buf_printf(out, "cafile %s/clients.crt\nrequire_certificate %s\n", c->dir,
                         c->tls.require_certificate ? "true" : "false");
    }
}

static void print_common(const struct broker *b, struct buf *out)
{
    const struct broker_config *c = &b->cfg;
    (void)buf_puts(out, "# Written by selvedge at every start; changes are lost.\n"
                        "per_listener_settings false\nallow_anonymous false\n"
                        "log_dest stderr\nlog_timestamp false\nconnection_messages false\n"
                        "log_type error\nlog_type warning\n"
                        "set_tcp_nodelay true\nmax_inflight_messages 100\n"
                        "max_queued_messages 10000\nmax_queued_bytes 67108864\n");
    /* A packet is a payload, a topic, and properties. */
    (void)buf_printf(out, "max_packet_size %zu\n", c->max_message + ((size_t)128 << 10));
    (void)buf_printf(out, "persistence %s\n", c->ephemeral ? "false" : "true");
    if (!c->ephemeral) {
        (void)buf_printf(out,
                         "persistence_location %s/db/\npersistence_file broker.db\n"
                         "autosave_interval 60\n",
                         c->dir);
    }
}

static void print_plugin(const struct broker *b, struct buf *out)
{
    const struct broker_config *c = &b->cfg;
    (void)buf_printf(out, "plugin %s\nplugin_opt_parent %d\n", c->plugin, (int)getpid());
    (void)buf_printf(out, "plugin_opt_ring %d\nplugin_opt_bell %d\n", RING_FD, BELL_FD);
    (void)buf_printf(out, "plugin_opt_topics_file %s/topics\n", c->dir);
    (void)buf_printf(out, "plugin_opt_local_user %s\nplugin_opt_local_password %s\n", b->user,
                     b->password);
    (void)buf_printf(out, "plugin_opt_anonymous %s\n", c->anonymous ? "true" : "false");
    if (c->users_file) {
        (void)buf_printf(out, "plugin_opt_users_file %s/users\n", c->dir);
    }
    if (c->acl_file) {
        (void)buf_printf(out, "plugin_opt_acl_file %s/acl\n", c->dir);
    }
}

static int put_conf(struct broker *b, struct err *err)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    const struct broker_config *c = &b->cfg;
    print_common(b, &out);
    (void)buf_printf(&out, "listener 0 %s\n", b->socket);
    if (c->port) {
        print_listener(&out, c->address, c->port, c->max_connections);
    }
    if (c->tls.port) {
        print_tls(b, &out);
    }
    print_plugin(b, &out);
    if (buf_failed(&out)) {
        return err_set(err, -E_NOMEM, "broker: out of memory");
    }
    int code = put(b, "mosquitto.conf", buf_str(&out), err);
    return code < 0 ? code : 0;
}

int broker_files_make(struct broker *b, struct err *err)
{
    int code = make_dirs(b, err);
    code = code < 0 ? code : broker_files_renew(b, err);
    code = code < 0 ? code : broker_files_topics(b, STR_NULL, err);
    return code < 0 ? code : put_conf(b, err);
}

void broker_files_remove(struct broker *b)
{
    static const char *const names[] = {"mosquitto.conf", "topics",     "users", "acl",
                                        "server.crt",     "server.key", "run",   "clients.crt"};
    char path[PATH_SIZE];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)tree_remove(path_of(b, names[i], path), NULL); /* what stays is replaced next time */
    }
    if (b->cfg.ephemeral) {
        (void)tree_remove(b->cfg.dir, NULL); /* as above */
    }
}

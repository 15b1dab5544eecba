/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin that mosquitto loads (plugin interface 5): who may connect, who may read and write
 * what, and messages of the topics that rules asked for into the ring of `data`.
 *
 * It runs on the broker's only thread and never waits: settings are small local files, read when
 * the broker reloads (SIGHUP) or, for the topics, when the ring says that they changed; a full ring
 * drops. A file that is broken is told once with its line, and what was read before stays in force.
 * The files and the options are written by part/data/broker/broker.c, which has checked them.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Before the broker's own headers, which need it. */
#include <mosquitto.h>

#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <mqtt_protocol.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/mqtt_event.h"
#include "codec/mqtt_topic.h"
#include "io/file.h"
#include "io/ring.h"
#include "net/mqtt_acl.h"
#include "net/mqtt_users.h"

#define EXPORT __attribute__((visibility("default")))
#define PROPERTIES_MAX ((size_t)64 << 10) /* bytes of user properties that are handed on */

struct plugin {
    mosquitto_plugin_id_t *id;
    const char *topics_file, *users_file, *acl_file; /* of the options, which stay */
    const char *local_user, *local_password;
    bool anonymous;
    struct ring_writer *ring;
    uint64_t control; /* of the ring, when the topics were read */
    struct mqtt_topic_set *topics;
    struct mqtt_users *users;
    struct mqtt_acl *acl; /* NULL = everybody may everything */
    struct buf properties;
};

/* ---- settings ---- */

/* One filter a line, as broker.c writes them. */
static int parse_topics(struct str text, const char *name, struct mqtt_topic_set **ret,
                        struct err *err)
{
    struct mqtt_topic_set *set = mqtt_topic_set_new();
    unsigned number = 0;
    int code = set ? 0 : -E_NOMEM;
    for (bool more = code == 0; more && code == 0;) {
        struct str line;
        more = str_cut(text, '\n', &line, &text);
        number++;
        code = line.n == 0 ? 0 : mqtt_topic_set_add(set, line);
    }
    if (code < 0) {
        mqtt_topic_set_free(set);
        return err_sys(err, code, "%s:%u", name, number);
    }
    *ret = set;
    return 0;
}

static void read_topics(struct plugin *p)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t n = 0;
    struct err err;
    struct mqtt_topic_set *topics = NULL;
    if (file_read(p->topics_file, LIMIT_BROKER_FILE, &text, &n, &err) < 0 ||
        parse_topics(str_n(text, n), p->topics_file, &topics, &err) < 0) {
        mosquitto_log_printf(MOSQ_LOG_ERR, "selvedge: %s; the old topics stay", err.text);
        return;
    }
    mqtt_topic_set_free(p->topics);
    p->topics = topics;
}

static int read_users(struct plugin *p, struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t n = 0;
    struct mqtt_users *users = NULL;
    int code = p->users_file ? file_read(p->users_file, LIMIT_BROKER_FILE, &text, &n, err) : 0;
    if (code == 0) {
        code = mqtt_users_parse(str_n(text, n), p->users_file, &users, err);
    }
    if (code < 0) {
        return code;
    }
    mqtt_users_free(p->users);
    p->users = users;
    return 0;
}

static int read_acl(struct plugin *p, struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t n = 0;
    struct mqtt_acl *acl = NULL;
    int code = 0;
    if (p->acl_file) {
        code = file_read(p->acl_file, LIMIT_BROKER_FILE, &text, &n, err);
        code = code < 0 ? code : mqtt_acl_parse(str_n(text, n), p->acl_file, &acl, err);
    }
    if (code < 0) {
        return code;
    }
    mqtt_acl_free(p->acl);
    p->acl = acl;
    return 0;
}

static int on_reload(int event, void *data, void *arg)
{
    struct plugin *p = arg;
    struct err err;
    if (read_users(p, &err) < 0) {
        mosquitto_log_printf(MOSQ_LOG_ERR, "selvedge: %s; the old users stay", err.text);
    }
    if (read_acl(p, &err) < 0) {
        mosquitto_log_printf(MOSQ_LOG_ERR, "selvedge: %s; the old access rules stay", err.text);
    }
    return MOSQ_ERR_SUCCESS;
}

/* ---- who may connect ---- */

/* The common name of a client's certificate, which the TLS layer has checked against the CA. */
static bool certificate_name(const struct mosquitto *client, char *out, size_t size)
{
    X509 *cert = mosquitto_client_certificate(client);
    if (!cert) {
        return false;
    }
    int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out, (int)size);
    X509_free(cert);
    return n > 0 && strlen(out) == (size_t)n; /* a name with NUL in it is none */
}

static bool is_local(const struct plugin *p, const char *user, const char *password)
{
    size_t n = strlen(p->local_password);
    return user && password && cstr_eq(user, p->local_user) && strlen(password) == n &&
           CRYPTO_memcmp(password, p->local_password, n) == 0;
}

static int on_auth(int event, void *data, void *arg)
{
    struct plugin *p = arg;
    struct mosquitto_evt_basic_auth *e = data;
    char name[256];
    if (certificate_name(e->client, name, sizeof(name))) {
        if (cstr_eq(name, p->local_user)) {
            return MOSQ_ERR_AUTH;
        }
        return mosquitto_set_username(e->client, name) == MOSQ_ERR_SUCCESS ? MOSQ_ERR_SUCCESS
                                                                           : MOSQ_ERR_AUTH;
    }
    if (!e->username) {
        return p->anonymous ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH;
    }
    if (is_local(p, e->username, e->password)) {
        return MOSQ_ERR_SUCCESS;
    }
    bool ok = e->password && !cstr_eq(e->username, p->local_user) &&
              mqtt_users_check(p->users, str_of(e->username), str_of(e->password));
    return ok ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH;
}

/* ---- who may do what ---- */

static int on_acl(int event, void *data, void *arg)
{
    struct plugin *p = arg;
    const struct mosquitto_evt_acl_check *e = data;
    if (!p->acl || (e->access != MOSQ_ACL_READ && e->access != MOSQ_ACL_WRITE &&
                    e->access != MOSQ_ACL_SUBSCRIBE)) {
        return MOSQ_ERR_SUCCESS; /* unsubscribing is always allowed */
    }
    const char *user = mosquitto_client_username(e->client);
    if (user && cstr_eq(user, p->local_user)) {
        return MOSQ_ERR_SUCCESS;
    }
    bool ok = mqtt_acl_allows(p->acl, str_of(user), str_of(mosquitto_client_id(e->client)),
                              str_of(e->topic), (enum mqtt_access)e->access);
    return ok ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
}

/* ---- messages ---- */

static void put_text(struct buf *b, const char *text)
{
    size_t n = strlen(text); /* at most 65535: its length came in two bytes */
    uint8_t length[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
    /* A failure is sticky and seen by the caller. */
    (void)buf_append(b, length, sizeof(length));
    (void)buf_append(b, text, n);
}

/* User properties as mqtt_event.h has them; those beyond PROPERTIES_MAX are left out. */
static struct str user_properties(struct plugin *p, const mosquitto_property *list)
{
    struct buf *b = &p->properties;
    size_t whole = 0;
    char *name = NULL, *value = NULL;
    buf_clear(b);
    for (bool again = false;; again = true) {
        list = mosquitto_property_read_string_pair(list, MQTT_PROP_USER_PROPERTY, &name, &value,
                                                   again);
        if (!list) {
            break;
        }
        put_text(b, name);
        put_text(b, value);
        free(name); /* the interface says free(3) */
        free(value);
        if (buf_failed(b) || buf_len(b) > PROPERTIES_MAX) {
            break;
        }
        whole = buf_len(b);
    }
    return str_n(buf_data(b), whole);
}

static int on_message(int event, void *data, void *arg)
{
    struct plugin *p = arg;
    const struct mosquitto_evt_message *e = data;
    uint64_t control = ring_control(p->ring);
    if (control != p->control) {
        p->control = control;
        read_topics(p);
    }
    struct str topic = str_of(e->topic);
    if (!p->topics || !mqtt_topic_set_matches(p->topics, topic)) {
        return MOSQ_ERR_SUCCESS;
    }
    struct mqtt_event record = {
        .topic = topic,
        .payload = str_n(e->payload, e->payloadlen),
        .client = str_of(mosquitto_client_id(e->client)),
        .user = str_of(mosquitto_client_username(e->client)),
        .properties = e->properties ? user_properties(p, e->properties) : STR_NULL,
        .time_us = wall_now().us,
        .qos = e->qos,
        .retain = e->retain,
    };
    uint8_t head[MQTT_EVENT_HEAD];
    struct iovec pieces[MQTT_EVENT_PIECES];
    if (mqtt_event_pieces(&record, head, pieces) == 0) {
        (void)ring_write(p->ring, pieces, MQTT_EVENT_PIECES); /* counts what it drops */
    }
    return MOSQ_ERR_SUCCESS;
}

/* ---- begin and end ---- */

static const char *option(const struct mosquitto_opt *options, int n, const char *key)
{
    for (int i = 0; i < n; i++) {
        if (cstr_eq(options[i].key, key)) {
            return options[i].value;
        }
    }
    return NULL;
}

static int number(const struct mosquitto_opt *options, int n, const char *key)
{
    uint64_t value = 0;
    const char *text = option(options, n, key);
    return text && str_u64(str_of(text), &value) == 0 && value <= INT32_MAX ? (int)value : -1;
}

/* The broker ends with its parent, also where that is killed. Asked for here and not by the parent,
 * because the kernel forgets it when the broker drops root. */
static int end_with_parent(int parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0) {
        return -errno;
    }
    return getppid() == parent ? 0 : -ESRCH;
}

static int settings(struct plugin *p, const struct mosquitto_opt *o, int n, struct err *err)
{
    p->topics_file = option(o, n, "topics_file");
    p->users_file = option(o, n, "users_file");
    p->acl_file = option(o, n, "acl_file");
    p->local_user = option(o, n, "local_user");
    p->local_password = option(o, n, "local_password");
    p->anonymous = cstr_eq(option(o, n, "anonymous"), "true");
    if (!p->topics_file || !p->local_user || !p->local_password) {
        return err_set(err, -E_INVAL, "topics_file, local_user and local_password are needed");
    }
    int code = end_with_parent(number(o, n, "parent"));
    if (code < 0) {
        return err_sys(err, code, "parent");
    }
    code = ring_writer_open(number(o, n, "ring"), number(o, n, "bell"), &p->ring, err);
    code = code < 0 ? code : read_users(p, err);
    code = code < 0 ? code : read_acl(p, err);
    if (code == 0) {
        p->control = ring_control(p->ring);
        read_topics(p);
    }
    return code;
}

static int enrol(struct plugin *p)
{
    static const struct {
        int event;
        MOSQ_FUNC_generic_callback fn;
    } events[] = {{MOSQ_EVT_RELOAD, on_reload},
                  {MOSQ_EVT_BASIC_AUTH, on_auth},
                  {MOSQ_EVT_ACL_CHECK, on_acl},
                  {MOSQ_EVT_MESSAGE, on_message}};
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        int code = mosquitto_callback_register(p->id, events[i].event, events[i].fn,
                                               /* event_data= */ NULL, p);
        if (code != MOSQ_ERR_SUCCESS) {
            return code;
        }
    }
    return MOSQ_ERR_SUCCESS;
}

static void plugin_free(struct plugin *p)
{
    ring_writer_close(p->ring);
    mqtt_topic_set_free(p->topics);
    mqtt_users_free(p->users);
    mqtt_acl_free(p->acl);
    buf_fini(&p->properties);
    mem_free(p);
}

EXPORT int mosquitto_plugin_version(int n, const int *versions)
{
    for (int i = 0; i < n; i++) {
        if (versions[i] == 5) {
            return 5;
        }
    }
    return -1;
}

EXPORT int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **userdata,
                                 struct mosquitto_opt *options, int n)
{
    struct plugin *p = mem_zalloc(sizeof(*p));
    struct err err;
    if (!p) {
        return MOSQ_ERR_NOMEM;
    }
    p->id = id;
    if (settings(p, options, n, &err) < 0) {
        mosquitto_log_printf(MOSQ_LOG_ERR, "selvedge: %s", err.text);
        plugin_free(p);
        return MOSQ_ERR_UNKNOWN;
    }
    *userdata = p;
    return enrol(p);
}

EXPORT int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int n)
{
    struct plugin *p = userdata;
    if (p) {
        (void)mosquitto_callback_unregister(p->id, MOSQ_EVT_RELOAD, on_reload, NULL); /* at exit */
        (void)mosquitto_callback_unregister(p->id, MOSQ_EVT_BASIC_AUTH, on_auth, NULL);
        (void)mosquitto_callback_unregister(p->id, MOSQ_EVT_ACL_CHECK, on_acl, NULL);
        (void)mosquitto_callback_unregister(p->id, MOSQ_EVT_MESSAGE, on_message, NULL);
        plugin_free(p);
    }
    return MOSQ_ERR_SUCCESS;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MQTT broker of a node: mosquitto as a child, with our plugin (src/cmd/broker_plugin), which
 * authenticates, checks access, and hands every message whose topic somebody asked for to this
 * process through a ring in shared memory.
 *
 *      clients --MQTT--> mosquitto + plugin --ring--> broker_config.on_events
 *
 * The broker is started, watched, started again with a back-off when it ends, and stopped with this
 * process, also when this process is killed. Its configuration is written here; what users give are
 * files in mosquitto's own formats (users as of mosquitto_passwd, access as of acl_file), which are
 * read again when they change.
 */
#ifndef PART_DATA_BROKER_H
#define PART_DATA_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "codec/mqtt_event.h"

struct broker;
struct io_loop;

struct broker_config { /* texts are copied */
    struct io_loop *loop;
    const char *dir;     /* of the broker alone; made; an absolute path of at most 80 bytes */
    const char *program; /* NULL = mosquitto, where Debian installs it or in PATH */
    const char *plugin;  /* our plugin; NULL = broker_plugin.so beside this program */
    const char *address; /* of the plain listener; NULL = 127.0.0.1 */
    uint16_t port;       /* 0 = no plain listener */
    struct {
        const char *address;              /* NULL = all */
        uint16_t port;                    /* 0 = no TLS */
        const char *cert_file, *key_file; /* PEM */
        const char *ca_file;              /* whose client certificates are believed; NULL = none */
        bool require_certificate; /* needs ca_file: the user is the common name of the certificate;
                                     else names and passwords as on the plain one */
    } tls;
    const char *users_file; /* mosquitto_passwd's format; NULL = there are no users */
    const char *acl_file;   /* mosquitto's acl_file format; NULL = everybody may everything */
    bool anonymous;         /* clients without a user name are let in */
    bool ephemeral;         /* sessions and retained messages are not kept on disk */
    size_t max_message;     /* bytes of a payload; 0 = LIMIT_EVENT_BYTES */
    size_t max_connections; /* 0 = LIMIT_BROKER_CONNECTIONS */
    size_t ring_bytes;      /* 0 = 64 MB, of which as much is touched as ever waited */
    /* Messages of the topics that were asked for, in order of arrival, at most BROKER_BURST at a
     * time; valid in the callback. */
    void (*on_events)(void *arg, const struct mqtt_event *events, size_t n);
    /* Whether on_events may come; when not, messages stay in the ring, and what finds it full is
     * dropped and counted there, until broker_resume(). NULL = always. */
    bool (*ready)(void *arg);
    /* The state changed: broker_status(). NULL is fine. */
    void (*on_state)(void *arg);
    void *arg;
};

#define BROKER_BURST 1024

enum broker_state {
    BROKER_STARTING, /* the process runs, it does not answer yet */
    BROKER_RUNNING,
    BROKER_WAITING, /* it ended; it is started again after the back-off */
    BROKER_STOPPING,
    BROKER_STATE_NR
};

struct broker_status {
    enum broker_state state;
    const char *why;        /* of BROKER_WAITING: one line; else NULL. Valid until the next turn */
    uint32_t restarts;      /* since broker_start() */
    int pid;                /* 0 = none */
    uint64_t events, bytes; /* taken from the ring */
    uint64_t dropped;       /* messages that found the ring full */
    uint64_t broken;        /* records that made no sense */
};

/* Where own clients connect: full access, known to this process and its broker alone. */
struct broker_local {
    const char *path; /* unix socket */
    const char *username, *password;
};

/* The broker is up when on_state tells BROKER_RUNNING. -E_NOENT: mosquitto or the plugin is not
 * installed. Errors of the given files (certificate, users, access) are errors here. */
int broker_start(const struct broker_config *cfg, struct broker **ret, struct err *err);
/* Replaces the filters (MQTT wildcards) whose messages come to on_events. In force for every
 * message that arrives afterwards. -E_INVAL names the bad one, then nothing changed. */
int broker_topics(struct broker *b, const char *const *filters, size_t n, struct err *err);
void broker_resume(struct broker *b);
/* Reads certificates, users and access files again. What is wrong keeps the old state and is an
 * error here, with file and line. */
int broker_reload(struct broker *b, struct err *err);
void broker_status(struct broker *b, struct broker_status *ret);
void broker_local(const struct broker *b, struct broker_local *ret);
/* Ends the broker (SIGTERM, after 5 s SIGKILL), removes its files but for the database of sessions
 * and retained messages; then done (may be NULL). No other callback comes afterwards. */
void broker_stop(struct broker *b, void (*done)(void *arg), void *arg);

#endif

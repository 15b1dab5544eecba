/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the broker share: broker.c (begin and end), broker_process.c (its life),
 * broker_events.c (its ring), broker_files.c (its folder). */
#ifndef PART_DATA_BROKER_PRIVATE_H
#define PART_DATA_BROKER_PRIVATE_H

#include <sys/types.h>

#include "broker.h"
#include "base/arena.h"
#include "base/buf.h"
#include "io/loop.h"

struct io_process;
struct ring_reader;
struct stream;

#define BROKER_DIR_MAX 80
#define BROKER_NAME_SIZE 24
#define BROKER_PASSWORD_SIZE 33
#define BROKER_WATCHES 5

struct broker {
    struct broker_config cfg; /* texts in the arena */
    struct arena arena;
    char user[BROKER_NAME_SIZE], password[BROKER_PASSWORD_SIZE]; /* of own clients */
    char socket[BROKER_DIR_MAX + 24];
    char why[512];
    uid_t uid; /* as whom the broker runs */
    gid_t gid;
    enum broker_state state;
    struct io_process *process;
    struct stream *output;
    char line[512]; /* of its output, not ended yet */
    size_t n_line;
    struct ring_reader *ring;
    uint64_t control; /* of the ring */
    struct io_poll *bell;
    struct io_poll *pause; /* of pause_fd, a timer that is finer than the loop's */
    int pause_fd;
    struct mono woken; /* the last look that found something */
    struct io_task drain;
    struct io_timer timer;  /* probe, back-off, end: what the state waits for */
    struct io_timer settle; /* after a change of a file */
    struct io_fswatch *watches[BROKER_WATCHES];
    int64_t backoff_ms;
    struct mono since; /* of this process */
    uint32_t restarts;
    uint64_t bytes, odd; /* taken; records that are no messages */
    struct io_task tell; /* on_state */
    struct io_task end;
    void (*done)(void *arg);
    void *done_arg;
};

/* Makes the folder and all files in it. err names what is wrong. */
int broker_files_make(struct broker *b, struct err *err);
/* Checks users, access rules and certificates and copies what changed. 1 = something changed. */
int broker_files_renew(struct broker *b, struct err *err);
int broker_files_topics(struct broker *b, struct str text, struct err *err);
void broker_files_remove(struct broker *b);

/* Moves along the table of states, and tells on_state. */
void broker_enter(struct broker *b, enum broker_state state);
/* At first: what free_now() ends. */
void broker_process_init(struct broker *b);
void broker_events_init(struct broker *b);
/* Starts the process; tries again later where that fails. */
void broker_spawn(struct broker *b);
/* Watches the ring: messages come to on_events. */
int broker_events_open(struct broker *b, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the objects share.
 *
 *     informers --objects.c--> struct object --objects_apply.c--> engine
 *                                    \--------objects_report.c--> the API
 *
 * Invariants:
 *  1. Nothing is defined before all three kinds were listed: what is unknown is not missing.
 *  2. An object that does not work is tried again whenever anything changes, and every TICK_MS: the
 *     order in which objects come does not matter.
 *  3. What was told is read back from the API, so that a report that got lost is told again.
 */
#ifndef PART_DATA_OBJECTS_PRIVATE_H
#define PART_DATA_OBJECTS_PRIVATE_H

#include "api/informer.h"
#include "base/list.h"
#include "base/map.h"
#include "data_private.h"
#include "net/http_client.h"
#include "objects.h"

enum object_type { OBJECT_STREAM, OBJECT_TABLE, OBJECT_RULE, OBJECT_TYPE_NR };

struct object {
    struct objects *objects;
    enum object_type type;
    char *ns, *name, *uid;
    char *shown;        /* "Rule default/hot" */
    char *resource;     /* "rules.data.selvedge.dev/default/hot" */
    char *made;         /* creationTimestamp: of two that define one name the older has it */
    char *text;         /* what it defines: SQL of a stream, JSON of a rule; NULL: it is gone */
    bool triggered;     /* of a rule: it is to run */
    int64_t generation; /* of text */
    char *defined;      /* the name that it defines in the engine; NULL: none */
    uint64_t applied;   /* hash of the text behind `defined` */
    char *trouble;      /* why it is not as it says; NULL: it is */
    /* what the API knows of it, read from its status */
    char told_state[16];
    char node[256]; /* in whose name it was told */
    int64_t told_generation, told_hash;
    /* a report under way, or waiting */
    struct http_fetch *fetch;
    bool look_again;     /* it was to be compared while the report was under way */
    struct list waiting; /* of objects->waiting */
};

struct objects {
    struct data *data;
    struct http_client *http;
    struct api_client *client;
    struct informer *informers[OBJECT_TYPE_NR];
    struct map known;      /* resource -> struct object */
    struct io_timer turn;  /* something changed: soon all is compared */
    struct io_timer tick;  /* counts go up, what does not work is tried again */
    struct list waiting;   /* reports */
    unsigned reporting;    /* under way */
    bool swept;            /* objects_sweep() was done */
    struct io_timer again; /* after a report that failed */
};

/* objects_apply.c: makes the engine what the objects say. Objects that are gone are freed. */
void objects_apply(struct objects *o);
/* Drops checkpoints of rules that went while this program did not run. */
void objects_sweep(struct objects *o);

/* objects.c */
void object_free(struct object *obj);

/* objects_report.c */
/* Queues what differs from what was told; counts: also where only counts differ. */
void objects_report(struct objects *o, bool counts);
void object_report_cancel(struct object *obj);
/* Takes in the status that the API shows. */
void object_told(struct object *obj, const struct json *status);
void objects_report_init(struct objects *o);
void objects_report_fini(struct objects *o);

#endif

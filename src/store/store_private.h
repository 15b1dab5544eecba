/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the store share. Each function is named after the file that holds it:
 * history_* in history.c, committer_* in committer.c, the rest as their comments say.
 */
#ifndef STORE_STORE_PRIVATE_H
#define STORE_STORE_PRIVATE_H

#include <pthread.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/loop.h"
#include "store/backend.h"
#include "store/store.h"
#include "store/table.h"

/* Revisions that one durable raise of the ceiling reserves for ephemeral writes. */
#define CEILING_STEP 16384

/* What keys before their first '/' have in common. Made on first use, lives as long as the store.
 */
struct store_resource {
    struct list events;  /* store_event.resource_link, oldest first */
    struct list watches; /* store_watch.link */
    int64_t floor_rev;   /* all its events after this are in the history */
    bool ephemeral;      /* has rows with STORE_F_EPHEMERAL (used while loading) */
    bool dirty;          /* has published ephemeral items that are newer than their rows */
    size_t name_n;
    char name[]; /* with the '/' */
};

/* One operation on its way. Everything that publishing needs is allocated with it, since publishing
 * happens when the disk has already said yes and must not fail. */
struct write_op {
    struct store_item *item;
    enum store_op_type type;
    bool durable; /* needs a row; else published only */
    struct store_resource *resource;
    struct table_node *spare;  /* for a key that is not in the table */
    struct store_event *event; /* NULL: a flush of what is published already */
    struct write_op *older;    /* what it replaced in the overlay; valid inside its submission */
    int64_t drop_rev;          /* row to delete in the same transaction; 0 = none */
};

struct store_write {
    struct store_write *next;
    struct store_req *req; /* NULL: internal or cancelled */
    int code;              /* of the commit */
    bool durable;          /* needs a transaction */
    int64_t ceiling_rev;   /* new ceiling; 0 = unchanged */
    size_t bytes;          /* that it counts for in the queue */
    size_t n;
    struct write_op ops[];
};

struct write_queue {
    struct store_write *first, **last;
};

static inline void write_queue_init(struct write_queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}
static inline void write_queue_push(struct write_queue *q, struct store_write *w)
{
    w->next = NULL;
    *q->last = w;
    q->last = &w->next;
}
static inline struct store_write *write_queue_pop(struct write_queue *q)
{
    struct store_write *w = q->first;
    if (w) {
        q->first = w->next;
        if (!q->first) {
            q->last = &q->first;
        }
    }
    return w;
}
/* All of `from` goes to the end of `to`. */
static inline void write_queue_join(struct write_queue *to, struct write_queue *from)
{
    if (from->first) {
        *to->last = from->first;
        to->last = from->last;
        write_queue_init(from);
    }
}

/* The commit thread and what it shares with the loop. */
struct committer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running;
    const struct store_backend_ops *ops;
    void *backend;
    struct io_loop *loop;
    struct io_mail mail; /* set up by the core: called on the loop when there is something done */
    /* under lock */
    struct write_queue queue; /* waits for the thread */
    struct write_queue done;  /* waits for the loop */
    bool failed; /* a commit failed; the thread waits until the loop has emptied queue */
    bool posted; /* mail is under way */
    bool stop;   /* close the backend and end */
    bool stopped;
    struct err err; /* of the last failure */
    int64_t *garbage;
    size_t garbage_n, garbage_cap;
    bool garbage_lost; /* no memory to remember one; then none is deleted until the next start */
    int64_t compacted_rev;
    /* thread only */
    struct store_row *rows;
    size_t rows_cap;
    int64_t *drop;
    size_t drop_cap;
};

struct store {
    struct io_loop *loop;
    struct store_opts opts;
    struct committer committer;
    struct table table;     /* published */
    struct map overlay;     /* key -> struct write_op: newest pending state */
    struct map resources;   /* name -> struct store_resource */
    int64_t rev;            /* newest published */
    int64_t next_rev;       /* that the next operation gets */
    int64_t base_floor_rev; /* floor of resources without rows: what was compacted on disk */

    struct list events; /* store_event.link, oldest first */
    size_t events_n, events_bytes;
    int64_t floor_rev;   /* all events after this are in the history */
    int64_t trimmed_rev; /* newest event that was dropped */
    int64_t now_us;      /* of the batch that is being published */

    struct list watches; /* of prefixes without a resource */
    struct list ready;   /* store_watch.ready_link: on_ready is due */
    struct io_task ready_task;

    struct write_queue submitted; /* of this tick */
    struct io_task submit_task;
    size_t pending, pending_bytes;

    int64_t ceiling_durable, ceiling_submitted;
    bool ephemeral_used;
    int64_t flushed_us; /* when the last flush was submitted */

    bool closing, final_sent;
    int final_code;
    void (*close_done)(void *arg, int code);
    void *close_arg;
};

/* ---- store.c ---- */

void store_free(struct store *s); /* the committer must not be running */

/* ---- item.c: items, events, resources ---- */

bool key_ok(struct str key);
bool key_in(struct str key, struct str prefix);
/* A new item with one reference, indexed. 0, -ENOMEM or the code of index_ops->make; *ret is NULL
 * only when there was no memory for the item, else it is the caller's, without index on failure. */
int item_new(const struct store_index_ops *index_ops, struct str key, struct str value,
             struct store_item **ret);
size_t item_size(const struct store_item *it);
struct store_event *event_new(void); /* one reference */
/* The resource of a key or prefix, made when it is new. NULL: no memory. */
struct store_resource *resource_get(struct store *s, struct str key);
struct store_resource *resource_find(const struct store *s, struct str key);

/* ---- history.c ---- */

/* Takes the reference of ev. */
void history_push(struct store *s, struct store_event *ev);
void history_trim(struct store *s);
void history_drop_oldest(struct store *s);
void history_fini(struct store *s);

/* ---- publish.c ---- */

/* Applies one operation to table and history, wakes nobody. */
void publish_op(struct store *s, struct write_op *op);
/* Everything that the committer has done; also ends the store when it is closing. */
void publish_done(void *store);

/* ---- write.c ---- */

void op_fini(struct write_op *op); /* what was not published */
void write_free(struct store_write *w);

/* Submits ephemeral values that are newer than their rows. final: all of them, with the exact
 * revision as the ceiling. 0 or -ENOMEM. */
int write_flush(struct store *s, bool final);

/* ---- watch.c ---- */

/* Points the watchers of ev's resource to it; those that wait go to s->ready. */
void watch_notify(struct store *s, struct store_event *ev);
void watch_run_ready(void *store);
void watch_detach_all(struct store *s);

/* ---- load.c ---- */

int load_all(struct store *s, struct err *err);

/* ---- committer.c ---- */

/* ops and backend are set, mail.fn and mail.arg too. 0 or a negative code. */
int committer_init(struct committer *c);
int committer_start(struct committer *c, struct err *err);
/* The backend must be closed or its thread have stopped. */
void committer_fini(struct committer *c);
void committer_submit(struct committer *c, struct write_queue *q);
/* Takes what is done, and after a failure also what still waited, with its code set. True when
 * there was a failure; *ret_err is then its reason. */
bool committer_take(struct committer *c, struct write_queue *ret, struct err *ret_err);
/* Makes the mail come, though nothing may be done. */
void committer_kick(struct committer *c);
/* Closes the backend in the thread; the mail comes when that is done (see committer_join). */
void committer_stop(struct committer *c);
/* True when the thread has ended (it is then joined) and no mail is under way. */
bool committer_join(struct committer *c);
/* first before second (0 = none): both or neither are remembered. */
void committer_garbage(struct committer *c, int64_t first, int64_t second, int64_t compacted_rev);

#endif

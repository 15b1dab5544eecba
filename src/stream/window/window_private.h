/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the windows share.
 *
 *   window.c          life, rows in: filter, conditions, dispatch to the kind
 *   window_fire.c     rows out: join, group, aggregate, emit
 *   window_time.c     natural time: where windows begin and end
 *   window_slices.c   tumbling and hopping: the rows between two cuts of time
 *   window_late.c     late rows: what has fired, corrections
 *   window_sliding.c  sliding windows; window_count.c, window_session.c, window_state.c
 *   fold.c            aggregates: groups with states, kept instead of rows
 *   fold_batch.c      the same for a batch, by columns
 *   slide.c           the same for windows that slide over kept rows
 *   finger.c          the same where rows come out of order
 *   join.c            joins of rows
 *   window_save.c     checkpoints
 *
 * A kind keeps its rows in bags. A bag holds rows, or, where the statement needs aggregates only,
 * groups with partial aggregates: bag_add() and fire_bags() hide which of the two.
 */
#ifndef STREAM_WINDOW_PRIVATE_H
#define STREAM_WINDOW_PRIVATE_H

#include "base/mem.h"
#include "window.h"

/* A row that waits, with the values that were computed for it before the window. */
struct kept {
    struct row *row;
    struct row *computed; /* NULL = none */
    uint32_t source;
    bool late;                 /* it came behind rows of later times */
    bool told;                 /* slide.c, finger.c: what it fails to compute was told */
    struct slide_group *group; /* slide.c */
};

/* A queue of kept rows: items[first ... first + n). */
struct rowq {
    struct kept *items;
    size_t first, n, cap;
};

static inline struct kept *rowq_at(const struct rowq *q, size_t i)
{
    return &q->items[q->first + i];
}
int rowq_push(struct rowq *q, const struct kept *k); /* takes the references; -ENOMEM: not */
void rowq_drop(struct rowq *q, size_t n);            /* the n oldest, unreferenced */
void rowq_fini(struct rowq *q);

/* A tuple with the computed values of its row of source 0. */
struct joined {
    const struct row *computed;
    struct tuple tuple; /* last */
};
static inline const struct row *joined_row(const struct joined *j) /* its first, for messages */
{
    uint32_t i = 0;
    while (i + 1 < j->tuple.n && !j->tuple.rows[i]) {
        i++;
    }
    return j->tuple.rows[i];
}

struct fold;          /* fold.c */
struct fold_programs; /* fold_batch.c */
struct slide;         /* slide.c */
struct finger;        /* finger.c */

struct bag {
    struct rowq rows;
    struct fold *fold; /* NULL = rows are kept, or nothing came yet */
};

struct slice { /* of a tumbling or hopping window: rows of [from, until) */
    int64_t from, until;
    struct bag bag;
};

struct trigger { /* a row of a sliding window that will fire it */
    int64_t at, due;
};

struct firing { /* a window that has fired */
    int64_t at; /* its end; of a sliding window, the time of the row that fired it */
    int64_t corrections;
};

struct partition { /* of a state window */
    struct row *key;
    uint64_t hash;
    bool open;
    int64_t start;
    struct bag bag;
};

/* The day that was looked up last, for natural time. */
struct natural {
    int64_t day_from, day_until;
};

struct window {
    struct window_spec spec;
    window_emit_fn *emit;
    window_error_fn *error;
    void *arg;
    struct eval_rule conditions; /* of WHEN, begin, emit: last_hit_*() of the window itself */
    uint32_t n_computed;         /* EXPR_COMPUTED slots that the expressions read */
    bool folds;                  /* bags hold groups, not rows */
    uint32_t *state_offsets;     /* of the aggregates' states in a group's block */
    size_t states_size;
    struct fold_programs *programs; /* NULL = rows come one by one */
    struct arena scratch;           /* one row or one emission */
    struct tuple *single;           /* n_sources rows, for one row */
    struct rowq *tables;            /* by source; rows of scan tables */
    size_t bytes;                   /* of kept rows and groups */
    int64_t now_us;                 /* INT64_MIN before the first row or advance */
    uint64_t refused;               /* how often the limit of memory was met */
    struct natural natural;
    /* tumbling, hopping */
    struct slice *slices;
    uint32_t n_slices, cap_slices;
    int64_t next_end;    /* INT64_MIN = not aligned yet */
    int64_t last_end;    /* INT64_MIN = none has fired, or some were left out */
    int64_t first_start; /* of the first window in event time; INT64_MIN = it has fired */
    /* sliding, count */
    struct rowq rows;
    struct slide *slide;    /* aggregates of `rows` that go along; NULL = computed when it fires */
    struct finger *fingers; /* the same where late rows are taken: of what late rows have changed */
    size_t by_fingers;      /* so many firings go by them before `slide` is made anew */
    struct trigger *triggers;
    size_t first_trigger, n_triggers, cap_triggers;
    struct firing *firings; /* window_late.c */
    size_t first_firing, n_firings, cap_firings;
    int64_t counted; /* rows since the last emission of a count window */
    /* session; the open window of a count window that does not overlap */
    struct bag session;
    bool session_open;
    int64_t session_start, session_last;
    int64_t session_cut;  /* where the open session is cut for its length */
    int64_t continued_at; /* end of the session that was cut at its length; INT64_MIN = none */
    /* state */
    struct partition *partitions;
    uint32_t n_partitions, cap_partitions;
    uint32_t *partition_slots; /* index + 1 by hash */
    uint32_t cap_partition_slots;
};

/* ---- window.c ---- */
void window_report(struct window *w, const struct row *row, const struct err *err);
/* Counts memory; false after it told that the limit is reached. */
bool window_charge(struct window *w, size_t bytes, const struct row *row);
size_t window_kept_bytes(const struct kept *k);
void window_kept_release(struct window *w, struct kept *k);
void window_drop_oldest(struct window *w, struct rowq *q, size_t n); /* with their bytes */
/* The condition for one row; an error is told and counts as false. */
bool window_test(struct window *w, const struct expr *e, const struct kept *k, const char *clause);
void window_eval_for(struct window *w, const struct kept *k, struct eval *ev);

/* The computed values of one row of a batch, as a row; NULL when memory is short. */
struct row *window_computed_row(struct window *w, const struct batch *b,
                                const struct column *computed, uint32_t row);

/* ---- bags ---- */
int bag_add(struct window *w, struct bag *b, struct kept *k); /* takes k */
struct fold *bag_fold(struct bag *b);                         /* NULL when memory is short */
bool bag_empty(const struct bag *b);
void bag_clear(struct window *w, struct bag *b);

/* ---- window_fire.c ---- */
/* Emits the rows [from, from + n) of a queue. */
int fire_rows(struct window *w, const struct window_range *range, const struct rowq *q, size_t from,
              size_t n);
/* The rows [from, from + n) of w->rows, by the aggregates that go along where there are. */
int fire_slide(struct window *w, const struct window_range *range, size_t from, size_t n);
int drop_slide(struct window *w, size_t n); /* the n oldest of w->rows */
/* The rows of [from, until) of w->rows, by w->fingers. */
int fire_fingers(struct window *w, const struct window_range *range, int64_t from, int64_t until);
int fire_bags(struct window *w, const struct window_range *range, struct bag *const *bags,
              uint32_t n);
/* A group of the tuples without aggregates, in w->scratch. */
int window_show(struct window *w, struct joined *const *tuples, uint32_t n,
                struct window_group *ret);

/* ---- join.c ---- */
/* Joins the rows of each source; *ret in w->scratch. 0, -ENOMEM, -E_INVAL with the text. */
struct row_list {
    const struct kept **items;
    uint32_t n;
};
int join_rows(struct window *w, const struct row_list *sources, struct joined ***ret,
              uint32_t *ret_n, struct err *err);

/* ---- window_time.c ---- */
/* The least end of a window of `interval` that is after t. */
int64_t natural_after(struct window *w, int64_t t, int64_t interval);
/* The start of the window of `length` that ends at `end`. */
int64_t natural_start(struct window *w, int64_t end, int64_t length);

/* ---- window_late.c ---- */
struct firing *firing_of(struct window *w, int64_t at);   /* made when new; NULL: no memory */
struct firing *firing_from(struct window *w, int64_t at); /* the first not before; NULL: none */
void firings_forget(struct window *w, int64_t before);

/* ---- kinds ---- */
int slices_push(struct window *w, struct kept *k);     /* all take k */
bool slices_wants(struct window *w, int64_t t);        /* false: no window to come has a row of t */
struct slice *slices_for(struct window *w, int64_t t); /* made when new; NULL: memory is short */
bool slices_has(struct window *w, int64_t t);          /* a late row of t can still be taken */
int slices_correct(struct window *w, struct kept *k);  /* takes k */
int slices_advance(struct window *w);
int64_t slices_next(const struct window *w);
int sliding_push(struct window *w, struct kept *k);
bool sliding_has(const struct window *w, int64_t t);
int sliding_correct(struct window *w, struct kept *k); /* takes k */
int sliding_advance(struct window *w);
int64_t sliding_next(const struct window *w);
int count_push(struct window *w, struct kept *k);
int session_begin(struct window *w, int64_t t); /* a row of t follows */
int session_push(struct window *w, struct kept *k);
int session_advance(struct window *w);
int64_t session_next(const struct window *w);
int state_partition(struct window *w, struct row *key, uint64_t hash, struct partition **ret);
int state_push(struct window *w, struct kept *k);

#endif

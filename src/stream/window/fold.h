/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folds: groups with partial aggregates, which windows keep instead of rows where the statement
 * needs aggregates only. A group shows its first row, so that row stays.
 */
#ifndef STREAM_WINDOW_FOLD_H
#define STREAM_WINDOW_FOLD_H

#include "window_private.h"

struct fold_group {
    uint64_t hash;
    struct value *keys;   /* n_keys */
    struct row *first;    /* the row that bare fields show */
    struct row *computed; /* of it; NULL = none */
    _Alignas(16) char states[];
};

struct fold {
    struct arena arena; /* groups and their keys */
    struct fold_group **groups;
    uint32_t n, cap;
    uint32_t *slots; /* index + 1 by hash */
    uint32_t cap_slots;
    size_t bytes; /* as charged to the window */
};

/* Whether the statement can be folded: no rows are needed, no join, no DISTINCT, nothing that reads
 * the window's range; several bags can be put together where their kind needs it. */
bool fold_possible(const struct window_spec *s);

bool fold_reads_rows_only(const struct window_spec *s); /* the same without the kind */

struct fold *fold_new(bool small); /* small: of few groups */
void fold_free(struct window *w, struct fold *f);

/* The group with these keys, or NULL and no error in *ret_rc; keys are copied only when it is new.
 * A new group has no first row yet. NULL with 0: the memory limit was reached and told. */
struct fold_group *fold_find(struct window *w, struct fold *f, const struct value *keys,
                             uint64_t hash, int *ret_rc);
uint64_t fold_hash(const struct window *w, const struct value *keys);
void fold_show_first(struct window *w, struct fold *f, struct fold_group *g, struct row *first,
                     struct row *computed); /* takes both */
/* One row, computed with the row evaluator. k is borrowed. */
int fold_add(struct window *w, struct fold *f, const struct kept *k);
/* Steps one aggregate of a group, with the growth of its state charged. */
int fold_step(struct window *w, struct fold *f, struct fold_group *g, uint32_t aggregate,
              struct eval *ev, const struct value *args, struct err *err);
/* Takes what `from` holds, whose rows came later. */
int fold_merge(struct window *w, struct fold *into, const struct fold *from);
/* The selected rows of a batch, by vector programs; for tumbling, hopping and session windows. */
int fold_programs_make(struct window *w, struct err *err);
void fold_programs_free(struct window *w);
int fold_push_batch(struct window *w, struct batch *b, const struct column *computed,
                    const struct selection *sel);
/* A group that shows a row (NULL: none), with room for its aggregates, which are returned; in
 * w->scratch. NULL when it is full. */
struct value *fold_show(struct window *w, const struct window_range *range, struct row *row,
                        struct row *computed, struct eval *ret_ev, struct window_group *ret);
int fold_emit(struct window *w, const struct window_range *range, const struct fold *f);

#endif

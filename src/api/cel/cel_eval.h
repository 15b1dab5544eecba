/* SPDX-License-Identifier: Apache-2.0 */
/* What the evaluator (cel_eval.c) and its macros (cel_fold.c) share. */
#ifndef API_CEL_CEL_EVAL_H
#define API_CEL_CEL_EVAL_H

#include "cel_private.h"

/* The value of a node; false with an error in r, as all functions here. */
bool cel_eval_node(struct cel_run *r, uint32_t at, struct cel_value *ret);
bool cel_eval_bool(struct cel_run *r, uint32_t at, bool *ret); /* of a node that must be a bool */
bool cel_spend(struct cel_run *r, uint64_t cost);
/* What was read, ready for use: errors fail, bytes that are still base64 are decoded. */
bool cel_take(struct cel_run *r, struct cel_value v, struct cel_value *ret);
bool cel_is_map(const struct cel_value *v);
/* v, or where `wrap` an optional of it (none when it was not found). */
bool cel_finish_optional(struct cel_run *r, bool wrap, bool found, struct cel_value v,
                         struct cel_value *ret);

/* An error that waits for the other side. */
struct cel_pending {
    int code;
    uint32_t pos;
    char text[sizeof(((struct cel_run *)0)->text)];
};

bool cel_absorbable(const struct cel_run *r); /* the error is one that && and || may absorb */
void cel_set_aside(struct cel_run *r, struct cel_pending *p);
bool cel_put_back(struct cel_run *r, const struct cel_pending *p); /* false */

/* A growing array of values in the arena. */
struct cel_values {
    struct cel_value *items;
    uint32_t n, cap;
};

bool cel_values_add(struct cel_run *r, struct cel_values *v, struct cel_value item);
bool cel_values_list(struct cel_run *r, const struct cel_values *v, struct cel_value *ret);
bool cel_add_entry(struct cel_run *r, struct cel_map *m, struct cel_value key,
                   struct cel_value value);

bool cel_eval_fold(struct cel_run *r, const struct node *n, struct cel_value *ret);
bool cel_eval_bind(struct cel_run *r, const struct node *n, struct cel_value *ret);

#endif

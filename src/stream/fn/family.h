/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the families share: rows of their tables, and small results. */
#ifndef STREAM_FN_FAMILY_H
#define STREAM_FN_FAMILY_H

#include "base/mem.h"
#include "function.h"
#include "stream/expr/expr.h"

#define SCALAR(n, low, high, f, c, e, text)                                                        \
    {                                                                                              \
        .name = (n), .kind = FUNCTION_SCALAR, .min_args = (low), .max_args = (high), .flags = (f), \
        .check = (c), .eval = (e), .help = (text)                                                  \
    }
#define AGGREGATE(n, low, high, c, ops, text)                                           \
    {                                                                                   \
        .name = (n), .kind = FUNCTION_AGGREGATE, .min_args = (low), .max_args = (high), \
        .flags = FUNCTION_F_NULLS, .check = (c), .state = (ops), .help = (text)         \
    }
#define ANALYTIC(n, low, high, c, ops, text)                                           \
    {                                                                                  \
        .name = (n), .kind = FUNCTION_ANALYTIC, .min_args = (low), .max_args = (high), \
        .flags = FUNCTION_F_NULLS, .check = (c), .state = (ops), .help = (text)        \
    }

/* A constant argument that is not null; NULL when it is none. */
const struct value *function_constant(const struct ast_expr *call, unsigned i);
/* "expect WANTED but got TYPE VALUE"; -E_INVAL. */
int function_got(const struct value *v, const char *wanted, struct err *err);
/* n items of an array in ev->arena; NULL when memory is short. */
struct value *function_items(struct eval *ev, uint32_t n);
static inline struct value value_items(const struct value *items, uint32_t n)
{
    return (struct value){.type = VALUE_ARRAY, .n = n, .items = items};
}
static inline struct value value_members(const struct value_member *members, uint32_t n)
{
    return (struct value){.type = VALUE_OBJECT, .n = n, .members = members};
}
/* What a buffer holds as a text in ev->arena; frees the buffer. 0 or -ENOMEM. */
int function_take_text(struct eval *ev, struct buf *b, struct value *ret);

/* Floats of a state, into n items and back. Load: as value_load(). */
void function_save_floats(struct arena *a, const double *floats, size_t n, struct value *items);
int function_load_floats(const struct value *items, double *const *floats, size_t n);
/* s, which lies in the arena, as a value. 0, or -ENOMEM when the arena failed. */
int function_text_result(struct arena *a, struct str s, struct value *ret);
/* The first two arguments as texts; 1 when one of them is null. */
int function_two_texts(struct eval *ev, const struct value *args, struct str *a, struct str *b,
                       struct err *err);
/* A check: constant arguments are strings. */
int function_check_strings(const struct ast_expr *call, struct err *err);

/* Sets a member of n; a later one of the same name takes its place. */
void function_set_member(struct value_member *members, uint32_t *n, struct str key,
                         const struct value *v);

#endif

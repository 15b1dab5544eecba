/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of streaming SQL, as one alphabetised table per family.
 *
 * A scalar function turns values into a value. An aggregate function keeps a state over the rows of
 * a group; an analytic function keeps a state over the rows of a stream (or of a partition of it)
 * and gives a value for each row. Adding a function is adding a row to its family's table; the
 * parser, the planner, the documentation and the tests read the tables.
 *
 * Function states own their memory through mem_* and count it (`bytes`), so that a rule's memory
 * limit holds. A state can be written as a value and read again (checkpoints).
 */
#ifndef STREAM_FN_FUNCTION_H
#define STREAM_FN_FUNCTION_H

#include "stream/value.h"

struct ast_expr;
struct column; /* batch.h */
struct eval;

enum function_kind {
    FUNCTION_SCALAR,
    FUNCTION_AGGREGATE,
    FUNCTION_ANALYTIC, /* lag, latest, changed_col, had_changed, acc_*: before WHERE, with OVER */
    FUNCTION_SET,      /* unnest, extract: one row becomes many; top level of SELECT only */
    FUNCTION_COLUMNS,  /* changed_cols: one call gives several columns; an analytic function whose
                          result is an object that the projection spreads */
    FUNCTION_ROW       /* row_number: over the rows of one emission, after HAVING */
};

enum {
    FUNCTION_F_PURE = 1u << 0,    /* same arguments, same result: may be folded and shared */
    FUNCTION_F_CONTEXT = 1u << 1, /* reads struct eval: window_start, meta, rule_id, event_time */
    FUNCTION_F_NULLS = 1u << 2 /* wants nulls; without it a null argument makes the result null */
};

/* A state of an aggregate or analytic function; `size` bytes, zeroed by the caller before init. */
struct function_state_ops {
    size_t size;
    /* Aggregate: takes a row's arguments in. Analytic: takes them in and gives the row's value in
     * *ret (borrowed from the state or from ev->arena until the next step). 0 or -E_INVAL, -ENOMEM.
     */
    int (*step)(void *state, struct eval *ev, const struct value *args, unsigned argc,
                struct value *ret, struct err *err);
    /* Aggregate only, optional: as step() for rows[0 ... n) of a column of integers or floats
     * without missing ones (NULL = no argument); states[i] is the state of rows[i]. Returns how
     * many it took: it stops before a row that needs step(). */
    uint32_t (*steps)(void *const *states, const struct column *c, const uint16_t *rows,
                      uint32_t n);
    /* Aggregate only. The inverse of step for the oldest row, or NULL: then sliding windows use
     * merge, or compute anew. */
    int (*drop)(void *state, struct eval *ev, const struct value *args, unsigned argc);
    /* Aggregate only: into takes what `from` holds, whose rows came later; NULL = cannot. */
    int (*merge)(void *into, const void *from, struct err *err);
    /* Aggregate only: the value; in the arena or borrowed from the state. */
    int (*result)(void *state, struct eval *ev, struct value *ret, struct err *err);
    void (*fini)(void *state); /* NULL = nothing to free */
    int (*save)(const void *state, struct arena *a, struct value *ret);
    int (*load)(void *state, const struct value *saved); /* -E_INVAL: not of this kind */
    size_t (*bytes)(const void *state);                  /* heap behind the state; NULL = none */
};

#define FUNCTION_ARGS_ANY 255

struct function {
    const char *name; /* lower case */
    enum function_kind kind;
    uint8_t min_args, max_args; /* FUNCTION_ARGS_ANY: as many as LIMIT_SQL_ARGS */
    uint32_t flags;
    /* Refuses constant arguments of a wrong type with eKuiper's text; NULL = number alone. The
     * number of arguments was checked before ("Expect 1 arguments but found 2."). */
    int (*check)(const struct ast_expr *call, struct err *err);
    /* FUNCTION_SCALAR and FUNCTION_SET (which gives an array, one row an item). *ret lies in
     * ev->arena or is borrowed from the arguments. 0, or -E_INVAL with a text that names no
     * position (the caller wraps it), -ENOMEM, -E_LIMIT. */
    int (*eval)(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                struct err *err);
    const struct function_state_ops *state; /* of aggregates and analytic functions */
    const char *help; /* one sentence for `selvedge rule functions` and the reference */
};

/* By lower-case name; NULL = there is none. */
const struct function *function_find(struct str name);
/* All of them, sorted by name. */
const struct function *const *function_all(uint32_t *ret_n);

/* The families, each in a file of its own: an array and its length. */
struct function_family {
    const struct function *functions;
    uint32_t n;
};
extern const struct function_family function_math, function_regex, function_string, function_time,
    function_misc, function_hash, function_array, function_object, function_path, function_context,
    function_aggregate, function_collect, function_statistics, function_analytic,
    function_accumulate;

/* ---- for the families ---- */

/* Checks of constant arguments; i counts from 0. False after err was set with eKuiper's text:
 * "Expect number - float or int type for parameter 1". Expressions whose type is not known pass. */
bool function_expect_number(const struct ast_expr *call, unsigned i, struct err *err);
bool function_expect_int(const struct ast_expr *call, unsigned i, struct err *err);
bool function_expect_string(const struct ast_expr *call, unsigned i, struct err *err);
bool function_expect_bool(const struct ast_expr *call, unsigned i, struct err *err);
/* The same for all arguments, a letter each, the last one for all that follow: s string, n number,
 * i int, b bool, . any. 0 or -E_INVAL. */
int function_expect(const struct ast_expr *call, const char *types, struct err *err);

/* Arguments at run time, converted where that loses nothing; -E_INVAL "expect ... but got ...". */
int function_double(const struct value *v, double *ret, struct err *err);
int function_int(const struct value *v, int64_t *ret, struct err *err);
int function_text(struct arena *a, const struct value *v, struct str *ret, struct err *err);
int function_instant(const struct value *v, struct wall *ret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of streaming SQL: what a field of an event, a constant or a function's result is.
 *
 * A value is 16 bytes, copied freely, and owns nothing: text, items and members lie in an arena, in
 * an event's bytes or in a row (window/row.h) that lives longer. Types follow eKuiper: bigint is
 * VALUE_INT, float VALUE_FLOAT, datetime VALUE_TIME, bytea VALUE_BYTES, struct VALUE_OBJECT.
 *
 * VALUE_ABSENT is a field that the event does not have; it behaves as null everywhere, except that
 * a result leaves it out where a null may be written.
 *
 * Null rules: a comparison with null is false, arithmetic with null is null. Numbers of both types
 * compare by value; text compares bytewise; a time compares with a time, with an integer
 * (milliseconds since 1970) and with text that reads as a time. What cannot be compared or computed
 * is an error with eKuiper's text, "invalid operation string(red) > int64(3)".
 */
#ifndef STREAM_VALUE_H
#define STREAM_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/json.h"

enum value_type {
    VALUE_ABSENT,
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_TIME,
    VALUE_STRING,
    VALUE_BYTES,
    VALUE_ARRAY,
    VALUE_OBJECT,
    VALUE_TYPE_NR
};

struct value_member;

struct value {
    uint32_t type; /* enum value_type */
    uint32_t n;    /* bytes of text, items of an array, members of an object */
    union {
        bool b;
        int64_t i; /* VALUE_INT; VALUE_TIME: microseconds since 1970 in UTC */
        double f;
        const char *s; /* VALUE_STRING, VALUE_BYTES: not 0-terminated */
        const struct value *items;
        const struct value_member *members; /* in the order of the source; keys are unique */
    };
};

struct value_member {
    struct str key;
    struct value value;
};

#define VALUE_OF_NULL ((struct value){.type = VALUE_NULL})

static inline bool value_is_null(const struct value *v)
{
    return v->type <= VALUE_NULL;
}
static inline bool value_is_number(const struct value *v)
{
    return v->type == VALUE_INT || v->type == VALUE_FLOAT;
}
static inline struct str value_text(const struct value *v) /* of VALUE_STRING and VALUE_BYTES */
{
    return str_n(v->s, v->n);
}
static inline struct value value_bool(bool b)
{
    return (struct value){.type = VALUE_BOOL, .b = b};
}
static inline struct value value_int(int64_t i)
{
    return (struct value){.type = VALUE_INT, .i = i};
}
static inline struct value value_float(double f)
{
    return (struct value){.type = VALUE_FLOAT, .f = f};
}
static inline struct value value_time(struct wall t)
{
    return (struct value){.type = VALUE_TIME, .i = t.us};
}
static inline struct value value_string(struct str s) /* borrowed; s.n < 4 GiB */
{
    return (struct value){.type = VALUE_STRING, .n = (uint32_t)s.n, .s = s.p};
}

/* "bigint", "float", "string", "boolean", "datetime", "bytea", "array", "struct", "null". */
const char *value_type_name(enum value_type t);
/* As users of eKuiper see it in messages: "float64". */
const char *value_type_go(enum value_type t);

/* Deep copy into the arena; null when it failed. */
struct value value_copy(struct arena *a, const struct value *v);
/* Bytes that value_copy() would take, for memory limits. */
size_t value_size(const struct value *v);

/* Member of an object; NULL when absent or v is no object. */
const struct value *value_get(const struct value *v, struct str key);

/* ---- comparison ---- */

/* Same type and same content, deep; 1 and 1.0 are the same, nulls are the same: for GROUP BY,
 * PARTITION BY, DISTINCT, set functions. value_hash() agrees with it. */
bool value_same(const struct value *a, const struct value *b);
uint64_t value_hash(const struct value *v, uint64_t seed);

/* Total order for ORDER BY: null < bool < number < time < text < bytes < array < object. */
int value_order(const struct value *a, const struct value *b);

enum value_op { /* the operators of SQL with two sides; order is fixed: tables index by it */
                VALUE_EQ,
                VALUE_NE,
                VALUE_LT,
                VALUE_LE,
                VALUE_GT,
                VALUE_GE,
                VALUE_ADD,
                VALUE_SUB,
                VALUE_MUL,
                VALUE_DIV,
                VALUE_MOD,
                VALUE_BIT_AND,
                VALUE_BIT_OR,
                VALUE_BIT_XOR,
                VALUE_AND,
                VALUE_OR,
                VALUE_OP_NR
};
const char *value_op_text(enum value_op op); /* ">=", "AND", ... */

/* Comparison and arithmetic with SQL's rules (above). Integer overflow gives a float. Division of
 * integers is integer division; by zero -E_INVAL "divided by zero". 0 or -E_INVAL with the text. */
int value_apply(enum value_op op, const struct value *a, const struct value *b, struct value *ret,
                struct err *err);

/* ---- conversion ---- */

/* CAST: to VALUE_INT, FLOAT, STRING, BOOL, BYTES, TIME; others are -E_INVAL. eKuiper's rules: a
 * float is cut, text is parsed, true is 1, an integer as a time is milliseconds. */
int value_cast(struct arena *a, const struct value *v, enum value_type t, struct value *ret,
               struct err *err);

/* A value for a checkpoint, and back: kinds that JSON does not have are marked ({"$t": us},
 * {"$b": base64}, {"$f": x}, {"$a": true} for absent, {"$o": members}), so that they survive as
 * text. Load: -E_INVAL when it is not of this form, -ENOMEM. */
struct value value_save(struct arena *a, const struct value *v); /* null when the arena failed */
int value_load(struct arena *a, const struct value *saved, struct value *ret);

/* A JSON tree as a value, read in place where it can (strings are borrowed from the tree). Numbers
 * without fraction and exponent that fit are VALUE_INT. Depth is bounded by the parser. */
struct value value_from_json(struct arena *a, const struct json *j);
/* The JSON text of a value: bytes as base64, times as RFC 3339 with a fraction where there is one,
 * floats in the shortest form that reads back the same, NaN and infinities as null. */
int value_print_json(struct buf *out, const struct value *v);
/* As an expression would write it or as concat() does: text bare, numbers bare, others as JSON. */
int value_print_text(struct buf *out, const struct value *v);
size_t value_print_int(char out[24], int64_t i);
/* Shortest decimal text of a finite float that reads back the same; writes at most 32 bytes. */
size_t value_print_float(char out[32], double f);

#endif

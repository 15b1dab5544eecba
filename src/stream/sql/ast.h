/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The syntax tree of streaming SQL: what the parser (sql.h) makes and the planner reads.
 *
 * Every node lives in the arena given to the parser; names are as written (identifiers are case
 * sensitive, key words and functions are not; function names are lower-cased). `at` is the byte of
 * the source where the node begins, for messages.
 */
#ifndef STREAM_SQL_AST_H
#define STREAM_SQL_AST_H

#include "stream/value.h"

struct ast_expr;
struct ast_order;
struct ast_select;

enum ast_kind {
    AST_CONST,    /* 5, 1.5, "text", 'text', true, null */
    AST_FIELD,    /* name, stream.name */
    AST_WILDCARD, /* *, stream.*, with EXCEPT and REPLACE */
    AST_CALL,     /* f(args) [FILTER (WHERE e)] [OVER ([PARTITION BY e, ...] [WHEN e])] */
    AST_NOT,      /* NOT a */
    AST_MINUS,    /* -a, of what is no constant */
    AST_BINARY,   /* a op b */
    AST_BETWEEN,  /* a [NOT] BETWEEN b AND c */
    AST_IN,       /* a [NOT] IN (list) or a [NOT] IN expression that gives an array */
    AST_LIKE,     /* a [NOT] LIKE b */
    AST_CASE,     /* CASE [a] WHEN b THEN c ... [ELSE d] END */
    AST_ARROW,    /* a->name, a.name on a struct */
    AST_INDEX,    /* a[b] */
    AST_SLICE,    /* a[b:c], either may be missing */
    AST_SUBQUERY, /* (SELECT ...) as a value, or the right side of IN */
    AST_EXISTS    /* EXISTS (SELECT ...) */
};

/* How deep a nested identifier path goes is bounded by LIMIT_SQL_DEPTH, as all nesting. */
struct ast_expr {
    enum ast_kind kind;
    uint32_t at;
    uint32_t height; /* of the tree under it, sub-queries included; at most LIMIT_SQL_DEPTH */
    bool negated;    /* NOT IN, NOT BETWEEN, NOT LIKE */
    union {
        struct value value; /* AST_CONST; text lies in the arena */
        struct {            /* AST_FIELD: stream may be empty; AST_ARROW: name only, base in a */
            struct str stream, name;
        };
        struct {                       /* AST_WILDCARD */
            struct str of;             /* stream, or empty */
            struct str *except;        /* n_except */
            struct ast_field *replace; /* n_replace: expr AS name */
            uint32_t n_except, n_replace;
        };
        struct {                 /* AST_CALL */
            struct str function; /* lower case */
            struct ast_expr **args;
            struct ast_expr **partition; /* OVER (PARTITION BY ...) */
            struct ast_expr *when;       /* OVER (... WHEN e) or NULL */
            struct ast_expr *filter;     /* FILTER (WHERE e) or NULL */
            struct ast_order *order;     /* OVER (... ORDER BY ...) of row_number() */
            uint32_t n_args, n_partition, n_order;
            bool over; /* an OVER clause is there, even an empty one */
            bool distinct;
        };
        enum value_op op; /* AST_BINARY; operands in a and b */
        struct {          /* AST_IN with a list: n > 0; otherwise the right side is in b */
            struct ast_expr **list;
            uint32_t n_list;
        };
        struct { /* AST_CASE: a is the operand or NULL, c is ELSE or NULL */
            struct ast_expr **whens, **thens;
            uint32_t n_whens;
        };
        struct ast_select *select; /* AST_SUBQUERY, AST_EXISTS */
    };
    struct ast_expr *a, *b, *c; /* operands by position; NULL where there is none */
};

struct ast_field {
    struct ast_expr *expr;
    struct str alias; /* empty = none; the planner names it (field name or kuiper_field_N) */
    bool invisible;   /* computed for others, not part of the result */
};

enum ast_window_kind {
    AST_WINDOW_NONE,
    AST_WINDOW_TUMBLING,
    AST_WINDOW_HOPPING,
    AST_WINDOW_SLIDING,
    AST_WINDOW_SESSION,
    AST_WINDOW_COUNT,
    AST_WINDOW_STATE
};

struct ast_window {
    enum ast_window_kind kind;
    uint32_t at;
    /* Microseconds; unit is what was written (dd hh mi ss ms), as natural time is aligned by it.
     * tumbling: length. hopping: length, interval. sliding: length, delay (0 = none). session:
     * length = greatest duration, interval = time-out. count: length and interval are rows. */
    struct str unit;
    int64_t length, interval, delay;
    struct ast_expr *begin, *emit; /* state window; emit may be NULL */
    struct ast_expr *filter;       /* FILTER (WHERE e) or NULL */
    struct ast_expr *when;         /* OVER (WHEN e) or NULL */
    struct ast_expr **partition;   /* OVER (PARTITION BY ...) of state windows */
    uint32_t n_partition;
};

/* One step of a PATTERN of MATCH_RECOGNIZE: name{min,max}, greedy unless `lazy`. */
struct ast_pattern_step {
    struct str name;
    uint32_t min, max; /* max UINT32_MAX = unbounded */
    bool lazy;
};

struct ast_match {
    struct ast_expr **partition;
    struct ast_field *measures, *defines; /* alias is the name */
    struct ast_pattern_step *steps;
    uint32_t n_partition, n_measures, n_defines, n_steps;
    int64_t within_us; /* 0 = unbounded */
    bool skip_past;    /* AFTER MATCH SKIP PAST LAST ROW (the default); else TO NEXT ROW */
    bool all_rows;     /* ALL ROWS PER MATCH; the default is ONE ROW PER MATCH */
};

struct ast_source { /* of FROM and JOIN */
    uint32_t at;
    struct str name;           /* stream or table; empty for a sub-query */
    struct str alias;          /* empty = none */
    struct ast_select *select; /* sub-query or NULL */
    struct ast_match *match;   /* MATCH_RECOGNIZE (...) behind it, or NULL */
};

enum ast_join_kind { AST_JOIN_INNER, AST_JOIN_LEFT, AST_JOIN_RIGHT, AST_JOIN_FULL, AST_JOIN_CROSS };

struct ast_join {
    enum ast_join_kind kind;
    struct ast_source source;
    struct ast_expr *on; /* NULL only for CROSS, and where it was left out */
};

struct ast_order {
    struct ast_expr *expr;
    bool descending;
};

struct ast_select {
    uint32_t at;
    bool distinct;
    struct ast_field *fields;
    struct ast_source from;
    struct ast_join *joins;
    struct ast_expr *where;   /* or NULL */
    struct ast_expr **group;  /* GROUP BY without the window */
    struct ast_window window; /* kind NONE = no window */
    struct ast_expr *having;  /* or NULL */
    struct ast_order *order;
    int64_t limit; /* -1 = none */
    uint32_t n_fields, n_joins, n_group, n_order;
    struct ast_select *union_all; /* the next branch of UNION ALL, or NULL */
    /* WITH name AS (SELECT ...): visible in FROM of this statement and its branches. */
    struct ast_source *with; /* alias = the name, select = its text */
    uint32_t n_with;
};

/* ---- CREATE STREAM and its like ---- */

struct ast_type {
    enum value_type type;           /* VALUE_NULL = any */
    const struct ast_type *element; /* of an array; NULL = any */
    struct ast_column *columns;     /* of a struct */
    uint32_t n_columns;
};

struct ast_column {
    struct str name;
    struct ast_type type;
    struct value fallback; /* DEFAULT; VALUE_ABSENT = none */
};

struct ast_option { /* of WITH (...): key in upper case */
    struct str key, value;
};

enum ast_statement_kind { AST_SELECT, AST_CREATE, AST_DROP, AST_SHOW, AST_DESCRIBE, AST_EXPLAIN };

struct ast_statement {
    enum ast_statement_kind kind;
    bool table; /* of CREATE, DROP, SHOW, DESCRIBE, EXPLAIN: TABLE rather than STREAM */
    struct str name;
    struct ast_select *select;  /* AST_SELECT; EXPLAIN of a SELECT */
    struct ast_column *columns; /* CREATE; n_columns 0 = schemaless */
    struct ast_option *options;
    uint32_t n_columns, n_options;
};

#endif

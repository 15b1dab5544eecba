/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiler (template.c) and the evaluator (template_run.c) of data templates share. */
#ifndef PART_DATA_TEMPLATE_PRIVATE_H
#define PART_DATA_TEMPLATE_PRIVATE_H

#include "template.h"

#define TEMPLATE_DEPTH_MAX 32
#define TEMPLATE_PIPES_MAX 8 /* functions behind each other: they nest as parentheses do */
#define TEMPLATE_NODES_MAX 4096
#define TEMPLATE_VARS_MAX 64
#define TEMPLATE_SLOTS_MAX 256
#define TEMPLATE_ARGS_MAX 16

enum expr_node_kind {
    T_CONST, /* 1, 1.5, "text", true, nil */
    T_DOT,   /* . and .a.b: path from the value of the innermost range or with */
    T_VAR,   /* $x, $x.a.b; $ alone is slot 0 */
    T_CALL,  /* function args */
    T_PIPE   /* a | b: the value of a is the last argument of b */
};

enum template_function {
    F_AND,
    F_BASE64,
    F_EQ,
    F_GE,
    F_GT,
    F_INDEX,
    F_JSON,
    F_LE,
    F_LEN,
    F_LT,
    F_NE,
    F_NOT,
    F_OR,
    F_PRINT,
    F_PRINTF,
    F_TO_JSON,
    F_NR
};

struct t_expr {
    enum expr_node_kind kind;
    struct value value;
    struct str *path; /* n_path names */
    uint32_t n_path;
    uint32_t slot; /* of a variable */
    enum template_function function;
    struct t_expr *args[TEMPLATE_ARGS_MAX];
    uint32_t n_args;
};

enum t_node_kind { N_TEXT, N_PRINT, N_SET, N_IF, N_RANGE, N_WITH };

struct t_node {
    enum t_node_kind kind;
    struct str text;
    struct t_expr *expr;
    uint32_t slot;                   /* N_SET; of the item of N_RANGE, 0 = none */
    uint32_t key_slot;               /* of the index or key of N_RANGE, 0 = none */
    struct t_node *body, *otherwise; /* lists */
    struct t_node *next;
};

struct template
{
    struct arena arena;
    struct t_node *nodes;
    uint32_t n_slots;
};

#endif

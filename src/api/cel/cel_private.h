/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the evaluator share: the syntax tree, the program, the table of functions and
 * the state of one evaluation.
 *
 *      text --cel_parse()--> tree --cel_check()--> typed tree --emit--> struct cel_program
 */
#ifndef API_CEL_CEL_PRIVATE_H
#define API_CEL_CEL_PRIVATE_H

#include "api/quantity.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cel.h"
#include "codec/regex.h"

/* ---- syntax tree ---- */

enum ast_kind {
    AST_CONST,
    AST_IDENT,
    AST_SELECT,
    AST_CALL,
    AST_LIST,
    AST_MAP,
    AST_STRUCT,
    AST_FOLD, /* a macro that walks a list or map */
    AST_BIND  /* cel.bind, optMap, optFlatMap */
};

/* What an AST_FOLD does with the elements. */
enum fold_kind {
    FOLD_ALL,
    FOLD_EXISTS,
    FOLD_EXISTS_ONE,
    FOLD_MAP,    /* args: [filter,] body */
    FOLD_FILTER, /* args: predicate */
    FOLD_TRANSFORM_LIST,
    FOLD_TRANSFORM_MAP,
    FOLD_TRANSFORM_ENTRY
};

enum bind_kind { BIND_PLAIN, BIND_OPT_MAP, BIND_OPT_FLAT_MAP };

/* Sizes and costs of the estimate; UINT64_MAX = unbounded. */
struct cel_size {
    uint64_t size;  /* of the value */
    uint64_t entry; /* of its elements; 0 = by their type */
};

struct ast {
    enum ast_kind kind;
    uint32_t pos;                /* byte where errors point at */
    uint32_t depth;              /* of the tree below */
    const struct cel_type *type; /* set by the checker */
    struct cel_size size;        /* set by the estimate */
    union {
        struct cel_value value;             /* AST_CONST */
        struct {                            /* AST_IDENT; the name of an AST_STRUCT */
            struct str name;                /* with a leading dot when it is absolute */
            int local;                      /* resolved: slot, or -1 */
            int var;                        /* resolved: variable, or -1 */
            const struct cel_type *denotes; /* resolved: the type that the name is */
        };
        struct { /* AST_SELECT */
            struct ast *operand;
            struct str field;
            const struct cel_field *declared; /* resolved */
            bool test;                        /* has() */
            bool optional;                    /* a.?b */
        };
        struct { /* AST_CALL; operators have names as "_+_" */
            struct str function;
            struct ast *target;      /* NULL = global */
            const struct cel_fn *fn; /* resolved */
        };
        struct { /* AST_FOLD, AST_BIND */
            int macro;
            struct ast *range; /* or what is bound */
            struct str vars[2];
            uint8_t n_vars;
            int slot; /* of vars[0]; vars[1] follows */
        };
    };
    /* Arguments of a call (without target), elements, keys and values in turn, bodies of a fold. */
    struct ast **args;
    uint32_t n_args;
    struct str *names; /* AST_STRUCT: of its fields */
    bool *optionals;   /* AST_LIST, AST_MAP (by entry): ?e; NULL = none */
};

/* ---- compilation ---- */

struct cel_issue {
    uint32_t pos;
    const char *text;
};

struct cel_compiler {
    struct arena a;
    struct str source;
    const struct cel_compile_opts *opts;
    struct cel_issue issues[LIMIT_CEL_ERRORS];
    uint32_t n_issues, n_nodes;
    bool checking;     /* issues are of the checker: named <input> */
    uint32_t next_var; /* names of free type variables */
    int max_locals;
};

/* Records an error; the first LIMIT_CEL_ERRORS are kept. */
void cel_issue(struct cel_compiler *c, uint32_t pos, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The tree, or NULL with an issue or a failed arena. */
struct ast *cel_parse(struct cel_compiler *c);
/* Resolves names and functions, and infers types. False with issues. */
bool cel_check(struct cel_compiler *c, struct ast *root);
/* What the program costs at most. */
uint64_t cel_estimate(struct cel_compiler *c, struct ast *root);
/* "a.b.c" of a chain of names, or an empty text. */
struct str cel_qualified_name(struct arena *a, const struct ast *e);
bool cel_is_identifier(struct str s);

/* ---- types ---- */

struct cel_type_var {
    struct cel_type type; /* CEL_PARAM, name */
    const struct cel_type *bound;
};

extern const struct cel_type cel_type_error, cel_type_optional_dyn, cel_type_type,
    cel_type_quantity, cel_type_ip, cel_type_cidr, cel_type_url, cel_type_format, cel_type_semver,
    cel_type_path_check, cel_type_group_check, cel_type_decision;

const struct cel_type *cel_type_list(struct arena *a, const struct cel_type *elem);
const struct cel_type *cel_type_map(struct arena *a, const struct cel_type *key,
                                    const struct cel_type *elem);
const struct cel_type *cel_type_of(struct arena *a, enum cel_kind kind, const struct cel_type *of);
/* What a checked type is made of, copied: lists, maps, optionals; objects are shared. */
const struct cel_type *cel_type_copy(struct arena *a, const struct cel_type *t);
const struct cel_type *cel_type_elem(const struct cel_type *t); /* never NULL */
const struct cel_type *cel_type_key(const struct cel_type *t);  /* never NULL */
void cel_type_print(struct buf *out, const struct cel_type *t); /* "map(string, int)" */
/* The type that a name denotes ("int", "google.protobuf.Timestamp") or NULL. */
const struct cel_type *cel_type_named(struct str name);
const struct cel_type *cel_type_simple(enum cel_kind k); /* without parameters: dyn */
const struct cel_field *cel_type_field(const struct cel_type *t, struct str name);

/* ---- functions ---- */

struct cel_run;

/* The overload that fits was found by the kinds of the arguments: `overload` is its place among
 * fn->sigs. The receiver of a member call is args[0]. False with an error in r. */
typedef bool cel_fn_impl(struct cel_run *r, unsigned overload, const struct cel_value *args,
                         unsigned n, struct cel_value *ret);

/* How a call's cost grows. */
enum cel_cost {
    COST_ONE,
    COST_ARG0,     /* a tenth of the size of the first argument */
    COST_ARG1,     /* ... of the second */
    COST_TWICE,    /* two tenths of the first */
    COST_PRODUCT,  /* contains: a tenth of one times a tenth of the other */
    COST_REGEX,    /* text times pattern */
    COST_ELEMENTS, /* the list of the first argument */
    COST_IN,       /* the list of the second */
    COST_RESULT,   /* two tenths of what comes out (join) */
    COST_CONCAT,   /* texts: a tenth of what comes out */
    COST_COMPARE,  /* a tenth of the smaller */
    COST_CROSS,    /* size of one times size of the other */
    COST_ACCESS    /* COST_ACCESS_CHECK */
};

#define COST_ACCESS_CHECK 350000u /* as Kubernetes counts a question to the authorizer */

struct cel_fn {
    const char *name;
    /* Overloads, separated by blanks: receiver, '.', arguments, ':', result. A letter a type: see
     * cel_sig.c. */
    const char *sigs;
    cel_fn_impl *impl; /* NULL: the evaluator does it itself */
    uint8_t cost;      /* enum cel_cost */
    uint8_t flags;     /* CEL_F_EXT or CEL_F_KUBERNETES: where it belongs; 0 = standard */
};

extern const struct cel_fn cel_functions[]; /* sorted by name */
extern const uint32_t cel_functions_n;
const struct cel_fn *cel_function(const struct cel_compile_opts *opts, struct str name);

/* One overload, taken apart. */
#define SIG_ARGS_MAX 5
struct cel_sig {
    const struct cel_type *args[SIG_ARGS_MAX]; /* the receiver first */
    unsigned n;
    bool member;
    const struct cel_type *result;
};
/* Reads the overload at *at and moves on; type parameters become fresh variables. False at the end
 * (or when the arena failed). */
bool cel_sig_next(struct cel_compiler *c, const char **at, struct cel_sig *ret);
/* The first overload of the style that takes values of these kinds, or -1. */
int cel_sig_match(const char *sigs, bool member, const struct cel_value *args, unsigned n);

/* ---- programs ---- */

enum node_op {
    NODE_CONST,
    NODE_VAR,
    NODE_LOCAL,
    NODE_SELECT,
    NODE_AND,
    NODE_OR,
    NODE_NOT,
    NODE_COND,
    NODE_EQ,
    NODE_NE,
    NODE_IN,
    NODE_INDEX,
    NODE_COMPARE,
    NODE_CALL,
    NODE_LIST,
    NODE_MAP,
    NODE_FOLD,
    NODE_BIND
};

enum { COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE };
enum { NODE_F_TEST = 1, NODE_F_OPTIONAL = 2, NODE_F_MEMBER = 4 };
#define ARG_OPTIONAL (1u << 31) /* on the node number of an element or key: ?e */

/* 16 bytes. What a, b and n mean stands at cel_emit.c. */
struct node {
    uint8_t op;
    uint8_t flags;
    uint16_t x;
    uint32_t pos;
    uint32_t a, b;
};

struct cel_program {
    struct node *nodes;
    uint32_t *args;
    struct cel_value *consts;
    struct regex **regexes; /* of literal patterns, by constant; NULL elsewhere */
    uint32_t n_nodes, n_args, n_consts, root;
    uint32_t n_locals;
    uint64_t vars_read; /* bits; all when there are more than 64 variables */
    uint64_t cost;
    enum cel_kind kind;
    const char *type_text;
    /* nodes, args, constants and texts follow in the same block */
};

int cel_emit(struct cel_compiler *c, const struct ast *root, struct cel_program **ret,
             struct err *err);

/* ---- values ---- */

struct cel_list {
    uint32_t n;
    const struct cel_value *items;
};

struct cel_entry {
    struct cel_value key, value;
};

struct cel_map {
    uint32_t n, cap;
    struct cel_entry *entries; /* in the order they came */
    uint32_t *index;           /* hashed, 0 = empty, else entry + 1; NULL while small */
    uint32_t index_cap;
};

struct cel_ip {
    uint8_t bytes[16];
    bool v6;
};
struct cel_cidr {
    struct cel_ip ip;
    unsigned prefix;
};
struct cel_url {
    struct str scheme, host, hostname, port, path, raw;
    bool has_host;
    struct str query;
};
struct cel_semver {
    uint64_t part[3];
    struct str pre, build;
};
struct cel_format {
    const char *name;
    /* NULL when the text is right, else what is wrong. */
    const char *(*check)(struct arena *a, struct str s);
};

enum { CEL_NANOS = 1000000000 };
#define CEL_TIME_MIN INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define CEL_TIME_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

static inline struct str cel_text(const struct cel_value *v) /* of strings and bytes */
{
    return str_n(v->s, v->n);
}
static inline struct cel_value cel_of(enum cel_kind kind)
{
    return (struct cel_value){.kind = kind};
}
struct cel_value cel_bytes(struct str s);
struct cel_value cel_opaque(enum cel_kind kind, const void *p);
struct cel_value cel_timestamp(int64_t seconds, uint32_t nanos);
struct cel_value cel_duration(int64_t nanos);
struct cel_value cel_type_value(const struct cel_type *t);
struct cel_value cel_list_value(struct arena *a, const struct cel_value *items, uint32_t n);

uint32_t cel_length(const struct cel_value *v); /* of a list or map */
struct cel_value cel_item(const struct cel_value *list, uint32_t i);
/* The entry at place i of a map. */
struct cel_value cel_key_at(const struct cel_value *map, uint32_t i);
struct cel_value cel_value_at(const struct cel_value *map, uint32_t i);
bool cel_map_get(const struct cel_value *map, const struct cel_value *key, struct cel_value *ret);
bool cel_map_get_field(const struct cel_value *map, struct str field, struct cel_value *ret);
bool cel_is_key(const struct cel_value *v); /* of a kind that a map may have as key */
/* Adds; false when the key is there already or the arena failed. */
bool cel_map_add(struct arena *a, struct cel_map *m, struct cel_value key, struct cel_value value);
struct cel_value cel_map_value(struct cel_map *m);
/* <0 0 >0; *ok false when the two have no order (other kinds, NaN). */
int cel_order(const struct cel_value *a, const struct cel_value *b, bool *ok);
const struct cel_type *cel_type_of_value(const struct cel_value *v); /* what type() gives */
uint64_t cel_runes(struct str s);                                    /* code points */
/* Elements, code points or bytes; 1 of scalars: what costs count. */
uint64_t cel_size_of(const struct cel_value *v);

/* ---- evaluation ---- */

struct cel_run {
    struct arena *a;
    const struct cel_program *p;
    const struct cel_input *in;
    struct cel_value *locals;
    uint64_t cost, limit;
    int code;     /* of the error */
    uint32_t pos; /* node's place of the error */
    char text[240];
    struct regex *regexes[LIMIT_CEL_REGEXES]; /* of patterns that are computed */
    struct str patterns[LIMIT_CEL_REGEXES];
    uint32_t n_regexes;
    struct regex *literal; /* for the call that runs: compiled with the program, or NULL */
};

/* Records an error; returns false. */
bool cel_fail(struct cel_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool cel_no_memory(struct cel_run *r);
bool cel_no_overload(struct cel_run *r);
/* The compiled pattern: the program's own, or one kept for this evaluation. NULL with an error. */
struct regex *cel_regex(struct cel_run *r, struct str pattern);

/* ---- parts of functions that others use too ---- */

bool cel_time_parse(struct str s, struct cel_value *ret);     /* RFC 3339 with nanoseconds */
bool cel_duration_parse(struct str s, struct cel_value *ret); /* Go's "1h2.5s", nanoseconds */
void cel_time_print(struct buf *out, const struct cel_value *v);
void cel_duration_print(struct buf *out, int64_t nanos);
void cel_double_print(struct buf *out, double d); /* as Go's %g with the shortest digits */
void cel_quote(struct buf *out, struct str s);
/* printf of strings.format(); false with an error in r. */
bool cel_format_string(struct cel_run *r, struct str format, const struct cel_value *args,
                       struct buf *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CEL, the Common Expression Language (cel-spec v0.25), over JSON trees.
 *
 *      source text --cel_compile()--> struct cel_program --cel_eval(values)--> value or error
 *
 * A program is immutable, holds no pointer to its source and may be evaluated any number of times.
 * Evaluation allocates from the caller's arena, and for scalar rules not at all. It is bounded: by
 * depth when compiled (LIMIT_CEL_DEPTH), by cost when run (the units of Kubernetes: about one for a
 * name, a selection or a call, more for what walks through data). Values that come from JSON are
 * not converted but read in place.
 *
 * Texts of errors are those of cel-go, which is what users of Kubernetes see.
 *
 * For the rules of a CustomResourceDefinition use cel_rules.h, which stands on this.
 */
#ifndef API_CEL_CEL_H
#define API_CEL_CEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/json.h"

/* ---- types ---- */

enum cel_kind {
    CEL_DYN, /* not known before the evaluation; as a value: none */
    CEL_NULL,
    CEL_BOOL,
    CEL_INT,
    CEL_UINT,
    CEL_DOUBLE,
    CEL_STRING,
    CEL_BYTES,
    CEL_TIMESTAMP,
    CEL_DURATION,
    CEL_LIST,
    CEL_MAP,
    CEL_OBJECT, /* a map whose fields are declared */
    CEL_TYPE,
    CEL_OPTIONAL,
    CEL_QUANTITY, /* from here on: what Kubernetes adds */
    CEL_IP,
    CEL_CIDR,
    CEL_URL,
    CEL_FORMAT,
    CEL_SEMVER,
    CEL_AUTHORIZER,
    CEL_PATH_CHECK,
    CEL_GROUP_CHECK,
    CEL_RESOURCE_CHECK,
    CEL_DECISION,
    CEL_KIND_NR,
    CEL_ERROR = CEL_KIND_NR, /* a variable that fails, with its text, when it is read */
    CEL_PARAM                /* private: a type parameter of the checker */
};

/* How a list compares (x-kubernetes-list-type). */
enum cel_list_type { CEL_LIST_ATOMIC, CEL_LIST_SET, CEL_LIST_MAP };

struct cel_field;

/* A type. Built by the caller, in his memory, before compilation; kept by him as long as programs
 * and values refer to it. Zero-initialised fields mean "nothing known". */
struct cel_type {
    enum cel_kind kind;
    const char *name;               /* CEL_OBJECT: shown in errors; NULL = "object" */
    const struct cel_type *key;     /* CEL_MAP: NULL = dyn */
    const struct cel_type *elem;    /* CEL_LIST, CEL_MAP, CEL_OPTIONAL, CEL_TYPE: NULL = dyn */
    const struct cel_field *fields; /* CEL_OBJECT: sorted by name (cel_fields_sort) */
    uint32_t n_fields;
    /* The most elements of a list or map, or characters of a string; 0 = unbounded. For the
     * estimate of costs only. */
    uint64_t max;
    enum cel_list_type list_type;
    const char *const *list_keys; /* CEL_LIST_MAP: the names that identify an item; n_list_keys */
    uint32_t n_list_keys;
};

struct cel_field {
    const char *name;      /* as rules write it: escaped (cel_escape_name) */
    const char *json_name; /* as JSON has it */
    const struct cel_type *type;
    uint32_t n; /* private: length of name, set by cel_fields_sort */
};

extern const struct cel_type cel_type_dyn, cel_type_null, cel_type_bool, cel_type_int,
    cel_type_uint, cel_type_double, cel_type_string, cel_type_bytes, cel_type_timestamp,
    cel_type_duration, cel_type_list_dyn, cel_type_map_dyn /* string to dyn */, cel_type_authorizer,
    cel_type_resource_check;

void cel_fields_sort(struct cel_field *fields, uint32_t n);
/* Kubernetes' escaping of property names: "a.b" is a__dot__b, "a-b" a__dash__b, "a/b"
 * a__slash__b, "__" __underscores__ and reserved words __in__. Arena text; NULL when the name
 * cannot be written ("a b", "1a": such a property is not accessible) or the arena failed. */
const char *cel_escape_name(struct arena *a, const char *name);

/* ---- values ---- */

struct cel_list;
struct cel_map;
struct cel_object_value;

/* A value. Copied freely; what it points to lies in an arena or in the JSON tree it was made from.
 * Read it through the functions below. */
struct cel_value {
    enum cel_kind kind : 8;
    unsigned in_json : 1; /* private: list or map that is still JSON */
    uint32_t n;           /* bytes of a string or bytes; nanoseconds of a timestamp */
    union {
        bool b;
        int64_t i; /* CEL_INT; seconds of a CEL_TIMESTAMP since 1970; nanoseconds of a duration */
        uint64_t u;
        double d;
        const char *s; /* not 0-terminated */
        const struct json *j;
        const struct cel_list *list;
        const struct cel_map *map;
        const struct cel_value *optional; /* NULL = none */
        const struct cel_type *type_value;
        const void *opaque;
    };
    const struct cel_type *type; /* private: declared type of what is still JSON; may be NULL */
};

/* Reads j in place as a value of type t (NULL = dyn). Strings become timestamps, durations or
 * bytes and integers become doubles where t says so; a string that t cannot read makes a
 * CEL_ERROR value. j NULL gives null. */
struct cel_value cel_from_json(const struct json *j, const struct cel_type *t);
/* The JSON form (timestamps and bytes as strings, uint as number); NULL when arena failed, for
 * values that have none (types, errors) and beyond the depth limit. */
struct json *cel_to_json(struct arena *a, const struct cel_value *v);
struct cel_value cel_bool(bool b);
struct cel_value cel_int(int64_t i);
struct cel_value cel_uint(uint64_t u);
struct cel_value cel_double(double d);
struct cel_value cel_string(struct str s); /* borrowed */
struct cel_value cel_null(void);
struct cel_value cel_lazy(void); /* a variable whose value comes when it is read */
/* A variable that is an error as soon as an expression reads it. text is borrowed. */
struct cel_value cel_error(struct str text);
/* optional.none() for v NULL, else optional.of(*v); v is copied into the arena. On arena failure
 * none. */
struct cel_value cel_optional(struct arena *a, const struct cel_value *v);
/* A map of string keys to values, for variables that hold variables. keys, values and texts are
 * borrowed. A CEL_ERROR among the values is an error when it is selected. Null on arena failure. */
struct cel_value cel_map_of(struct arena *a, const struct str *keys, const struct cel_value *values,
                            uint32_t n);

/* What an authorizer is asked. Texts are never NULL. */
struct cel_access {
    const char *path; /* a path that is no resource; "" = it is about a resource */
    const char *verb, *group, *resource, *subresource, *ns, *name;
    const char *field_selector, *label_selector;
    /* Somebody else than the authorizer's own user: "" = nobody else. */
    const char *account_ns, *account;
};

struct cel_access_answer {
    bool allowed;
    const char *reason; /* never NULL */
    const char *error;  /* NULL = it could be told */
};

/* Who is asked by authorizer.group(...).check(...). reason and error must live as long as the
 * evaluation's arena. */
struct cel_authorizer {
    void (*ask)(void *arg, const struct cel_access *q, struct cel_access_answer *ret);
    void *arg;
};

/* The variable authorizer; z is borrowed. */
struct cel_value cel_authorizer(const struct cel_authorizer *z);
/* The variable authorizer.requestResource; z and the texts of q are borrowed. */
struct cel_value cel_resource_check(struct arena *a, const struct cel_authorizer *z,
                                    const struct cel_access *q);
bool cel_equal(const struct cel_value *a, const struct cel_value *b);
/* The value as an expression would write it; used by tests and messages. */
int cel_print(struct buf *out, const struct cel_value *v);
const char *cel_kind_name(enum cel_kind k); /* "int", "google.protobuf.Timestamp", ... */

/* ---- compilation ---- */

struct cel_var {
    const char *name;            /* may be dotted: "a.b" */
    const struct cel_type *type; /* NULL = dyn */
};

enum {
    CEL_F_CHECKED = 1u << 0,     /* refuse what cannot be typed; without it all is dyn */
    CEL_F_CROSS_TYPE = 1u << 1,  /* 1 < 1.5 between numeric types */
    CEL_F_KUBERNETES = 1u << 2,  /* quantity(), url(), ip(), find(), isSorted(), format. ... */
    CEL_F_EXT = 1u << 3,         /* strings, lists, sets, math, encoders, bindings,
                                    two-variable macros, optionals */
    CEL_F_MIXED_LISTS = 1u << 4, /* [1, 'a'] is a list(dyn) */
    /* What Kubernetes gives its users. */
    CEL_F_ALL = CEL_F_CHECKED | CEL_F_CROSS_TYPE | CEL_F_KUBERNETES | CEL_F_EXT
};

struct cel_compile_opts {
    const struct cel_var *vars; /* borrowed until the program is freed: names and types */
    uint32_t n_vars;
    uint32_t flags;        /* CEL_F_* */
    const char *container; /* prefix for names, as "a.b"; NULL = "" */
    const char *source;    /* in messages; NULL = "<input>" */
    struct buf *issues;    /* NULL, or gets the whole text of the errors (err holds its head) */
    struct arena *types;   /* with it *ret_type gets the type of the result, copied there */
    const struct cel_type **ret_type;
};

struct cel_program;

/* Compiles. -E_INVAL with "ERROR: <input>:1:5: undeclared reference to 'x' (in container '')\n | 1
 * + x\n | ....^", one such for every error, joined by line breaks; -E_LIMIT when the text or its
 * nesting is too large; -ENOMEM. *ret only on success. */
int cel_compile(struct str source, const struct cel_compile_opts *opts, struct cel_program **ret,
                struct err *err);
void cel_program_free(struct cel_program *p);
void cel_program_freep(struct cel_program **p); /* for CLEANUP() */

/* The kind of the result, CEL_DYN when it is only known at evaluation. */
enum cel_kind cel_program_kind(const struct cel_program *p);
/* The type of the result as text, "list(int)"; lives as long as the program. */
const char *cel_program_type(const struct cel_program *p);
bool cel_program_reads(const struct cel_program *p, uint32_t var); /* the variable is mentioned */
/* What an evaluation costs at most by the declared bounds; UINT64_MAX = unbounded. */
uint64_t cel_program_cost(const struct cel_program *p);

/* ---- evaluation ---- */

/* What Kubernetes allows a single expression. */
#define CEL_COST_PER_CALL 1000000u

struct cel_input {
    struct arena *arena;          /* for results and what lies between */
    const struct cel_value *vars; /* in the order of the declarations */
    uint64_t cost_limit;          /* 0 = CEL_COST_PER_CALL */
    /* Asked for a variable that has no value yet (cel_lazy()) whenever an expression reads it, for
     * its value, or a CEL_ERROR. May be NULL where there are none. */
    void (*lazy)(void *arg, uint32_t var, struct cel_value *ret);
    void *arg;
};

/* 0 and a value that is no CEL_ERROR; or -E_INVAL with the error's text ("no such key: a",
 * "division by zero"), -E_LIMIT with "operation cancelled: actual cost limit exceeded", -ENOMEM.
 * *ret_cost (may be NULL) is what was spent, on failure too. *ret_pos (may be NULL) is the byte of
 * the source where the failure arose. */
int cel_eval(const struct cel_program *p, const struct cel_input *in, struct cel_value *ret,
             uint64_t *ret_cost, uint32_t *ret_pos, struct err *err);

#endif

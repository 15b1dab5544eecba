/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the checker share.
 *
 * cel_check.c walks the tree, cel_check_name.c resolves names, cel_check_call.c functions and their
 * overloads, cel_check_build.c types lists, maps and macros, cel_unify.c is the algebra of types.
 * Errors are recorded with cel_issue(); the type of what has one is cel_type_error, which fits
 * everywhere. Allocations may fail: ask the arena at the end.
 */
#ifndef API_CEL_CEL_CHECKER_H
#define API_CEL_CEL_CHECKER_H

#include "cel_private.h"

struct cel_scope {
    struct str name;
    const struct cel_type *type;
    int slot;
};

struct cel_checker {
    struct cel_compiler *c;
    bool typed; /* CEL_F_CHECKED: else names and functions only, every type is dyn */
    struct cel_scope *locals;
    uint32_t n_locals, cap_locals;
    int next_slot;
    struct cel_bound {
        struct cel_type_var *var;
        const struct cel_type *before;
    } * trail; /* what unification has bound, to undo it */
    uint32_t n_trail, cap_trail;
};

/* ---- types under substitution (cel_unify.c) ---- */

/* The type itself, behind bound variables. */
const struct cel_type *cel_type_resolve(const struct cel_type *t);
/* A type without variables: unbound ones are dyn. Types of the caller, which hold none, are
 * shared. */
const struct cel_type *cel_type_finish(struct arena *a, const struct cel_type *t);
const struct cel_type *cel_type_fresh(struct cel_checker *k); /* a new variable */
const char *cel_type_name(struct cel_checker *k, const struct cel_type *t);
bool cel_is_parameterised(enum cel_kind kind);
/* a says as little as b or less: dyn stands for anything. */
bool cel_type_is_general(const struct cel_type *a, const struct cel_type *b);
const struct cel_type *cel_type_most_general(const struct cel_type *a, const struct cel_type *b);
/* Whether b takes an a; binds variables on the way, also when it fails: cel_unify_undo(). */
bool cel_unify(struct cel_checker *k, const struct cel_type *a, const struct cel_type *b);
void cel_unify_undo(struct cel_checker *k, uint32_t to); /* back to a k->n_trail of before */
/* The same, undone when it fails. */
bool cel_unify_try(struct cel_checker *k, const struct cel_type *a, const struct cel_type *b);

/* ---- names (cel_check_name.c) ---- */

/* Without types it is an error of the evaluation, which && and || may absorb. */
void cel_undeclared(struct cel_checker *k, uint32_t pos, struct str name);
/* The candidates of a name in a container, nearest first: a.b.x, a.x, x. The n-th, or an empty
 * text. */
struct str cel_candidate(struct cel_checker *k, struct str name, unsigned n);
/* Fills an AST_IDENT by a variable of the environment or a type; false when there is none. */
bool cel_find_global(struct cel_checker *k, struct str name, struct ast *ret);
void cel_declare(struct cel_checker *k, struct str name, const struct cel_type *type); /* a local */
void cel_forget(struct cel_checker *k, unsigned n); /* the last n locals */

/* ---- nodes: each sets e->type ---- */

void cel_check_node(struct cel_checker *k, struct ast *e); /* recursion follows the tree */
void cel_check_ident(struct cel_checker *k, struct ast *e);
/* A chain a.b.c that is the name of a variable or type becomes an AST_IDENT. Names of locals and
 * of shorter variables win only when the longer one does not exist. */
bool cel_check_qualified(struct cel_checker *k, struct ast *e);
void cel_check_call(struct cel_checker *k, struct ast *e);
void cel_check_list(struct cel_checker *k, struct ast *e);
void cel_check_map(struct cel_checker *k, struct ast *e);
void cel_check_struct(struct cel_checker *k, struct ast *e);
void cel_check_fold(struct cel_checker *k, struct ast *e);
void cel_check_bind(struct cel_checker *k, struct ast *e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the planner share: plan.c (clauses), plan_expr.c (expressions), plan_name.c
 * (names in them), plan_call.c (calls in them), plan_match.c (MATCH_RECOGNIZE). */
#ifndef STREAM_ENGINE_PLAN_PRIVATE_H
#define STREAM_ENGINE_PLAN_PRIVATE_H

#include "engine_private.h"
#include "plan.h"
#include "stream/sql/sql.h"

#define PLAN_ANALYTICS_MAX 1000

enum alias_state { ALIAS_NEW, ALIAS_RESOLVING, ALIAS_DONE };

struct alias {
    struct str name;
    const struct ast_expr *ast;
    struct expr *expr;
    enum alias_state state;
    uint32_t nodes, height; /* of its expression, once it is done */
};

/* Which clause an expression stands in: some functions are allowed in some only. */
enum clause {
    CLAUSE_FIELD,
    CLAUSE_WHERE,
    CLAUSE_ON,
    CLAUSE_WINDOW,
    CLAUSE_GROUP,
    CLAUSE_HAVING,
    CLAUSE_ORDER,
    CLAUSE_AGGREGATE, /* inside an aggregate's arguments */
    CLAUSE_ANALYTIC   /* inside an analytic function's arguments */
};

struct planner {
    struct plan *plan;
    struct arena *arena;   /* the plan's */
    struct arena *scratch; /* of what the planner alone needs */
    struct alias *aliases;
    uint32_t n_aliases;
    struct aggregate_call *aggregates;
    uint32_t n_aggregates, cap_aggregates, cap_analytics;
    /* Aggregates are numbered behind the analytic functions once those are known: their expressions
     * are listed here and get their slots at the end. */
    struct expr **aggregate_refs;
    uint32_t n_refs, cap_refs;
    /* MATCH_RECOGNIZE: the references so far; inside an argument, the part whose rows it reads. */
    struct match_ref *match_refs;
    int32_t match_part;
    bool match_inside;
    /* Aliases are put in where they are named, so that few of them can make a huge expression: what
     * was planned so far, counted as often as it will be evaluated, and how deep it is nested. */
    uint32_t nodes, depth, deepest;
    struct err *err;
};

/* NULL after err was set. */
struct expr *plan_expr(struct planner *p, const struct ast_expr *e, enum clause clause);
struct expr **plan_list(struct planner *p, struct ast_expr *const *list, uint32_t n,
                        enum clause clause);
/* plan_name.c: of AST_FIELD and AST_WILDCARD. */
struct expr *plan_field_ref(struct planner *p, const struct ast_expr *e, enum clause clause);
struct expr *plan_wildcard(struct planner *p, const struct ast_expr *e, enum clause clause);
/* The expression of an alias, planned when it is first needed. */
struct expr *plan_alias(struct planner *p, struct alias *a, enum clause clause);
/* Counts n expressions, nested `height` deep below the present one; false after err was set. */
bool plan_spend(struct planner *p, uint32_t n, uint32_t height);
/* plan_call.c: of AST_CALL. */
struct expr *plan_call(struct planner *p, const struct ast_expr *e, enum clause clause);
/* What has constant parts only is computed now. A failure is left for the run, where it is told. */
struct expr *plan_fold(struct planner *p, struct expr *e);
/* The source that FROM or JOIN gives the name, or whose stream has it; -1. */
int plan_source(const struct planner *p, struct str name);
/* A copy of a text: those of the tree live in the statement's arena, which goes away. */
struct str plan_text(struct planner *p, struct str s);
/* The slot of a field in a source's shape, added when it is new. */
int plan_slot(struct planner *p, uint32_t source, struct str name);
struct expr *plan_new_expr(struct planner *p, enum expr_kind kind);
/* Which sources an expression reads, as bits; all bits for what reads any. */
uint64_t plan_reads(const struct expr *e);
bool plan_has_computed(const struct expr *e);
/* In MATCH_RECOGNIZE: names of parts, and functions that read other rows. False elsewhere. */
bool plan_match_is_part(const struct planner *p, struct str name);
struct expr *plan_match_field(struct planner *p, const struct ast_expr *e);
bool plan_match_takes(const struct planner *p, const struct ast_expr *call);
struct expr *plan_match_call(struct planner *p, const struct ast_expr *e);
int plan_refuse(struct planner *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

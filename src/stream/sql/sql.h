/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of streaming SQL: the language of LF Edge eKuiper, with sub-queries, WITH, UNION ALL and
 * MATCH_RECOGNIZE beside it. Text in, syntax tree (ast.h) out; no I/O, no catalog.
 *
 * Refusals are sentences in eKuiper's words where users know them: 'found "EOF", expected FROM.'
 * Calls are checked here against the function table (fn/function.h): names, number and constant
 * types of arguments.
 */
#ifndef STREAM_SQL_SQL_H
#define STREAM_SQL_SQL_H

#include "base/arena.h"
#include "base/err.h"
#include "ast.h"

/* One statement, a ';' at its end allowed. -E_PARSE with a sentence, -E_LIMIT (LIMIT_SQL_SOURCE,
 * LIMIT_SQL_DEPTH, LIMIT_SQL_NODES), -ENOMEM. *ret only on success; all in the arena, which must
 * outlive it; the source text need not. */
int sql_parse(struct arena *a, struct str text, struct ast_statement **ret, struct err *err);
/* One expression alone, as rules' conditions outside a statement have it. */
int sql_parse_expr(struct arena *a, struct str text, struct ast_expr **ret, struct err *err);

/* The expression as SQL text, in canonical form: default names, EXPLAIN, messages. */
int sql_print_expr(struct buf *out, const struct ast_expr *e);
int sql_print_select(struct buf *out, const struct ast_select *s);

/* The value of an option of CREATE ... WITH (...), empty when it is not given. key in upper case.
 */
struct str sql_option(const struct ast_statement *s, const char *key);

/* Calls fn for e and for all below it, parents first, not into sub-queries; a false from fn spares
 * what is below that node. The depth is bounded by the parser. */
typedef bool sql_visit_fn(void *arg, struct ast_expr *e);
void sql_walk(struct ast_expr *e, sql_visit_fn *fn, void *arg);

/* Whether an aggregate function stands in the expression or statement (outside of sub-queries). */
bool sql_has_aggregate(const struct ast_expr *e);
bool sql_is_aggregate(const struct ast_select *s);

#endif

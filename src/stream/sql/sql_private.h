/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the parser share. */
#ifndef STREAM_SQL_PRIVATE_H
#define STREAM_SQL_PRIVATE_H

#include "base/limits.h"
#include "base/mem.h"
#include "sql.h"
#include "sql_lex.h"

enum clause { CLAUSE_NONE, CLAUSE_SELECT, CLAUSE_OTHER };

/* Every parse function returns NULL or a negative code after the error was told. */
struct parser {
    struct arena *a;
    struct lexer lex; /* stands behind tok */
    struct token tok; /* the current token */
    struct err *err;
    int rc;         /* the first failure */
    uint32_t depth; /* of what is being parsed: bounds the C stack */
    uint32_t nodes;
    uint32_t height; /* of the statement that was parsed last */
    enum clause clause;
    bool in_match; /* MATCH_RECOGNIZE: FIRST, LAST, PREV are functions */
    bool meta;     /* inside meta(), mqtt(): a * has no EXCEPT */
};

struct list { /* of pointers or structs, growing in the arena */
    void *items;
    uint32_t n, cap;
};

/* ---- sql_parser.c: tokens, errors, nodes ---- */

int sql_fail(struct parser *p, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "<before> <the token in quotes><after>": found "EOF", expected FROM. */
int sql_fail_at(struct parser *p, const char *before, const struct token *t, const char *after);
/* Go's %q of a text, in the arena. */
const char *sql_quoted(struct parser *p, struct str s);

void sql_advance(struct parser *p);
struct token sql_peek(struct parser *p); /* the token behind the current one */
bool sql_accept(struct parser *p, enum token_kind kind);
/* A word that is a key word here only (UNION, DISTINCT, ...): bare, any case. */
bool sql_at_word(const struct parser *p, const char *word);
bool sql_accept_word(struct parser *p, const char *word);
bool sql_is_name(const struct token *t); /* bare or in backticks */
/* The name at the cursor, which moves on; else fails with `found "x", <expected>`. */
int sql_name(struct parser *p, const char *expected, struct str *ret);

int sql_enter(struct parser *p); /* one level deeper: -E_LIMIT; sql_leave() after success */
void sql_leave(struct parser *p);

struct ast_expr *sql_node(struct parser *p, enum ast_kind kind, uint32_t at);
/* To be called once a node's children are set: counts its height. NULL when it is too high. */
struct ast_expr *sql_done(struct parser *p, struct ast_expr *e);

/* Room for one more item of the list; NULL when memory is short (told). */
void *sql_list_add(struct parser *p, struct list *l, size_t item_size);

/* ---- sql_expr.c, sql_operand.c, sql_call.c ---- */

struct ast_expr *sql_expr(struct parser *p);
/* One operand with its signs. */
struct ast_expr *sql_operand(struct parser *p);
/* A node of two operands (of NOT and minus: one); NULL where an operand is. */
struct ast_expr *sql_make2(struct parser *p, enum ast_kind kind, uint32_t at, struct ast_expr *a,
                           struct ast_expr *b);
/* Operands of + and what binds closer. */
struct ast_expr *sql_expr_additive(struct parser *p);
/* e, e, ...: at least one. */
int sql_exprs(struct parser *p, struct ast_expr ***ret, uint32_t *ret_n);
struct ast_expr *sql_wildcard(struct parser *p, struct str of);
struct ast_expr *sql_call(struct parser *p, const struct token *name); /* at '(' */
/* "(WHERE e)" behind FILTER, which was taken. */
struct ast_expr *sql_filter(struct parser *p);
int sql_partition(struct parser *p, struct ast_expr ***ret, uint32_t *ret_n); /* at PARTITION */
bool sql_word_then(struct parser *p, const char *word, enum token_kind next);

/* ---- sql_window.c ---- */

enum ast_window_kind sql_window_kind(struct str name); /* NONE = no window's name */
int sql_window(struct parser *p, struct ast_window *ret);

/* ---- sql_select.c, sql_source.c, sql_match.c, sql_ddl.c ---- */

struct ast_select *sql_select(struct parser *p); /* with UNION ALL and WITH */
int sql_field(struct parser *p, struct ast_field *ret);
int sql_orders(struct parser *p, struct ast_order **ret, uint32_t *ret_n); /* behind BY */
int sql_source(struct parser *p, struct ast_source *ret);
int sql_joins(struct parser *p, struct ast_join **ret, uint32_t *ret_n);
struct ast_match *sql_match(struct parser *p); /* behind MATCH_RECOGNIZE */
int sql_create(struct parser *p, struct ast_statement *s);

/* ---- sql_check.c: what can only be said of a whole statement ---- */

/* a.b where a is no source becomes a->b. */
void sql_resolve(struct parser *p, struct ast_select *s);
int sql_check_select(struct parser *p, const struct ast_select *s);

/* All expressions that stand directly in a statement, one after the other (not those of its
 * branches of UNION ALL, nor of sub-queries). */
typedef void sql_each_fn(void *arg, struct ast_expr *e);
void sql_each_expr(struct ast_select *s, sql_each_fn *fn, void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the parser share: the cursor over tokens, nodes, and the words of errors.
 *
 * cel_parse.c is the grammar, cel_parse_literal.c reads literals, lists, maps and structs,
 * cel_parse_macro.c expands macros, cel_parser.c is the frame. Functions that return a node give
 * NULL once the parser has failed; the first error is the one that is told.
 */
#ifndef API_CEL_CEL_PARSER_H
#define API_CEL_CEL_PARSER_H

#include "cel_lex.h"
#include "cel_private.h"

/* What ANTLR says that it wants where an expression could begin. */
#define PRIMARY                                                                              \
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, " \
    "STRING, BYTES, IDENTIFIER}"
#define PRIMARY_OR(list)                                                                 \
    "{'[', '{', " list "'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, " \
    "BYTES, IDENTIFIER}"

struct cel_parser {
    struct cel_compiler *c;
    struct lexer lex;
    struct token t; /* the current one */
    unsigned depth;
    bool failed;
};

struct ast_vec {
    struct ast **items;
    uint32_t n, cap;
};

/* ---- the cursor ---- */

void cel_parser_advance(struct cel_parser *p);
static inline bool cel_parser_at(const struct cel_parser *p, int type)
{
    return (int)p->t.type == type;
}
bool cel_parser_accept(struct cel_parser *p, int type); /* goes on when it is at one */
bool cel_parser_expect(struct cel_parser *p, int type, const char *expecting); /* else an error */
bool cel_opens_expression(const struct token *t); /* the token can open one */
/* Bounds recursion: p->depth grows; the caller takes it back. */
bool cel_parser_enter(struct cel_parser *p);

/* ---- errors: each returns NULL ---- */

void *cel_parser_error(struct cel_parser *p, uint32_t pos, const char *text);
/* ANTLR calls a token extraneous when what follows it would have been right. */
void *cel_parser_unexpected(struct cel_parser *p, bool extraneous, const char *expecting);
void *cel_parser_mismatch(struct cel_parser *p, const char *expecting);
void *cel_parser_no_expression(struct cel_parser *p, const char *expecting);
void *cel_parser_no_field(struct cel_parser *p, const char *expecting);

/* ---- nodes ---- */

struct ast *cel_parser_node(struct cel_parser *p, enum ast_kind kind, uint32_t pos);
/* Takes the depth of a child over; the tree may not be deeper than what may recurse over it. */
bool cel_parser_grow(struct cel_parser *p, struct ast *e, const struct ast *child);
bool cel_parser_push(struct cel_parser *p, struct ast_vec *v, struct ast *e);
struct ast *cel_parser_with_args(struct cel_parser *p, struct ast *e, const struct ast_vec *args);
/* A call of one argument, or of two; b may be NULL. */
struct ast *cel_parser_call(struct cel_parser *p, uint32_t pos, const char *function, struct ast *a,
                            struct ast *b);

/* ---- grammar ---- */

struct ast *cel_parse_expr(struct cel_parser *p);
/* The current token is a constant of this value. */
struct ast *cel_parse_constant(struct cel_parser *p, struct cel_value v);
/* Any number; `negative` when a minus stands before it. */
struct ast *cel_parse_number(struct cel_parser *p, bool negative, uint32_t pos);
struct ast *cel_parse_string(struct cel_parser *p);
struct ast *cel_parse_list(struct cel_parser *p);
struct ast *cel_parse_map(struct cel_parser *p);
struct ast *cel_parse_struct(struct cel_parser *p, struct str name);
/* A member call that is a macro; NULL without failure when it is none. */
struct ast *cel_parse_member_macro(struct cel_parser *p, uint32_t pos, struct ast *target,
                                   struct str name, const struct ast_vec *args);
struct ast *cel_parse_has(struct cel_parser *p, uint32_t pos, const struct ast_vec *args);

#endif

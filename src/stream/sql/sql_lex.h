/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of streaming SQL, on demand. */
#ifndef STREAM_SQL_LEX_H
#define STREAM_SQL_LEX_H

#include "base/arena.h"
#include "base/str.h"

enum token_kind {
    TOKEN_END,
    TOKEN_ILLEGAL, /* text: what to tell */
    TOKEN_NAME,    /* a bare identifier, or a word that is a key word in some places only */
    TOKEN_QUOTED,  /* `name` */
    TOKEN_INT,
    TOKEN_NUMBER,
    TOKEN_STRING, /* text: unquoted */
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_STAR,
    TOKEN_SLASH,
    TOKEN_PERCENT,
    TOKEN_AMPERSAND,
    TOKEN_BAR,
    TOKEN_CARET,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_ARROW,
    TOKEN_COMMA,
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_LBRACE,
    TOKEN_RBRACE,
    TOKEN_QUESTION,
    TOKEN_HASH,
    TOKEN_DOT,
    TOKEN_COLON,
    TOKEN_SEMICOLON,
    /* Reserved words, in the order of the table in sql_lex.c. */
    TOKEN_AND,
    TOKEN_AS,
    TOKEN_ASC,
    TOKEN_BETWEEN,
    TOKEN_BY,
    TOKEN_CASE,
    TOKEN_CROSS,
    TOKEN_DESC,
    TOKEN_ELSE,
    TOKEN_END_WORD,
    TOKEN_EXCEPT,
    TOKEN_FALSE,
    TOKEN_FILTER,
    TOKEN_FROM,
    TOKEN_FULL,
    TOKEN_GROUP,
    TOKEN_HAVING,
    TOKEN_IN,
    TOKEN_INNER,
    TOKEN_JOIN,
    TOKEN_LEFT,
    TOKEN_LIKE,
    TOKEN_LIMIT,
    TOKEN_NOT,
    TOKEN_ON,
    TOKEN_OR,
    TOKEN_ORDER,
    TOKEN_OVER,
    TOKEN_PARTITION,
    TOKEN_REPLACE,
    TOKEN_RIGHT,
    TOKEN_SELECT,
    TOKEN_THEN,
    TOKEN_TRUE,
    TOKEN_WHEN,
    TOKEN_WHERE,
    TOKEN_NR
};

struct token {
    enum token_kind kind;
    uint32_t at, end; /* bytes of the source */
    struct str text;  /* as messages show it: key words in upper case, texts without quotes */
    struct str raw;   /* as written */
};

struct lexer {
    struct arena *a;
    struct str text;
    size_t at;
};

void lexer_next(struct lexer *l, struct token *ret);

/* The reserved word, else TOKEN_NAME. */
enum token_kind sql_reserved(struct str word);
/* Whether the name needs no backticks. */
bool sql_is_bare_name(struct str name);

#endif

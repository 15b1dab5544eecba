/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens of a CEL text, and the values of its literals. */
#ifndef API_CEL_CEL_LEX_H
#define API_CEL_CEL_LEX_H

#include "cel.h"

enum token_type { /* or the character itself */
                  TOKEN_END = 256,
                  TOKEN_IDENT,
                  TOKEN_ESCAPED, /* `a-b` */
                  TOKEN_INT,
                  TOKEN_UINT,
                  TOKEN_DOUBLE,
                  TOKEN_STRING, /* and bytes, with prefix and quotes */
                  TOKEN_TRUE,
                  TOKEN_FALSE,
                  TOKEN_NULL,
                  TOKEN_IN,
                  TOKEN_EQ,
                  TOKEN_NE,
                  TOKEN_LE,
                  TOKEN_GE,
                  TOKEN_AND,
                  TOKEN_OR
};

struct token {
    enum token_type type;
    uint32_t pos;
    struct str text;
};

struct lexer {
    struct str text;
    struct arena *a; /* for messages */
    size_t at;
};

/* NULL, or what is wrong at ret->pos. */
const char *lex_next(struct lexer *l, struct token *ret);
/* The value of a number token, with a minus before it or not; NULL or the problem. */
const char *lex_number(const struct token *t, bool negative, struct cel_value *ret);
/* The value of a string token; texts lie in the arena or the source. NULL or the problem. */
const char *lex_string(struct arena *a, const struct token *t, struct cel_value *ret);

#endif

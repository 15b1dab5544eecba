/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the parser share: the cursor, and sets of runes.
 *
 * regex_parse.c reads alternatives, repeats and groups; regex_bracket.c escapes and [...];
 * regex_class.c holds the algebra of sets and the sets that have names (\d, \pL, [:alpha:]).
 * Functions that return int give 0 or a negative code with err set.
 */
#ifndef CODEC_REGEX_PARSE_PRIVATE_H
#define CODEC_REGEX_PARSE_PRIVATE_H

#include <stdbool.h>

#include "base/limits.h"
#include "base/mem.h"
#include "regex_private.h"

enum { FLAG_FOLD = 1, FLAG_MULTI = 2, FLAG_DOT_NL = 4, FLAG_UNGREEDY = 8 };

struct regex_parser {
    struct arena *a;
    struct str text;
    size_t at;
    unsigned flags, depth, groups;
    struct err *err;
};

/* ---- the cursor ---- */

static inline bool regex_more(const struct regex_parser *p)
{
    return p->at < p->text.n;
}

/* The byte that stands `ahead` of the cursor, -1 behind the end. */
static inline int regex_peek(const struct regex_parser *p, size_t ahead)
{
    return p->at + ahead < p->text.n ? (unsigned char)p->text.p[p->at + ahead] : -1;
}

static inline bool regex_eat(struct regex_parser *p, char c)
{
    if (regex_peek(p, 0) == (unsigned char)c) {
        p->at++;
        return true;
    }
    return false;
}

/* Go's words about the text between two places. Returns -E_INVAL. */
int regex_parse_fail(struct regex_parser *p, const char *what, size_t from, size_t to);
uint32_t regex_next_rune(struct regex_parser *p);
struct regex_node *regex_node_new(struct regex_parser *p, enum regex_node_type type);
/* The set, sorted now, as a node; NULL when memory is short. */
struct regex_node *regex_class_node(struct regex_parser *p, struct rune_class *c);

/* ---- sets of runes ---- */

void regex_class_add(struct regex_parser *p, struct rune_class *c, uint32_t lo, uint32_t hi);
/* Adds what differs in case only as well, where the flag says so. */
void regex_class_add_folded(struct regex_parser *p, struct rune_class *c, uint32_t lo, uint32_t hi);
void regex_class_sort(struct rune_class *c);
void regex_class_negate(struct regex_parser *p, struct rune_class *c);
/* The next rune of the circle of those that differ in case only; itself when it is alone. */
uint32_t regex_fold_next(uint32_t rune);

/* \d \s \w and their opposites at the cursor (behind the backslash); false when it is none. */
bool regex_parse_perl_class(struct regex_parser *p, struct rune_class *c);
/* \pL \p{Lu} \P{^Lu}: the cursor is at the p. from: where the backslash is. */
int regex_parse_unicode_class(struct regex_parser *p, struct rune_class *c, size_t from);
/* [:alpha:] inside brackets; 0 when there is none, 1 when it was read. */
int regex_parse_posix_class(struct regex_parser *p, struct rune_class *c);

/* ---- escapes and brackets ---- */

/* One escaped rune; the cursor is behind the backslash at `from`. */
int regex_parse_escape(struct regex_parser *p, size_t from, uint32_t *ret);
/* [...], the cursor is at the bracket. */
int regex_parse_bracket(struct regex_parser *p, struct regex_node **ret);

#endif

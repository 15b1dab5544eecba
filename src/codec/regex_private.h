/* SPDX-License-Identifier: Apache-2.0 */
/* What the parser of regular expressions (regex_parse.c) hands to compiler and matcher (regex.c).
 */
#ifndef CODEC_REGEX_PRIVATE_H
#define CODEC_REGEX_PRIVATE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define RUNE_MAX 0x10FFFFu
#define RUNE_BAD 0xFFFDu
#define REPEAT_MAX 1000 /* as in Go */
#define REPEAT_INFINITE (-1)

struct rune_range {
    uint32_t lo, hi;
};

/* Sorted, disjoint ranges. */
struct rune_class {
    struct rune_range *ranges;
    uint32_t n, cap;
};

enum regex_assert {
    ASSERT_LINE_START,
    ASSERT_LINE_END,
    ASSERT_TEXT_START,
    ASSERT_TEXT_END,
    ASSERT_WORD,
    ASSERT_NOT_WORD
};

enum regex_node_type {
    RE_EMPTY,
    RE_RUNE,
    RE_CLASS,
    RE_ASSERT,
    RE_CONCAT,
    RE_ALTERNATE,
    RE_REPEAT,
    RE_GROUP
};

struct regex_node {
    enum regex_node_type type;
    union {
        uint32_t rune;
        enum regex_assert assert;
        unsigned group;
        struct {
            int min, max; /* REPEAT_INFINITE */
            bool greedy;
        };
        struct rune_class class;
    };
    struct regex_node *child; /* the first of CONCAT and ALTERNATE, the only of REPEAT and GROUP */
    struct regex_node *next;  /* its sister */
};

struct regex_tree {
    struct regex_node *root;
    unsigned groups;
};

/* regex.h's errors. The tree lies in the arena. */
int regex_parse(struct arena *a, struct str pattern, struct regex_tree *ret, struct err *err);
/* Decodes one rune of a non-empty text; *ret_n is its length in bytes, 1 for a bad byte. */
uint32_t regex_rune(struct str text, size_t at, size_t *ret_n);

/* Tables made by tools/unicode. */
struct unicode_category {
    const char *name; /* "Lu", "L"; NULL ends the table */
    const struct rune_range *ranges;
    uint32_t n;
};
extern const struct unicode_category unicode_categories[];
/* Letters that differ in case only: each leads to the next of its circle. Sorted by rune. */
struct unicode_fold {
    uint32_t rune, next;
};
extern const struct unicode_fold unicode_folds[];
extern const uint32_t unicode_folds_n;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of runes: their algebra, folding of case, and those that have names (\d, \pL, [:alpha:]).
 *
 * Scripts (\p{Greek}) are not known, general categories (\pL, \p{Lu}) are.
 */
#include <stdlib.h>

#include "regex_parse_private.h"

static const struct rune_range range_digit[] = {{'0', '9'}};
static const struct rune_range range_word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct rune_range range_space[] = {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}};

static const struct {
    const char *name;
    struct rune_range ranges[4];
} posix_classes[] = {
    {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
    {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
    {"ascii", {{0, 0x7F}}},
    {"blank", {{'\t', '\t'}, {' ', ' '}}},
    {"cntrl", {{0, 0x1F}, {0x7F, 0x7F}}},
    {"digit", {{'0', '9'}}},
    {"graph", {{'!', '~'}}},
    {"lower", {{'a', 'z'}}},
    {"print", {{' ', '~'}}},
    {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
    {"space", {{'\t', '\r'}, {' ', ' '}}},
    {"upper", {{'A', 'Z'}}},
    {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
    {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
};

void regex_class_add(struct regex_parser *p, struct rune_class *c, uint32_t lo, uint32_t hi)
{
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 8;
        struct rune_range *grown =
            arena_grow(p->a, c->ranges, c->cap * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            return;
        }
        c->ranges = grown;
        c->cap = cap;
    }
    c->ranges[c->n++] = (struct rune_range){lo, hi};
}

static int range_cmp(const void *a, const void *b)
{
    const struct rune_range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

void regex_class_sort(struct rune_class *c)
{
    uint32_t n = 0;
    if (!c->n) {
        return;
    }
    qsort(c->ranges, c->n, sizeof(*c->ranges), range_cmp);
    for (uint32_t i = 1; i < c->n; i++) {
        if (c->ranges[i].lo <= c->ranges[n].hi + 1) {
            c->ranges[n].hi = MAX_OF(c->ranges[n].hi, c->ranges[i].hi);
        } else {
            c->ranges[++n] = c->ranges[i];
        }
    }
    c->n = n + 1;
}

void regex_class_negate(struct regex_parser *p, struct rune_class *c)
{
    struct rune_class out = {0};
    uint32_t from = 0;
    regex_class_sort(c);
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->ranges[i].lo > from) {
            regex_class_add(p, &out, from, c->ranges[i].lo - 1);
        }
        from = c->ranges[i].hi + 1;
    }
    if (from <= RUNE_MAX) {
        regex_class_add(p, &out, from, RUNE_MAX);
    }
    *c = out;
}

struct regex_node *regex_class_node(struct regex_parser *p, struct rune_class *c)
{
    struct regex_node *n = regex_node_new(p, RE_CLASS);
    regex_class_sort(c);
    if (n) {
        n->class = *c;
    }
    return n;
}

/* Index of the first fold entry at or after rune. */
static uint32_t fold_search(uint32_t rune)
{
    uint32_t lo = 0, hi = unicode_folds_n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (unicode_folds[mid].rune < rune) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

uint32_t regex_fold_next(uint32_t rune)
{
    uint32_t i = fold_search(rune);
    return i < unicode_folds_n && unicode_folds[i].rune == rune ? unicode_folds[i].next : rune;
}

void regex_class_add_folded(struct regex_parser *p, struct rune_class *c, uint32_t lo, uint32_t hi)
{
    regex_class_add(p, c, lo, hi);
    if (!(p->flags & FLAG_FOLD)) {
        return;
    }
    for (uint32_t i = fold_search(lo); i < unicode_folds_n && unicode_folds[i].rune <= hi; i++) {
        uint32_t rune = unicode_folds[i].rune;
        for (uint32_t r = unicode_folds[i].next; r != rune; r = regex_fold_next(r)) {
            regex_class_add(p, c, r, r);
        }
    }
}

static void class_add_ranges(struct regex_parser *p, struct rune_class *c,
                             const struct rune_range *ranges, uint32_t n, bool negate)
{
    struct rune_class part = {0};
    for (uint32_t i = 0; i < n; i++) {
        regex_class_add_folded(p, &part, ranges[i].lo, ranges[i].hi);
    }
    if (negate) {
        regex_class_negate(p, &part);
    }
    for (uint32_t i = 0; i < part.n; i++) {
        regex_class_add(p, c, part.ranges[i].lo, part.ranges[i].hi);
    }
}

/* \d \s \w and their opposites at the cursor (behind the backslash); false when it is none. */
bool regex_parse_perl_class(struct regex_parser *p, struct rune_class *c)
{
    switch (regex_peek(p, 0)) {
    case 'd':
    case 'D':
        class_add_ranges(p, c, range_digit, ARRAY_SIZE(range_digit), regex_peek(p, 0) == 'D');
        break;
    case 's':
    case 'S':
        class_add_ranges(p, c, range_space, ARRAY_SIZE(range_space), regex_peek(p, 0) == 'S');
        break;
    case 'w':
    case 'W':
        class_add_ranges(p, c, range_word, ARRAY_SIZE(range_word), regex_peek(p, 0) == 'W');
        break;
    default:
        return false;
    }
    p->at++;
    return true;
}

/* \pL \p{Lu} \P{^Lu}: the cursor is at the p. from: where the backslash is. */
int regex_parse_unicode_class(struct regex_parser *p, struct rune_class *c, size_t from)
{
    bool negate = regex_peek(p, 0) == 'P';
    struct str name;
    p->at++;
    if (regex_eat(p, '{')) {
        size_t start = p->at;
        while (regex_more(p) && regex_peek(p, 0) != '}') {
            p->at++;
        }
        name = str_n(p->text.p + start, p->at - start);
        if (!regex_eat(p, '}')) {
            return regex_parse_fail(p, "invalid character class range", from, p->text.n);
        }
    } else if (regex_more(p)) {
        size_t start = p->at;
        (void)regex_next_rune(p);
        name = str_n(p->text.p + start, p->at - start);
    } else {
        return regex_parse_fail(p, "invalid character class range", from, p->text.n);
    }
    if (name.n && name.p[0] == '^') {
        negate = !negate;
        name = str_n(name.p + 1, name.n - 1);
    }
    static const struct rune_range any = {0, RUNE_MAX};
    if (str_is(name, "Any")) {
        class_add_ranges(p, c, &any, 1, negate);
        return 0;
    }
    for (const struct unicode_category *u = unicode_categories; u->name; u++) {
        if (str_is(name, u->name)) {
            class_add_ranges(p, c, u->ranges, u->n, negate);
            return 0;
        }
    }
    return regex_parse_fail(p, "invalid character class range", from, p->at);
}

/* [:alpha:] inside brackets; 0 when there is none, 1 when it was read. */
int regex_parse_posix_class(struct regex_parser *p, struct rune_class *c)
{
    size_t from = p->at, end = p->at + 2;
    if (regex_peek(p, 0) != '[' || regex_peek(p, 1) != ':') {
        return 0;
    }
    while (end + 1 < p->text.n && !(p->text.p[end] == ':' && p->text.p[end + 1] == ']')) {
        end++;
    }
    if (end + 1 >= p->text.n) {
        return 0;
    }
    struct str name = str_n(p->text.p + from + 2, end - from - 2);
    bool negate = name.n && name.p[0] == '^';
    if (negate) {
        name = str_n(name.p + 1, name.n - 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(posix_classes); i++) {
        if (str_is(name, posix_classes[i].name)) {
            uint32_t n = 0;
            while (n < 4 && posix_classes[i].ranges[n].hi) {
                n++;
            }
            class_add_ranges(p, c, posix_classes[i].ranges, n, negate);
            p->at = end + 2;
            return 1;
        }
    }
    return regex_parse_fail(p, "invalid character class range", from, end + 2);
}

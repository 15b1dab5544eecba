/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of regular expressions: RE2's syntax as Go's regexp/syntax documents it, to a tree.
 *
 * Recursion is by groups only and bounded by LIMIT_REGEX_DEPTH. Scripts (\p{Greek}) are not known,
 * general categories (\pL, \p{Lu}) are.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/utf8.h"
#include "regex_private.h"

enum { FLAG_FOLD = 1, FLAG_MULTI = 2, FLAG_DOT_NL = 4, FLAG_UNGREEDY = 8 };

struct parser {
    struct arena *a;
    struct str text;
    size_t at;
    unsigned flags, depth, groups;
    struct err *err;
};

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

static int fail(struct parser *p, const char *what, size_t from, size_t to)
{
    struct str part = str_n(p->text.p + from, to - from);
    return err_set(p->err, -E_INVAL, "error parsing regexp: %s: `" STR_FMT "`", what,
                   STR_ARG(part));
}

static bool more(const struct parser *p)
{
    return p->at < p->text.n;
}

static int peek(const struct parser *p, size_t ahead)
{
    return p->at + ahead < p->text.n ? (unsigned char)p->text.p[p->at + ahead] : -1;
}

static bool eat(struct parser *p, char c)
{
    if (peek(p, 0) == (unsigned char)c) {
        p->at++;
        return true;
    }
    return false;
}

static bool eat_text(struct parser *p, const char *s)
{
    struct str rest = str_n(p->text.p + p->at, p->text.n - p->at);
    if (!str_starts(rest, s)) {
        return false;
    }
    p->at += strlen(s);
    return true;
}

uint32_t regex_rune(struct str text, size_t at, size_t *ret_n)
{
    const unsigned char *s = (const unsigned char *)text.p + at;
    if (s[0] < 0x80) {
        *ret_n = 1;
        return s[0];
    }
    size_t n = utf8_len((const char *)s, text.n - at);
    *ret_n = n ? n : 1;
    switch (n) {
    case 2:
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    case 3:
        return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    case 4:
        return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
    default:
        return RUNE_BAD;
    }
}

static uint32_t next_rune(struct parser *p)
{
    size_t n;
    uint32_t r = regex_rune(p->text, p->at, &n);
    p->at += n;
    return r;
}

static struct regex_node *node_new(struct parser *p, enum regex_node_type type)
{
    struct regex_node *n = arena_zalloc(p->a, sizeof(*n));
    if (n) {
        n->type = type;
    }
    return n;
}

/* ---- classes ---- */

static void class_add(struct parser *p, struct rune_class *c, uint32_t lo, uint32_t hi)
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

static void class_sort(struct rune_class *c)
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

static void class_negate(struct parser *p, struct rune_class *c)
{
    struct rune_class out = {0};
    uint32_t from = 0;
    class_sort(c);
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->ranges[i].lo > from) {
            class_add(p, &out, from, c->ranges[i].lo - 1);
        }
        from = c->ranges[i].hi + 1;
    }
    if (from <= RUNE_MAX) {
        class_add(p, &out, from, RUNE_MAX);
    }
    *c = out;
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

static uint32_t fold_next(uint32_t rune)
{
    uint32_t i = fold_search(rune);
    return i < unicode_folds_n && unicode_folds[i].rune == rune ? unicode_folds[i].next : rune;
}

static void class_add_folded(struct parser *p, struct rune_class *c, uint32_t lo, uint32_t hi)
{
    class_add(p, c, lo, hi);
    if (!(p->flags & FLAG_FOLD)) {
        return;
    }
    for (uint32_t i = fold_search(lo); i < unicode_folds_n && unicode_folds[i].rune <= hi; i++) {
        uint32_t rune = unicode_folds[i].rune;
        for (uint32_t r = unicode_folds[i].next; r != rune; r = fold_next(r)) {
            class_add(p, c, r, r);
        }
    }
}

static void class_add_ranges(struct parser *p, struct rune_class *c,
                             const struct rune_range *ranges, uint32_t n, bool negate)
{
    struct rune_class part = {0};
    for (uint32_t i = 0; i < n; i++) {
        class_add_folded(p, &part, ranges[i].lo, ranges[i].hi);
    }
    if (negate) {
        class_negate(p, &part);
    }
    for (uint32_t i = 0; i < part.n; i++) {
        class_add(p, c, part.ranges[i].lo, part.ranges[i].hi);
    }
}

/* \d \s \w and their opposites at the cursor (behind the backslash); false when it is none. */
static bool parse_perl_class(struct parser *p, struct rune_class *c)
{
    switch (peek(p, 0)) {
    case 'd':
    case 'D':
        class_add_ranges(p, c, range_digit, ARRAY_SIZE(range_digit), peek(p, 0) == 'D');
        break;
    case 's':
    case 'S':
        class_add_ranges(p, c, range_space, ARRAY_SIZE(range_space), peek(p, 0) == 'S');
        break;
    case 'w':
    case 'W':
        class_add_ranges(p, c, range_word, ARRAY_SIZE(range_word), peek(p, 0) == 'W');
        break;
    default:
        return false;
    }
    p->at++;
    return true;
}

/* \pL \p{Lu} \P{^Lu}: the cursor is at the p. from: where the backslash is. */
static int parse_unicode_class(struct parser *p, struct rune_class *c, size_t from)
{
    bool negate = peek(p, 0) == 'P';
    struct str name;
    p->at++;
    if (eat(p, '{')) {
        size_t start = p->at;
        while (more(p) && peek(p, 0) != '}') {
            p->at++;
        }
        name = str_n(p->text.p + start, p->at - start);
        if (!eat(p, '}')) {
            return fail(p, "invalid character class range", from, p->text.n);
        }
    } else if (more(p)) {
        size_t start = p->at;
        (void)next_rune(p);
        name = str_n(p->text.p + start, p->at - start);
    } else {
        return fail(p, "invalid character class range", from, p->text.n);
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
    return fail(p, "invalid character class range", from, p->at);
}

/* [:alpha:] inside brackets; 0 when there is none, 1 when it was read. */
static int parse_posix_class(struct parser *p, struct rune_class *c)
{
    size_t from = p->at, end = p->at + 2;
    if (peek(p, 0) != '[' || peek(p, 1) != ':') {
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
    return fail(p, "invalid character class range", from, end + 2);
}

static int hex_value(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \x7F and \x{10FFFF}; the cursor is behind the x. */
static bool parse_hex(struct parser *p, uint32_t *ret)
{
    uint32_t value = 0;
    int digits = 0;
    if (eat(p, '{')) {
        while (hex_value(peek(p, 0)) >= 0 && value <= RUNE_MAX) {
            value = value * 16 + (uint32_t)hex_value(peek(p, 0));
            p->at++;
            digits++;
        }
        if (!digits || value > RUNE_MAX || !eat(p, '}')) {
            return false;
        }
    } else {
        if (hex_value(peek(p, 0)) < 0 || hex_value(peek(p, 1)) < 0) {
            return false;
        }
        value = (uint32_t)(hex_value(peek(p, 0)) * 16 + hex_value(peek(p, 1)));
        p->at += 2;
    }
    *ret = value;
    return true;
}

/* One escaped rune; the cursor is behind the backslash at `from`. */
static int parse_escape(struct parser *p, size_t from, uint32_t *ret)
{
    static const char names[] = "afnrtv", runes[] = "\a\f\n\r\t\v";
    if (!more(p)) {
        return fail(p, "trailing backslash at end of expression", from, from);
    }
    uint32_t c = next_rune(p);
    if (c >= '1' && c <= '7' && !(peek(p, 0) >= '0' && peek(p, 0) <= '7')) {
        return fail(p, "invalid escape sequence", from, p->at);
    }
    if (c >= '0' && c <= '7') {
        *ret = c - '0';
        for (int i = 1; i < 3 && peek(p, 0) >= '0' && peek(p, 0) <= '7'; i++) {
            *ret = *ret * 8 + (uint32_t)(peek(p, 0) - '0');
            p->at++;
        }
        return 0;
    }
    if (c == 'x') {
        return parse_hex(p, ret) ? 0 : fail(p, "invalid escape sequence", from, p->at);
    }
    const char *name = c < 0x80 && c ? strchr(names, (int)c) : NULL;
    if (name) {
        *ret = (uint32_t)runes[name - names];
        return 0;
    }
    bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c < 0x80 && !word) {
        *ret = c;
        return 0;
    }
    return fail(p, "invalid escape sequence", from, p->at);
}

static int parse_class_rune(struct parser *p, size_t class_from, uint32_t *ret)
{
    if (!more(p)) {
        return fail(p, "missing closing ]", class_from, p->text.n);
    }
    size_t from = p->at;
    if (eat(p, '\\')) {
        return parse_escape(p, from, ret);
    }
    *ret = next_rune(p);
    return 0;
}

static int parse_class_range(struct parser *p, struct rune_class *c, size_t class_from)
{
    uint32_t lo, hi;
    size_t from = p->at;
    int rc = parse_class_rune(p, class_from, &lo);
    if (rc < 0) {
        return rc;
    }
    hi = lo;
    if (peek(p, 0) == '-' && peek(p, 1) >= 0 && peek(p, 1) != ']') {
        p->at++;
        rc = parse_class_rune(p, class_from, &hi);
        if (rc < 0) {
            return rc;
        }
        if (hi < lo) {
            return fail(p, "invalid character class range", from, p->at);
        }
    }
    class_add_folded(p, c, lo, hi);
    return 0;
}

static int parse_class(struct parser *p, struct regex_node **ret)
{
    size_t from = p->at++;
    struct rune_class c = {0};
    bool negate = eat(p, '^'), first = true;
    while (!more(p) || peek(p, 0) != ']' || first) {
        first = false;
        int rc = parse_posix_class(p, &c);
        if (rc == 0 && peek(p, 0) == '\\') {
            size_t escape = p->at++;
            if (peek(p, 0) == 'p' || peek(p, 0) == 'P') {
                rc = parse_unicode_class(p, &c, escape);
                rc = rc < 0 ? rc : 1;
            } else if (parse_perl_class(p, &c)) {
                rc = 1;
            } else {
                p->at = escape;
            }
        }
        if (rc == 0) {
            rc = parse_class_range(p, &c, from);
        }
        if (rc < 0) {
            return rc;
        }
        if (arena_failed(p->a)) {
            return -E_NOMEM;
        }
    }
    p->at++;
    if (negate) {
        class_negate(p, &c);
    }
    class_sort(&c);
    *ret = node_new(p, RE_CLASS);
    if (*ret) {
        (*ret)->class = c;
    }
    return 0;
}

/* ---- atoms ---- */

static struct regex_node *rune_node(struct parser *p, uint32_t rune)
{
    struct regex_node *n;
    if (p->flags & FLAG_FOLD && fold_next(rune) != rune) {
        struct rune_class c = {0};
        class_add_folded(p, &c, rune, rune);
        class_sort(&c);
        n = node_new(p, RE_CLASS);
        if (n) {
            n->class = c;
        }
        return n;
    }
    n = node_new(p, RE_RUNE);
    if (n) {
        n->rune = rune;
    }
    return n;
}

static struct regex_node *assert_node(struct parser *p, enum regex_assert assert)
{
    struct regex_node *n = node_new(p, RE_ASSERT);
    if (n) {
        n->assert = assert;
    }
    return n;
}

static struct regex_node *dot_node(struct parser *p)
{
    struct regex_node *n = node_new(p, RE_CLASS);
    if (n && p->flags & FLAG_DOT_NL) {
        class_add(p, &n->class, 0, RUNE_MAX);
    } else if (n) {
        class_add(p, &n->class, 0, '\n' - 1);
        class_add(p, &n->class, '\n' + 1, RUNE_MAX);
    }
    return n;
}

static int parse_quoted(struct parser *p, struct regex_node **ret)
{
    struct regex_node *list = node_new(p, RE_CONCAT), **tail = list ? &list->child : NULL;
    while (more(p) && !eat_text(p, "\\E")) {
        struct regex_node *n = rune_node(p, next_rune(p));
        if (!n || !tail) {
            return -E_NOMEM;
        }
        *tail = n;
        tail = &n->next;
    }
    *ret = list;
    return 0;
}

static int parse_backslash(struct parser *p, struct regex_node **ret)
{
    size_t from = p->at++;
    uint32_t rune;
    struct rune_class c = {0};
    switch (peek(p, 0)) {
    case 'A':
        p->at++;
        *ret = assert_node(p, ASSERT_TEXT_START);
        return 0;
    case 'z':
        p->at++;
        *ret = assert_node(p, ASSERT_TEXT_END);
        return 0;
    case 'b':
        p->at++;
        *ret = assert_node(p, ASSERT_WORD);
        return 0;
    case 'B':
        p->at++;
        *ret = assert_node(p, ASSERT_NOT_WORD);
        return 0;
    case 'Q':
        p->at++;
        return parse_quoted(p, ret);
    case 'p':
    case 'P': {
        int rc = parse_unicode_class(p, &c, from);
        if (rc < 0) {
            return rc;
        }
        break;
    }
    default:
        if (!parse_perl_class(p, &c)) {
            int rc = parse_escape(p, from, &rune);
            if (rc == 0) {
                *ret = rune_node(p, rune);
            }
            return rc;
        }
    }
    class_sort(&c);
    *ret = node_new(p, RE_CLASS);
    if (*ret) {
        (*ret)->class = c;
    }
    return 0;
}

static int parse_alternate(struct parser *p, struct regex_node **ret);

/* (?P<name> and (?<name>: the cursor is behind the <. */
static int parse_group_name(struct parser *p, size_t from)
{
    size_t start = p->at;
    while (more(p) && peek(p, 0) != '>') {
        p->at++;
    }
    if (!more(p)) {
        return fail(p, "invalid named capture", from, p->text.n);
    }
    size_t n = p->at++ - start;
    for (size_t i = 0; i < n; i++) {
        char c = p->text.p[start + i];
        if (!(c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
              (c >= 'A' && c <= 'Z'))) {
            n = 0;
        }
    }
    return n ? 0 : fail(p, "invalid named capture", from, p->at);
}

/* Behind "(?": flags up to ) or :. 1 when a group follows, 0 when the flags stand alone. */
static int parse_flags(struct parser *p, size_t from)
{
    unsigned flags = p->flags;
    bool negative = false, any = false;
    while (more(p)) {
        static const char names[] = "imsU";
        int c = peek(p, 0);
        p->at++;
        const char *name = c ? strchr(names, c) : NULL;
        if (name) {
            unsigned bit = 1u << (name - names);
            flags = negative ? flags & ~bit : flags | bit;
            any = true;
        } else if (c == '-' && !negative) {
            negative = true;
            any = false;
        } else if ((c == ':' || c == ')') && (any || !negative)) {
            p->flags = flags;
            return c == ':';
        } else {
            return fail(p, "invalid or unsupported Perl syntax", from, p->at);
        }
    }
    return fail(p, "missing closing )", 0, p->text.n);
}

static int parse_group(struct parser *p, struct regex_node **ret)
{
    size_t from = p->at++;
    unsigned flags = p->flags, group = 0;
    int rc = 0;
    if (eat(p, '?')) {
        if (eat_text(p, "P<") ||
            (peek(p, 0) == '<' && peek(p, 1) != '=' && peek(p, 1) != '!' && eat(p, '<'))) {
            rc = parse_group_name(p, from);
            group = ++p->groups;
        } else {
            rc = parse_flags(p, from);
            if (rc == 0) {
                *ret = node_new(p, RE_EMPTY);
                return 0;
            }
        }
    } else {
        group = ++p->groups;
    }
    if (rc < 0) {
        return rc;
    }
    if (++p->depth > LIMIT_REGEX_DEPTH) {
        return fail(p, "expression nests too deeply", 0, p->text.n);
    }
    struct regex_node *inner = NULL;
    rc = parse_alternate(p, &inner);
    if (rc < 0) {
        return rc;
    }
    if (!eat(p, ')')) {
        return fail(p, "missing closing )", 0, p->text.n);
    }
    p->depth--;
    p->flags = flags;
    *ret = node_new(p, RE_GROUP);
    if (*ret) {
        (*ret)->group = group;
        (*ret)->child = inner;
    }
    return 0;
}

/* {2} {2,} {2,3}: true when it is one; the numbers are not checked yet. Else it is literal text. */
static bool parse_counts(struct parser *p, int *ret_min, int *ret_max)
{
    size_t from = p->at++;
    int values[2] = {-1, -1}, i = 0;
    for (; more(p) && peek(p, 0) != '}'; p->at++) {
        int c = peek(p, 0);
        if (c >= '0' && c <= '9') {
            int v = values[i] < 0 ? 0 : values[i];
            values[i] = MIN_OF(v * 10 + (c - '0'), REPEAT_MAX + 1);
        } else if (c == ',' && i == 0 && values[0] >= 0) {
            i = 1;
        } else {
            break;
        }
    }
    if (values[0] < 0 || !eat(p, '}')) {
        p->at = from;
        return false;
    }
    *ret_min = values[0];
    *ret_max = i ? values[1] < 0 ? REPEAT_INFINITE : values[1] : values[0];
    return true;
}

static int wrap_repeat(struct parser *p, struct regex_node **atom, int min, int max)
{
    bool greedy = !eat(p, '?');
    struct regex_node *n = node_new(p, RE_REPEAT);
    if (!n) {
        return -E_NOMEM;
    }
    n->greedy = greedy != ((p->flags & FLAG_UNGREEDY) != 0);
    n->min = min;
    n->max = max;
    n->child = *atom;
    *atom = n;
    return 0;
}

/* The operators behind an atom. Two in a row are an error, as in Go. */
static int parse_repeats(struct parser *p, struct regex_node **atom)
{
    size_t first = p->at;
    for (int count = 0;; count++) {
        int c = peek(p, 0), min = c == '+', max = c == '?' ? 1 : REPEAT_INFINITE;
        size_t from = p->at;
        if (c == '*' || c == '+' || c == '?') {
            p->at++;
        } else if (c != '{' || !parse_counts(p, &min, &max)) {
            return 0;
        }
        if (min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && min > max)) {
            return fail(p, "invalid repeat count", from, p->at);
        }
        if (count) {
            return fail(p, "invalid nested repetition operator", first, p->at);
        }
        int rc = wrap_repeat(p, atom, min, max);
        if (rc < 0) {
            return rc;
        }
    }
}

static int parse_atom(struct parser *p, struct regex_node **ret)
{
    size_t from = p->at;
    int min, max;
    bool multi = p->flags & FLAG_MULTI;
    switch (peek(p, 0)) {
    case '(':
        return parse_group(p, ret);
    case '[':
        return parse_class(p, ret);
    case '\\':
        return parse_backslash(p, ret);
    case '.':
        p->at++;
        *ret = dot_node(p);
        return 0;
    case '^':
        p->at++;
        *ret = assert_node(p, multi ? ASSERT_LINE_START : ASSERT_TEXT_START);
        return 0;
    case '$':
        p->at++;
        *ret = assert_node(p, multi ? ASSERT_LINE_END : ASSERT_TEXT_END);
        return 0;
    case '*':
    case '+':
    case '?':
        p->at++;
        (void)eat(p, '?');
        return fail(p, "missing argument to repetition operator", from, p->at);
    case '{':
        if (parse_counts(p, &min, &max)) {
            return fail(p, "missing argument to repetition operator", from, p->at);
        }
        break;
    default:
        break;
    }
    *ret = rune_node(p, next_rune(p));
    return 0;
}

static int parse_concat(struct parser *p, struct regex_node **ret)
{
    struct regex_node *list = node_new(p, RE_CONCAT), **tail = list ? &list->child : NULL;
    while (more(p) && peek(p, 0) != '|' && peek(p, 0) != ')') {
        struct regex_node *atom = NULL;
        int rc = parse_atom(p, &atom);
        if (rc == 0 && !(atom && atom->type == RE_EMPTY)) {
            rc = atom ? parse_repeats(p, &atom) : -E_NOMEM;
        }
        if (rc < 0) {
            return rc;
        }
        if (!tail) {
            return -E_NOMEM;
        }
        *tail = atom;
        tail = &atom->next;
    }
    *ret = list;
    return 0;
}

static int parse_alternate(struct parser *p, struct regex_node **ret)
{
    struct regex_node *list = node_new(p, RE_ALTERNATE), **tail = list ? &list->child : NULL;
    do {
        struct regex_node *part = NULL;
        int rc = parse_concat(p, &part);
        if (rc < 0) {
            return rc;
        }
        if (!tail || !part) {
            return -E_NOMEM;
        }
        *tail = part;
        tail = &part->next;
    } while (eat(p, '|'));
    *ret = list;
    return 0;
}

int regex_parse(struct arena *a, struct str pattern, struct regex_tree *ret, struct err *err)
{
    struct parser p = {.a = a, .text = pattern, .err = err};
    struct regex_node *root = NULL;
    if (!utf8_valid(pattern)) {
        return err_set(err, -E_INVAL, "error parsing regexp: invalid UTF-8");
    }
    int rc = parse_alternate(&p, &root);
    if (rc == 0 && more(&p)) {
        rc = fail(&p, "unexpected )", 0, p.text.n);
    }
    if (rc == 0 && arena_failed(a)) {
        rc = -E_NOMEM;
    }
    if (rc == -E_NOMEM) {
        return err_set(err, rc, "out of memory");
    }
    if (rc < 0) {
        return rc;
    }
    *ret = (struct regex_tree){root, p.groups};
    return 0;
}

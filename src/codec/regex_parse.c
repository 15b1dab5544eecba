/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of regular expressions: RE2's syntax as Go's regexp/syntax documents it, to a tree.
 *
 * Recursion is by groups only and bounded by LIMIT_REGEX_DEPTH. What parts of an atom are read
 * elsewhere: see regex_parse_private.h.
 */
#include "codec/utf8.h"
#include "regex_parse_private.h"

int regex_parse_fail(struct regex_parser *p, const char *what, size_t from, size_t to)
{
    struct str part = str_n(p->text.p + from, to - from);
    return err_set(p->err, -E_INVAL, "error parsing regexp: %s: `" STR_FMT "`", what,
                   STR_ARG(part));
}

static bool eat_text(struct regex_parser *p, const char *s)
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

uint32_t regex_next_rune(struct regex_parser *p)
{
    size_t n;
    uint32_t r = regex_rune(p->text, p->at, &n);
    p->at += n;
    return r;
}

struct regex_node *regex_node_new(struct regex_parser *p, enum regex_node_type type)
{
    struct regex_node *n = arena_zalloc(p->a, sizeof(*n));
    if (n) {
        n->type = type;
    }
    return n;
}

/* ---- atoms ---- */

static struct regex_node *rune_node(struct regex_parser *p, uint32_t rune)
{
    if (p->flags & FLAG_FOLD && regex_fold_next(rune) != rune) {
        struct rune_class c = {0};
        regex_class_add_folded(p, &c, rune, rune);
        return regex_class_node(p, &c);
    }
    struct regex_node *n = regex_node_new(p, RE_RUNE);
    if (n) {
        n->rune = rune;
    }
    return n;
}

static struct regex_node *assert_node(struct regex_parser *p, enum regex_assert assert)
{
    struct regex_node *n = regex_node_new(p, RE_ASSERT);
    if (n) {
        n->assert = assert;
    }
    return n;
}

static struct regex_node *dot_node(struct regex_parser *p)
{
    struct regex_node *n = regex_node_new(p, RE_CLASS);
    if (n && p->flags & FLAG_DOT_NL) {
        regex_class_add(p, &n->class, 0, RUNE_MAX);
    } else if (n) {
        regex_class_add(p, &n->class, 0, '\n' - 1);
        regex_class_add(p, &n->class, '\n' + 1, RUNE_MAX);
    }
    return n;
}

static int parse_quoted(struct regex_parser *p, struct regex_node **ret)
{
    struct regex_node *list = regex_node_new(p, RE_CONCAT), **tail = list ? &list->child : NULL;
    while (regex_more(p) && !eat_text(p, "\\E")) {
        struct regex_node *n = rune_node(p, regex_next_rune(p));
        if (!n || !tail) {
            return -E_NOMEM;
        }
        *tail = n;
        tail = &n->next;
    }
    *ret = list;
    return 0;
}

/* \A \z \b \B at the cursor (behind the backslash); false when it is none. */
static bool parse_escaped_assert(struct regex_parser *p, struct regex_node **ret)
{
    static const struct {
        char letter;
        enum regex_assert assert;
    } asserts[] = {{'A', ASSERT_TEXT_START},
                   {'z', ASSERT_TEXT_END},
                   {'b', ASSERT_WORD},
                   {'B', ASSERT_NOT_WORD}};
    for (size_t i = 0; i < ARRAY_SIZE(asserts); i++) {
        if (regex_eat(p, asserts[i].letter)) {
            *ret = assert_node(p, asserts[i].assert);
            return true;
        }
    }
    return false;
}

static int parse_backslash(struct regex_parser *p, struct regex_node **ret)
{
    size_t from = p->at++;
    uint32_t rune;
    struct rune_class c = {0};
    if (parse_escaped_assert(p, ret)) {
        return 0;
    }
    if (regex_eat(p, 'Q')) {
        return parse_quoted(p, ret);
    }
    if (regex_peek(p, 0) == 'p' || regex_peek(p, 0) == 'P') {
        int rc = regex_parse_unicode_class(p, &c, from);
        if (rc < 0) {
            return rc;
        }
    } else if (!regex_parse_perl_class(p, &c)) {
        int rc = regex_parse_escape(p, from, &rune);
        if (rc == 0) {
            *ret = rune_node(p, rune);
        }
        return rc;
    }
    *ret = regex_class_node(p, &c);
    return 0;
}

static int parse_alternate(struct regex_parser *p, struct regex_node **ret);

/* (?P<name> and (?<name>: the cursor is behind the <. */
static int parse_group_name(struct regex_parser *p, size_t from)
{
    size_t start = p->at;
    while (regex_more(p) && regex_peek(p, 0) != '>') {
        p->at++;
    }
    if (!regex_more(p)) {
        return regex_parse_fail(p, "invalid named capture", from, p->text.n);
    }
    size_t n = p->at++ - start;
    for (size_t i = 0; i < n; i++) {
        char c = p->text.p[start + i];
        if (!(c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
              (c >= 'A' && c <= 'Z'))) {
            n = 0;
        }
    }
    return n ? 0 : regex_parse_fail(p, "invalid named capture", from, p->at);
}

/* Behind "(?": flags up to ) or :. 1 when a group follows, 0 when the flags stand alone. */
static int parse_flags(struct regex_parser *p, size_t from)
{
    unsigned flags = p->flags;
    bool negative = false, any = false;
    while (regex_more(p)) {
        static const char names[] = "imsU";
        int c = regex_peek(p, 0);
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
            return regex_parse_fail(p, "invalid or unsupported Perl syntax", from, p->at);
        }
    }
    return regex_parse_fail(p, "missing closing )", 0, p->text.n);
}

static int parse_group(struct regex_parser *p, struct regex_node **ret)
{
    size_t from = p->at++;
    unsigned flags = p->flags, group = 0;
    int rc = 0;
    if (regex_eat(p, '?')) {
        if (eat_text(p, "P<") || (regex_peek(p, 0) == '<' && regex_peek(p, 1) != '=' &&
                                  regex_peek(p, 1) != '!' && regex_eat(p, '<'))) {
            rc = parse_group_name(p, from);
            group = ++p->groups;
        } else {
            rc = parse_flags(p, from);
            if (rc == 0) {
                *ret = regex_node_new(p, RE_EMPTY);
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
        return regex_parse_fail(p, "expression nests too deeply", 0, p->text.n);
    }
    struct regex_node *inner = NULL;
    rc = parse_alternate(p, &inner);
    if (rc < 0) {
        return rc;
    }
    if (!regex_eat(p, ')')) {
        return regex_parse_fail(p, "missing closing )", 0, p->text.n);
    }
    p->depth--;
    p->flags = flags;
    *ret = regex_node_new(p, RE_GROUP);
    if (*ret) {
        (*ret)->group = group;
        (*ret)->child = inner;
    }
    return 0;
}

/* {2} {2,} {2,3}: true when it is one; the numbers are not checked yet. Else it is literal text. */
static bool parse_counts(struct regex_parser *p, int *ret_min, int *ret_max)
{
    size_t from = p->at++;
    int values[2] = {-1, -1}, i = 0;
    for (; regex_more(p) && regex_peek(p, 0) != '}'; p->at++) {
        int c = regex_peek(p, 0);
        if (c >= '0' && c <= '9') {
            int v = values[i] < 0 ? 0 : values[i];
            values[i] = MIN_OF(v * 10 + (c - '0'), REPEAT_MAX + 1);
        } else if (c == ',' && i == 0 && values[0] >= 0) {
            i = 1;
        } else {
            break;
        }
    }
    if (values[0] < 0 || !regex_eat(p, '}')) {
        p->at = from;
        return false;
    }
    *ret_min = values[0];
    *ret_max = i ? values[1] < 0 ? REPEAT_INFINITE : values[1] : values[0];
    return true;
}

static int wrap_repeat(struct regex_parser *p, struct regex_node **atom, int min, int max)
{
    bool greedy = !regex_eat(p, '?');
    struct regex_node *n = regex_node_new(p, RE_REPEAT);
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
static int parse_repeats(struct regex_parser *p, struct regex_node **atom)
{
    size_t first = p->at;
    for (int count = 0;; count++) {
        int c = regex_peek(p, 0), min = c == '+', max = c == '?' ? 1 : REPEAT_INFINITE;
        size_t from = p->at;
        if (c == '*' || c == '+' || c == '?') {
            p->at++;
        } else if (c != '{' || !parse_counts(p, &min, &max)) {
            return 0;
        }
        if (min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && min > max)) {
            return regex_parse_fail(p, "invalid repeat count", from, p->at);
        }
        if (count) {
            return regex_parse_fail(p, "invalid nested repetition operator", first, p->at);
        }
        int rc = wrap_repeat(p, atom, min, max);
        if (rc < 0) {
            return rc;
        }
    }
}

static int parse_atom(struct regex_parser *p, struct regex_node **ret)
{
    size_t from = p->at;
    int min, max;
    bool multi = p->flags & FLAG_MULTI;
    switch (regex_peek(p, 0)) {
    case '(':
        return parse_group(p, ret);
    case '[':
        return regex_parse_bracket(p, ret);
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
        (void)regex_eat(p, '?');
        return regex_parse_fail(p, "missing argument to repetition operator", from, p->at);
    case '{':
        if (parse_counts(p, &min, &max)) {
            return regex_parse_fail(p, "missing argument to repetition operator", from, p->at);
        }
        break;
    default:
        break;
    }
    *ret = rune_node(p, regex_next_rune(p));
    return 0;
}

static int parse_concat(struct regex_parser *p, struct regex_node **ret)
{
    struct regex_node *list = regex_node_new(p, RE_CONCAT), **tail = list ? &list->child : NULL;
    while (regex_more(p) && regex_peek(p, 0) != '|' && regex_peek(p, 0) != ')') {
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

static int parse_alternate(struct regex_parser *p, struct regex_node **ret)
{
    struct regex_node *list = regex_node_new(p, RE_ALTERNATE), **tail = list ? &list->child : NULL;
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
    } while (regex_eat(p, '|'));
    *ret = list;
    return 0;
}

int regex_parse(struct arena *a, struct str pattern, struct regex_tree *ret, struct err *err)
{
    struct regex_parser p = {.a = a, .text = pattern, .err = err};
    struct regex_node *root = NULL;
    if (!utf8_valid(pattern)) {
        return err_set(err, -E_INVAL, "error parsing regexp: invalid UTF-8");
    }
    int rc = parse_alternate(&p, &root);
    if (rc == 0 && regex_more(&p)) {
        rc = regex_parse_fail(&p, "unexpected )", 0, p.text.n);
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

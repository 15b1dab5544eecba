/* SPDX-License-Identifier: Apache-2.0 */
/* Escapes (\n, \x{10FFFF}) and bracket expressions ([a-z\d[:alpha:]]). */
#include "regex_parse_private.h"

static int hex_value(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \x7F and \x{10FFFF}; the cursor is behind the x. */
static bool parse_hex(struct regex_parser *p, uint32_t *ret)
{
    uint32_t value = 0;
    int digits = 0;
    if (regex_eat(p, '{')) {
        while (hex_value(regex_peek(p, 0)) >= 0 && value <= RUNE_MAX) {
            value = value * 16 + (uint32_t)hex_value(regex_peek(p, 0));
            p->at++;
            digits++;
        }
        if (!digits || value > RUNE_MAX || !regex_eat(p, '}')) {
            return false;
        }
    } else {
        if (hex_value(regex_peek(p, 0)) < 0 || hex_value(regex_peek(p, 1)) < 0) {
            return false;
        }
        value = (uint32_t)(hex_value(regex_peek(p, 0)) * 16 + hex_value(regex_peek(p, 1)));
        p->at += 2;
    }
    *ret = value;
    return true;
}

/* One escaped rune; the cursor is behind the backslash at `from`. */
int regex_parse_escape(struct regex_parser *p, size_t from, uint32_t *ret)
{
    static const char names[] = "afnrtv", runes[] = "\a\f\n\r\t\v";
    if (!regex_more(p)) {
        return regex_parse_fail(p, "trailing backslash at end of expression", from, from);
    }
    uint32_t c = regex_next_rune(p);
    if (c >= '1' && c <= '7' && !(regex_peek(p, 0) >= '0' && regex_peek(p, 0) <= '7')) {
        return regex_parse_fail(p, "invalid escape sequence", from, p->at);
    }
    if (c >= '0' && c <= '7') {
        *ret = c - '0';
        for (int i = 1; i < 3 && regex_peek(p, 0) >= '0' && regex_peek(p, 0) <= '7'; i++) {
            *ret = *ret * 8 + (uint32_t)(regex_peek(p, 0) - '0');
            p->at++;
        }
        return 0;
    }
    if (c == 'x') {
        return parse_hex(p, ret) ? 0 : regex_parse_fail(p, "invalid escape sequence", from, p->at);
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
    return regex_parse_fail(p, "invalid escape sequence", from, p->at);
}

static int parse_class_rune(struct regex_parser *p, size_t class_from, uint32_t *ret)
{
    if (!regex_more(p)) {
        return regex_parse_fail(p, "missing closing ]", class_from, p->text.n);
    }
    size_t from = p->at;
    if (regex_eat(p, '\\')) {
        return regex_parse_escape(p, from, ret);
    }
    *ret = regex_next_rune(p);
    return 0;
}

static int parse_class_range(struct regex_parser *p, struct rune_class *c, size_t class_from)
{
    uint32_t lo, hi;
    size_t from = p->at;
    int rc = parse_class_rune(p, class_from, &lo);
    if (rc < 0) {
        return rc;
    }
    hi = lo;
    if (regex_peek(p, 0) == '-' && regex_peek(p, 1) >= 0 && regex_peek(p, 1) != ']') {
        p->at++;
        rc = parse_class_rune(p, class_from, &hi);
        if (rc < 0) {
            return rc;
        }
        if (hi < lo) {
            return regex_parse_fail(p, "invalid character class range", from, p->at);
        }
    }
    regex_class_add_folded(p, c, lo, hi);
    return 0;
}

int regex_parse_bracket(struct regex_parser *p, struct regex_node **ret)
{
    size_t from = p->at++;
    struct rune_class c = {0};
    bool negate = regex_eat(p, '^'), first = true;
    while (!regex_more(p) || regex_peek(p, 0) != ']' || first) {
        first = false;
        int rc = regex_parse_posix_class(p, &c);
        if (rc == 0 && regex_peek(p, 0) == '\\') {
            size_t escape = p->at++;
            if (regex_peek(p, 0) == 'p' || regex_peek(p, 0) == 'P') {
                rc = regex_parse_unicode_class(p, &c, escape);
                rc = rc < 0 ? rc : 1;
            } else if (regex_parse_perl_class(p, &c)) {
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
        regex_class_negate(p, &c);
    }
    *ret = regex_class_node(p, &c);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The lexer of CEL (cel-spec, langdef.md, "Syntax"): tokens on demand, literals to values. */
#include "cel_lex.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cel_private.h"
#include "codec/utf8.h"

static int peek(const struct lexer *l, size_t ahead)
{
    return l->at + ahead < l->text.n ? (unsigned char)l->text.p[l->at + ahead] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static int hex_value(int c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool cel_is_identifier(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_letter(s.p[i]) && (i == 0 || !is_digit(s.p[i]))) {
            return false;
        }
    }
    return s.n > 0;
}

static void skip_blanks(struct lexer *l)
{
    for (;;) {
        int c = peek(l, 0);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
            l->at++;
        } else if (c == '/' && peek(l, 1) == '/') {
            while (peek(l, 0) >= 0 && peek(l, 0) != '\n') {
                l->at++;
            }
        } else {
            return;
        }
    }
}

static const char *not_a_token(struct lexer *l, size_t n)
{
    return arena_printf(l->a, "Syntax error: token recognition error at: '%.*s'", (int)n,
                        l->text.p + l->at);
}

/* ---- numbers ---- */

/* The length of a number at the cursor and what it is. */
static enum token_type scan_number(struct lexer *l, size_t *ret_n)
{
    enum token_type type = TOKEN_INT;
    size_t n = 0;
    if (peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X') &&
        hex_value(peek(l, 2)) >= 0) {
        for (n = 2; hex_value(peek(l, n)) >= 0; n++) {
        }
    } else {
        while (is_digit(peek(l, n))) {
            n++;
        }
        if (peek(l, n) == '.' && is_digit(peek(l, n + 1))) {
            type = TOKEN_DOUBLE;
            for (n++; is_digit(peek(l, n)); n++) {
            }
        }
        size_t e = n + 1 + (peek(l, n + 1) == '+' || peek(l, n + 1) == '-');
        if ((peek(l, n) == 'e' || peek(l, n) == 'E') && is_digit(peek(l, e))) {
            type = TOKEN_DOUBLE;
            for (n = e; is_digit(peek(l, n)); n++) {
            }
        }
    }
    if (type == TOKEN_INT && (peek(l, n) == 'u' || peek(l, n) == 'U')) {
        type = TOKEN_UINT;
        n++;
    }
    *ret_n = n;
    return type;
}

static bool parse_unsigned(struct str s, uint64_t *ret)
{
    uint64_t v = 0, base = 10;
    if (s.n > 2 && (s.p[1] == 'x' || s.p[1] == 'X')) {
        base = 16;
        s = str_n(s.p + 2, s.n - 2);
    }
    for (size_t i = 0; i < s.n; i++) {
        uint64_t digit = (uint64_t)hex_value((unsigned char)s.p[i]);
        if (v > (UINT64_MAX - digit) / base) {
            return false;
        }
        v = v * base + digit;
    }
    *ret = v;
    return true;
}

const char *lex_number(const struct token *t, bool negative, struct cel_value *ret)
{
    uint64_t u;
    if (t->type == TOKEN_DOUBLE) {
        char text[400];
        char *end;
        if (t->text.n >= sizeof(text)) {
            return "invalid double literal";
        }
        memcpy(text, t->text.p, t->text.n);
        text[t->text.n] = 0;
        double d = strtod(text, &end);
        if (isinf(d)) {
            return "invalid double literal";
        }
        *ret = cel_double(negative ? -d : d);
        return NULL;
    }
    if (t->type == TOKEN_UINT) {
        if (!parse_unsigned(str_n(t->text.p, t->text.n - 1), &u)) {
            return "invalid uint literal";
        }
        *ret = cel_uint(u);
        return NULL;
    }
    if (!parse_unsigned(t->text, &u) || u > (uint64_t)INT64_MAX + negative) {
        return "invalid int literal";
    }
    *ret = cel_int(negative ? (int64_t)(0 - u) : (int64_t)u);
    return NULL;
}

/* ---- strings ---- */

/* Length of the escape at the cursor plus `at` (a backslash), 0 when it is none. */
static size_t scan_escape(const struct lexer *l, size_t at)
{
    static const char single[] = "abfnrtv\\'\"`?";
    int c = peek(l, at + 1);
    size_t digits = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c > 0 && c < 0x80 && strchr(single, c)) {
        return 2;
    }
    if (digits) {
        for (size_t i = 0; i < digits; i++) {
            if (hex_value(peek(l, at + 2 + i)) < 0) {
                return 0;
            }
        }
        return 2 + digits;
    }
    if (c >= '0' && c <= '3' && peek(l, at + 2) >= '0' && peek(l, at + 2) <= '7' &&
        peek(l, at + 3) >= '0' && peek(l, at + 3) <= '7') {
        return 4;
    }
    return 0;
}

/* How far an escape that is none was read, the character that broke it included. */
static size_t broken_escape(const struct lexer *l, size_t at)
{
    int c = peek(l, at + 1);
    size_t n = 2;
    bool hex = c == 'x' || c == 'X' || c == 'u' || c == 'U';
    while (hex && hex_value(peek(l, at + n)) >= 0) {
        n++;
    }
    return hex ? n + 1 : n;
}

/* A string whose quotes open at `from` (behind a prefix). *ret_n from the cursor. When it does not
 * end, false, and *ret_n is where it broke off. */
static bool scan_string(const struct lexer *l, size_t from, bool raw, size_t *ret_n)
{
    int quote = peek(l, from);
    bool triple = peek(l, from + 1) == quote && peek(l, from + 2) == quote;
    size_t at = from + (triple ? 3 : 1);
    for (;;) {
        int c = peek(l, at);
        if (c < 0 || (!triple && (c == '\n' || c == '\r'))) {
            *ret_n = at;
            return false;
        }
        if (c == '\\' && !raw) {
            size_t n = scan_escape(l, at);
            if (!n) {
                *ret_n = MIN_OF(at + broken_escape(l, at), l->text.n - l->at);
                return false;
            }
            at += n;
        } else if (c == quote &&
                   (!triple || (peek(l, at + 1) == quote && peek(l, at + 2) == quote))) {
            *ret_n = at + (triple ? 3 : 1);
            return true;
        } else {
            at++;
        }
    }
}

/* How many letters of a prefix (r, b, br, rb in any case) stand before a quote; -1 = no string. */
static int string_prefix(const struct lexer *l, bool *raw)
{
    bool bytes = false;
    *raw = false;
    for (int n = 0; n < 3; n++) {
        int c = peek(l, (size_t)n);
        if (c == '"' || c == '\'') {
            return n;
        }
        if ((c == 'r' || c == 'R') && !*raw) {
            *raw = true;
        } else if ((c == 'b' || c == 'B') && !bytes) {
            bytes = true;
        } else {
            return -1;
        }
    }
    return -1;
}

/* An escape of a string (as UTF-8) or of bytes, written to *out and never longer than in the
 * source; returns its length there, 0 = no scalar value. */
static size_t unescape(const char *s, bool bytes, char **out)
{
    static const char names[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
    const char *name = strchr(names, s[1]);
    if (name) {
        *(*out)++ = values[name - names];
        return 2;
    }
    size_t n = s[1] == 'x' || s[1] == 'X' ? 4 : s[1] == 'u' ? 6 : s[1] == 'U' ? 10 : 2;
    uint32_t v = 0;
    if (n > 2) {
        for (size_t i = 2; i < n; i++) {
            v = v << 4 | (uint32_t)hex_value((unsigned char)s[i]);
        }
    } else if (s[1] >= '0' && s[1] <= '3') {
        n = 4;
        v = (uint32_t)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
    } else {
        *(*out)++ = s[1];
        return 2;
    }
    if (bytes && n == 4) {
        *(*out)++ = (char)v;
        return n;
    }
    if (v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF)) {
        return 0;
    }
    *out += utf8_put(*out, v);
    return n;
}

const char *lex_string(struct arena *a, const struct token *t, struct cel_value *ret)
{
    struct str s = t->text;
    bool raw = false, bytes = false;
    while (s.p[0] != '"' && s.p[0] != '\'') {
        raw |= s.p[0] == 'r' || s.p[0] == 'R';
        bytes |= s.p[0] == 'b' || s.p[0] == 'B';
        s = str_n(s.p + 1, s.n - 1);
    }
    size_t quotes = s.n >= 6 && s.p[1] == s.p[0] && s.p[2] == s.p[0] ? 3 : 1;
    s = str_n(s.p + quotes, s.n - 2 * quotes);
    char *text = arena_alloc(a, s.n + 4), *out = text;
    if (!text) {
        return "out of memory";
    }
    for (size_t i = 0; i < s.n;) {
        if (s.p[i] == '\r') { /* line ends are \n */
            i += i + 1 < s.n && s.p[i + 1] == '\n';
            *out++ = '\n';
            i++;
        } else if (s.p[i] == '\\' && !raw) {
            size_t n = unescape(s.p + i, bytes, &out);
            if (!n) {
                return "invalid unicode code point";
            }
            i += n;
        } else {
            *out++ = s.p[i++];
        }
    }
    struct str value = str_n(text, (size_t)(out - text));
    *ret = bytes ? cel_bytes(value) : cel_string(value);
    return NULL;
}

/* ---- tokens ---- */

static enum token_type word_type(struct str s)
{
    return str_is(s, "true")    ? TOKEN_TRUE
           : str_is(s, "false") ? TOKEN_FALSE
           : str_is(s, "null")  ? TOKEN_NULL
           : str_is(s, "in")    ? TOKEN_IN
                                : TOKEN_IDENT;
}

/* Operators and brackets; 0 when there is none. */
static size_t scan_punctuation(const struct lexer *l, enum token_type *ret)
{
    static const struct {
        char text[3];
        enum token_type type;
    } pairs[] = {{"==", TOKEN_EQ}, {"!=", TOKEN_NE},  {"<=", TOKEN_LE},
                 {">=", TOKEN_GE}, {"&&", TOKEN_AND}, {"||", TOKEN_OR}};
    int c = peek(l, 0);
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        if (c == pairs[i].text[0] && peek(l, 1) == pairs[i].text[1]) {
            *ret = pairs[i].type;
            return 2;
        }
    }
    *ret = (enum token_type)c;
    return c > 0 && c < 0x80 && strchr("()[]{}.,-!?:+*/%<>", c) ? 1 : 0;
}

/* `a-b`: letters, digits, '_', '.', '-', '/' and ' ' between backticks. */
static size_t scan_escaped(const struct lexer *l)
{
    size_t n = 1;
    while (is_letter(peek(l, n)) || is_digit(peek(l, n)) ||
           (peek(l, n) > 0 && peek(l, n) < 0x80 && strchr(".-/ ", peek(l, n)))) {
        n++;
    }
    return n > 1 && peek(l, n) == '`' ? n + 1 : 0;
}

const char *lex_next(struct lexer *l, struct token *ret)
{
    size_t n = 0;
    bool raw;
    skip_blanks(l);
    *ret = (struct token){.type = TOKEN_END, .pos = (uint32_t)l->at};
    int c = peek(l, 0), prefix = string_prefix(l, &raw);
    if (c < 0) {
        return NULL;
    }
    if (prefix >= 0) {
        if (!scan_string(l, (size_t)prefix, raw, &n)) {
            return not_a_token(l, n);
        }
        ret->type = TOKEN_STRING;
    } else if (is_digit(c) || (c == '.' && is_digit(peek(l, 1)))) {
        ret->type = scan_number(l, &n);
    } else if (is_letter(c)) {
        for (n = 1; is_letter(peek(l, n)) || is_digit(peek(l, n)); n++) {
        }
        ret->type = word_type(str_n(l->text.p + l->at, n));
    } else if (c == '`') {
        n = scan_escaped(l);
        ret->type = TOKEN_ESCAPED;
    } else {
        n = scan_punctuation(l, &ret->type);
    }
    if (n == 0) {
        /* ANTLR takes a second character into '| ' and '& '. */
        size_t bad = c < 0x80 ? 1 : utf8_len(l->text.p + l->at, l->text.n - l->at);
        bad += c == '`' && peek(l, 1) >= 0;
        bad += (c == '|' || c == '&' || c == '=') && peek(l, 1) == ' ';
        return not_a_token(l, bad);
    }
    ret->text = str_n(l->text.p + l->at, n);
    l->at += n;
    return NULL;
}

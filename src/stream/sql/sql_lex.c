/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lexer. Where it is kinder than eKuiper's: identifiers may begin with '_' and hold any letter
 * of Unicode, numbers may have an exponent, "<>" is "!=", texts may span lines. Words that came
 * after eKuiper's language (UNION, DISTINCT, IS, ...) are no reserved words: the parser knows them
 * by their place.
 */
#include "sql_lex.h"

#include "base/mem.h"
#include "codec/utf8.h"

static const char *const words[] = {
    "AND",   "AS",        "ASC",     "BETWEEN", "BY",     "CASE", "CROSS", "DESC",   "ELSE",
    "END",   "EXCEPT",    "FALSE",   "FILTER",  "FROM",   "FULL", "GROUP", "HAVING", "IN",
    "INNER", "JOIN",      "LEFT",    "LIKE",    "LIMIT",  "NOT",  "ON",    "OR",     "ORDER",
    "OVER",  "PARTITION", "REPLACE", "RIGHT",   "SELECT", "THEN", "TRUE",  "WHEN",   "WHERE",
};

enum token_kind sql_reserved(struct str word)
{
    _Static_assert(ARRAY_SIZE(words) == TOKEN_NR - TOKEN_AND, "a word a token");
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (str_iis(word, words[i])) {
            return (enum token_kind)(TOKEN_AND + i);
        }
    }
    return TOKEN_NAME;
}

static int peek(const struct lexer *l, size_t ahead)
{
    return l->at + ahead < l->text.n ? (unsigned char)l->text.p[l->at + ahead] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

bool sql_is_bare_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (!is_letter((unsigned char)name.p[i]) && (i == 0 || !is_digit(name.p[i]))) {
            return false;
        }
    }
    return name.n > 0 && sql_reserved(name) == TOKEN_NAME && !str_iis(name, "null");
}

static void illegal(struct token *t, struct str text)
{
    t->kind = TOKEN_ILLEGAL;
    t->text = text;
}

/* Blanks and comments. False: a comment has no end. */
static bool skip_blanks(struct lexer *l)
{
    for (;;) {
        int c = peek(l, 0);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
            l->at++;
        } else if (c == '-' && peek(l, 1) == '-') {
            while (peek(l, 0) >= 0 && peek(l, 0) != '\n') {
                l->at++;
            }
        } else if (c == '/' && peek(l, 1) == '*') {
            const char *end = memmem(l->text.p + l->at + 2, l->text.n - l->at - 2, "*/", 2);
            if (!end) {
                return false;
            }
            l->at = (size_t)(end - l->text.p) + 2;
        } else {
            return true;
        }
    }
}

/* ---- names and numbers ---- */

static void scan_name(struct lexer *l, struct token *t)
{
    size_t from = l->at;
    while (is_letter(peek(l, 0)) || is_digit(peek(l, 0))) {
        l->at++;
    }
    struct str word = str_n(l->text.p + from, l->at - from);
    t->kind = sql_reserved(word);
    t->text = t->kind == TOKEN_NAME ? word : str_of(words[t->kind - TOKEN_AND]);
}

static void scan_quoted_name(struct lexer *l, struct token *t)
{
    const char *from = l->text.p + l->at + 1;
    const char *end = memchr(from, '`', l->text.n - l->at - 1);
    size_t n = end ? (size_t)(end - from) : l->text.n - l->at - 1;
    l->at += n + (end ? 2 : 1);
    t->text = str_n(from, n);
    t->kind = end ? TOKEN_QUOTED : TOKEN_ILLEGAL;
}

static void scan_number(struct lexer *l, struct token *t)
{
    size_t from = l->at;
    t->kind = TOKEN_INT;
    while (is_digit(peek(l, 0)) || peek(l, 0) == '.') {
        if (peek(l, 0) == '.') {
            t->kind = TOKEN_NUMBER;
        }
        l->at++;
    }
    size_t sign = peek(l, 1) == '+' || peek(l, 1) == '-' ? 1 : 0;
    if ((peek(l, 0) == 'e' || peek(l, 0) == 'E') && is_digit(peek(l, 1 + sign))) {
        t->kind = TOKEN_NUMBER;
        l->at += 1 + sign;
        while (is_digit(peek(l, 0))) {
            l->at++;
        }
    }
    t->text = str_n(l->text.p + from, l->at - from);
}

/* ---- texts: the escapes of Go's string literals, and \' between single quotes ---- */

static int hex_value(int c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* n digits of a base behind p[1]; -1 when they are not there. */
static int64_t digits(struct str s, unsigned n, int base)
{
    int64_t v = 0;
    if (s.n < n) {
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        int d = hex_value((unsigned char)s.p[i]);
        if (d < 0 || d >= base) {
            return -1;
        }
        v = v * base + d;
    }
    return v;
}

/* The escape that begins behind a backslash: its length, 0 = there is none; appends to *out. */
static size_t unescape(struct str s, char **out)
{
    static const char simple[] = "abfnrtv\\\"'", meant[] = "\a\b\f\n\r\t\v\\\"'";
    const char *at = s.n ? memchr(simple, s.p[0], sizeof(simple) - 1) : NULL;
    if (at) {
        *(*out)++ = meant[at - simple];
        return 1;
    }
    int c = s.n ? s.p[0] : 0;
    unsigned n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 3;
    bool octal = n == 3;
    struct str rest = octal ? s : str_n(s.p + 1, s.n ? s.n - 1 : 0);
    int64_t v = digits(rest, n, octal ? 8 : 16);
    if (v < 0 || ((octal || n == 2) && v > 0xff) || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) {
        return 0;
    }
    if (octal || n == 2) {
        *(*out)++ = (char)v;
    } else {
        *out += utf8_put(*out, (uint32_t)v);
    }
    return octal ? n : n + 1;
}

static void scan_string(struct lexer *l, struct token *t)
{
    size_t from = l->at, at = l->at + 1;
    char quote = l->text.p[from];
    while (at < l->text.n && l->text.p[at] != quote) {
        at += l->text.p[at] == '\\' ? 2 : 1;
    }
    if (at >= l->text.n) {
        l->at = l->text.n;
        illegal(t, str_n(l->text.p + from, l->text.n - from));
        return;
    }
    l->at = at + 1;
    struct str whole = str_n(l->text.p + from, l->at - from);
    char *text = arena_alloc(l->a, whole.n), *out = text;
    for (size_t i = from + 1; text && i < at;) {
        if (l->text.p[i] != '\\') {
            *out++ = l->text.p[i++];
            continue;
        }
        size_t n = unescape(str_n(l->text.p + i + 1, at - i - 1), &out);
        if (n == 0) {
            const char *told = arena_printf(l->a, "invalid string: \"" STR_FMT "\"",
                                            STR_ARG(str_n(whole.p + 1, whole.n - 2)));
            illegal(t, str_of(told));
            return;
        }
        i += n + 1;
    }
    t->kind = TOKEN_STRING;
    t->text = str_n(text, text ? (size_t)(out - text) : 0);
}

/* ---- marks ---- */

static void scan_mark(struct lexer *l, struct token *t)
{
    static const struct {
        const char *text;
        enum token_kind kind;
    } marks[] = {
        {"->", TOKEN_ARROW},   {"!=", TOKEN_NE},     {"<>", TOKEN_NE},       {"<=", TOKEN_LE},
        {">=", TOKEN_GE},      {"+", TOKEN_PLUS},    {"-", TOKEN_MINUS},     {"*", TOKEN_STAR},
        {"/", TOKEN_SLASH},    {"%", TOKEN_PERCENT}, {"&", TOKEN_AMPERSAND}, {"|", TOKEN_BAR},
        {"^", TOKEN_CARET},    {"=", TOKEN_EQ},      {"<", TOKEN_LT},        {">", TOKEN_GT},
        {",", TOKEN_COMMA},    {"(", TOKEN_LPAREN},  {")", TOKEN_RPAREN},    {"[", TOKEN_LBRACKET},
        {"]", TOKEN_RBRACKET}, {"{", TOKEN_LBRACE},  {"}", TOKEN_RBRACE},    {"?", TOKEN_QUESTION},
        {"#", TOKEN_HASH},     {".", TOKEN_DOT},     {":", TOKEN_COLON},     {";", TOKEN_SEMICOLON},
    };
    struct str rest = str_n(l->text.p + l->at, l->text.n - l->at);
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
        if (str_starts(rest, marks[i].text)) {
            t->kind = marks[i].kind;
            t->text = str_of(marks[i].text);
            l->at += t->text.n;
            return;
        }
    }
    illegal(t, str_n(rest.p, 1));
    l->at++;
}

void lexer_next(struct lexer *l, struct token *ret)
{
    bool whole = skip_blanks(l);
    int c = peek(l, 0);
    *ret = (struct token){.at = (uint32_t)l->at};
    if (c < 0) {
        ret->text = STR_LIT("EOF");
    } else if (!whole) {
        illegal(ret, STR_LIT("/*"));
        l->at = l->text.n;
    } else if (is_letter(c)) {
        scan_name(l, ret);
    } else if (is_digit(c) || (c == '.' && is_digit(peek(l, 1)))) {
        scan_number(l, ret);
    } else if (c == '`') {
        scan_quoted_name(l, ret);
    } else if (c == '"' || c == '\'') {
        scan_string(l, ret);
    } else {
        scan_mark(l, ret);
    }
    ret->end = (uint32_t)l->at;
    ret->raw = str_n(l->text.p + ret->at, ret->end - ret->at);
}

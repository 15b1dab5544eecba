/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overloads of functions as the table writes them: "s.ii:s" is a member of string with two ints
 * that gives a string, "LA:A" a function of a list that gives one of its elements.
 *
 *      b bool   i int   u uint   d double   s string   y bytes   n null   D dyn   t type
 *      T timestamp   R duration   Q quantity   P ip   C cidr   U url   F format   V semver
 *      Z Authorizer   H PathCheck   G GroupCheck   J ResourceCheck   K Decision
 *      L<x> list(x)   M<k><v> map(k, v)   O<x> optional_type(x)   Y<x> type(x)
 *      A B E type parameters
 *
 * What stands behind a '|' counts where CEL_F_CROSS_TYPE is set.
 */
#include "cel_private.h"

static const uint8_t letters[128] = {
    ['b'] = CEL_BOOL,       ['i'] = CEL_INT,         ['u'] = CEL_UINT,
    ['d'] = CEL_DOUBLE,     ['s'] = CEL_STRING,      ['y'] = CEL_BYTES,
    ['n'] = CEL_NULL,       ['t'] = CEL_TYPE,        ['Y'] = CEL_TYPE,
    ['T'] = CEL_TIMESTAMP,  ['R'] = CEL_DURATION,    ['Q'] = CEL_QUANTITY,
    ['P'] = CEL_IP,         ['C'] = CEL_CIDR,        ['U'] = CEL_URL,
    ['F'] = CEL_FORMAT,     ['V'] = CEL_SEMVER,      ['L'] = CEL_LIST,
    ['M'] = CEL_MAP,        ['O'] = CEL_OPTIONAL,    ['Z'] = CEL_AUTHORIZER,
    ['H'] = CEL_PATH_CHECK, ['G'] = CEL_GROUP_CHECK, ['J'] = CEL_RESOURCE_CHECK,
    ['K'] = CEL_DECISION,
};

/* CEL_DYN for D and parameters: anything. */
static enum cel_kind letter_kind(char c)
{
    return (enum cel_kind)letters[(unsigned char)c & 0x7F];
}

struct reader {
    struct cel_compiler *c;
    const char *at;
    struct cel_type_var *params[3]; /* A B E */
};

static const struct cel_type *read_param(struct reader *r, unsigned i)
{
    if (!r->params[i]) {
        struct cel_type_var *v = arena_zalloc(&r->c->a, sizeof(*v));
        if (!v) {
            return &cel_type_error;
        }
        v->type.kind = CEL_PARAM;
        v->type.name = arena_printf(&r->c->a, "_var%u", r->c->next_var++);
        r->params[i] = v;
    }
    return &r->params[i]->type;
}

/* Nesting is that of the table. */
static const struct cel_type *read_type(struct reader *r)
{
    char c = *r->at++;
    if (c == 'A' || c == 'B' || c == 'E') {
        return read_param(r, c == 'A' ? 0 : c == 'B' ? 1 : 2);
    }
    if (c == 'L' || c == 'O' || c == 'Y') {
        const struct cel_type *of = read_type(r);
        return cel_type_of(&r->c->a, letter_kind(c), of);
    }
    if (c == 'M') {
        const struct cel_type *key = read_type(r), *elem = read_type(r);
        return cel_type_map(&r->c->a, key, elem);
    }
    return cel_type_simple(letter_kind(c));
}

bool cel_sig_next(struct cel_compiler *c, const char **at, struct cel_sig *ret)
{
    struct reader r = {.c = c, .at = *at};
    *ret = (struct cel_sig){0};
    while (*r.at == ' ' || *r.at == '|') {
        r.at++;
    }
    if (!*r.at || arena_failed(&c->a)) {
        return false;
    }
    while (*r.at != ':') {
        if (*r.at == '.') {
            ret->member = true;
            r.at++;
        } else {
            ret->args[ret->n++] = read_type(&r);
        }
    }
    r.at++;
    ret->result = read_type(&r);
    *at = r.at;
    return true;
}

/* Past one type. */
static const char *skip_type(const char *s)
{
    while (*s == 'L' || *s == 'O' || *s == 'Y') {
        s++;
    }
    if (*s == 'M') {
        return skip_type(skip_type(s + 1));
    }
    return s + 1;
}

static bool kind_fits(char letter, enum cel_kind kind)
{
    enum cel_kind want = letter_kind(letter);
    return want == CEL_DYN || want == kind || (want == CEL_MAP && kind == CEL_OBJECT);
}

int cel_sig_match(const char *sigs, bool member, const struct cel_value *args, unsigned n)
{
    int overload = 0;
    for (const char *s = sigs; *s; overload++) {
        unsigned i = 0;
        bool fits = true, style = false;
        while (*s != ':') {
            if (*s == '.') {
                style = true;
                s++;
                continue;
            }
            fits = fits && i < n && kind_fits(*s, args[i].kind);
            i++;
            s = skip_type(s);
        }
        if (fits && i == n && style == member) {
            return overload;
        }
        s = skip_type(s + 1);
        while (*s == ' ' || *s == '|') {
            s++;
        }
    }
    return -1;
}

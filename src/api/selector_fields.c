/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field selectors: "metadata.name=x,status.phase!=Failed" (apimachinery pkg/fields/selector.go),
 * and reading fields of an object by path.
 */
#include <string.h>

#include "selector.h"
#include "selector_private.h"

/* The next term up to a comma that no backslash escapes. */
static struct str cut_term(struct str *rest)
{
    size_t i = 0;
    while (i < rest->n && rest->p[i] != ',') {
        i += rest->p[i] == '\\' && i + 1 < rest->n ? 2 : 1;
    }
    struct str term = str_n(rest->p, i);
    size_t skip = i < rest->n ? i + 1 : i;
    *rest = str_n(rest->p + skip, rest->n - skip);
    return term;
}

/* "name!=value", "name==value" or "name=value", whichever comes first. */
static bool split_term(struct str term, struct str *name, enum selector_op *op, struct str *value)
{
    for (size_t i = 0; i < term.n; i++) {
        bool next_eq = i + 1 < term.n && term.p[i + 1] == '=';
        size_t n = term.p[i] == '!' && next_eq ? 2 : term.p[i] == '=' ? (next_eq ? 2 : 1) : 0;
        if (n) {
            *op = term.p[i] == '!' ? SELECTOR_NE : SELECTOR_EQ;
            *name = str_n(term.p, i);
            *value = str_n(term.p + i + n, term.n - i - n);
            return true;
        }
    }
    return false;
}

static int unescape(struct arena *a, struct str value, const char **ret, struct err *err)
{
    char *out = arena_alloc(a, value.n + 1);
    size_t n = 0;
    if (!out) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\\') {
            c = i + 1 < value.n ? value.p[++i] : '\0';
            if (c != '\\' && c != ',' && c != '=') {
                return err_set(err, -E_INVAL,
                               "invalid field selector: invalid escape sequence: \\%.1s",
                               i < value.n ? value.p + i : "");
            }
        } else if (c == ',' || c == '=') {
            return err_set(err, -E_INVAL,
                           "invalid field selector: unescaped character in value: %c", c);
        }
        out[n++] = c;
    }
    out[n] = '\0';
    *ret = out;
    return 0;
}

static int parse_term(struct arena *a, const char *all, struct str term, struct selector_term *t,
                      struct err *err)
{
    struct str name, value;
    if (!split_term(term, &name, &t->op, &value)) {
        return err_set(err, -E_INVAL, "invalid selector: '%s'; can't understand '" STR_FMT "'", all,
                       STR_ARG(term));
    }
    t->key = arena_str(a, name);
    t->values = arena_zalloc(a, sizeof(*t->values));
    if (!t->key || !t->values) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    t->n_values = 1;
    return unescape(a, value, &t->values[0], err);
}

int selector_parse_fields(struct arena *a, const char *text, struct selector **ret, struct err *err)
{
    struct selector *s;
    int r = selector_new(a, &s);
    if (r < 0) {
        return err_set(err, r, "out of memory");
    }
    struct str rest = str_of(text);
    while (rest.n > 0) {
        struct str term = cut_term(&rest);
        struct selector_term t = {0};
        if (term.n == 0) {
            continue;
        }
        r = parse_term(a, text, term, &t, err);
        if (r == 0) {
            r = selector_add(a, s, &t, err);
        }
        if (r < 0) {
            return r;
        }
    }
    *ret = s;
    return 0;
}

/* An integer keeps no text of its own, so only texts and booleans are fields; the counts
 * by which Kubernetes selects Jobs and ReplicationControllers are no selectable fields here. */
const char *selector_field_get(const void *object, const char *path)
{
    const struct json *j = json_path(object, path);
    if (json_is(j, JSON_BOOL)) {
        return j->b ? "true" : "false";
    }
    return json_cstr(j, "");
}

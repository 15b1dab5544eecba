/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validation of an object against its structural schema, with the words of kube-openapi's validator
 * (pkg/validation) as the API server shows them.
 *
 * A walk over value and schema side by side. The place is a chain of frames on the stack and
 * becomes text only for an error. Its depth is that of the object, which the JSON parser bounds,
 * plus that of value checks (allOf, not, ...), which LIMIT_CRD_DEPTH bounds.
 *
 * Ratcheting: where the old object had an equal value at the same place, nothing is complained of.
 * Items of lists are matched by their keys in lists of type map, and not at all in others.
 */
#include "api/crd/schema.h"

#include <math.h>
#include <stdio.h>

#include "api/crd/schema_private.h"
#include "base/mem.h"
#include "codec/regex.h"

struct place {
    const struct place *up;
    struct str key;
    size_t index; /* when key.p is NULL */
};

struct check {
    struct field_errors *e;
    const struct place *at;
    bool quiet; /* only whether there is an error is wanted: of a branch of anyOf, oneOf, not */
    size_t found;
};

static void value(struct check *c, const struct crd_schema *s, const struct json *j,
                  const struct json *old);

/* ---- texts ---- */

static const char *path_text(struct check *c)
{
    const struct place *chain[64];
    size_t n = 0;
    const char *text = "";
    for (const struct place *at = c->at; at && n < ARRAY_SIZE(chain); at = at->up) {
        chain[n++] = at;
    }
    while (text && n-- > 0) {
        const struct place *p = chain[n];
        text = p->key.p ? arena_printf(c->e->arena, "%s%s" STR_FMT, text, *text ? "." : "",
                                       STR_ARG(p->key))
                        : arena_printf(c->e->arena, "%s[%zu]", text, p->index);
    }
    return text ? text : "";
}

/* True when the caller need not make a text. */
static bool silent(struct check *c)
{
    c->found++;
    return c->quiet;
}

static void invalid(struct check *c, const struct json *j, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "spec.x in body " and the text. */
static void invalid(struct check *c, const struct json *j, const char *fmt, ...)
{
    if (silent(c)) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(c->e->arena, fmt, ap);
    va_end(ap);
    const char *path = path_text(c);
    field_error(c->e, FIELD_INVALID, path, j,
                arena_printf(c->e->arena, "%s in body %s", path, what ? what : ""));
}

/* An error of the whole, which Kubernetes shows without a path: `"spec" must validate ...`. */
static void composite(struct check *c, const char *what)
{
    if (silent(c)) {
        return;
    }
    field_error_text(c->e, FIELD_INVALID, "<nil>", "",
                     arena_printf(c->e->arena, "\"%s\" must %s", path_text(c), what));
}

static void wrong_type(struct check *c, const char *wanted, const char *got)
{
    if (silent(c)) {
        return;
    }
    const char *path = path_text(c);
    field_error_text(
        c->e, FIELD_TYPE_INVALID, path, got,
        arena_printf(c->e->arena, "%s in body must be of type %s: \"%s\"", path, wanted, got));
}

/* A number as Go's %v prints a float64. */
static const char *float_text(struct arena *a, double d)
{
    char text[40];
    int digits = 0;
    double back;
    do {
        (void)snprintf(text, sizeof(text), "%.*e", digits, d); /* it fits */
    } while (digits++ < 17 && (str_double(str_of(text), &back) < 0 || back != d));
    double exponent = d == 0 ? 0 : floor(log10(fabs(d)));
    if (exponent >= -4 && exponent < 6) {
        int decimals = digits - 1 - (int)exponent;
        return arena_printf(a, "%.*f", decimals > 0 ? decimals : 0, d);
    }
    return arena_strdup(a, text);
}

static const char *bound_text(struct check *c, const struct json *j, double bound)
{
    return j->type == JSON_INT && bound == floor(bound) && fabs(bound) < 9e18
               ? arena_printf(c->e->arena, "%lld", (long long)bound)
               : float_text(c->e->arena, bound);
}

/* ---- types ---- */

static const char *type_name(const struct crd_schema *s)
{
    static const char *const names[] = {"",        "object", "array",  "string",
                                        "integer", "number", "boolean"};
    return s->flags & CRD_F_INT_OR_STRING ? "integer,string" : names[s->type];
}

static const char *json_kind(const struct json *j)
{
    return j->type == JSON_REAL ? "number" : json_type_name(j->type);
}

static bool fits(const struct crd_schema *s, const struct json *j)
{
    bool whole = j->type == JSON_INT || (j->type == JSON_REAL && j->d == floor(j->d));
    if (s->flags & CRD_F_INT_OR_STRING) {
        return whole || j->type == JSON_STRING;
    }
    switch (s->type) {
    case CRD_OBJECT:
        return j->type == JSON_OBJECT;
    case CRD_ARRAY:
        return j->type == JSON_ARRAY;
    case CRD_STRING:
        return j->type == JSON_STRING;
    case CRD_INTEGER:
        return whole;
    case CRD_NUMBER:
        return j->type == JSON_INT || j->type == JSON_REAL;
    case CRD_BOOLEAN:
        return j->type == JSON_BOOL;
    default:
        return true;
    }
}

/* ---- values ---- */

static void enumeration(struct check *c, const struct crd_checks *k, const struct json *j)
{
    struct arena *a = c->e->arena;
    for (size_t i = 0; k->values[i]; i++) {
        if (json_equal(k->values[i], j)) {
            return;
        }
    }
    if (silent(c)) {
        return;
    }
    CLEANUP(buf_finip) struct buf list = BUF_INIT;
    for (size_t i = 0; k->values[i]; i++) {
        buf_puts(&list, i ? ", " : "supported values: ");
        if (k->values[i]->type == JSON_STRING) {
            (void)json_print(&list, k->values[i]); /* a failure sticks */
        } else {
            CLEANUP(buf_finip) struct buf one = BUF_INIT;
            (void)json_print(&one, k->values[i]); /* an empty text then */
            (void)json_print_string(&list, buf_str(&one));
        }
    }
    field_error(c->e, FIELD_NOT_SUPPORTED, path_text(c), j,
                buf_failed(&list) ? "" : arena_strndup(a, buf_data(&list), buf_len(&list)));
}

static int64_t characters(struct str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    }
    return n;
}

static void string(struct check *c, const struct crd_checks *k, const struct json *j)
{
    struct str s = json_text(j);
    if (k->max_length >= 0 && characters(s) > k->max_length && !silent(c)) {
        field_error(
            c->e, FIELD_TOO_LONG, path_text(c), NULL,
            arena_printf(c->e->arena, "may not be more than %lld bytes", (long long)k->max_length));
    }
    if (k->min_length >= 0 && characters(s) < k->min_length) {
        invalid(c, j, "should be at least %lld chars long", (long long)k->min_length);
    }
    if (k->regex && !regex_match(k->regex, s)) {
        invalid(c, j, "should match '%s'", k->pattern);
    }
    if (k->format && !crd_format_ok(k->format, s) && !silent(c)) {
        const char *path = path_text(c);
        field_error(c->e, FIELD_TYPE_INVALID, path, j,
                    arena_printf(c->e->arena, "%s in body must be of type %s: \"%.*s\"", path,
                                 k->format, (int)MIN_OF(s.n, 1024u), s.p));
    }
}

static void number(struct check *c, const struct crd_checks *k, const struct json *j)
{
    double d = json_double(j, 0);
    if (k->has_multiple_of) {
        double ratio = d / k->multiple_of;
        if (ratio != floor(ratio)) {
            invalid(c, j, "should be a multiple of %s", bound_text(c, j, k->multiple_of));
        }
    }
    if (k->has_maximum && (d > k->maximum || (k->exclusive_maximum && d == k->maximum))) {
        invalid(c, j, "should be less than %s%s", k->exclusive_maximum ? "" : "or equal to ",
                bound_text(c, j, k->maximum));
    }
    if (k->has_minimum && (d < k->minimum || (k->exclusive_minimum && d == k->minimum))) {
        invalid(c, j, "should be greater than %s%s", k->exclusive_minimum ? "" : "or equal to ",
                bound_text(c, j, k->minimum));
    }
}

static void too_many(struct check *c, size_t n, int64_t max)
{
    if (!silent(c)) {
        field_error(c->e, FIELD_TOO_MANY, path_text(c), json_int(c->e->arena, (int64_t)n),
                    arena_printf(c->e->arena, "must have at most %lld item%s", (long long)max,
                                 max == 1 ? "" : "s"));
    }
}

/* ---- what holds others ---- */

static void array(struct check *c, const struct crd_schema *s, const struct json *j,
                  const struct json *old)
{
    struct place here = {.up = c->at};
    const struct place *up = c->at;
    size_t n = json_len(j);
    JSON_FOR_EACH (item, j) {
        c->at = &here;
        if (s->items) {
            value(c, s->items, item, crd_list_match(s, old, item, here.index));
        }
        here.index++;
    }
    c->at = up;
    const struct crd_checks *k = s->checks;
    if (k && k->min_items >= 0 && (int64_t)n < k->min_items) {
        invalid(c, json_int(c->e->arena, (int64_t)n), "should have at least %lld items",
                (long long)k->min_items);
    }
    if (k && k->max_items >= 0 && (int64_t)n > k->max_items) {
        too_many(c, n, k->max_items);
    }
    if (k && k->unique && crd_list_duplicate(j) >= 0) {
        invalid(c, NULL, "shouldn't contain duplicates");
    }
}

static void required(struct check *c, const struct crd_checks *k, const struct json *j)
{
    for (size_t i = 0; k->required && k->required[i]; i++) {
        if (!json_get(j, k->required[i]) && !silent(c)) {
            struct place here = {.up = c->at, .key = str_of(k->required[i])};
            const struct place *up = c->at;
            c->at = &here;
            field_error(c->e, FIELD_REQUIRED, path_text(c), NULL, NULL);
            c->at = up;
        }
    }
}

static void object(struct check *c, const struct crd_schema *s, const struct json *j,
                   const struct json *old)
{
    const struct crd_checks *k = s->checks;
    int64_t n = (int64_t)json_len(j);
    const struct place *up = c->at;
    if (k && k->min_properties >= 0 && n < k->min_properties) {
        invalid(c, json_int(c->e->arena, n), "should have at least %lld properties",
                (long long)k->min_properties);
        return;
    }
    if (k && k->max_properties >= 0 && n > k->max_properties) {
        too_many(c, (size_t)n, k->max_properties);
        return;
    }
    bool granular = s->merge != CRD_MERGE_ATOMIC;
    JSON_FOR_EACH_MEMBER (m, j) {
        struct place here = {.up = up, .key = str_n(m->key, m->key_n)};
        const struct crd_schema *below = crd_schema_member(s, here.key);
        c->at = &here;
        if (below) {
            value(c, below, m->value, granular ? json_get_n(old, here.key) : NULL);
        }
    }
    c->at = up;
    if (k) {
        required(c, k, j);
    }
}

/* ---- allOf, anyOf, oneOf, not ---- */

static size_t errors_in(struct check *c, const struct crd_schema *s, const struct json *j)
{
    struct check branch = {.e = c->e, .at = c->at, .quiet = true};
    value(&branch, s, j, NULL);
    return branch.found;
}

/* How many branches fit; *ret_best: the one with the fewest errors, when none does. */
static size_t branches_fit(struct check *c, const struct crd_schema *const *list,
                           const struct json *j, const struct crd_schema **ret_best)
{
    size_t fit = 0, fewest = SIZE_MAX;
    for (; *list; list++) {
        size_t n = errors_in(c, *list, j);
        fit += n == 0;
        if (n < fewest) {
            fewest = n;
            *ret_best = *list;
        }
    }
    return fit;
}

/* The errors of a branch that should have fitted. A quiet check has no use for them, and would take
 * exponential time to find them again in nested branches. */
static void explain(struct check *c, const struct crd_schema *branch, const struct json *j)
{
    if (!c->quiet && branch) { /* none where the list of branches is empty */
        value(c, branch, j, NULL);
    }
}

static void alternatives(struct check *c, const struct crd_checks *k, const struct json *j)
{
    const struct crd_schema *best = NULL;
    if (k->any_of && branches_fit(c, k->any_of, j, &best) == 0) {
        composite(c, "validate at least one schema (anyOf)");
        explain(c, best, j);
    }
    size_t fit = k->one_of ? branches_fit(c, k->one_of, j, &best) : 1;
    if (fit != 1) {
        composite(c, fit == 0
                         ? "validate one and only one schema (oneOf). Found none valid"
                         : arena_printf(c->e->arena,
                                        "validate one and only one schema (oneOf). Found %zu valid "
                                        "alternatives",
                                        fit));
        if (fit == 0) {
            explain(c, best, j);
        }
    }
    size_t n = 0, bad = 0;
    for (; k->all_of && k->all_of[n]; n++) {
        size_t before = c->found;
        value(c, k->all_of[n], j, NULL);
        bad += c->found > before;
    }
    if (bad) {
        composite(c, bad == n ? "validate all the schemas (allOf). None validated"
                              : "validate all the schemas (allOf)");
    }
    if (k->not_ && errors_in(c, k->not_, j) == 0) {
        composite(c, "not validate the schema (not)");
    }
}

/* ---- one value ---- */

static void value(struct check *c, const struct crd_schema *s, const struct json *j,
                  const struct json *old)
{
    const struct crd_checks *k = s->checks;
    if (old && json_equal(j, old)) {
        return;
    }
    if (j->type == JSON_NULL) {
        if (!(s->flags & CRD_F_NULLABLE) && *type_name(s)) {
            wrong_type(c, type_name(s), "null");
        }
        return;
    }
    if (!fits(s, j)) {
        wrong_type(c, type_name(s), json_kind(j));
    }
    if (k && (k->any_of || k->one_of || k->all_of || k->not_)) {
        alternatives(c, k, j);
    }
    if (k && j->type == JSON_STRING) {
        string(c, k, j);
    } else if (k && (j->type == JSON_INT || j->type == JSON_REAL)) {
        number(c, k, j);
    }
    if (k && k->values) {
        enumeration(c, k, j);
    }
    if (j->type == JSON_ARRAY && s->type != CRD_OBJECT) {
        array(c, s, j, old);
    } else if (j->type == JSON_OBJECT && s->type != CRD_ARRAY) {
        object(c, s, j, old);
    }
}

void crd_check(struct field_errors *e, const struct crd_schema *s, const struct json *obj,
               const struct json *old)
{
    struct check c = {.e = e};
    if (s && obj) {
        value(&c, s, obj, old);
        crd_check_embedded(e, s, obj);
        crd_check_lists(e, s, obj, old);
    }
}

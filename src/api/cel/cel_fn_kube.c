/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' libraries regex, quantity and semver (kubernetes.io, "Common Expression Language in
 * Kubernetes"; semver.org 2.0). */
#include <inttypes.h>
#include <math.h>

#include "cel_fn.h"

/* ---- regex ---- */

CEL_FN(find)
{
    struct regex *re = cel_regex(r, cel_text(&args[1]));
    struct regex_span span;
    int rc = re ? regex_find(re, cel_text(&args[0]), 0, &span, 1) : 0;
    if (!re || rc < 0) {
        return rc < 0 ? cel_no_memory(r) : false;
    }
    *ret = cel_string(rc ? str_n(args[0].s + span.start, span.end - span.start) : STR_NULL);
    return true;
}

CEL_FN(find_all)
{
    struct regex *re = cel_regex(r, cel_text(&args[1]));
    struct str s = cel_text(&args[0]);
    int64_t limit = n == 3 ? args[2].i : -1;
    struct cel_value *items = arena_alloc(r->a, (s.n + 2) * sizeof(*items));
    uint32_t count = 0;
    size_t from = 0, last = SIZE_MAX;
    if (!re || !items) {
        return re ? cel_no_memory(r) : false;
    }
    while (from <= s.n && (limit < 0 || count < limit)) {
        struct regex_span span;
        int rc = regex_find(re, s, from, &span, 1);
        if (rc < 0) {
            return cel_no_memory(r);
        }
        if (rc == 0) {
            break;
        }
        bool empty = span.start == span.end;
        if (!empty || span.end != last) { /* no empty match right behind another */
            items[count++] = cel_string(str_n(s.p + span.start, span.end - span.start));
        }
        last = span.end;
        from = span.end;
        if (empty) {
            for (from++; from < s.n && ((unsigned char)s.p[from] & 0xC0) == 0x80; from++) {
            }
        }
    }
    *ret = cel_list_value(r->a, items, count);
    return true;
}

/* ---- quantity ---- */

static const struct quantity *as_quantity(const struct cel_value *v)
{
    return v->opaque;
}

static bool give_quantity(struct cel_run *r, struct quantity q, struct cel_value *ret)
{
    *ret = cel_opaque(CEL_QUANTITY, arena_dup(r->a, &q, sizeof(q)));
    return true;
}

CEL_FN(is_quantity)
{
    struct quantity q;
    *ret = cel_bool(quantity_parse(cel_text(&args[0]), &q, NULL) == 0);
    return true;
}

CEL_FN(quantity)
{
    struct quantity q;
    struct err err;
    if (quantity_parse(cel_text(&args[0]), &q, &err) < 0) {
        return cel_fail(r, "%s", err.text);
    }
    return give_quantity(r, q, ret);
}

static const __int128 nanos = 1000000000;

static bool fits_int(const struct quantity *q)
{
    __int128 whole = q->nano / nanos;
    return q->nano % nanos == 0 && whole >= INT64_MIN && whole <= INT64_MAX;
}

CEL_FN(is_integer)
{
    *ret = cel_bool(fits_int(as_quantity(&args[0])));
    return true;
}

CEL_FN(as_integer)
{
    if (!fits_int(as_quantity(&args[0]))) {
        return cel_fail(r, "cannot convert value to integer");
    }
    *ret = cel_int((int64_t)(as_quantity(&args[0])->nano / nanos));
    return true;
}

CEL_FN(as_float)
{
    *ret = cel_double((double)as_quantity(&args[0])->nano / 1e9);
    return true;
}

CEL_FN(quantity_sign)
{
    __int128 nano = as_quantity(&args[0])->nano;
    *ret = cel_int((nano > 0) - (nano < 0));
    return true;
}

static struct quantity operand(const struct cel_value *v)
{
    return v->kind == CEL_INT ? quantity_of(v->i, QUANTITY_DECIMAL_SI) : *as_quantity(v);
}

CEL_FN(quantity_add)
{
    return give_quantity(r, quantity_add(*as_quantity(&args[0]), operand(&args[1])), ret);
}

CEL_FN(quantity_sub)
{
    return give_quantity(r, quantity_sub(*as_quantity(&args[0]), operand(&args[1])), ret);
}

/* ---- semver ---- */

static bool part_of(struct str s, uint64_t *ret)
{
    return s.n > 0 && (s.n == 1 || s.p[0] != '0') && str_u64(s, ret) == 0;
}

/* Dot-separated identifiers of letters, digits and '-'; numbers without leading zeros. */
static bool identifiers(struct str s, bool strict)
{
    for (bool more = true; more;) {
        struct str id;
        bool digits = true;
        more = str_cut(s, '.', &id, &s);
        for (size_t i = 0; i < id.n; i++) {
            char c = id.p[i];
            bool digit = c >= '0' && c <= '9';
            if (!digit && c != '-' && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')) {
                return false;
            }
            digits &= digit;
        }
        if (!id.n || (strict && digits && id.n > 1 && id.p[0] == '0')) {
            return false;
        }
    }
    return true;
}

static struct str trim_zeros(struct str s)
{
    while (s.n > 1 && s.p[0] == '0') {
        s = str_n(s.p + 1, s.n - 1);
    }
    return s;
}

/* normalize: an optional "v", missing minor and patch, and leading zeros are accepted. */
static bool semver_parse(struct str s, bool normalize, struct cel_semver *ret)
{
    *ret = (struct cel_semver){.build = STR_NULL};
    if (normalize && s.n && s.p[0] == 'v') {
        s = str_n(s.p + 1, s.n - 1);
    }
    bool build = str_cut(s, '+', &s, &ret->build);
    bool pre = str_cut(s, '-', &s, &ret->pre);
    int parts = 0;
    for (bool more = true; more; parts++) {
        struct str part;
        more = str_cut(s, '.', &part, &s);
        part = normalize ? trim_zeros(part) : part;
        if (parts == 3 || !part_of(part, &ret->part[parts])) {
            return false;
        }
    }
    return (parts == 3 || normalize) && (!pre || identifiers(ret->pre, true)) &&
           (!build || identifiers(ret->build, false));
}

static bool wants_normal(const struct cel_value *args, unsigned n)
{
    return n == 2 && args[1].b;
}

CEL_FN(is_semver)
{
    struct cel_semver v;
    *ret = cel_bool(semver_parse(cel_text(&args[0]), wants_normal(args, n), &v));
    return true;
}

CEL_FN(semver)
{
    struct cel_semver v;
    if (!semver_parse(cel_text(&args[0]), wants_normal(args, n), &v)) {
        return cel_fail(r, "Invalid semantic version: " STR_FMT, STR_ARG(cel_text(&args[0])));
    }
    *ret = cel_opaque(CEL_SEMVER, arena_dup(r->a, &v, sizeof(v)));
    return true;
}

static bool semver_part(const struct cel_value *v, unsigned i, struct cel_value *ret)
{
    *ret = cel_int((int64_t)((const struct cel_semver *)v->opaque)->part[i]);
    return true;
}

CEL_FN(semver_major)
{
    return semver_part(&args[0], 0, ret);
}

CEL_FN(semver_minor)
{
    return semver_part(&args[0], 1, ret);
}

CEL_FN(semver_patch)
{
    return semver_part(&args[0], 2, ret);
}

/* Section 11.4: numbers before words, numbers by value, the shorter first. */
static int compare_pre(struct str a, struct str b)
{
    if (!a.n || !b.n) {
        return (int)(b.n > 0) - (int)(a.n > 0);
    }
    for (bool more_a = true, more_b = true; more_a && more_b;) {
        struct str x, y;
        uint64_t i, k;
        more_a = str_cut(a, '.', &x, &a);
        more_b = str_cut(b, '.', &y, &b);
        bool number_x = str_u64(x, &i) == 0, number_y = str_u64(y, &k) == 0;
        int order = number_x && number_y   ? (i > k) - (i < k)
                    : number_x != number_y ? (number_x ? -1 : 1)
                                           : str_cmp(x, y);
        if (order == 0 && more_a != more_b) {
            return more_a ? 1 : -1;
        }
        if (order) {
            return order;
        }
    }
    return 0;
}

static int compare_semver(const struct cel_semver *a, const struct cel_semver *b)
{
    for (int i = 0; i < 3; i++) {
        if (a->part[i] != b->part[i]) {
            return a->part[i] < b->part[i] ? -1 : 1;
        }
    }
    return compare_pre(a->pre, b->pre);
}

/* ---- comparisons of both ---- */

static int compare(const struct cel_value *args)
{
    int order = args[0].kind == CEL_QUANTITY
                    ? quantity_cmp(*as_quantity(&args[0]), *as_quantity(&args[1]))
                    : compare_semver(args[0].opaque, args[1].opaque);
    return (order > 0) - (order < 0);
}

CEL_FN(compare_to)
{
    *ret = cel_int(compare(args));
    return true;
}

CEL_FN(is_greater)
{
    *ret = cel_bool(compare(args) > 0);
    return true;
}

CEL_FN(is_less)
{
    *ret = cel_bool(compare(args) < 0);
    return true;
}

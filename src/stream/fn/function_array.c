/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of arrays. Positions count from 0; two items are the same as value_same() has it. An
 * argument is never changed: results are new arrays.
 */
#include <stdlib.h>

#include "base/encode.h"
#include "base/limits.h"
#include "family.h"
#include "set.h"
#include "stream/sql/ast.h"

static const char *const ordinals[] = {"first", "second", "third"};

static int want_array(const struct value *args, unsigned i, struct err *err)
{
    return args[i].type == VALUE_ARRAY
               ? 0
               : err_set(err, -E_INVAL, "%s argument should be array of interface{}", ordinals[i]);
}

static int want_int(const struct value *args, unsigned i, struct err *err)
{
    return args[i].type == VALUE_INT
               ? 0
               : err_set(err, -E_INVAL, "%s argument should be int", ordinals[i]);
}

static int want_text(const struct value *args, unsigned i, struct err *err)
{
    return args[i].type == VALUE_STRING
               ? 0
               : err_set(err, -E_INVAL, "%s argument should be string", ordinals[i]);
}

static int want_arrays(const struct value *args, struct err *err)
{
    int rc = want_array(args, 0, err);
    return rc < 0 ? rc : want_array(args, 1, err);
}

/* ---- looking ---- */

static int64_t find(const struct value *list, const struct value *v)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (value_same(&list->items[i], v)) {
            return i;
        }
    }
    return -1;
}

static int array_position(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    (void)ev;
    (void)argc;
    *ret = value_int(args[0].type == VALUE_ARRAY ? find(&args[0], &args[1]) : -1);
    return want_array(args, 0, err);
}

static int array_last_position(struct eval *ev, const struct value *args, unsigned argc,
                               struct value *ret, struct err *err)
{
    int64_t i = args[0].type == VALUE_ARRAY ? (int64_t)args[0].n - 1 : -1;
    (void)ev;
    (void)argc;
    while (i >= 0 && !value_same(&args[0].items[i], &args[1])) {
        i--;
    }
    *ret = value_int(i);
    return want_array(args, 0, err);
}

static int array_contains(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    (void)ev;
    (void)argc;
    *ret = value_bool(args[0].type == VALUE_ARRAY && find(&args[0], &args[1]) >= 0);
    return want_array(args, 0, err);
}

static int array_contains_any(struct eval *ev, const struct value *args, unsigned argc,
                              struct value *ret, struct err *err)
{
    struct value_set set;
    bool some = false;
    int rc = want_arrays(args, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    if (!value_set_init(&set, ev->arena, args[0].n)) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; i < args[0].n; i++) {
        (void)value_set_add(&set, &args[0].items[i]); /* once is enough */
    }
    for (uint32_t i = 0; !some && i < args[1].n; i++) {
        some = value_set_has(&set, &args[1].items[i]);
    }
    *ret = value_bool(some);
    return 0;
}

static int element_of_array(const struct value *args, struct value *ret, struct err *err)
{
    int rc = want_int(args, 1, err);
    int64_t i = args[1].i;
    if (rc < 0) {
        return rc;
    }
    if (i >= args[0].n || i < -(int64_t)args[0].n) {
        return err_set(err, -E_INVAL, "index out of range");
    }
    *ret = args[0].items[i < 0 ? i + args[0].n : i];
    return 0;
}

static int element_at(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)ev;
    (void)argc;
    if (args[0].type == VALUE_ARRAY) {
        return element_of_array(args, ret, err);
    }
    if (args[0].type != VALUE_OBJECT) {
        return err_set(err, -E_INVAL,
                       "first argument should be []interface{} or map[string]interface{}");
    }
    int rc = want_text(args, 1, err);
    const struct value *found = rc == 0 ? value_get(&args[0], value_text(&args[1])) : NULL;
    *ret = found ? *found : VALUE_OF_NULL;
    return rc;
}

static int array_cardinality(struct eval *ev, const struct value *args, unsigned argc,
                             struct value *ret, struct err *err)
{
    (void)ev;
    (void)argc;
    *ret = value_int(args[0].n);
    return want_array(args, 0, err);
}

static int cardinality(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    (void)ev;
    (void)argc;
    (void)err;
    *ret = value_int(args[0].type == VALUE_ARRAY ? args[0].n : 0);
    return 0;
}

/* ---- extremes ---- */

static int extreme(const struct value *list, int sign, struct value *ret, struct err *err)
{
    const struct value *best = NULL;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct value *v = &list->items[i];
        if (value_is_null(v)) {
            *ret = VALUE_OF_NULL;
            return 0;
        }
        if (!value_is_number(v) && v->type != VALUE_BOOL) {
            return err_set(err, -E_INVAL, "array contain elements that are not numeric or Boolean");
        }
        best = !best || sign * value_order(v, best) > 0 ? v : best;
    }
    *ret = best ? *best : VALUE_OF_NULL;
    return 0;
}

static int array_max(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                     struct err *err)
{
    int rc = want_array(args, 0, err);
    (void)ev;
    (void)argc;
    return rc < 0 ? rc : extreme(&args[0], 1, ret, err);
}

static int array_min(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                     struct err *err)
{
    int rc = want_array(args, 0, err);
    (void)ev;
    (void)argc;
    return rc < 0 ? rc : extreme(&args[0], -1, ret, err);
}

/* ---- sets ---- */

/* The items of `list` that are (not) in `other`, each once; other NULL: all. */
static int select_items(struct eval *ev, const struct value *list, const struct value *other,
                        bool in, struct value *ret)
{
    struct value_set seen, others;
    struct value *items = function_items(ev, list->n);
    uint32_t n = 0, n_others = other ? other->n : 0;
    if (!items || !value_set_init(&seen, ev->arena, list->n) ||
        !value_set_init(&others, ev->arena, n_others)) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; i < n_others; i++) {
        (void)value_set_add(&others, &other->items[i]); /* once is enough */
    }
    for (uint32_t i = 0; i < list->n; i++) {
        const struct value *v = &list->items[i];
        if ((!other || value_set_has(&others, v) == in) && value_set_add(&seen, v)) {
            items[n++] = *v;
        }
    }
    *ret = value_items(items, n);
    return 0;
}

static int array_distinct(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    int rc = want_array(args, 0, err);
    (void)argc;
    return rc < 0 ? rc : select_items(ev, &args[0], NULL, true, ret);
}

/* In the order of the second. */
static int array_intersect(struct eval *ev, const struct value *args, unsigned argc,
                           struct value *ret, struct err *err)
{
    int rc = want_arrays(args, err);
    (void)argc;
    return rc < 0 ? rc : select_items(ev, &args[1], &args[0], true, ret);
}

static int array_except(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    int rc = want_arrays(args, err);
    (void)argc;
    return rc < 0 ? rc : select_items(ev, &args[0], &args[1], false, ret);
}

/* All items of n arrays, one after the other. */
static int join_arrays(struct eval *ev, const struct value *lists, uint32_t n, struct value *ret,
                       struct err *err)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        total += lists[i].n;
    }
    if (total > LIMIT_SQL_ITEMS) {
        return err_set(err, -E_LIMIT, "an array of more than %d items", LIMIT_SQL_ITEMS);
    }
    struct value *items = function_items(ev, (uint32_t)total);
    uint32_t at = 0;
    for (uint32_t i = 0; items && i < n; i++) {
        for (uint32_t k = 0; k < lists[i].n; k++) {
            items[at++] = lists[i].items[k];
        }
    }
    *ret = value_items(items, at);
    return items ? 0 : -E_NOMEM;
}

static int array_union(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    struct value both;
    int rc = want_arrays(args, err);
    rc = rc < 0 ? rc : join_arrays(ev, args, argc, &both, err);
    return rc < 0 ? rc : select_items(ev, &both, NULL, true, ret);
}

static int array_concat(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    for (unsigned i = 0; i < argc; i++) {
        if (args[i].type != VALUE_ARRAY) {
            return err_set(err, -E_INVAL, "argument should be array of interface{}");
        }
    }
    return join_arrays(ev, args, argc, ret, err);
}

static int array_flatten(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    int rc = want_array(args, 0, err);
    (void)argc;
    for (uint32_t i = 0; rc == 0 && i < args[0].n; i++) {
        if (args[0].items[i].type != VALUE_ARRAY) {
            rc = err_set(err, -E_INVAL, "array elements should be array");
        }
    }
    return rc < 0 ? rc : join_arrays(ev, args[0].items, args[0].n, ret, err);
}

static int array_remove(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    int rc = want_array(args, 0, err);
    struct value *items = rc == 0 ? function_items(ev, args[0].n) : NULL;
    uint32_t n = 0;
    (void)argc;
    for (uint32_t i = 0; items && i < args[0].n; i++) {
        if (!value_same(&args[0].items[i], &args[1])) {
            items[n++] = args[0].items[i];
        }
    }
    *ret = value_items(items, n);
    return rc < 0 ? rc : items ? 0 : -E_NOMEM;
}

/* ---- making ---- */

static int array_create(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    struct value *items = function_items(ev, argc);
    (void)err;
    for (unsigned i = 0; items && i < argc; i++) {
        items[i] = args[i].type == VALUE_ABSENT ? VALUE_OF_NULL : args[i];
    }
    *ret = value_items(items, argc);
    return items ? 0 : -E_NOMEM;
}

static int repeat(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                  struct err *err)
{
    int rc = want_int(args, 1, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    if (args[1].i < 0) {
        return err_set(err, -E_INVAL, "second argument should not be negative");
    }
    if (args[1].i > LIMIT_SQL_ITEMS) {
        return err_set(err, -E_LIMIT, "an array of more than %d items", LIMIT_SQL_ITEMS);
    }
    uint32_t n = (uint32_t)args[1].i;
    struct value *items = function_items(ev, n);
    for (uint32_t i = 0; items && i < n; i++) {
        items[i] = args[0];
    }
    *ret = value_items(items, n);
    return items ? 0 : -E_NOMEM;
}

static int sequence(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                    struct err *err)
{
    for (unsigned i = 0; i < argc; i++) {
        int rc = want_int(args, i, err);
        if (rc < 0) {
            return rc;
        }
    }
    __int128 start = args[0].i, stop = args[1].i;
    __int128 step = argc > 2 ? args[2].i : start < stop ? 1 : -1;
    if (step == 0) {
        return err_set(err, -E_INVAL, "invalid step: should not be zero");
    }
    __int128 n = (stop - start) / step + 1;
    if ((stop - start) * (step < 0 ? -1 : 1) < 0) {
        n = 0;
    }
    if (n > LIMIT_SQL_ITEMS) {
        return err_set(err, -E_LIMIT, "an array of more than %d items", LIMIT_SQL_ITEMS);
    }
    struct value *items = function_items(ev, (uint32_t)n);
    for (uint32_t i = 0; items && i < (uint32_t)n; i++) {
        items[i] = value_int((int64_t)(start + i * step));
    }
    *ret = value_items(items, (uint32_t)n);
    return items ? 0 : -E_NOMEM;
}

/* array_map("abs", list) */
static int array_map(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                     struct err *err)
{
    int rc = want_text(args, 0, err);
    rc = rc < 0 ? rc : want_array(args, 1, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    const struct function *f = function_find(value_text(&args[0]));
    if (!f) {
        return err_set(err, -E_INVAL, "unknown built-in function: " STR_FMT ".",
                       STR_ARG(value_text(&args[0])));
    }
    if (f->kind != FUNCTION_SCALAR || !f->eval || str_is(value_text(&args[0]), "array_map")) {
        return err_set(err, -E_INVAL, "first argument should be a scalar function.");
    }
    if (f->min_args > 1 || f->max_args < 1) {
        return err_set(err, -E_INVAL, "function should accept exactly one argument.");
    }
    struct value *items = function_items(ev, args[1].n);
    for (uint32_t i = 0; items && rc == 0 && i < args[1].n; i++) {
        items[i] = VALUE_OF_NULL;
        if (!value_is_null(&args[1].items[i]) || (f->flags & FUNCTION_F_NULLS)) {
            rc = f->eval(ev, &args[1].items[i], 1, &items[i], err);
        }
    }
    *ret = value_items(items, args[1].n);
    return items ? rc : -E_NOMEM;
}

static int array_join(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    struct buf b = BUF_INIT;
    int rc = want_array(args, 0, err);
    for (unsigned i = 1; rc == 0 && i < argc; i++) {
        rc = want_text(args, i, err);
    }
    bool first = true;
    for (uint32_t i = 0; rc == 0 && i < args[0].n; i++) {
        const struct value *v = &args[0].items[i];
        if (!value_is_null(v) && v->type != VALUE_STRING) {
            rc = err_set(err, -E_INVAL, "array elements should be string");
        } else if (!value_is_null(v) || argc > 2) {
            (void)buf_append_str(&b, first ? STR_NULL : value_text(&args[1])); /* sticky */
            (void)buf_append_str(&b, value_text(value_is_null(v) ? &args[2] : v));
            first = false;
        }
    }
    if (rc < 0) {
        buf_fini(&b);
        return rc;
    }
    return function_take_text(ev, &b, ret);
}

/* ---- order ---- */

static int by_order(const void *a, const void *b)
{
    return value_order(a, b);
}

static int array_sort(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    int rc = args[0].type == VALUE_ARRAY ? join_arrays(ev, args, argc, ret, err)
                                         : err_set(err, -E_INVAL, "array elements should be array");
    if (rc == 0 && ret->n > 1) {
        qsort((void *)ret->items, ret->n, sizeof(*ret->items), by_order);
    }
    return rc;
}

static int array_shuffle(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    int rc = want_array(args, 0, err);
    struct value *items = rc == 0 ? function_items(ev, args[0].n) : NULL;
    (void)argc;
    for (uint32_t i = 0; items && i < args[0].n; i++) {
        uint32_t k = (uint32_t)random_below((uint64_t)i + 1);
        items[i] = items[k];
        items[k] = args[0].items[i];
    }
    *ret = value_items(items, args[0].n);
    return rc < 0 ? rc : items ? 0 : -E_NOMEM;
}

/* [{"key": "a", "value": 1}, ...] */
static int kvpair_array_to_obj(struct eval *ev, const struct value *args, unsigned argc,
                               struct value *ret, struct err *err)
{
    int rc = want_array(args, 0, err);
    uint32_t n = 0;
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    struct value_member *members = arena_alloc(ev->arena, (args[0].n + 1) * sizeof(*members));
    for (uint32_t i = 0; members && i < args[0].n; i++) {
        const struct value *key = value_get(&args[0].items[i], STR_LIT("key"));
        const struct value *v = value_get(&args[0].items[i], STR_LIT("value"));
        if (!key || !v || key->type != VALUE_STRING) {
            return err_set(err, -E_INVAL, "array elements should be objects of key and value");
        }
        function_set_member(members, &n, value_text(key), v);
    }
    *ret = value_members(members, n);
    return members ? 0 : -E_NOMEM;
}

#define PURE FUNCTION_F_PURE
#define NULLS (FUNCTION_F_PURE | FUNCTION_F_NULLS)

static const struct function functions[] = {
    SCALAR("array_cardinality", 1, 1, PURE, NULL, array_cardinality, "How many items there are."),
    SCALAR("array_concat", 1, FUNCTION_ARGS_ANY, PURE, NULL, array_concat,
           "The items of all arrays in one."),
    SCALAR("array_contains", 2, 2, PURE, NULL, array_contains, "Whether an item is the value."),
    SCALAR("array_contains_any", 2, 2, PURE, NULL, array_contains_any,
           "Whether the arrays have an item in common."),
    SCALAR("array_create", 0, FUNCTION_ARGS_ANY, NULLS, NULL, array_create,
           "An array of the arguments."),
    SCALAR("array_distinct", 1, 1, PURE, NULL, array_distinct, "The items, each once."),
    SCALAR("array_except", 2, 2, PURE, NULL, array_except,
           "The items of the first that are not in the second, each once."),
    SCALAR("array_flatten", 1, 1, PURE, NULL, array_flatten,
           "The items of the arrays in an array."),
    SCALAR("array_intersect", 2, 2, PURE, NULL, array_intersect,
           "The items that are in both, each once."),
    SCALAR("array_join", 2, 3, PURE, NULL, array_join,
           "The texts with a delimiter between; nulls are left out or replaced by the third."),
    SCALAR("array_last_position", 2, 2, PURE, NULL, array_last_position,
           "Where the value stands last, from 0; -1 when nowhere."),
    SCALAR("array_map", 2, 2, 0, NULL, array_map,
           "The results of the named function for each item."),
    SCALAR("array_max", 1, 1, PURE, NULL, array_max,
           "The greatest item; null when an item is null."),
    SCALAR("array_min", 1, 1, PURE, NULL, array_min, "The least item; null when an item is null."),
    SCALAR("array_position", 2, 2, PURE, NULL, array_position,
           "Where the value stands first, from 0; -1 when nowhere."),
    SCALAR("array_remove", 2, 2, PURE, NULL, array_remove, "The items that are not the value."),
    SCALAR("array_shuffle", 1, 1, 0, NULL, array_shuffle, "The items in an order by chance."),
    SCALAR("array_sort", 1, 1, PURE, NULL, array_sort, "The items in ascending order."),
    SCALAR("array_union", 2, 2, PURE, NULL, array_union,
           "The items that are in one of the arrays, each once."),
    SCALAR("cardinality", 1, 1, NULLS, NULL, cardinality,
           "How many items an array has; 0 for anything else."),
    SCALAR("element_at", 2, 2, PURE, NULL, element_at,
           "The item at an index (from the end when negative), or the member of a name."),
    SCALAR("kvpair_array_to_obj", 1, 1, PURE, NULL, kvpair_array_to_obj,
           "An object of an array of objects of key and value."),
    SCALAR("repeat", 2, 2, PURE, NULL, repeat, "An array of a value as often as said."),
    SCALAR("sequence", 2, 3, PURE, NULL, sequence, "The integers from a start to an end."),
};

const struct function_family function_array = {functions, ARRAY_SIZE(functions)};

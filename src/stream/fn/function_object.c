/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of objects. Members keep the order of their source. */
#include "base/limits.h"
#include "family.h"
#include "stream/sql/ast.h"

static int want_object(const struct value *v, struct err *err)
{
    return v->type == VALUE_OBJECT
               ? 0
               : err_set(err, -E_INVAL, "the argument should be map[string]interface{}");
}

static struct value_member *room(struct eval *ev, size_t n)
{
    return arena_alloc(ev->arena, (n + 1) * sizeof(struct value_member));
}

static int keys(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                struct err *err)
{
    int rc = want_object(&args[0], err);
    struct value *items = rc == 0 ? function_items(ev, args[0].n) : NULL;
    (void)argc;
    for (uint32_t i = 0; items && i < args[0].n; i++) {
        items[i] = value_string(args[0].members[i].key);
    }
    *ret = value_items(items, args[0].n);
    return rc < 0 ? rc : items ? 0 : -E_NOMEM;
}

static int values(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                  struct err *err)
{
    int rc = want_object(&args[0], err);
    struct value *items = rc == 0 ? function_items(ev, args[0].n) : NULL;
    (void)argc;
    for (uint32_t i = 0; items && i < args[0].n; i++) {
        items[i] = args[0].members[i].value;
    }
    *ret = value_items(items, args[0].n);
    return rc < 0 ? rc : items ? 0 : -E_NOMEM;
}

/* object(keys, values) */
static int object(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                  struct err *err)
{
    uint32_t n = 0;
    (void)argc;
    if (args[0].type != VALUE_ARRAY) {
        return err_set(err, -E_INVAL, "first argument should be []string");
    }
    if (args[1].type != VALUE_ARRAY) {
        return err_set(err, -E_INVAL, "second argument should be []interface{}");
    }
    if (args[0].n != args[1].n) {
        return err_set(err, -E_INVAL, "the length of the arguments should be same");
    }
    *ret = VALUE_OF_NULL;
    if (args[0].n == 0) {
        return 0;
    }
    struct value_member *members = room(ev, args[0].n);
    for (uint32_t i = 0; members && i < args[0].n; i++) {
        if (args[0].items[i].type != VALUE_STRING) {
            return err_set(err, -E_INVAL, "first argument should be []string");
        }
        function_set_member(members, &n, value_text(&args[0].items[i]), &args[1].items[i]);
    }
    *ret = value_members(members, n);
    return members ? 0 : -E_NOMEM;
}

static int zip(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
               struct err *err)
{
    static const char wanted[] = "each argument should be [][2]interface{}";
    uint32_t n = 0;
    (void)argc;
    if (args[0].type != VALUE_ARRAY) {
        return err_set(err, -E_INVAL, "%s", wanted);
    }
    *ret = VALUE_OF_NULL;
    if (args[0].n == 0) {
        return 0;
    }
    struct value_member *members = room(ev, args[0].n);
    for (uint32_t i = 0; members && i < args[0].n; i++) {
        const struct value *pair = &args[0].items[i];
        if (pair->type != VALUE_ARRAY || pair->n != 2) {
            return err_set(err, -E_INVAL, "%s", wanted);
        }
        if (pair->items[0].type != VALUE_STRING) {
            return err_set(err, -E_INVAL, "the first element in the list item should be string");
        }
        function_set_member(members, &n, value_text(&pair->items[0]), &pair->items[1]);
    }
    *ret = value_members(members, n);
    return members ? 0 : -E_NOMEM;
}

static int items(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                 struct err *err)
{
    (void)argc;
    if (args[0].type != VALUE_OBJECT) {
        return err_set(err, -E_INVAL, "first argument should be map[string]interface{}");
    }
    *ret = VALUE_OF_NULL;
    if (args[0].n == 0) {
        return 0;
    }
    struct value *list = function_items(ev, args[0].n);
    struct value *pairs = list ? function_items(ev, args[0].n * 2) : NULL;
    for (uint32_t i = 0; pairs && i < args[0].n; i++) {
        pairs[2 * i] = value_string(args[0].members[i].key);
        pairs[2 * i + 1] = args[0].members[i].value;
        list[i] = value_items(&pairs[2 * i], 2);
    }
    *ret = value_items(list, args[0].n);
    return pairs ? 0 : -E_NOMEM;
}

/* A pair of which the key or the value is null is left out. */
static int object_construct(struct eval *ev, const struct value *args, unsigned argc,
                            struct value *ret, struct err *err)
{
    struct value_member *members = room(ev, argc / 2);
    uint32_t n = 0;
    for (unsigned i = 0; members && i + 1 < argc; i += 2) {
        if (value_is_null(&args[i]) || value_is_null(&args[i + 1])) {
            continue;
        }
        if (args[i].type != VALUE_STRING) {
            struct buf b = BUF_INIT;
            (void)value_print_text(&b, &args[i]); /* sticky */
            (void)err_set(err, -E_INVAL, "key " STR_FMT " is not a string", STR_ARG(buf_str(&b)));
            buf_fini(&b);
            return -E_INVAL;
        }
        function_set_member(members, &n, value_text(&args[i]), &args[i + 1]);
    }
    *ret = value_members(members, n);
    return members ? 0 : -E_NOMEM;
}

static int check_construct(const struct ast_expr *call, struct err *err)
{
    if (call->n_args % 2 != 0) {
        return err_set(err, -E_INVAL, "the args must be key value pairs");
    }
    for (uint32_t i = 0; i < call->n_args; i += 2) {
        if (!function_expect_string(call, i, err)) {
            return -E_INVAL;
        }
    }
    return 0;
}

/* Nulls are passed over; of equal names the last one counts. */
static int object_concat(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    size_t total = 0;
    uint32_t n = 0;
    for (unsigned i = 0; i < argc; i++) {
        if (!value_is_null(&args[i]) && args[i].type != VALUE_OBJECT) {
            return function_got(&args[i], "an object", err);
        }
        total += args[i].type == VALUE_OBJECT ? args[i].n : 0;
    }
    struct value_member *members = room(ev, total);
    for (unsigned i = 0; members && i < argc; i++) {
        for (uint32_t k = 0; args[i].type == VALUE_OBJECT && k < args[i].n; k++) {
            function_set_member(members, &n, args[i].members[k].key, &args[i].members[k].value);
        }
    }
    *ret = value_members(members, n);
    return members ? 0 : -E_NOMEM;
}

static bool named(const struct value *names, struct str key)
{
    if (names->type == VALUE_STRING) {
        return str_eq(value_text(names), key);
    }
    for (uint32_t i = 0; i < names->n; i++) {
        if (names->items[i].type == VALUE_STRING && str_eq(value_text(&names->items[i]), key)) {
            return true;
        }
    }
    return false;
}

static int erase(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                 struct err *err)
{
    uint32_t n = 0;
    int rc = want_object(&args[0], err);
    (void)argc;
    if (rc == 0 && args[1].type != VALUE_ARRAY && args[1].type != VALUE_STRING) {
        rc = err_set(err, -E_INVAL, "the argument should be slice or string");
    }
    struct value_member *members = rc == 0 ? room(ev, args[0].n) : NULL;
    for (uint32_t i = 0; members && i < args[0].n; i++) {
        if (!named(&args[1], args[0].members[i].key)) {
            members[n++] = args[0].members[i];
        }
    }
    *ret = value_members(members, n);
    return rc < 0 ? rc : members ? 0 : -E_NOMEM;
}

/* ---- object_pick ---- */

/* Puts v at the path "a.b.c" into an object that was made here; *into grows by copies. */
static int put_path(struct eval *ev, struct value *into, struct str path, const struct value *v,
                    unsigned depth)
{
    struct str head, rest;
    bool inner = str_cut(path, '.', &head, &rest);
    struct value_member *members = room(ev, (size_t)into->n + 1);
    struct value below = VALUE_OF_NULL;
    uint32_t n = 0;
    if (!members || depth > LIMIT_SQL_DEPTH) {
        return members ? -E_LIMIT : -E_NOMEM;
    }
    for (; n < into->n; n++) {
        members[n] = into->members[n];
        below = str_eq(members[n].key, head) ? members[n].value : below;
    }
    if (inner) {
        below = below.type == VALUE_OBJECT ? below : value_members(NULL, 0);
        int rc = put_path(ev, &below, rest, v, depth + 1);
        if (rc < 0) {
            return rc;
        }
    }
    function_set_member(members, &n, head, inner ? &below : v);
    *into = value_members(members, n);
    return 0;
}

/* "a.b" is the member b of a, and stands so in the result. */
static int pick(struct eval *ev, const struct value *from, const struct value *name,
                struct value *into)
{
    struct str head, rest = name->type == VALUE_STRING ? value_text(name) : STR_NULL;
    const struct value *found = name->type == VALUE_STRING ? from : NULL;
    while (found && str_cut(rest, '.', &head, &rest)) {
        found = value_get(found, head);
    }
    found = found ? value_get(found, head) : NULL;
    return found ? put_path(ev, into, value_text(name), found, 0) : 0;
}

static int object_pick(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    int rc = want_object(&args[0], err);
    *ret = value_members(NULL, 0);
    for (unsigned i = 1; rc == 0 && i < argc; i++) {
        uint32_t n = args[i].type == VALUE_ARRAY ? args[i].n : 1;
        for (uint32_t k = 0; rc == 0 && k < n; k++) {
            rc =
                pick(ev, &args[0], args[i].type == VALUE_ARRAY ? &args[i].items[k] : &args[i], ret);
        }
    }
    return rc;
}

static int object_size(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    (void)ev;
    (void)argc;
    *ret = value_int(value_is_null(&args[0]) ? 0 : args[0].n);
    return value_is_null(&args[0]) ? 0 : want_object(&args[0], err);
}

static int obj_to_kvpair_array(struct eval *ev, const struct value *args, unsigned argc,
                               struct value *ret, struct err *err)
{
    int rc = want_object(&args[0], err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    struct value *list = function_items(ev, args[0].n);
    struct value_member *pairs = list ? room(ev, (size_t)args[0].n * 2) : NULL;
    for (uint32_t i = 0; pairs && i < args[0].n; i++) {
        pairs[2 * i] = (struct value_member){STR_LIT("key"), value_string(args[0].members[i].key)};
        pairs[2 * i + 1] = (struct value_member){STR_LIT("value"), args[0].members[i].value};
        list[i] = value_members(&pairs[2 * i], 2);
    }
    *ret = value_items(list, args[0].n);
    return pairs ? 0 : -E_NOMEM;
}

#define PURE FUNCTION_F_PURE
#define NULLS (FUNCTION_F_PURE | FUNCTION_F_NULLS)

static const struct function functions[] = {
    SCALAR("erase", 2, 2, PURE, NULL, erase, "The object without the members named."),
    SCALAR("items", 1, 1, PURE, NULL, items, "The members as arrays of name and value."),
    SCALAR("keys", 1, 1, PURE, NULL, keys, "The names of the members."),
    SCALAR("obj_to_kvpair_array", 1, 1, PURE, NULL, obj_to_kvpair_array,
           "The members as objects of key and value."),
    SCALAR("object", 2, 2, PURE, NULL, object, "An object of an array of names and one of values."),
    SCALAR("object_concat", 2, FUNCTION_ARGS_ANY, NULLS, NULL, object_concat,
           "The members of all objects in one; of equal names the last counts."),
    SCALAR("object_construct", 0, FUNCTION_ARGS_ANY, NULLS, check_construct, object_construct,
           "An object of names and values in turn, without those that are null."),
    SCALAR("object_pick", 2, FUNCTION_ARGS_ANY, PURE, NULL, object_pick,
           "The object with the members named only."),
    SCALAR("object_size", 1, 1, NULLS, NULL, object_size, "How many members there are."),
    SCALAR("values", 1, 1, PURE, NULL, values, "The values of the members."),
    SCALAR("zip", 1, 1, PURE, NULL, zip, "An object of an array of arrays of name and value."),
};

const struct function_family function_object = {functions, ARRAY_SIZE(functions)};

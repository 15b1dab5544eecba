/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all functions, and what the families share. */
#include "function.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "family.h"
#include "stream/sql/ast.h"
#include "stream/value_time.h"

static const struct function_family *const families[] = {
    &function_accumulate, &function_aggregate, &function_analytic, &function_array,
    &function_collect,    &function_context,   &function_hash,     &function_math,
    &function_misc,       &function_object,    &function_path,     &function_regex,
    &function_statistics, &function_string,    &function_time,
};

#define FUNCTIONS_MAX 256

static const struct function *table[FUNCTIONS_MAX];
static uint32_t n_table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int by_name(const void *a, const void *b)
{
    const struct function *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void sort_families(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        for (uint32_t k = 0; k < families[i]->n; k++) {
            assert(n_table < FUNCTIONS_MAX);
            table[n_table++] = &families[i]->functions[k];
        }
    }
    qsort(table, n_table, sizeof(table[0]), by_name);
}

const struct function *const *function_all(uint32_t *ret_n)
{
    (void)pthread_once(&once, sort_families); /* cannot fail */
    *ret_n = n_table;
    return table;
}

const struct function *function_find(struct str name)
{
    uint32_t low = 0, high;
    (void)function_all(&high);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int c = str_cmp(name, str_of(table[middle]->name));
        if (c == 0) {
            return table[middle];
        }
        if (c < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* ---- constant arguments ---- */

const struct value *function_constant(const struct ast_expr *call, unsigned i)
{
    return i < call->n_args && call->args[i]->kind == AST_CONST &&
                   !value_is_null(&call->args[i]->value)
               ? &call->args[i]->value
               : NULL;
}

static bool expect(const struct ast_expr *call, unsigned i, bool ok, const char *what,
                   struct err *err)
{
    (void)call;
    if (!ok) {
        (void)err_set(err, -E_INVAL, "Expect %s type for parameter %u", what, i + 1);
    }
    return ok;
}

bool function_expect_number(const struct ast_expr *call, unsigned i, struct err *err)
{
    const struct value *v = function_constant(call, i);
    return expect(call, i, !v || value_is_number(v), "number - float or int", err);
}

bool function_expect_int(const struct ast_expr *call, unsigned i, struct err *err)
{
    const struct value *v = function_constant(call, i);
    return expect(call, i, !v || v->type == VALUE_INT, "int", err);
}

bool function_expect_string(const struct ast_expr *call, unsigned i, struct err *err)
{
    const struct value *v = function_constant(call, i);
    return expect(call, i, !v || v->type == VALUE_STRING, "string", err);
}

bool function_expect_bool(const struct ast_expr *call, unsigned i, struct err *err)
{
    const struct value *v = function_constant(call, i);
    return expect(call, i, !v || v->type == VALUE_BOOL, "bool", err);
}

int function_expect(const struct ast_expr *call, const char *types, struct err *err)
{
    for (unsigned i = 0; i < call->n_args; i++) {
        bool ok = *types == 's'   ? function_expect_string(call, i, err)
                  : *types == 'n' ? function_expect_number(call, i, err)
                  : *types == 'i' ? function_expect_int(call, i, err)
                  : *types == 'b' ? function_expect_bool(call, i, err)
                                  : true;
        if (!ok) {
            return -E_INVAL;
        }
        types += types[1] != '\0';
    }
    return 0;
}

int function_check_strings(const struct ast_expr *call, struct err *err)
{
    return function_expect(call, "s", err);
}

/* ---- arguments at run time ---- */

int function_got(const struct value *v, const char *wanted, struct err *err)
{
    struct buf b = BUF_INIT;
    (void)value_print_text(&b, v); /* sticky */
    (void)err_set(err, -E_INVAL, "expect %s but got %s " STR_FMT, wanted, value_type_name(v->type),
                  STR_ARG(buf_str(&b)));
    buf_fini(&b);
    return -E_INVAL;
}

int function_double(const struct value *v, double *ret, struct err *err)
{
    if (v->type == VALUE_INT) {
        *ret = (double)v->i;
        return 0;
    }
    if (v->type == VALUE_FLOAT) {
        *ret = v->f;
        return 0;
    }
    return function_got(v, "a number", err);
}

int function_int(const struct value *v, int64_t *ret, struct err *err)
{
    if (v->type == VALUE_INT) {
        *ret = v->i;
        return 0;
    }
    if (v->type == VALUE_FLOAT && v->f == trunc(v->f) && fabs(v->f) < 9.2e18) {
        *ret = (int64_t)v->f;
        return 0;
    }
    return function_got(v, "an integer", err);
}

int function_text(struct arena *a, const struct value *v, struct str *ret, struct err *err)
{
    struct value text;
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES) {
        *ret = value_text(v);
        return 0;
    }
    int rc = value_cast(a, v, VALUE_STRING, &text, err);
    if (rc == 0) {
        *ret = value_text(&text);
    }
    return rc;
}

int function_instant(const struct value *v, struct wall *ret, struct err *err)
{
    return value_time_of(v, ret) == 0 ? 0 : function_got(v, "a datetime", err);
}

/* ---- results ---- */

struct value *function_items(struct eval *ev, uint32_t n)
{
    return arena_alloc(ev->arena, ((size_t)n + 1) * sizeof(struct value));
}

int function_take_text(struct eval *ev, struct buf *b, struct value *ret)
{
    char *copy = buf_failed(b) ? NULL : arena_strndup(ev->arena, buf_data(b), buf_len(b));
    *ret = value_string(str_n(copy, copy ? buf_len(b) : 0));
    buf_fini(b);
    return copy ? 0 : -E_NOMEM;
}

void function_set_member(struct value_member *members, uint32_t *n, struct str key,
                         const struct value *v)
{
    for (uint32_t i = 0; i < *n; i++) {
        if (str_eq(members[i].key, key)) {
            members[i].value = *v;
            return;
        }
    }
    members[(*n)++] = (struct value_member){key, *v};
}

int function_text_result(struct arena *a, struct str s, struct value *ret)
{
    *ret = value_string(s);
    return arena_failed(a) ? -ENOMEM : 0;
}

int function_two_texts(struct eval *ev, const struct value *args, struct str *a, struct str *b,
                       struct err *err)
{
    if (value_is_null(&args[0]) || value_is_null(&args[1])) {
        return 1;
    }
    int rc = function_text(ev->arena, &args[0], a, err);
    return rc < 0 ? rc : function_text(ev->arena, &args[1], b, err);
}

void function_save_floats(struct arena *a, const double *floats, size_t n, struct value *items)
{
    for (size_t i = 0; i < n; i++) {
        struct value v = value_float(floats[i]);
        items[i] = value_save(a, &v);
    }
}

int function_load_floats(const struct value *items, double *const *floats, size_t n)
{
    struct arena a;
    int rc = 0;
    arena_init(&a, 0);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct value v;
        rc = value_load(&a, &items[i], &v);
        rc = rc < 0 ? rc : function_double(&v, floats[i], NULL);
    }
    arena_fini(&a);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random expression trees over random values: bytes say which node comes next. Nothing may crash,
 * every failure has a text, and what succeeds prints, hashes and compares with itself.
 */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
    const uint8_t *p;
    size_t n;
    unsigned nodes;
    struct arena *arena;
};

static unsigned next(struct source *s, unsigned below)
{
    if (s->n == 0) {
        return 0;
    }
    s->n--;
    return *s->p++ % below;
}

static int64_t next_int(struct source *s)
{
    static const int64_t edges[] = {0, 1, -1, 2, 10, INT64_MAX, INT64_MIN, 1620002730000};
    unsigned k = next(s, 16);
    return k < ARRAY_SIZE(edges) ? edges[k] : (int64_t)next(s, 256);
}

static double next_float(struct source *s)
{
    static const double edges[] = {0.5, -0.0, 1e300, -1e-300, 9.3e18, 3.14};
    unsigned k = next(s, 8);
    return k < ARRAY_SIZE(edges) ? edges[k] : k == 6 ? __builtin_nan("") : __builtin_inf();
}

static const char *const texts[] = {"",         "a",      "bigint", "2021-05-03T00:45:30Z",
                                    "%a_",      "base64", "zlib",   "{\"a\":[1,{\"b\":2}]}",
                                    "$.a[*]",   "UTC",    "[a-z]+", "yyyy-MM-dd HH:mm:ss",
                                    "\xff\xfe", "12",     "true",   "\xe4\xb8\xad\xe6\x96\x87"};

static struct value next_value(struct source *s, unsigned depth)
{
    struct value v = {.type = next(s, depth > 3 ? VALUE_ARRAY : VALUE_TYPE_NR)};
    struct str text;
    switch (v.type) {
    case VALUE_BOOL:
        return value_bool(next(s, 2));
    case VALUE_INT:
        return value_int(next_int(s));
    case VALUE_TIME:
        return value_time((struct wall){next_int(s)});
    case VALUE_FLOAT:
        return value_float(next_float(s));
    case VALUE_STRING:
    case VALUE_BYTES:
        text = str_of(texts[next(s, ARRAY_SIZE(texts))]);
        v.n = (uint32_t)text.n;
        v.s = text.p;
        return v;
    case VALUE_ARRAY: {
        uint32_t n = next(s, 5);
        struct value *items = arena_alloc(s->arena, (n + 1) * sizeof(*items));
        for (uint32_t i = 0; items && i < n; i++) {
            items[i] = next_value(s, depth + 1);
        }
        v.n = items ? n : 0;
        v.items = items;
        return v;
    }
    case VALUE_OBJECT: {
        static const char *const names[] = {"a", "b", "key", "value"};
        uint32_t n = next(s, 5);
        struct value_member *members = arena_alloc(s->arena, (n + 1) * sizeof(*members));
        for (uint32_t i = 0; members && i < n; i++) {
            members[i] = (struct value_member){str_of(names[i]), next_value(s, depth + 1)};
        }
        v.n = members ? n : 0;
        v.members = members;
        return v;
    }
    default:
        return v;
    }
}

static struct expr *next_expr(struct source *s, unsigned depth);

static void next_list(struct source *s, struct expr *e, uint32_t n, unsigned depth)
{
    e->list = arena_alloc(s->arena, (n + 1) * sizeof(*e->list));
    for (uint32_t i = 0; e->list && i < n; i++) {
        e->list[i] = next_expr(s, depth + 1);
        if (!e->list[i]) {
            e->list = NULL;
            break;
        }
        e->n_list = i + 1;
    }
}

static void next_call(struct source *s, struct expr *e, unsigned depth)
{
    uint32_t n;
    const struct function *const *all = function_all(&n);
    const struct function *f = all[next(s, 256) % n];
    if (!f->eval || f->max_args == 0) {
        e->kind = EXPR_CONST;
        e->value = next_value(s, 0);
        return;
    }
    e->function = f;
    uint32_t spread = f->max_args > f->min_args ? MIN_OF(f->max_args - f->min_args, 3) + 1 : 1;
    next_list(s, e, f->min_args + next(s, spread), depth);
}

static struct expr *next_expr(struct source *s, unsigned depth)
{
    struct expr *e = arena_zalloc(s->arena, sizeof(*e));
    if (!e) {
        return NULL;
    }
    e->kind = depth > 6 || ++s->nodes > 60 ? EXPR_CONST : next(s, EXPR_OBJECT);
    e->negated = next(s, 2);
    e->op = next(s, VALUE_OP_NR);
    e->slot = next(s, 3);
    e->source = (int16_t)(next(s, 3) - 1);
    e->name = str_of(next(s, 2) ? "a" : "b");
    if (e->kind == EXPR_CALL) {
        next_call(s, e, depth);
        return e->kind == EXPR_CONST || e->list ? e : NULL;
    }
    if (e->kind == EXPR_CASE) {
        next_list(s, e, 2, depth);
        return e->list ? e : NULL;
    }
    if (e->kind == EXPR_CONST) {
        e->value = next_value(s, 0);
    }
    if (e->kind >= EXPR_NOT) {
        e->a = next_expr(s, depth + 1);
        e->b = next_expr(s, depth + 1);
        e->c = next_expr(s, depth + 1);
        return e->a && e->b && e->c ? e : NULL;
    }
    return e;
}

static void check(const struct value *v)
{
    struct buf b = BUF_INIT;
    (void)value_print_json(&b, v); /* sticky */
    (void)value_print_text(&b, v);
    buf_fini(&b);
    assert(value_order(v, v) == 0 && value_same(v, v));
    assert(value_hash(v, 1) == value_hash(v, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena plan, arena;
    struct err err = {0};
    struct value v;
    bool yes;
    arena_init(&plan, (size_t)1 << 20);
    arena_init(&arena, (size_t)1 << 20);
    struct source s = {data, size, 0, &plan};
    struct value cells[3] = {next_value(&s, 0), next_value(&s, 0), next_value(&s, 0)};
    struct value whole = {.type = VALUE_OBJECT};
    struct row *row = row_new(cells, 3, &whole, &whole, 1620002730000000, 1);
    struct {
        uint32_t n;
        const struct row *rows[1];
    } tuple = {1, {row}};
    struct eval ev = {.arena = &arena,
                      .tuple = (const struct tuple *)(const void *)&tuple,
                      .computed = cells,
                      .now_us = 1620002730000000};
    const struct expr *e = row ? next_expr(&s, 0) : NULL;
    if (e) {
        int rc = expr_eval(e, &ev, &v, &err);
        if (rc == 0) {
            check(&v);
        } else {
            assert(rc != -E_INVAL || err.text[0]);
        }
        (void)expr_test(e, &ev, &yes, &err); /* must not crash */
    }
    row_unref(row);
    arena_fini(&plan);
    arena_fini(&arena);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregate functions that give the rows of a group, or some of them: the state is a queue of
 * values, so that the oldest rows of a sliding window can be dropped.
 */
#include "base/limits.h"
#include "family.h"
#include "kept.h"
#include "set.h"
#include "stream/sql/ast.h"

struct collected {
    struct queue values;
    struct queue keys; /* deduplicate: the key of each value */
    bool all;          /* deduplicate: its last argument */
};

static int told(int rc, struct err *err)
{
    return rc < 0 ? err_sys(err, rc, "keep a row") : 0;
}

/* ---- collect(x): x may be a row ---- */

static int collect_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                        struct value *ret, struct err *err)
{
    struct collected *c = state;
    (void)ev;
    (void)argc;
    (void)ret;
    return told(queue_push(&c->values, &args[0]), err);
}

static int collected_drop(void *state, struct eval *ev, const struct value *args, unsigned argc)
{
    struct collected *c = state;
    (void)ev;
    (void)args;
    (void)argc;
    queue_pop(&c->values);
    queue_pop(&c->keys);
    return 0;
}

static int collected_merge(void *into, const void *from, struct err *err)
{
    struct collected *a = into;
    const struct collected *b = from;
    int rc = queue_append(&a->values, &b->values);
    rc = rc < 0 ? rc : queue_append(&a->keys, &b->keys);
    a->all = b->values.n > 0 ? b->all : a->all;
    return told(rc, err);
}

static struct value absent_as_null(const struct kept *k)
{
    return k->value.type == VALUE_ABSENT ? VALUE_OF_NULL : k->value;
}

static int collect_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    const struct collected *c = state;
    struct value *items = function_items(ev, c->values.n);
    (void)err;
    for (uint32_t i = 0; items && i < c->values.n; i++) {
        items[i] = absent_as_null(queue_at(&c->values, i));
    }
    *ret = value_items(items, c->values.n);
    return items ? 0 : -E_NOMEM;
}

/* ---- merge_agg(x): the members of all objects in one; of equal names the last counts ---- */

static int merge_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                      struct value *ret, struct err *err)
{
    static const struct value null = VALUE_OF_NULL;
    struct collected *c = state;
    (void)ev;
    (void)argc;
    (void)ret;
    /* One entry a row, so that rows can be dropped. */
    return told(queue_push(&c->values, args[0].type == VALUE_OBJECT ? &args[0] : &null), err);
}

static int merge_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    const struct collected *c = state;
    size_t total = 0;
    uint32_t n = 0;
    (void)err;
    for (uint32_t i = 0; i < c->values.n; i++) {
        const struct value *v = &queue_at(&c->values, i)->value;
        total += v->type == VALUE_OBJECT ? v->n : 0;
    }
    struct value_member *members = arena_alloc(ev->arena, (total + 1) * sizeof(*members));
    for (uint32_t i = 0; members && i < c->values.n; i++) {
        const struct value *v = &queue_at(&c->values, i)->value;
        for (uint32_t k = 0; v->type == VALUE_OBJECT && k < v->n; k++) {
            function_set_member(members, &n, v->members[k].key, &v->members[k].value);
        }
    }
    *ret = n > 0 ? value_members(members, n) : VALUE_OF_NULL;
    return members ? 0 : -E_NOMEM;
}

/* ---- deduplicate(key, all): the planner puts the row before its arguments ---- */

static int deduplicate_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                            struct value *ret, struct err *err)
{
    struct collected *c = state;
    (void)ev;
    (void)ret;
    if (argc != 3 || args[2].type != VALUE_BOOL) {
        return err_set(err, -E_INVAL, "Invalid argument type found.");
    }
    c->all = args[2].b;
    int rc = queue_push(&c->values, &args[0]);
    if (rc == 0) {
        rc = queue_push(&c->keys, &args[1]);
        if (rc < 0) { /* both or none: the newest goes */
            kept_clear(queue_at(&c->values, --c->values.n));
        }
    }
    return told(rc, err);
}

/* All: the first row of each key. Else the last row, if its key was not there before. */
static int deduplicate_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    const struct collected *c = state;
    struct value_set keys;
    struct value *items = function_items(ev, c->values.n);
    uint32_t n = 0;
    bool fresh = false;
    (void)err;
    if (!items || !value_set_init(&keys, ev->arena, c->keys.n)) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; i < c->keys.n; i++) {
        fresh = value_set_add(&keys, &queue_at(&c->keys, i)->value);
        if (fresh) {
            items[n++] = queue_at(&c->values, i)->value;
        }
    }
    *ret = c->all ? value_items(items, n) : fresh ? items[n - 1] : VALUE_OF_NULL;
    return 0;
}

static int check_deduplicate(const struct ast_expr *call, struct err *err)
{
    return function_expect_bool(call, 1, err) ? 0 : -E_INVAL;
}

/* ---- shared ---- */

static void collected_fini(void *state)
{
    struct collected *c = state;
    queue_fini(&c->values);
    queue_fini(&c->keys);
}

/* [values, keys, all] */
static int collected_save(const void *state, struct arena *a, struct value *ret)
{
    const struct collected *c = state;
    struct value *items = arena_alloc(a, 3 * sizeof(*items));
    int rc = items ? queue_save(&c->values, a, &items[0]) : -E_NOMEM;
    rc = rc < 0 ? rc : queue_save(&c->keys, a, &items[1]);
    if (rc == 0) {
        items[2] = value_bool(c->all);
        *ret = value_items(items, 3);
    }
    return rc;
}

static int collected_load(void *state, const struct value *saved)
{
    struct collected *c = state;
    if (saved->type != VALUE_ARRAY || saved->n != 3 || saved->items[2].type != VALUE_BOOL) {
        return -E_INVAL;
    }
    int rc = queue_load(&c->values, &saved->items[0]);
    rc = rc < 0 ? rc : queue_load(&c->keys, &saved->items[1]);
    if (rc == 0 && c->keys.n > 0 && c->keys.n != c->values.n) {
        rc = -E_INVAL;
    }
    c->all = saved->items[2].b;
    return rc;
}

static size_t collected_bytes(const void *state)
{
    const struct collected *c = state;
    return c->values.bytes + c->keys.bytes;
}

#define COLLECTED_OPS(step_fn, result_fn)                                            \
    {                                                                                \
        .size = sizeof(struct collected), .step = (step_fn), .drop = collected_drop, \
        .merge = collected_merge, .result = (result_fn), .fini = collected_fini,     \
        .save = collected_save, .load = collected_load, .bytes = collected_bytes     \
    }
static const struct function_state_ops collect_ops = COLLECTED_OPS(collect_step, collect_result);
static const struct function_state_ops merge_ops = COLLECTED_OPS(merge_step, merge_result);
static const struct function_state_ops deduplicate_ops =
    COLLECTED_OPS(deduplicate_step, deduplicate_result);

static const struct function functions[] = {
    AGGREGATE("collect", 1, 1, NULL, &collect_ops, "An array of the values, or of the rows."),
    AGGREGATE("deduplicate", 2, 2, check_deduplicate, &deduplicate_ops,
              "The rows with keys that differ, or the last row if its key is new."),
    AGGREGATE("merge_agg", 1, 1, NULL, &merge_ops, "The members of all objects in one."),
};

const struct function_family function_collect = {functions, ARRAY_SIZE(functions)};

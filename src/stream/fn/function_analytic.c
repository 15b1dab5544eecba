/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Analytic functions: what a row is compared with those before it. Where ev->skip is set the row
 * does not meet WHEN: it changes nothing.
 *
 * The functions that give several rows or columns stand here as well.
 */
#include "base/limits.h"
#include "family.h"
#include "kept.h"
#include "stream/sql/ast.h"

static int told(int rc, struct err *err)
{
    return rc < 0 ? err_sys(err, rc, "keep a value") : 0;
}

/* Whether two values differ; 1 and 1.0 do not, null and absent do not. */
static bool differ(const struct kept *k, const struct value *v)
{
    struct value old = kept_value(k);
    return !value_same(&old, v);
}

static int want_bool(const struct value *v, const char *which, struct err *err)
{
    if (v->type == VALUE_BOOL) {
        return 0;
    }
    struct buf b = BUF_INIT;
    (void)value_print_text(&b, v); /* sticky */
    (void)err_set(err, -E_INVAL, "%s arg is not a bool but got " STR_FMT, which,
                  STR_ARG(buf_str(&b)));
    buf_fini(&b);
    return -E_INVAL;
}

/* ---- states of one value ---- */

static void one_fini(void *state)
{
    kept_clear(state);
}

static int one_save(const void *state, struct arena *a, struct value *ret)
{
    return kept_save(state, a, ret);
}

static int one_load(void *state, const struct value *saved)
{
    return kept_load(state, saved);
}

static size_t one_bytes(const void *state)
{
    return kept_bytes(state);
}

#define ONE_OPS(step_fn)                                                                    \
    {                                                                                       \
        .size = sizeof(struct kept), .step = (step_fn), .fini = one_fini, .save = one_save, \
        .load = one_load, .bytes = one_bytes                                                \
    }

/* latest(x, otherwise) */
static int latest_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                       struct value *ret, struct err *err)
{
    struct kept *k = state;
    if (ev->skip || value_is_null(&args[0])) {
        *ret = k->some ? k->value : argc > 1 ? args[1] : VALUE_OF_NULL;
        return 0;
    }
    *ret = args[0];
    return told(kept_set(k, &args[0]), err);
}

/* changed_col(ignore_null, x) */
static int changed_col_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                            struct value *ret, struct err *err)
{
    int rc = want_bool(&args[0], "first", err);
    (void)argc;
    *ret = VALUE_OF_NULL;
    if (rc < 0 || ev->skip || (args[0].b && value_is_null(&args[1])) || !differ(state, &args[1])) {
        return rc;
    }
    *ret = args[1];
    return told(kept_set(state, &args[1]), err);
}

/* change_to(x, target, ignore_null): x is the target now and was not before. */
static int change_to_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    bool ignore = argc > 2 && args[2].type == VALUE_BOOL && args[2].b;
    *ret = value_bool(false);
    if (ev->skip || (ignore && value_is_null(&args[0])) || !differ(state, &args[0])) {
        return 0;
    }
    *ret = value_bool(argc < 2 || value_same(&args[0], &args[1]));
    return told(kept_set(state, &args[0]), err);
}

static const struct function_state_ops latest_ops = ONE_OPS(latest_step);
static const struct function_state_ops changed_col_ops = ONE_OPS(changed_col_step);
static const struct function_state_ops change_to_ops = ONE_OPS(change_to_step);

/* ---- states of several values ---- */

static void many_fini(void *state)
{
    queue_fini(state);
}

static int many_save(const void *state, struct arena *a, struct value *ret)
{
    return queue_save(state, a, ret);
}

static int many_load(void *state, const struct value *saved)
{
    return queue_load(state, saved);
}

static size_t many_bytes(const void *state)
{
    return ((const struct queue *)state)->bytes;
}

#define MANY_OPS(step_fn)                                                                      \
    {                                                                                          \
        .size = sizeof(struct queue), .step = (step_fn), .fini = many_fini, .save = many_save, \
        .load = many_load, .bytes = many_bytes                                                 \
    }

static int fill(struct queue *q, uint32_t n, struct err *err)
{
    static const struct value null = VALUE_OF_NULL;
    int rc = 0;
    while (rc == 0 && q->n < n) {
        rc = queue_push(q, &null);
    }
    return told(rc, err);
}

static int replace(struct queue *q, uint32_t i, const struct value *v, struct err *err)
{
    struct kept *k = queue_at(q, i);
    size_t before = kept_bytes(k);
    int rc = kept_set(k, v);
    q->bytes += rc == 0 ? kept_bytes(k) - before : 0;
    return told(rc, err);
}

/* had_changed(ignore_null, x, ...): item i of the queue is argument i + 1 as it was. */
static int had_changed_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                            struct value *ret, struct err *err)
{
    struct queue *q = state;
    bool changed = false;
    int rc = want_bool(&args[0], "first", err);
    *ret = value_bool(false);
    if (rc < 0 || ev->skip) {
        return rc;
    }
    rc = fill(q, argc - 1, err);
    for (unsigned i = 1; rc == 0 && i < argc; i++) {
        if (args[0].b && value_is_null(&args[i])) {
            continue;
        }
        if (differ(queue_at(q, i - 1), &args[i])) {
            changed = true;
            rc = replace(q, i - 1, &args[i], err);
        }
    }
    *ret = value_bool(changed);
    return rc;
}

/* lag(x, n, otherwise, ignore_null): the queue holds the last n values of rows that met WHEN. */
static int lag_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                    struct value *ret, struct err *err)
{
    struct queue *q = state;
    int64_t n = 1;
    if (argc > 1 && (args[1].type != VALUE_INT || args[1].i < 0 || args[1].i > LIMIT_SQL_ITEMS)) {
        return err_set(err, -E_INVAL, "the index should be an integer between 0 and %d",
                       LIMIT_SQL_ITEMS);
    }
    n = argc > 1 ? args[1].i : n;
    *ret = n == 0 ? args[0] : argc > 2 ? args[2] : VALUE_OF_NULL;
    if (n == 0) {
        return 0;
    }
    while (q->n > n) {
        queue_pop(q);
    }
    if (q->n == n) {
        *ret = value_copy(ev->arena, &queue_at(q, 0)->value);
        if (arena_failed(ev->arena)) {
            return -E_NOMEM;
        }
    }
    if (ev->skip ||
        (argc > 3 && args[3].type == VALUE_BOOL && args[3].b && value_is_null(&args[0]))) {
        return 0;
    }
    if (q->n == n) {
        queue_pop(q);
    }
    return told(queue_push(q, &args[0]), err);
}

/* change_capture(x, watched, target, ignore_null): items are x as it was captured and watched as it
 * was. */
static int change_capture_step(void *state, struct eval *ev, const struct value *args,
                               unsigned argc, struct value *ret, struct err *err)
{
    struct queue *q = state;
    bool ignore = argc > 3 && args[3].type == VALUE_BOOL && args[3].b;
    int rc = fill(q, 2, err);
    if (rc == 0 && !ev->skip && !(ignore && value_is_null(&args[1])) &&
        differ(queue_at(q, 1), &args[1])) {
        bool capture = argc < 3 || value_same(&args[1], &args[2]);
        rc = capture ? replace(q, 0, &args[0], err) : 0;
        rc = rc < 0 ? rc : replace(q, 1, &args[1], err);
    }
    *ret = rc == 0 ? queue_at(q, 0)->value : VALUE_OF_NULL;
    return rc;
}

/* consecutive_start(condition, x): the queue holds x of the first row of a run, or nothing. */
static int consecutive_start_step(void *state, struct eval *ev, const struct value *args,
                                  unsigned argc, struct value *ret, struct err *err)
{
    struct queue *q = state;
    int rc = value_is_null(&args[0]) ? 0 : want_bool(&args[0], "first", err);
    (void)argc;
    if (rc == 0 && !ev->skip) {
        if (value_is_null(&args[0]) || !args[0].b) {
            queue_pop(q);
        } else if (q->n == 0) {
            rc = told(queue_push(q, &args[1]), err);
        }
    }
    *ret = rc == 0 && q->n > 0 ? queue_at(q, 0)->value : VALUE_OF_NULL;
    return rc;
}

static const struct function_state_ops had_changed_ops = MANY_OPS(had_changed_step);
static const struct function_state_ops lag_ops = MANY_OPS(lag_step);
static const struct function_state_ops change_capture_ops = MANY_OPS(change_capture_step);
static const struct function_state_ops consecutive_start_ops = MANY_OPS(consecutive_start_step);

/* ---- consecutive_count(condition) ---- */

static int consecutive_count_step(void *state, struct eval *ev, const struct value *args,
                                  unsigned argc, struct value *ret, struct err *err)
{
    int64_t *n = state;
    int rc = value_is_null(&args[0]) ? 0 : want_bool(&args[0], "first", err);
    (void)argc;
    if (rc == 0 && !ev->skip) {
        *n = !value_is_null(&args[0]) && args[0].b ? *n + 1 : 0;
    }
    *ret = value_int(*n);
    return rc;
}

static int count_save(const void *state, struct arena *a, struct value *ret)
{
    (void)a;
    *ret = value_int(*(const int64_t *)state);
    return 0;
}

static int count_load(void *state, const struct value *saved)
{
    *(int64_t *)state = saved->type == VALUE_INT ? saved->i : 0;
    return saved->type == VALUE_INT ? 0 : -E_INVAL;
}

static const struct function_state_ops consecutive_count_ops = {.size = sizeof(int64_t),
                                                                .step = consecutive_count_step,
                                                                .save = count_save,
                                                                .load = count_load};

/* ---- changed_cols(prefix, ignore_null, columns) ---- */

/* The planner makes one object of the columns. State: the columns as they were, an object. */
static int changed_members(struct kept *k, struct eval *ev, const struct value *args,
                           struct value *ret, struct err *err)
{
    const struct value *now = &args[2];
    struct value old = kept_value(k);
    uint32_t n = 0, n_old = old.type == VALUE_OBJECT ? old.n : 0;
    struct value_member *changed = arena_alloc(ev->arena, (now->n + 1) * sizeof(*changed));
    struct value_member *next =
        arena_alloc(ev->arena, ((size_t)now->n + n_old + 1) * sizeof(*next));
    if (!changed || !next) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; i < n_old; i++) {
        next[i] = old.members[i];
    }
    for (uint32_t i = 0; i < now->n; i++) {
        const struct value_member *m = &now->members[i];
        const struct value *was = value_get(&old, m->key);
        static const struct value null = VALUE_OF_NULL;
        if ((args[1].b && value_is_null(&m->value)) || value_same(was ? was : &null, &m->value)) {
            continue;
        }
        char *key = arena_printf(ev->arena, STR_FMT STR_FMT, STR_ARG(value_text(&args[0])),
                                 STR_ARG(m->key));
        changed[n++] = (struct value_member){str_of(key), m->value};
        function_set_member(next, &n_old, m->key, &m->value);
    }
    *ret = value_members(changed, n);
    if (arena_failed(ev->arena)) {
        return -E_NOMEM;
    }
    struct value kept = value_members(next, n_old);
    /* The result may not borrow from what kept_set() frees: it borrows from the arguments. */
    return n > 0 ? told(kept_set(k, &kept), err) : 0;
}

static int changed_cols_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                             struct value *ret, struct err *err)
{
    *ret = value_members(NULL, 0);
    if (args[0].type != VALUE_STRING) {
        return function_got(&args[0], "a text as the prefix", err);
    }
    int rc = want_bool(&args[1], "second", err);
    if (rc < 0 || ev->skip) {
        return rc;
    }
    if (argc != 3 || args[2].type != VALUE_OBJECT) {
        return err_set(err, -E_INVAL, "expect more than two args but got %u", argc);
    }
    return changed_members(state, ev, args, ret, err);
}

static const struct function_state_ops changed_cols_ops = ONE_OPS(changed_cols_step);

/* ---- functions that give several rows ---- */

static int unnest(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                  struct err *err)
{
    (void)ev;
    (void)argc;
    *ret = args[0];
    return args[0].type == VALUE_ARRAY
               ? 0
               : err_set(err, -E_INVAL, "the argument for the unnest function should be array");
}

/* One row, with the members of the object as its columns. */
static int extract(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                   struct err *err)
{
    struct value *item = function_items(ev, 1);
    (void)argc;
    if (args[0].type != VALUE_OBJECT) {
        return err_set(err, -E_INVAL, "extract should use map");
    }
    if (item) {
        *item = args[0];
    }
    *ret = value_items(item, 1);
    return item ? 0 : -E_NOMEM;
}

/* ---- checks ---- */

static int first_bool(const struct ast_expr *call, const char *type, struct err *err)
{
    const struct value *v = function_constant(call, 0);
    return v && v->type != VALUE_BOOL
               ? err_set(err, -E_INVAL, "Expect %s type for parameter 1", type)
               : 0;
}

static int check_changed_col(const struct ast_expr *call, struct err *err)
{
    return first_bool(call, "boolean", err);
}

static int check_had_changed(const struct ast_expr *call, struct err *err)
{
    return call->n_args <= 1
               ? err_set(err, -E_INVAL, "expect more than one arg but got %u", call->n_args)
               : first_bool(call, "bool", err);
}

static int check_changed_cols(const struct ast_expr *call, struct err *err)
{
    if (call->n_args <= 2) {
        return err_set(err, -E_INVAL, "expect more than two args but got %u", call->n_args);
    }
    return function_expect(call, "sb.", err);
}

static int check_lag(const struct ast_expr *call, struct err *err)
{
    if (call->n_args > 1) {
        const struct value *n = function_constant(call, 1);
        if (call->args[1]->kind == AST_FIELD || !function_expect_int(call, 1, err)) {
            return err_set(err, -E_INVAL, "Expect int type for parameter 2");
        }
        if (n && n->i < 0) {
            return err_set(err, -E_INVAL, "the index should not be a nagtive integer");
        }
    }
    return 0;
}

static const struct function functions[] = {
    ANALYTIC("change_capture", 2, 4, NULL, &change_capture_ops,
             "A value as it was when another last changed (to a target)."),
    ANALYTIC("change_to", 1, 3, NULL, &change_to_ops, "Whether a value changed (to a target)."),
    ANALYTIC("changed_col", 2, 2, check_changed_col, &changed_col_ops,
             "The value if it has changed, else null."),
    {.name = "changed_cols",
     .kind = FUNCTION_COLUMNS,
     .min_args = 2,
     .max_args = FUNCTION_ARGS_ANY,
     .flags = FUNCTION_F_NULLS,
     .check = check_changed_cols,
     .state = &changed_cols_ops,
     .help = "The columns that have changed, their names with a prefix."},
    ANALYTIC("consecutive_count", 1, 1, NULL, &consecutive_count_ops,
             "How many rows in a row met a condition."),
    ANALYTIC("consecutive_start", 2, 2, NULL, &consecutive_start_ops,
             "A value as it was when a condition began to be met."),
    {.name = "extract",
     .kind = FUNCTION_SET,
     .min_args = 1,
     .max_args = 1,
     .flags = FUNCTION_F_PURE,
     .eval = extract,
     .help = "The members of an object as columns."},
    ANALYTIC("had_changed", 1, FUNCTION_ARGS_ANY, check_had_changed, &had_changed_ops,
             "Whether one of the values has changed."),
    ANALYTIC("lag", 1, 4, check_lag, &lag_ops, "The value of an earlier row."),
    ANALYTIC("latest", 1, 2, NULL, &latest_ops, "The last value that was not null."),
    {.name = "unnest",
     .kind = FUNCTION_SET,
     .min_args = 1,
     .max_args = 1,
     .flags = FUNCTION_F_PURE,
     .eval = unnest,
     .help = "The items of an array as rows."},
};

const struct function_family function_analytic = {functions, ARRAY_SIZE(functions)};

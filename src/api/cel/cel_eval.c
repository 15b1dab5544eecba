/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The evaluator: a walk over the nodes of a program.
 *
 * Every node gives a value or an error. Errors are absorbed by && and || when the other side alone
 * decides, and by all() and exists() likewise (cel-spec, langdef.md, "Logical Operators"); running
 * out of memory or of cost is never absorbed. Costs are counted as Kubernetes counts them: one for
 * a name, a selection or a call, by size for what walks through texts and lists.
 */
#include "cel_eval.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/encode.h"

enum { LOCALS_INLINE = 16 };

/* ---- errors and costs ---- */

bool cel_fail(struct cel_run *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r->text, sizeof(r->text), fmt, ap);
    va_end(ap);
    r->code = -E_INVAL;
    return false;
}

bool cel_no_memory(struct cel_run *r)
{
    (void)cel_fail(r, "out of memory");
    r->code = -E_NOMEM;
    return false;
}

bool cel_no_overload(struct cel_run *r)
{
    return cel_fail(r, "no such overload");
}

bool cel_spend(struct cel_run *r, uint64_t cost)
{
    r->cost = cost > UINT64_MAX - r->cost ? UINT64_MAX : r->cost + cost;
    if (r->cost > r->limit) {
        (void)cel_fail(r, "operation cancelled: actual cost limit exceeded");
        r->code = -E_LIMIT;
        return false;
    }
    return true;
}

/* An error that && and || may absorb. */
bool cel_absorbable(const struct cel_run *r)
{
    return r->code == -E_INVAL;
}

/* What was read, ready for use: errors fail, bytes that are still base64 are decoded. */
bool cel_take(struct cel_run *r, struct cel_value v, struct cel_value *ret)
{
    if (v.kind == CEL_ERROR) {
        return cel_fail(r, STR_FMT, STR_ARG(cel_text(&v)));
    }
    if (v.kind == CEL_BYTES && v.in_json) {
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        if (base64_decode(&out, cel_text(&v)) < 0) {
            return cel_fail(r, "unexpected value: not base64 bytes");
        }
        const char *text = arena_str(r->a, buf_str(&out));
        if (!text) {
            return cel_no_memory(r);
        }
        v = cel_bytes(str_n(text, buf_len(&out)));
    }
    *ret = v;
    return true;
}

/* Marks the node as the place of an error that has none yet. */
static bool placed(struct cel_run *r, const struct node *n, bool ok)
{
    if (!ok && r->pos == UINT32_MAX) {
        r->pos = n->pos;
    }
    return ok;
}

/* ---- logic ---- */

void cel_set_aside(struct cel_run *r, struct cel_pending *p)
{
    p->code = r->code;
    p->pos = r->pos;
    memcpy(p->text, r->text, sizeof(p->text));
    r->pos = UINT32_MAX;
}

bool cel_put_back(struct cel_run *r, const struct cel_pending *p)
{
    r->code = p->code;
    r->pos = p->pos;
    memcpy(r->text, p->text, sizeof(r->text));
    return false;
}

/* A value that && and || take. */
bool cel_eval_bool(struct cel_run *r, uint32_t at, bool *ret)
{
    struct cel_value v;
    if (!cel_eval_node(r, at, &v)) {
        return false;
    }
    if (v.kind != CEL_BOOL) {
        return placed(r, &r->p->nodes[at], cel_no_overload(r));
    }
    *ret = v.b;
    return true;
}

/* The other side of an && or || whose left side failed. Apart, for the size of its frame. */
static __attribute__((noinline)) bool eval_rescue(struct cel_run *r, uint32_t right, bool decides,
                                                  struct cel_value *ret)
{
    struct cel_pending error;
    bool b;
    cel_set_aside(r, &error);
    if (cel_eval_bool(r, right, &b)) {
        if (b == decides) {
            *ret = cel_bool(b);
            return true;
        }
    } else if (!cel_absorbable(r)) {
        return false;
    }
    return cel_put_back(r, &error);
}

static bool eval_logic(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    bool decides = n->op == NODE_OR, b;
    if (cel_eval_bool(r, n->a, &b)) {
        if (b == decides) {
            *ret = cel_bool(b);
            return true;
        }
        if (!cel_eval_bool(r, n->b, &b)) {
            return false;
        }
        *ret = cel_bool(b);
        return true;
    }
    return cel_absorbable(r) && eval_rescue(r, n->b, decides, ret);
}

static bool eval_cond(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    bool b;
    return cel_eval_bool(r, n->a, &b) && cel_eval_node(r, r->p->args[n->b + !b], ret);
}

/* ---- selection ---- */

static bool no_such_key(struct cel_run *r, const struct cel_value *key)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    if (key->kind == CEL_STRING) {
        (void)buf_append_str(&out, cel_text(key));
    } else {
        (void)cel_print(&out, key);
    }
    return cel_fail(r, "no such key: " STR_FMT, STR_ARG(buf_str(&out)));
}

bool cel_is_map(const struct cel_value *v)
{
    return v->kind == CEL_MAP || v->kind == CEL_OBJECT;
}

/* An optional's value, or none; the result of a selection on it is optional again. */
static bool open_optional(struct cel_value *v, bool *wrap)
{
    if (v->kind != CEL_OPTIONAL) {
        return true;
    }
    *wrap = true;
    if (!v->optional) {
        return false;
    }
    *v = *v->optional;
    return true;
}

bool cel_finish_optional(struct cel_run *r, bool wrap, bool found, struct cel_value v,
                         struct cel_value *ret)
{
    if (!wrap) {
        *ret = v;
        return true;
    }
    *ret = cel_optional(r->a, found ? &v : NULL);
    return !arena_failed(r->a) || cel_no_memory(r);
}

static bool eval_select(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    struct cel_value operand, v = cel_null();
    const struct cel_value *name = &r->p->consts[n->b];
    bool wrap = n->flags & NODE_F_OPTIONAL;
    if (!cel_eval_node(r, n->a, &operand) || !cel_spend(r, n->flags & NODE_F_TEST ? 0 : 1)) {
        return false;
    }
    if (!open_optional(&operand, &wrap)) {
        *ret = n->flags & NODE_F_TEST ? cel_bool(false) : cel_optional(r->a, NULL);
        return true;
    }
    if (!cel_is_map(&operand)) {
        return cel_fail(r, "no such overload");
    }
    bool found = cel_map_get_field(&operand, cel_text(name), &v);
    if (n->flags & NODE_F_TEST) {
        *ret = cel_bool(found);
        return true;
    }
    if (!found && !wrap) {
        return no_such_key(r, name);
    }
    return cel_take(r, v, &v) && cel_finish_optional(r, wrap, found, v, ret);
}

/* A list's index: any number that is whole. */
static bool list_index(struct cel_run *r, const struct cel_value *key, int64_t *ret)
{
    if (key->kind == CEL_INT) {
        *ret = key->i;
    } else if (key->kind == CEL_UINT) {
        *ret = key->u > INT64_MAX ? INT64_MAX : (int64_t)key->u;
    } else if (key->kind == CEL_DOUBLE && key->d == trunc(key->d) && fabs(key->d) < 9e15) {
        *ret = (int64_t)key->d;
    } else {
        return cel_fail(r, "unsupported index type '%s' in list", cel_kind_name(key->kind));
    }
    return true;
}

static bool eval_index(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    struct cel_value of, key, v = cel_null();
    bool wrap = n->flags & NODE_F_OPTIONAL, found;
    int64_t i = 0;
    if (!cel_eval_node(r, n->a, &of) || !cel_eval_node(r, n->b, &key) || !cel_spend(r, 1)) {
        return false;
    }
    if (!open_optional(&of, &wrap)) {
        *ret = cel_optional(r->a, NULL);
        return true;
    }
    if (of.kind == CEL_LIST) {
        if (!list_index(r, &key, &i)) {
            return false;
        }
        found = i >= 0 && i < cel_length(&of);
        if (!found && !wrap) {
            return cel_fail(r, "index out of bounds: %lld", (long long)i);
        }
        v = found ? cel_item(&of, (uint32_t)i) : v;
    } else if (cel_is_map(&of)) {
        found = cel_map_get(&of, &key, &v);
        if (!found && !wrap) {
            return no_such_key(r, &key);
        }
    } else {
        return cel_no_overload(r);
    }
    return cel_take(r, v, &v) && cel_finish_optional(r, wrap, found, v, ret);
}

static bool eval_in(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    struct cel_value v, in;
    if (!cel_eval_node(r, n->a, &v) || !cel_eval_node(r, n->b, &in)) {
        return false;
    }
    if (cel_is_map(&in)) {
        struct cel_value ignored;
        *ret = cel_bool(cel_map_get(&in, &v, &ignored));
        return cel_spend(r, 1);
    }
    if (in.kind != CEL_LIST) {
        return cel_no_overload(r);
    }
    bool found = false;
    for (uint32_t i = 0; !found && i < cel_length(&in); i++) {
        struct cel_value item;
        if (!cel_take(r, cel_item(&in, i), &item) || !cel_spend(r, 1)) {
            return false;
        }
        found = cel_equal(&v, &item);
    }
    *ret = cel_bool(found);
    return true;
}

/* ---- comparison ---- */

static uint64_t tenth(uint64_t n)
{
    return n / 10 + (n % 10 != 0);
}

static bool is_sized(enum cel_kind k)
{
    return k == CEL_STRING || k == CEL_BYTES || k == CEL_LIST || k == CEL_MAP || k == CEL_OBJECT;
}

/* A comparison looks at no more than the smaller of the two; a set also at every pair. */
static bool spend_compare(struct cel_run *r, const struct cel_value *a, const struct cel_value *b)
{
    if (!is_sized(a->kind)) {
        return cel_spend(r, 1);
    }
    uint64_t x = cel_size_of(a), y = cel_size_of(b);
    bool set = a->kind == CEL_LIST && a->in_json && a->type && a->type->list_type;
    return cel_spend(r, set ? tenth(x) * tenth(y) + 1 : MAX_OF(tenth(MIN_OF(x, y)), (uint64_t)1));
}

static bool eval_equal(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    struct cel_value a, b;
    if (!cel_eval_node(r, n->a, &a) || !cel_eval_node(r, n->b, &b) || !spend_compare(r, &a, &b)) {
        return false;
    }
    *ret = cel_bool(cel_equal(&a, &b) == (n->op == NODE_EQ));
    return true;
}

static bool eval_compare(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    struct cel_value a, b;
    bool ok = true;
    int order;
    if (!cel_eval_node(r, n->a, &a) || !cel_eval_node(r, n->b, &b)) {
        return false;
    }
    if (a.kind == CEL_INT && b.kind == CEL_INT) {
        order = a.i < b.i ? -1 : a.i > b.i;
        r->cost++;
    } else {
        order = cel_order(&a, &b, &ok);
        if (!spend_compare(r, &a, &b)) {
            return false;
        }
    }
    bool nan = (a.kind == CEL_DOUBLE && isnan(a.d)) || (b.kind == CEL_DOUBLE && isnan(b.d));
    if (!ok && !nan) {
        return cel_no_overload(r);
    }
    *ret = cel_bool(ok && (n->x == COMPARE_LT   ? order < 0
                           : n->x == COMPARE_LE ? order <= 0
                           : n->x == COMPARE_GT ? order > 0
                                                : order >= 0));
    return true;
}

/* ---- calls ---- */

static uint64_t product(uint64_t a, uint64_t b)
{
    return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/* What the call costs before it runs. */
static uint64_t call_cost(const struct cel_fn *fn, const struct cel_value *args, unsigned n)
{
    switch ((enum cel_cost)fn->cost) {
    case COST_ARG0:
        return n > 0 ? tenth(cel_size_of(&args[0])) : 1;
    case COST_ARG1:
        return n > 1 ? tenth(cel_size_of(&args[1])) : 1;
    case COST_TWICE:
        return n > 0 ? tenth(2 * cel_size_of(&args[0])) : 1;
    case COST_PRODUCT:
        return n > 1 ? product(tenth(cel_size_of(&args[0])), tenth(cel_size_of(&args[1]))) : 1;
    case COST_REGEX: {
        uint64_t pattern = n > 1 ? cel_size_of(&args[1]) : 1;
        return n > 1 ? product(tenth(1 + cel_size_of(&args[0])), (pattern + 3) / 4) : 1;
    }
    case COST_ELEMENTS:
        return n > 0 ? cel_size_of(&args[0]) : 1;
    case COST_ACCESS:
        return COST_ACCESS_CHECK;
    case COST_CROSS:
        return n > 1 ? product(cel_size_of(&args[0]), cel_size_of(&args[1])) : 1;
    case COST_CONCAT:
        return n > 1 && (args[0].kind == CEL_STRING || args[0].kind == CEL_BYTES)
                   ? tenth(cel_size_of(&args[0]) + cel_size_of(&args[1]))
                   : 1;
    case COST_ONE:
    case COST_IN:
    case COST_COMPARE:
    case COST_RESULT:
        break;
    }
    return 1;
}

/* Sums of lists are copied: their elements count as a tenth each. */
static bool spend_result(struct cel_run *r, const struct cel_fn *fn, const struct cel_value *v)
{
    if (fn->cost == COST_RESULT) {
        return cel_spend(r, tenth(2 * cel_size_of(v)));
    }
    return fn->cost != COST_CONCAT || v->kind != CEL_LIST || cel_spend(r, tenth(cel_length(v)));
}

static bool eval_call(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    const struct cel_fn *fn = &cel_functions[n->x];
    struct cel_value few[4], *args = few;
    if (n->a > ARRAY_SIZE(few)) {
        args = arena_alloc(r->a, n->a * sizeof(*args));
        if (!args) {
            return cel_no_memory(r);
        }
    }
    for (uint32_t i = 0; i < n->a; i++) {
        if (!cel_eval_node(r, r->p->args[n->b + i], &args[i])) {
            return false;
        }
    }
    bool any = fn->sigs[0] == '*';
    int overload = any ? 0 : cel_sig_match(fn->sigs, n->flags & NODE_F_MEMBER, args, n->a);
    if (overload < 0) {
        return cel_no_overload(r);
    }
    if (!cel_spend(r, call_cost(fn, args, n->a))) {
        return false;
    }
    r->literal = NULL;
    if (fn->cost == COST_REGEX && n->a >= 2) {
        const struct node *pattern = &r->p->nodes[r->p->args[n->b + 1]];
        r->literal = pattern->op == NODE_CONST ? r->p->regexes[pattern->a] : NULL;
    }
    if (!fn->impl(r, (unsigned)overload, args, n->a, ret)) {
        return false;
    }
    if (arena_failed(r->a)) {
        return cel_no_memory(r);
    }
    return spend_result(r, fn, ret);
}

struct regex *cel_regex(struct cel_run *r, struct str pattern)
{
    struct err err;
    if (r->literal) {
        return r->literal;
    }
    for (uint32_t i = 0; i < r->n_regexes; i++) {
        if (str_eq(r->patterns[i], pattern)) {
            return r->regexes[i];
        }
    }
    if (r->n_regexes == ARRAY_SIZE(r->regexes)) {
        (void)cel_fail(r, "more than %d different patterns in one evaluation", LIMIT_CEL_REGEXES);
        return NULL;
    }
    int rc = regex_compile(pattern, &r->regexes[r->n_regexes], &err);
    if (rc < 0) {
        (void)(rc == -E_NOMEM ? cel_no_memory(r) : cel_fail(r, "%s", err.text));
        return NULL;
    }
    r->patterns[r->n_regexes] = pattern;
    return r->regexes[r->n_regexes++];
}

/* ---- aggregates ---- */

bool cel_values_add(struct cel_run *r, struct cel_values *v, struct cel_value item)
{
    if (v->n == v->cap) {
        uint32_t cap = v->cap ? v->cap * 2 : 8;
        struct cel_value *grown =
            arena_grow(r->a, v->items, v->cap * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            return cel_no_memory(r);
        }
        v->items = grown;
        v->cap = cap;
    }
    v->items[v->n++] = item;
    return true;
}

bool cel_values_list(struct cel_run *r, const struct cel_values *v, struct cel_value *ret)
{
    *ret = cel_list_value(r->a, v->items, v->n);
    return ret->kind == CEL_LIST || cel_no_memory(r);
}

/* For ?e: the value inside; *skip when there is none. */
static bool unwrap(struct cel_run *r, struct cel_value *v, bool *skip)
{
    if (v->kind != CEL_OPTIONAL) {
        return cel_fail(r, "cannot initialize optional entry from non-optional value");
    }
    *skip = !v->optional;
    if (v->optional) {
        *v = *v->optional;
    }
    return true;
}

static bool eval_list(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    struct cel_values items = {0};
    if (!cel_spend(r, 10)) {
        return false;
    }
    for (uint32_t i = 0; i < n->a; i++) {
        uint32_t at = r->p->args[n->b + i];
        struct cel_value v;
        bool skip = false;
        if (!cel_eval_node(r, at & ~ARG_OPTIONAL, &v) ||
            (at & ARG_OPTIONAL && !unwrap(r, &v, &skip)) ||
            (!skip && !cel_values_add(r, &items, v))) {
            return false;
        }
    }
    return cel_values_list(r, &items, ret);
}

bool cel_add_entry(struct cel_run *r, struct cel_map *m, struct cel_value key,
                   struct cel_value value)
{
    if (!cel_is_key(&key)) {
        return cel_fail(r, "unsupported key type: %s", cel_kind_name(key.kind));
    }
    if (cel_map_add(r->a, m, key, value)) {
        return true;
    }
    if (arena_failed(r->a)) {
        return cel_no_memory(r);
    }
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    (void)cel_print(&out, &key);
    return cel_fail(r, "Failed with repeated key: " STR_FMT, STR_ARG(buf_str(&out)));
}

static bool eval_map(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    struct cel_map *m = arena_zalloc(r->a, sizeof(*m));
    if (!m) {
        return cel_no_memory(r);
    }
    if (!cel_spend(r, 30)) {
        return false;
    }
    for (uint32_t i = 0; i < n->a; i++) {
        uint32_t at = r->p->args[n->b + 2 * i];
        struct cel_value key, value;
        bool skip = false;
        if (!cel_eval_node(r, at & ~ARG_OPTIONAL, &key) ||
            !cel_eval_node(r, r->p->args[n->b + 2 * i + 1], &value) ||
            (at & ARG_OPTIONAL && !unwrap(r, &value, &skip)) ||
            (!skip && !cel_add_entry(r, m, key, value))) {
            return false;
        }
    }
    *ret = cel_map_value(m);
    return true;
}

/* ---- the walk ---- */

static bool eval_var(struct cel_run *r, uint32_t var, struct cel_value *ret)
{
    struct cel_value v = r->in->vars[var];
    if (v.kind == CEL_DYN && r->in->lazy) {
        r->in->lazy(r->in->arg, var, &v);
    }
    return cel_take(r, v, ret);
}

static bool eval_node(struct cel_run *r, const struct node *n, struct cel_value *ret)
{
    bool b;
    switch ((enum node_op)n->op) {
    case NODE_CONST:
        return cel_take(r, r->p->consts[n->a], ret);
    case NODE_VAR:
        return cel_spend(r, 1) && eval_var(r, n->a, ret);
    case NODE_LOCAL:
        return cel_spend(r, 1) && cel_take(r, r->locals[n->a], ret);
    case NODE_SELECT:
        return eval_select(r, n, ret);
    case NODE_AND:
    case NODE_OR:
        return eval_logic(r, n, ret);
    case NODE_NOT:
        if (!cel_eval_bool(r, n->a, &b) || !cel_spend(r, 1)) {
            return false;
        }
        *ret = cel_bool(!b);
        return true;
    case NODE_COND:
        return eval_cond(r, n, ret);
    case NODE_EQ:
    case NODE_NE:
        return eval_equal(r, n, ret);
    case NODE_IN:
        return eval_in(r, n, ret);
    case NODE_INDEX:
        return eval_index(r, n, ret);
    case NODE_COMPARE:
        return eval_compare(r, n, ret);
    case NODE_CALL:
        return eval_call(r, n, ret);
    case NODE_LIST:
        return eval_list(r, n, ret);
    case NODE_MAP:
        return eval_map(r, n, ret);
    case NODE_FOLD:
        return cel_eval_fold(r, n, ret);
    case NODE_BIND:
        return cel_eval_bind(r, n, ret);
    }
    return cel_no_overload(r);
}

/* Recursion follows the tree, whose depth the parser bounds. */
bool cel_eval_node(struct cel_run *r, uint32_t at, struct cel_value *ret)
{
    const struct node *n = &r->p->nodes[at];
    return placed(r, n, eval_node(r, n, ret));
}

int cel_eval(const struct cel_program *p, const struct cel_input *in, struct cel_value *ret,
             uint64_t *ret_cost, uint32_t *ret_pos, struct err *err)
{
    struct cel_value few[LOCALS_INLINE], value;
    struct cel_run r;
    memset(&r, 0, offsetof(struct cel_run, regexes));
    r.a = in->arena;
    r.p = p;
    r.in = in;
    r.locals = few;
    r.limit = in->cost_limit ? in->cost_limit : CEL_COST_PER_CALL;
    r.pos = UINT32_MAX;
    r.n_regexes = 0;
    if (p->n_locals > ARRAY_SIZE(few)) {
        r.locals = arena_alloc(r.a, p->n_locals * sizeof(*r.locals));
    }
    bool ok = r.locals ? cel_eval_node(&r, p->root, &value) : cel_no_memory(&r);
    for (uint32_t i = 0; i < r.n_regexes; i++) {
        regex_free(r.regexes[i]);
    }
    if (ret_cost) {
        *ret_cost = r.cost;
    }
    if (!ok) {
        if (ret_pos) {
            *ret_pos = r.pos == UINT32_MAX ? 0 : r.pos;
        }
        return err_set(err, r.code, "%s", r.text);
    }
    *ret = value;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Vector programs: the compiler and the running of nodes; see program.h. */
#include "program.h"

#include "base/mem.h"
#include "program_private.h"

struct program {
    struct node *root;
};

/* ---- compiler ---- */

static void node_free(struct node *n)
{
    if (n) {
        node_free(n->a);
        node_free(n->b);
        needs_fini(&n->needs);
        mem_free(n);
    }
}

/* A node that goes row by row until it is given a better kind. */
static struct node *node_new(const struct expr *e)
{
    struct node *n = mem_zalloc(sizeof(*n));
    if (n) {
        n->kind = NODE_ROW;
        n->e = e;
        if (needs_collect(&n->needs, e) < 0) {
            node_free(n);
            return NULL;
        }
    }
    return n;
}

static bool is_number(const struct expr *e)
{
    return e && e->kind == EXPR_CONST && value_is_number(&e->value);
}

static bool all_constant(const struct expr *e)
{
    for (uint32_t i = 0; i < e->n_list; i++) {
        if (e->list[i]->kind != EXPR_CONST) {
            return false;
        }
    }
    return e->n_list > 0;
}

static struct node *compile(const struct expr *e);

/* AND and OR: the second side is evaluated where the first does not decide. A second side that may
 * give what is no truth value is evaluated by the row evaluator, with the first. */
static bool compile_logic(struct node *n)
{
    n->a = compile(n->e->a);
    if (!n->a || !node_is_condition(n->a)) {
        return n->a != NULL;
    }
    n->b = compile(n->e->b);
    if (n->b && !node_is_condition(n->b)) {
        node_free(n->b);
        n->b = node_new(n->e);
    }
    n->kind = n->e->op == VALUE_AND ? NODE_AND : NODE_OR;
    return n->b != NULL;
}

static bool compile_sides(struct node *n, enum node_kind kind)
{
    n->a = compile(n->e->a);
    n->b = n->a ? compile(n->e->b) : NULL;
    n->kind = kind;
    return n->b != NULL;
}

static bool compile_one(struct node *n, enum node_kind kind)
{
    n->a = compile(n->e->a);
    n->kind = kind;
    return n->a != NULL;
}

static bool compile_node(struct node *n)
{
    const struct expr *e = n->e;
    switch (e->kind) {
    case EXPR_CONST:
        n->kind = NODE_CONST;
        return true;
    case EXPR_FIELD:
        n->kind = e->source <= 0 ? NODE_FIELD : NODE_ROW;
        return true;
    case EXPR_COMPUTED:
        n->kind = NODE_COMPUTED;
        return true;
    case EXPR_BINARY:
        if (e->op == VALUE_AND || e->op == VALUE_OR) {
            return compile_logic(n);
        }
        return compile_sides(n, e->op <= VALUE_GE ? NODE_COMPARE : NODE_ARITH);
    case EXPR_NOT:
        if (!compile_one(n, NODE_NOT)) {
            return false;
        }
        n->kind = node_is_condition(n->a) ? NODE_NOT : NODE_ROW;
        return true;
    case EXPR_BETWEEN:
        return is_number(e->b) && is_number(e->c) ? compile_one(n, NODE_BETWEEN) : true;
    case EXPR_IN:
        return all_constant(e) ? compile_one(n, NODE_IN) : true;
    case EXPR_LIKE:
        return e->compiled ? compile_one(n, NODE_LIKE) : true;
    default:
        return true;
    }
}

static struct node *compile(const struct expr *e)
{
    struct node *n = node_new(e);
    if (n && !compile_node(n)) {
        node_free(n);
        return NULL;
    }
    return n;
}

int program_compile(const struct expr *e, struct program **ret, struct err *err)
{
    struct program *p = mem_zalloc(sizeof(*p));
    if (p) {
        p->root = compile(e);
    }
    if (!p || !p->root) {
        program_free(p);
        return err_set(err, -ENOMEM, "no memory for an expression");
    }
    *ret = p;
    return 0;
}

void program_free(struct program *p)
{
    if (p) {
        node_free(p->root);
        mem_free(p);
    }
}

/* ---- selections ---- */

void run_fail(struct run *r, uint32_t row, const struct err *err)
{
    r->failed[row / 64] |= (uint64_t)1 << (row % 64);
    if (r->in->on_error) {
        r->in->on_error(r->in->arg, row, err);
    }
}

static bool has_failed(const struct run *r, uint32_t row)
{
    return r->failed[row / 64] >> (row % 64) & 1;
}

static void copy_selection(struct selection *to, const struct selection *from)
{
    to->n = from->n;
    memcpy(to->rows, from->rows, from->n * sizeof(from->rows[0]));
}

/* What is in `all` and not in `some`, of rows that did not fail. */
static void subtract(const struct run *r, struct selection *all, const struct selection *some)
{
    uint32_t n = 0, k = 0;
    for (uint32_t i = 0; i < all->n; i++) {
        if (k < some->n && some->rows[k] == all->rows[i]) {
            k++;
        } else if (!has_failed(r, all->rows[i])) {
            all->rows[n++] = all->rows[i];
        }
    }
    all->n = n;
}

/* Both together, which have no row in common. */
static void unite(struct selection *sel, const struct selection *a, const struct selection *b)
{
    uint32_t i = 0, k = 0, n = 0;
    while (i < a->n || k < b->n) {
        bool first = k == b->n || (i < a->n && a->rows[i] < b->rows[k]);
        sel->rows[n++] = first ? a->rows[i++] : b->rows[k++];
    }
    sel->n = n;
}

/* ---- running ---- */

static int filter_or(struct run *r, const struct node *n, struct selection *sel)
{
    struct selection first, rest;
    copy_selection(&first, sel);
    int rc = node_filter(r, n->a, &first);
    if (rc < 0) {
        return rc;
    }
    copy_selection(&rest, sel);
    subtract(r, &rest, &first);
    rc = node_filter(r, n->b, &rest);
    unite(sel, &first, &rest);
    return rc;
}

static int filter_not(struct run *r, const struct node *n, struct selection *sel)
{
    struct selection yes;
    copy_selection(&yes, sel);
    int rc = node_filter(r, n->a, &yes);
    subtract(r, sel, &yes);
    return rc;
}

static int filter_compare(struct run *r, const struct node *n, struct selection *sel)
{
    struct column a, b;
    int rc = node_column(r, n->a, sel, &a);
    rc = rc < 0 ? rc : node_column(r, n->b, sel, &b);
    return rc < 0 ? rc : compare_filter(r, n->e->op, &a, &b, sel);
}

/* Conditions on one operand, where the column is of a kind that has a kernel. */
static int filter_one(struct run *r, const struct node *n, struct selection *sel)
{
    struct column c;
    if (n->a->kind != NODE_FIELD && n->a->kind != NODE_COMPUTED) {
        return rows_filter(r, n, sel); /* the operand would be evaluated twice, and told twice */
    }
    int rc = node_column(r, n->a, sel, &c);
    if (rc < 0) {
        return rc;
    }
    int done = n->kind == NODE_BETWEEN ? between_filter(n->e, &c, sel)
               : n->kind == NODE_IN    ? in_filter(n->e, &c, sel)
                                       : like_filter(n->e, &c, sel);
    return done ? 0 : rows_filter(r, n, sel);
}

static int filter_field(struct run *r, const struct node *n, struct selection *sel)
{
    struct column c;
    int rc = node_column(r, n, sel, &c);
    if (rc < 0 || c.kind != COLUMN_BOOL) {
        return rc < 0 ? rc : rows_filter(r, n, sel);
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < sel->n; i++) {
        uint16_t row = sel->rows[i];
        sel->rows[k] = row;
        k += c.b[row] && !column_misses(&c, row);
    }
    sel->n = k;
    return 0;
}

int node_filter(struct run *r, const struct node *n, struct selection *sel)
{
    if (sel->n == 0) {
        return 0;
    }
    switch (n->kind) {
    case NODE_COMPARE:
        return filter_compare(r, n, sel);
    case NODE_AND: {
        int rc = node_filter(r, n->a, sel);
        return rc < 0 ? rc : node_filter(r, n->b, sel);
    }
    case NODE_OR:
        return filter_or(r, n, sel);
    case NODE_NOT:
        return filter_not(r, n, sel);
    case NODE_BETWEEN:
    case NODE_IN:
    case NODE_LIKE:
        return filter_one(r, n, sel);
    case NODE_FIELD:
        return filter_field(r, n, sel);
    default:
        return rows_filter(r, n, sel);
    }
}

/* A condition as a column of truth values. */
static int condition_column(struct run *r, const struct node *n, struct selection *sel,
                            struct column *ret)
{
    struct selection yes;
    uint8_t *b = arena_zalloc(r->arena, BATCH_ROWS);
    if (!b) {
        return -E_LIMIT;
    }
    copy_selection(&yes, sel);
    int rc = node_filter(r, n, &yes);
    for (uint32_t i = 0; i < yes.n; i++) {
        b[yes.rows[i]] = 1;
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < sel->n; i++) {
        sel->rows[k] = sel->rows[i];
        k += !has_failed(r, sel->rows[i]);
    }
    sel->n = k;
    *ret = (struct column){.kind = COLUMN_BOOL, .b = b};
    return rc;
}

static int const_column(struct run *r, const struct value *v, struct column *ret)
{
    *ret = (struct column){.kind = COLUMN_CONST, .v = arena_dup(r->arena, v, sizeof(*v))};
    return ret->v ? 0 : -E_LIMIT;
}

int node_column(struct run *r, const struct node *n, struct selection *sel, struct column *ret)
{
    struct column a, b;
    int rc;
    switch (n->kind) {
    case NODE_CONST:
        return const_column(r, &n->e->value, ret);
    case NODE_FIELD:
        *ret = n->e->slot < r->in->batch->n_columns ? r->in->batch->columns[n->e->slot]
                                                    : (struct column){.kind = COLUMN_ABSENT};
        return 0;
    case NODE_COMPUTED:
        if (!r->in->computed) {
            return const_column(r, &VALUE_OF_NULL, ret);
        }
        *ret = r->in->computed[n->e->slot];
        return 0;
    case NODE_ARITH:
        rc = node_column(r, n->a, sel, &a);
        rc = rc < 0 ? rc : node_column(r, n->b, sel, &b);
        return rc < 0 ? rc : arith_column(r, n->e->op, &a, &b, sel, ret);
    case NODE_ROW:
        return rows_column(r, n, sel, ret);
    default:
        return condition_column(r, n, sel, ret);
    }
}

int program_filter(struct program *p, const struct program_input *in, struct selection *sel)
{
    struct arena scratch; /* what lies between must not pile up in the batch, rule after rule */
    arena_init(&scratch, 0);
    struct run r = {.in = in, .arena = &scratch};
    int rc = node_filter(&r, p->root, sel);
    arena_fini(&scratch);
    return rc;
}

int program_column(struct program *p, const struct program_input *in, struct selection *sel,
                   struct column *ret)
{
    struct run r = {.in = in, .arena = &in->batch->arena};
    return node_column(&r, p->root, sel, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the typed tree to the program: one block of memory with everything in it.
 *
 *      op           x             a                 b
 *      CONST        -             constant          -
 *      VAR          -             variable          -
 *      LOCAL        -             slot              -
 *      SELECT       -             operand           constant with the name; flags
 *      AND OR       -             left              right
 *      EQ NE IN     -             left              right
 *      NOT          -             operand           -
 *      COND         -             condition         args: yes, no
 *      INDEX        -             list or map       key; flags
 *      COMPARE      COMPARE_*     left              right
 *      CALL         function      how many          args: arguments, receiver first; flags
 *      LIST         -             how many          args: elements, maybe with ARG_OPTIONAL
 *      MAP          -             how many entries  args: key, value ...
 *      FOLD         enum          range             args: slot, variables, bodies, body ...
 *      BIND         enum          value             args: slot, body
 */
#include "cel_private.h"

struct emitter {
    struct cel_compiler *c;
    struct node *nodes;
    uint32_t *args;
    struct cel_value *consts;
    uint32_t n_nodes, cap_nodes, n_args, cap_args, n_consts, cap_consts;
    size_t text;
    uint64_t vars_read;
    bool failed;
};

static uint32_t emit(struct emitter *m, const struct ast *e);

static void *reserve(struct emitter *m, void *items, uint32_t n, uint32_t *cap, uint32_t more,
                     size_t size)
{
    if (n + more <= *cap) {
        return items;
    }
    uint32_t grown_cap = MAX_OF(*cap * 2, n + more + 16);
    void *grown = arena_grow(&m->c->a, items, *cap * size, grown_cap * size);
    m->failed |= !grown;
    *cap = grown ? grown_cap : *cap;
    return grown;
}

static uint32_t add_node(struct emitter *m, struct node n)
{
    if (!m->failed) {
        m->nodes = reserve(m, m->nodes, m->n_nodes, &m->cap_nodes, 1, sizeof(*m->nodes));
    }
    if (m->failed) {
        return 0;
    }
    m->nodes[m->n_nodes] = n;
    return m->n_nodes++;
}

static uint32_t add_args(struct emitter *m, uint32_t n)
{
    if (!m->failed) {
        m->args = reserve(m, m->args, m->n_args, &m->cap_args, n, sizeof(*m->args));
    }
    if (m->failed) {
        return 0;
    }
    m->n_args += n;
    return m->n_args - n;
}

static void set_arg(struct emitter *m, uint32_t at, uint32_t value)
{
    if (!m->failed) {
        m->args[at] = value;
    }
}

static bool has_text(const struct cel_value *v)
{
    return v->kind == CEL_STRING || v->kind == CEL_BYTES || v->kind == CEL_ERROR;
}

static uint32_t add_const(struct emitter *m, struct cel_value v)
{
    if (!m->failed) {
        m->consts = reserve(m, m->consts, m->n_consts, &m->cap_consts, 1, sizeof(*m->consts));
    }
    if (m->failed) {
        return 0;
    }
    if (has_text(&v)) {
        m->text += v.n + 1;
    }
    m->consts[m->n_consts] = v;
    return m->n_consts++;
}

static uint32_t emit_const(struct emitter *m, uint32_t pos, struct cel_value v)
{
    return add_node(m, (struct node){.op = NODE_CONST, .pos = pos, .a = add_const(m, v)});
}

/* A name that nothing has, in a program without types: an error when it is read. */
static uint32_t emit_unknown(struct emitter *m, uint32_t pos, struct str name)
{
    const char *text =
        arena_printf(&m->c->a, "undeclared reference to '" STR_FMT "'", STR_ARG(name));
    return emit_const(m, pos, cel_error(str_of(text)));
}

static uint32_t emit_ident(struct emitter *m, const struct ast *e)
{
    struct node n = {.pos = e->pos};
    if (e->denotes) {
        return emit_const(m, e->pos, cel_type_value(e->denotes));
    }
    if (e->local < 0 && e->var < 0) {
        return emit_unknown(m, e->pos, e->name);
    }
    if (e->local >= 0) {
        n.op = NODE_LOCAL;
        n.a = (uint32_t)e->local;
    } else {
        n.op = NODE_VAR;
        n.a = (uint32_t)e->var;
        m->vars_read |= e->var < 64 ? UINT64_C(1) << e->var : UINT64_MAX;
    }
    return add_node(m, n);
}

static uint32_t emit_select(struct emitter *m, const struct ast *e)
{
    uint32_t operand = emit(m, e->operand);
    return add_node(
        m, (struct node){.op = NODE_SELECT,
                         .flags = (e->test ? NODE_F_TEST : 0) | (e->optional ? NODE_F_OPTIONAL : 0),
                         .pos = e->pos,
                         .a = operand,
                         .b = add_const(m, cel_string(e->field))});
}

/* Operators that the evaluator does itself. */
static const struct {
    const char *name;
    uint8_t op, x, flags;
} operators[] = {
    {"_&&_", NODE_AND, 0, 0},
    {"_||_", NODE_OR, 0, 0},
    {"_==_", NODE_EQ, 0, 0},
    {"_!=_", NODE_NE, 0, 0},
    {"_<_", NODE_COMPARE, COMPARE_LT, 0},
    {"_<=_", NODE_COMPARE, COMPARE_LE, 0},
    {"_>_", NODE_COMPARE, COMPARE_GT, 0},
    {"_>=_", NODE_COMPARE, COMPARE_GE, 0},
    {"@in", NODE_IN, 0, 0},
    {"_[_]", NODE_INDEX, 0, 0},
    {"_[?_]", NODE_INDEX, 0, NODE_F_OPTIONAL},
    {"!_", NODE_NOT, 0, 0},
};

static uint32_t emit_cond(struct emitter *m, const struct ast *e)
{
    uint32_t at = add_args(m, 2);
    struct node n = {.op = NODE_COND, .pos = e->pos, .b = at};
    n.a = emit(m, e->args[0]);
    set_arg(m, at, emit(m, e->args[1]));
    set_arg(m, at + 1, emit(m, e->args[2]));
    return add_node(m, n);
}

/* A literal pattern is compiled with the program, so that a bad one is an error of compilation. */
static void check_pattern(struct emitter *m, const struct ast *e, const struct ast *pattern)
{
    struct err err;
    CLEANUP(regex_freep) struct regex *re = NULL;
    if (pattern->kind == AST_CONST && pattern->value.kind == CEL_STRING) {
        int rc = regex_compile(cel_text(&pattern->value), &re, &err);
        if (rc == -E_NOMEM) {
            m->failed = true;
        } else if (rc < 0) {
            cel_issue(m->c, pattern->pos, "invalid %s argument: %s", e->fn->name, err.text);
        }
    }
}

static uint32_t emit_call(struct emitter *m, const struct ast *e)
{
    bool unary = e->n_args == 1;
    if (!e->fn) {
        return emit_unknown(m, e->pos, e->function);
    }
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
        if (cstr_eq(e->fn->name, operators[i].name)) {
            struct node n = {.op = operators[i].op,
                             .x = operators[i].x,
                             .flags = operators[i].flags,
                             .pos = e->pos};
            n.a = emit(m, e->args[0]);
            n.b = unary ? 0 : emit(m, e->args[1]);
            return add_node(m, n);
        }
    }
    if (cstr_eq(e->fn->name, "_?_:_")) {
        return emit_cond(m, e);
    }
    uint32_t n_args = e->n_args + (e->target != NULL), at = add_args(m, n_args), i = 0;
    if (e->target) {
        set_arg(m, at + i++, emit(m, e->target));
    }
    for (uint32_t k = 0; k < e->n_args; k++) {
        set_arg(m, at + i++, emit(m, e->args[k]));
    }
    if (e->fn->cost == COST_REGEX && n_args >= 2) {
        check_pattern(m, e, e->target ? e->args[0] : e->args[1]);
    }
    return add_node(m, (struct node){.op = NODE_CALL,
                                     .flags = e->target ? NODE_F_MEMBER : 0,
                                     .x = (uint16_t)(e->fn - cel_functions),
                                     .pos = e->pos,
                                     .a = n_args,
                                     .b = at});
}

static uint32_t emit_aggregate(struct emitter *m, const struct ast *e, enum node_op op)
{
    uint32_t at = add_args(m, e->n_args), per = op == NODE_MAP ? 2 : 1;
    for (uint32_t i = 0; i < e->n_args; i++) {
        bool optional = e->optionals && i % per == 0 && e->optionals[i / per];
        set_arg(m, at + i, emit(m, e->args[i]) | (optional ? ARG_OPTIONAL : 0));
    }
    return add_node(m, (struct node){.op = op, .pos = e->pos, .a = e->n_args / per, .b = at});
}

static uint32_t emit_fold(struct emitter *m, const struct ast *e)
{
    uint32_t at = add_args(m, 3 + e->n_args);
    struct node n = {.op = NODE_FOLD, .x = (uint16_t)e->macro, .pos = e->pos, .b = at};
    set_arg(m, at, (uint32_t)e->slot);
    set_arg(m, at + 1, e->n_vars);
    set_arg(m, at + 2, e->n_args);
    n.a = emit(m, e->range);
    for (uint32_t i = 0; i < e->n_args; i++) {
        set_arg(m, at + 3 + i, emit(m, e->args[i]));
    }
    return add_node(m, n);
}

static uint32_t emit_bind(struct emitter *m, const struct ast *e)
{
    uint32_t at = add_args(m, 2);
    struct node n = {.op = NODE_BIND, .x = (uint16_t)e->macro, .pos = e->pos, .b = at};
    set_arg(m, at, (uint32_t)e->slot);
    n.a = emit(m, e->range);
    set_arg(m, at + 1, emit(m, e->args[0]));
    return add_node(m, n);
}

/* Recursion follows the tree, whose depth the parser bounds. */
static uint32_t emit(struct emitter *m, const struct ast *e)
{
    switch (e->kind) {
    case AST_CONST:
        return emit_const(m, e->pos, e->value);
    case AST_IDENT:
        return emit_ident(m, e);
    case AST_SELECT:
        return emit_select(m, e);
    case AST_CALL:
        return emit_call(m, e);
    case AST_LIST:
        return emit_aggregate(m, e, NODE_LIST);
    case AST_MAP:
        return emit_aggregate(m, e, NODE_MAP);
    case AST_FOLD:
        return emit_fold(m, e);
    case AST_BIND:
        return emit_bind(m, e);
    case AST_STRUCT:
        break;
    }
    return emit_unknown(m, e->pos, e->name);
}

/* Lays the parts out in one block and copies them there. */
static struct cel_program *lay_out(struct emitter *m, struct str type_text)
{
    size_t consts = sizeof(struct cel_program);
    size_t regexes = consts + m->n_consts * sizeof(struct cel_value);
    size_t nodes = regexes + m->n_consts * sizeof(struct regex *);
    size_t args = nodes + m->n_nodes * sizeof(struct node);
    size_t text = args + m->n_args * sizeof(uint32_t);
    char *block = mem_zalloc(text + m->text + type_text.n + 1);
    struct cel_program *p = (struct cel_program *)block;
    if (!p) {
        return NULL;
    }
    p->consts = (struct cel_value *)(block + consts);
    p->regexes = (struct regex **)(block + regexes);
    p->nodes = (struct node *)(block + nodes);
    p->args = (uint32_t *)(block + args);
    char *at = block + text;
    for (uint32_t i = 0; i < m->n_consts; i++) {
        p->consts[i] = m->consts[i];
        if (has_text(&m->consts[i])) {
            memcpy(at, m->consts[i].s, m->consts[i].n);
            p->consts[i].s = at;
            at += m->consts[i].n + 1;
        }
    }
    memcpy(p->nodes, m->nodes, m->n_nodes * sizeof(struct node));
    if (m->n_args) {
        memcpy(p->args, m->args, m->n_args * sizeof(uint32_t));
    }
    memcpy(at, type_text.p, type_text.n);
    p->type_text = at;
    p->n_consts = m->n_consts;
    p->n_nodes = m->n_nodes;
    p->n_args = m->n_args;
    return p;
}

/* The compiled patterns of literals. */
static int compile_patterns(struct cel_program *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        const struct node *n = &p->nodes[i];
        if (n->op != NODE_CALL || cel_functions[n->x].cost != COST_REGEX || n->a < 2) {
            continue;
        }
        const struct node *pattern = &p->nodes[p->args[n->b + 1]];
        if (pattern->op == NODE_CONST && p->consts[pattern->a].kind == CEL_STRING &&
            !p->regexes[pattern->a]) {
            int rc = regex_compile(cel_text(&p->consts[pattern->a]), &p->regexes[pattern->a], NULL);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

int cel_emit(struct cel_compiler *c, const struct ast *root, struct cel_program **ret,
             struct err *err)
{
    struct emitter m = {.c = c};
    CLEANUP(buf_finip) struct buf type = BUF_INIT;
    uint32_t at = emit(&m, root);
    if (c->n_issues > 0) {
        return -E_INVAL;
    }
    cel_type_print(&type, root->type);
    CLEANUP(cel_program_freep)
    struct cel_program *p = m.failed || buf_failed(&type) ? NULL : lay_out(&m, buf_str(&type));
    if (!p || compile_patterns(p) < 0) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    p->root = at;
    p->n_locals = (uint32_t)c->max_locals;
    p->vars_read = m.vars_read;
    p->kind = root->type->kind == CEL_OBJECT ? CEL_MAP : root->type->kind;
    *ret = TAKE_PTR(p);
    return 0;
}

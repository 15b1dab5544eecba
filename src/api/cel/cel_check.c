/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker: resolves names and functions and infers types; see cel_checker.h for its parts.
 *
 * Without CEL_F_CHECKED the same walk resolves names and functions only; every type is dyn then.
 */
#include "cel_checker.h"

static const struct cel_type *field_type(struct cel_checker *k, struct ast *e,
                                         const struct cel_type *operand)
{
    const struct cel_type *t = cel_type_resolve(operand);
    switch (t->kind) {
    case CEL_DYN:
    case CEL_ERROR:
    case CEL_PARAM:
        if (t->kind == CEL_PARAM) {
            (void)cel_unify_try(k, t, &cel_type_dyn);
        }
        return &cel_type_dyn;
    case CEL_MAP:
        return cel_type_elem(t);
    case CEL_OBJECT:
        e->declared = cel_type_field(t, e->field);
        if (e->declared) {
            return e->declared->type ? e->declared->type : &cel_type_dyn;
        }
        cel_issue(k->c, e->pos, "undefined field '" STR_FMT "'", STR_ARG(e->field));
        return &cel_type_error;
    default:
        cel_issue(k->c, e->pos, "type '%s' does not support field selection", cel_type_name(k, t));
        return &cel_type_error;
    }
}

static void check_select(struct cel_checker *k, struct ast *e)
{
    if (!e->test && !e->optional && cel_check_qualified(k, e)) {
        return;
    }
    cel_check_node(k, e->operand);
    if (!k->typed) {
        e->type = &cel_type_dyn;
        return;
    }
    const struct cel_type *operand = cel_type_resolve(e->operand->type);
    bool optional = e->optional || operand->kind == CEL_OPTIONAL;
    if (operand->kind == CEL_OPTIONAL) {
        operand = cel_type_elem(operand);
    }
    const struct cel_type *t = field_type(k, e, operand);
    if (optional && t->kind != CEL_ERROR) {
        t = cel_type_of(&k->c->a, CEL_OPTIONAL, t);
    }
    e->type = e->test ? &cel_type_bool : t;
}

static const struct cel_type *constant_type(struct cel_checker *k, const struct ast *e)
{
    return k->typed ? cel_type_simple(e->value.kind) : &cel_type_dyn;
}

/* Recursion follows the tree, whose depth the parser bounds. */
void cel_check_node(struct cel_checker *k, struct ast *e)
{
    if (arena_failed(&k->c->a)) {
        e->type = &cel_type_error;
        return;
    }
    switch (e->kind) {
    case AST_CONST:
        e->type = constant_type(k, e);
        break;
    case AST_IDENT:
        cel_check_ident(k, e);
        break;
    case AST_SELECT:
        check_select(k, e);
        break;
    case AST_CALL:
        cel_check_call(k, e);
        break;
    case AST_LIST:
        cel_check_list(k, e);
        break;
    case AST_MAP:
        cel_check_map(k, e);
        break;
    case AST_STRUCT:
        cel_check_struct(k, e);
        break;
    case AST_FOLD:
        cel_check_fold(k, e);
        break;
    case AST_BIND:
        cel_check_bind(k, e);
        break;
    }
}

static void finish_tree(struct arena *a, struct ast *e)
{
    e->type = cel_type_finish(a, e->type);
    if (e->kind == AST_SELECT) {
        finish_tree(a, e->operand);
    } else if (e->kind == AST_CALL && e->target) {
        finish_tree(a, e->target);
    } else if (e->kind == AST_FOLD || e->kind == AST_BIND) {
        finish_tree(a, e->range);
    }
    for (uint32_t i = 0; i < e->n_args; i++) {
        finish_tree(a, e->args[i]);
    }
}

bool cel_check(struct cel_compiler *c, struct ast *root)
{
    struct cel_checker k = {.c = c, .typed = c->opts->flags & CEL_F_CHECKED};
    c->checking = true;
    cel_check_node(&k, root);
    if (c->n_issues == 0 && !arena_failed(&c->a)) {
        finish_tree(&c->a, root);
    }
    return c->n_issues == 0 && !arena_failed(&c->a);
}

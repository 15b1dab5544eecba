/* SPDX-License-Identifier: Apache-2.0 */
/* The types of what builds: lists, maps, structs, and the macros that fold a list or bind a name.
 */
#include "cel_checker.h"

/* ---- aggregates ---- */

static const struct cel_type *join(struct cel_checker *k, const struct ast *at,
                                   const struct cel_type *before, const struct cel_type *now)
{
    if (!before) {
        return now;
    }
    if (cel_unify_try(k, before, now)) {
        return cel_type_most_general(before, now);
    }
    if (k->c->opts->flags & CEL_F_MIXED_LISTS) {
        return &cel_type_dyn;
    }
    cel_issue(k->c, at->pos, "expected type '%s' but found '%s'", cel_type_name(k, before),
              cel_type_name(k, now));
    return before;
}

/* The type of an element, without the optional around it where it is ?e. */
static const struct cel_type *element_type(struct cel_checker *k, const struct ast *e,
                                           bool optional)
{
    const struct cel_type *t = e->type;
    if (!optional || cel_type_resolve(t)->kind == CEL_DYN ||
        cel_type_resolve(t)->kind == CEL_ERROR) {
        return t;
    }
    if (cel_type_resolve(t)->kind == CEL_OPTIONAL) {
        return cel_type_elem(cel_type_resolve(t));
    }
    cel_issue(k->c, e->pos, "expected type 'optional_type(%s)' but found '%s'", cel_type_name(k, t),
              cel_type_name(k, t));
    return t;
}

void cel_check_list(struct cel_checker *k, struct ast *e)
{
    const struct cel_type *elem = NULL;
    for (uint32_t i = 0; i < e->n_args; i++) {
        cel_check_node(k, e->args[i]);
        if (k->typed) {
            elem = join(k, e->args[i], elem,
                        element_type(k, e->args[i], e->optionals && e->optionals[i]));
        }
    }
    e->type = !k->typed ? &cel_type_dyn : cel_type_list(&k->c->a, elem ? elem : cel_type_fresh(k));
}

static bool is_aggregate(enum cel_kind kind)
{
    return cel_is_parameterised(kind) || kind == CEL_OBJECT || kind == CEL_TYPE;
}

void cel_check_map(struct cel_checker *k, struct ast *e)
{
    const struct cel_type *key = NULL, *elem = NULL;
    for (uint32_t i = 0; i + 1 < e->n_args; i += 2) {
        cel_check_node(k, e->args[i]);
        cel_check_node(k, e->args[i + 1]);
        if (k->typed) {
            key = join(k, e->args[i], key, e->args[i]->type);
            elem = join(k, e->args[i + 1], elem,
                        element_type(k, e->args[i + 1], e->optionals && e->optionals[i / 2]));
        }
    }
    e->type = &cel_type_dyn;
    if (k->typed) {
        /* A key that is no scalar fails when it runs; here it would let types grow like 2^n. */
        key = !key                                        ? cel_type_fresh(k)
              : is_aggregate(cel_type_resolve(key)->kind) ? &cel_type_dyn
                                                          : key;
        e->type = cel_type_map(&k->c->a, key, elem ? elem : cel_type_fresh(k));
    }
}

/* Messages are not built here: there are no protobuf types to build. */
void cel_check_struct(struct cel_checker *k, struct ast *e)
{
    struct ast ident = {.kind = AST_IDENT};
    struct str name = e->name;
    e->type = &cel_type_error;
    bool known = cel_find_global(k, name, &ident);
    if (!known) {
        cel_undeclared(k, e->pos, name);
    } else if (k->typed) {
        cel_issue(k->c, e->pos, "'" STR_FMT "' is not a %stype", STR_ARG(name),
                  ident.denotes ? "message " : "");
    }
    if (!known && k->typed) {
        return;
    }
    for (uint32_t i = 0; i < e->n_args; i++) {
        cel_check_node(k, e->args[i]);
    }
}

/* ---- macros ---- */

static void want_bool(struct cel_checker *k, const struct ast *e)
{
    if (k->typed && !cel_unify_try(k, &cel_type_bool, e->type)) {
        cel_issue(k->c, e->pos, "expected type 'bool' but found '%s'", cel_type_name(k, e->type));
    }
}

/* As cel-go finds it in the expanded macro: the operands of `function` do not fit. */
static void want_operand(struct cel_checker *k, const struct ast *fold, const struct ast *e,
                         const char *function, const char *left, const char *right)
{
    if (!k->typed || cel_unify_try(k, &cel_type_bool, e->type)) {
        return;
    }
    cel_issue(k->c, fold->pos, "found no matching overload for '%s' applied to '(%s%s%s)'",
              function, left, cel_type_name(k, e->type), right);
}

/* What a fold over the range has as key (or place) and as element. */
static void range_types(struct cel_checker *k, const struct ast *e, const struct cel_type *range,
                        const struct cel_type **ret_key, const struct cel_type **ret_elem)
{
    *ret_key = *ret_elem = &cel_type_dyn;
    switch (range->kind) {
    case CEL_LIST:
        *ret_key = &cel_type_int;
        *ret_elem = cel_type_elem(range);
        return;
    case CEL_MAP:
        *ret_key = cel_type_key(range);
        *ret_elem = cel_type_elem(range);
        return;
    case CEL_DYN:
    case CEL_ERROR:
        return;
    case CEL_PARAM:
        (void)cel_unify_try(k, range, &cel_type_dyn);
        return;
    default:
        cel_issue(k->c, e->range->pos,
                  "expression of type '%s' cannot be range of a comprehension (must be list, map, "
                  "or dynamic)",
                  cel_type_name(k, range));
        if (range->kind != CEL_OBJECT) {
            *ret_key = *ret_elem = &cel_type_error;
        }
    }
}

/* Declares the variables of a fold by the type of its range. */
static void declare_range(struct cel_checker *k, struct ast *e, const struct cel_type *range)
{
    const struct cel_type *key, *elem;
    range_types(k, e, range, &key, &elem);
    e->slot = k->next_slot;
    if (e->n_vars == 2) {
        cel_declare(k, e->vars[0], key);
        cel_declare(k, e->vars[1], elem);
    } else {
        cel_declare(k, e->vars[0], range->kind == CEL_LIST ? elem : key);
    }
}

static const struct cel_type *filter_type(struct cel_checker *k, struct ast *e,
                                          const struct cel_type *range)
{
    const struct cel_type *elem = range->kind == CEL_LIST  ? cel_type_elem(range)
                                  : range->kind == CEL_MAP ? cel_type_key(range)
                                                           : &cel_type_dyn;
    const struct cel_type *result = cel_type_list(&k->c->a, elem);
    const char *list = cel_type_name(k, result);
    want_operand(k, e, e->args[e->n_args - 1], "_?_:_", "",
                 arena_printf(&k->c->a, ", %s, %s", list, list));
    return result;
}

/* map() and transformList(): a filter may stand before the body. */
static const struct cel_type *list_type(struct cel_checker *k, struct ast *e)
{
    const struct cel_type *list = cel_type_list(&k->c->a, e->args[e->n_args - 1]->type);
    if (e->n_args == 2) {
        const char *name = cel_type_name(k, list);
        want_operand(k, e, e->args[0], "_?_:_", "", arena_printf(&k->c->a, ", %s, %s", name, name));
    }
    return list;
}

/* transformMap() and transformMapEntry(). */
static const struct cel_type *map_type(struct cel_checker *k, struct ast *e,
                                       const struct cel_type *range)
{
    const struct ast *body = e->args[e->n_args - 1];
    if (e->n_args == 2) {
        want_bool(k, e->args[0]);
    }
    if (e->macro == FOLD_TRANSFORM_ENTRY) {
        const struct cel_type *map = cel_type_map(&k->c->a, cel_type_fresh(k), cel_type_fresh(k));
        if (!cel_unify_try(k, map, body->type)) {
            cel_issue(k->c, body->pos, "expected a map but found '%s'",
                      cel_type_name(k, body->type));
        }
        return map;
    }
    return cel_type_map(&k->c->a,
                        range->kind == CEL_LIST  ? &cel_type_int
                        : range->kind == CEL_MAP ? cel_type_key(range)
                                                 : &cel_type_dyn,
                        body->type);
}

static const struct cel_type *fold_type(struct cel_checker *k, struct ast *e,
                                        const struct cel_type *range)
{
    const struct ast *body = e->args[e->n_args - 1];
    switch ((enum fold_kind)e->macro) {
    case FOLD_ALL:
        want_operand(k, e, body, "_&&_", "bool, ", "");
        return &cel_type_bool;
    case FOLD_EXISTS:
        want_operand(k, e, body, "_||_", "bool, ", "");
        return &cel_type_bool;
    case FOLD_EXISTS_ONE:
        want_operand(k, e, body, "_?_:_", "", ", int, int");
        return &cel_type_bool;
    case FOLD_FILTER:
        return filter_type(k, e, range);
    case FOLD_MAP:
    case FOLD_TRANSFORM_LIST:
        return list_type(k, e);
    case FOLD_TRANSFORM_MAP:
    case FOLD_TRANSFORM_ENTRY:
        break;
    }
    return map_type(k, e, range);
}

void cel_check_fold(struct cel_checker *k, struct ast *e)
{
    cel_check_node(k, e->range);
    const struct cel_type *range = k->typed ? cel_type_resolve(e->range->type) : &cel_type_dyn;
    declare_range(k, e, range);
    for (uint32_t i = 0; i < e->n_args; i++) {
        cel_check_node(k, e->args[i]);
    }
    e->type = k->typed ? fold_type(k, e, cel_type_resolve(range)) : &cel_type_dyn;
    cel_forget(k, e->n_vars);
}

void cel_check_bind(struct cel_checker *k, struct ast *e)
{
    cel_check_node(k, e->range);
    const struct cel_type *value = cel_type_resolve(e->range->type);
    e->slot = k->next_slot;
    if (e->macro == BIND_PLAIN) {
        cel_declare(k, e->vars[0], e->range->type);
    } else {
        bool known = value->kind == CEL_OPTIONAL;
        if (k->typed && !known && value->kind != CEL_DYN && value->kind != CEL_ERROR) {
            cel_issue(k->c, e->pos, "found no matching overload for 'hasValue' applied to '%s.()'",
                      cel_type_name(k, value));
        }
        cel_declare(k, e->vars[0], known ? cel_type_elem(value) : &cel_type_dyn);
    }
    cel_check_node(k, e->args[0]);
    const struct cel_type *body = e->args[0]->type;
    e->type = !k->typed                                 ? &cel_type_dyn
              : e->macro == BIND_PLAIN                  ? body
              : e->macro == BIND_OPT_MAP                ? cel_type_of(&k->c->a, CEL_OPTIONAL, body)
              : cel_type_resolve(body)->kind == CEL_DYN ? &cel_type_optional_dyn
                                                        : body;
    cel_forget(k, 1);
}

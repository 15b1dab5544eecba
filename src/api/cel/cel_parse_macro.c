/* SPDX-License-Identifier: Apache-2.0 */
/* Macros, expanded into AST_FOLD and AST_BIND as they are read: all, exists, map, has, cel.bind...
 */
#include "cel_parser.h"

static const struct {
    const char *name;
    uint8_t args;
    uint8_t vars;
    uint8_t kind;
    bool ext;
} folds[] = {
    {"all", 2, 1, FOLD_ALL, false},
    {"exists", 2, 1, FOLD_EXISTS, false},
    {"exists_one", 2, 1, FOLD_EXISTS_ONE, false},
    {"existsOne", 2, 1, FOLD_EXISTS_ONE, true},
    {"map", 2, 1, FOLD_MAP, false},
    {"map", 3, 1, FOLD_MAP, false},
    {"filter", 2, 1, FOLD_FILTER, false},
    {"all", 3, 2, FOLD_ALL, true},
    {"exists", 3, 2, FOLD_EXISTS, true},
    {"exists_one", 3, 2, FOLD_EXISTS_ONE, true},
    {"existsOne", 3, 2, FOLD_EXISTS_ONE, true},
    {"transformList", 3, 2, FOLD_TRANSFORM_LIST, true},
    {"transformList", 4, 2, FOLD_TRANSFORM_LIST, true},
    {"transformMap", 3, 2, FOLD_TRANSFORM_MAP, true},
    {"transformMap", 4, 2, FOLD_TRANSFORM_MAP, true},
    {"transformMapEntry", 3, 2, FOLD_TRANSFORM_ENTRY, true},
    {"transformMapEntry", 4, 2, FOLD_TRANSFORM_ENTRY, true},
};

static bool macro_var(struct cel_parser *p, const struct ast *arg, bool two, struct str *ret)
{
    if (arg->kind != AST_IDENT || arg->name.p[0] == '.') {
        cel_parser_error(p, arg->pos,
                         arg->kind == AST_CONST || two ? "argument must be a simple name"
                                                       : "argument is not an identifier");
        return false;
    }
    if (str_is(arg->name, "__result__")) {
        cel_parser_error(p, arg->pos, "iteration variable overwrites accumulator variable");
        return false;
    }
    *ret = arg->name;
    return true;
}

static struct ast *fold_of(struct cel_parser *p, uint32_t pos, struct ast *range,
                           const struct ast_vec *args, size_t macro)
{
    struct ast *e = cel_parser_node(p, AST_FOLD, pos);
    unsigned vars = folds[macro].vars;
    if (!e) {
        return NULL;
    }
    for (unsigned i = 0; i < vars; i++) {
        if (!macro_var(p, args->items[i], vars > 1, &e->vars[i])) {
            return NULL;
        }
    }
    if (vars == 2 && str_eq(e->vars[0], e->vars[1])) {
        return cel_parser_error(
            p, args->items[1]->pos,
            arena_printf(&p->c->a, "duplicate variable name: " STR_FMT, STR_ARG(e->vars[0])));
    }
    e->macro = folds[macro].kind;
    e->range = range;
    e->n_vars = (uint8_t)vars;
    struct ast_vec bodies = {args->items + vars, args->n - vars, 0};
    return cel_parser_grow(p, e, range) ? cel_parser_with_args(p, e, &bodies) : NULL;
}

static struct ast *bind_of(struct cel_parser *p, uint32_t pos, int kind, struct ast *var,
                           struct ast *value, struct ast *body)
{
    struct ast *e = cel_parser_node(p, AST_BIND, pos);
    struct ast_vec args = {0};
    if (!e || !cel_parser_push(p, &args, body)) {
        return NULL;
    }
    if (var->kind != AST_IDENT || var->name.p[0] == '.') {
        return cel_parser_error(p, var->pos,
                                kind == BIND_PLAIN
                                    ? "cel.bind() variable names must be simple identifiers"
                                    : arena_printf(&p->c->a,
                                                   "%s() variable name must be a simple identifier",
                                                   kind == BIND_OPT_MAP ? "optMap" : "optFlatMap"));
    }
    e->macro = kind;
    e->range = value;
    e->vars[0] = var->name;
    e->n_vars = 1;
    return cel_parser_grow(p, e, value) ? cel_parser_with_args(p, e, &args) : NULL;
}

/* A member call that is a macro; NULL without failure when it is none. */
struct ast *cel_parse_member_macro(struct cel_parser *p, uint32_t pos, struct ast *target,
                                   struct str name, const struct ast_vec *args)
{
    bool ext = p->c->opts->flags & CEL_F_EXT;
    for (size_t i = 0; i < ARRAY_SIZE(folds); i++) {
        if (folds[i].args == args->n && str_is(name, folds[i].name) && (ext || !folds[i].ext)) {
            return fold_of(p, pos, target, args, i);
        }
    }
    if (ext && args->n == 2 && (str_is(name, "optMap") || str_is(name, "optFlatMap"))) {
        return bind_of(p, pos, str_is(name, "optMap") ? BIND_OPT_MAP : BIND_OPT_FLAT_MAP,
                       args->items[0], target, args->items[1]);
    }
    if (ext && args->n == 3 && str_is(name, "bind") && target->kind == AST_IDENT &&
        str_is(target->name, "cel")) {
        return bind_of(p, pos, BIND_PLAIN, args->items[0], args->items[1], args->items[2]);
    }
    return NULL;
}

struct ast *cel_parse_has(struct cel_parser *p, uint32_t pos, const struct ast_vec *args)
{
    struct ast *field = args->items[0];
    if (field->kind != AST_SELECT || field->test) {
        return cel_parser_error(p, field->pos, "invalid argument to has() macro");
    }
    field->test = true;
    field->pos = field->optional ? field->pos : pos;
    return field;
}

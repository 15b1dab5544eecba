/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker: resolves names and functions and infers types, by unification as cel-spec
 * ("langdef.md", "Gradual Type Checking") and cel-go do it.
 *
 * Without CEL_F_CHECKED the same walk resolves names and functions only; every type is dyn then.
 * Type variables are bound in place; what a failed overload bound is undone from a trail.
 */
#include <stdarg.h>

#include "cel_private.h"

struct scope {
    struct str name;
    const struct cel_type *type;
    int slot;
};

struct checker {
    struct cel_compiler *c;
    bool typed;
    struct scope *locals;
    uint32_t n_locals, cap_locals;
    int next_slot;
    struct bound {
        struct cel_type_var *var;
        const struct cel_type *before;
    } * trail;
    uint32_t n_trail, cap_trail;
};

static void check(struct checker *k, struct ast *e);
static const struct cel_type *finish(struct arena *a, const struct cel_type *t);

/* ---- types under substitution ---- */

/* The type itself, behind bound variables. */
static const struct cel_type *resolve(const struct cel_type *t)
{
    while (t->kind == CEL_PARAM && ((const struct cel_type_var *)t)->bound) {
        t = ((const struct cel_type_var *)t)->bound;
    }
    return t;
}

static bool bind(struct checker *k, const struct cel_type *var, const struct cel_type *to)
{
    struct cel_type_var *v = (struct cel_type_var *)(uintptr_t)var;
    if (k->n_trail == k->cap_trail) {
        uint32_t cap = k->cap_trail ? k->cap_trail * 2 : 32;
        struct bound *grown =
            arena_grow(&k->c->a, k->trail, k->cap_trail * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            return false;
        }
        k->trail = grown;
        k->cap_trail = cap;
    }
    k->trail[k->n_trail++] = (struct bound){v, v->bound};
    v->bound = to;
    return true;
}

static void undo(struct checker *k, uint32_t to)
{
    while (k->n_trail > to) {
        k->n_trail--;
        k->trail[k->n_trail].var->bound = k->trail[k->n_trail].before;
    }
}

static bool is_parameterised(enum cel_kind kind)
{
    return kind == CEL_LIST || kind == CEL_MAP || kind == CEL_OPTIONAL;
}

static bool occurs(const struct cel_type *var, const struct cel_type *in)
{
    in = resolve(in);
    if (in == var) {
        return true;
    }
    if (!is_parameterised(in->kind) && in->kind != CEL_TYPE) {
        return false;
    }
    return occurs(var, cel_type_elem(in)) || (in->kind == CEL_MAP && occurs(var, cel_type_key(in)));
}

static bool same_object(const struct cel_type *a, const struct cel_type *b)
{
    return a == b || (a->name && b->name && cstr_eq(a->name, b->name) && a->fields == b->fields);
}

/* a says as little as b or less: dyn stands for anything. */
static bool is_general(const struct cel_type *a, const struct cel_type *b)
{
    a = resolve(a);
    b = resolve(b);
    if (a->kind == CEL_DYN || a->kind == CEL_PARAM) {
        return true;
    }
    if (b->kind == CEL_DYN || b->kind == CEL_PARAM || a->kind != b->kind) {
        return false;
    }
    if (a->kind == CEL_OBJECT) {
        return same_object(a, b);
    }
    return !is_parameterised(a->kind) ||
           (is_general(cel_type_elem(a), cel_type_elem(b)) &&
            (a->kind != CEL_MAP || is_general(cel_type_key(a), cel_type_key(b))));
}

static const struct cel_type *most_general(const struct cel_type *a, const struct cel_type *b)
{
    return is_general(a, b) ? a : b;
}

/* Kinds that null may stand for: messages, well-known and abstract types. */
static bool takes_null(enum cel_kind kind)
{
    return kind == CEL_NULL || kind == CEL_OBJECT || kind == CEL_TIMESTAMP ||
           kind == CEL_DURATION || (kind >= CEL_OPTIONAL && kind < CEL_KIND_NR);
}

static bool assign(struct checker *k, const struct cel_type *a, const struct cel_type *b);

/* Makes the variable stand for t; keeps the more general of two that fit. */
static bool assign_var(struct checker *k, const struct cel_type *var, const struct cel_type *t)
{
    const struct cel_type *bound = ((const struct cel_type_var *)var)->bound;
    if (resolve(t) == resolve(var)) {
        return true;
    }
    if (bound && resolve(bound)->kind != CEL_PARAM) {
        return assign(k, t, bound) && bind(k, var, most_general(t, bound));
    }
    if (bound) {
        return assign_var(k, resolve(bound), t);
    }
    return !occurs(var, t) && bind(k, var, t);
}

static bool assign(struct checker *k, const struct cel_type *a, const struct cel_type *b)
{
    if (b->kind == CEL_PARAM) {
        return assign_var(k, b, a);
    }
    if (a->kind == CEL_PARAM) {
        return assign_var(k, a, b);
    }
    if (a->kind == CEL_DYN || b->kind == CEL_DYN || a->kind == CEL_ERROR || b->kind == CEL_ERROR) {
        return true;
    }
    if (a->kind == CEL_NULL || b->kind == CEL_NULL) {
        return takes_null(a->kind) && takes_null(b->kind);
    }
    if (a->kind == CEL_OBJECT && b->kind == CEL_OBJECT) {
        return same_object(a, b);
    }
    if (a->kind != b->kind) {
        return false;
    }
    if (!is_parameterised(a->kind)) {
        return true;
    }
    return (a->kind != CEL_MAP || assign(k, cel_type_key(a), cel_type_key(b))) &&
           assign(k, cel_type_elem(a), cel_type_elem(b));
}

static bool assignable(struct checker *k, const struct cel_type *a, const struct cel_type *b)
{
    uint32_t trail = k->n_trail;
    if (assign(k, a, b)) {
        return true;
    }
    undo(k, trail);
    return false;
}

static const struct cel_type *fresh(struct checker *k)
{
    struct cel_type_var *v = arena_zalloc(&k->c->a, sizeof(*v));
    if (!v) {
        return &cel_type_error;
    }
    v->type.kind = CEL_PARAM;
    v->type.name = arena_printf(&k->c->a, "_var%u", k->c->next_var++);
    return &v->type;
}

static const char *name_of(struct checker *k, const struct cel_type *t)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    cel_type_print(&out, t);
    const char *text = arena_str(&k->c->a, buf_str(&out));
    return text ? text : "";
}

/* ---- names ---- */

static const char *container(const struct checker *k)
{
    return k->c->opts->container ? k->c->opts->container : "";
}

/* Without types it is an error of the evaluation, which && and || may absorb. */
static void undeclared(struct checker *k, uint32_t pos, struct str name)
{
    if (!k->typed) {
        return;
    }
    cel_issue(k->c, pos, "undeclared reference to '" STR_FMT "' (in container '%s')", STR_ARG(name),
              container(k));
}

/* The candidates of a name in a container, nearest first: a.b.x, a.x, x. The n-th, or an empty
 * text. */
static struct str candidate(struct checker *k, struct str name, unsigned n)
{
    struct str scope = str_of(container(k));
    if (name.n && name.p[0] == '.') {
        return n == 0 ? str_n(name.p + 1, name.n - 1) : STR_NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!scope.n) {
            return STR_NULL;
        }
        struct str head;
        scope = str_rcut(scope, '.', &head, NULL) ? head : STR_NULL;
    }
    return scope.n
               ? str_of(arena_printf(&k->c->a, STR_FMT "." STR_FMT, STR_ARG(scope), STR_ARG(name)))
               : name;
}

static bool find_global(struct checker *k, struct str name, struct ast *ret)
{
    const struct cel_compile_opts *o = k->c->opts;
    for (unsigned n = 0;; n++) {
        struct str full = candidate(k, name, n);
        if (!full.n) {
            return false;
        }
        for (uint32_t i = 0; i < o->n_vars; i++) {
            if (str_is(full, o->vars[i].name)) {
                ret->var = (int)i;
                ret->type = k->typed && o->vars[i].type ? o->vars[i].type : &cel_type_dyn;
                return true;
            }
        }
        const struct cel_type *named = cel_type_named(full);
        if (named) {
            ret->denotes = named;
            ret->type = k->typed ? cel_type_of(&k->c->a, CEL_TYPE, named) : &cel_type_dyn;
            return true;
        }
    }
}

/* Fills an AST_IDENT; false when nothing has that name. */
static bool find_name(struct checker *k, struct str name, struct ast *ret)
{
    ret->local = ret->var = -1;
    ret->denotes = NULL;
    for (uint32_t i = k->n_locals; i > 0; i--) {
        if (str_eq(k->locals[i - 1].name, name)) {
            ret->local = k->locals[i - 1].slot;
            ret->type = k->locals[i - 1].type;
            return true;
        }
    }
    return find_global(k, name, ret);
}

static void declare(struct checker *k, struct str name, const struct cel_type *type)
{
    if (k->n_locals == k->cap_locals) {
        uint32_t cap = k->cap_locals ? k->cap_locals * 2 : 16;
        struct scope *grown =
            arena_grow(&k->c->a, k->locals, k->cap_locals * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            return;
        }
        k->locals = grown;
        k->cap_locals = cap;
    }
    k->locals[k->n_locals++] = (struct scope){name, type, k->next_slot++};
    k->c->max_locals = MAX_OF(k->c->max_locals, k->next_slot);
}

static void forget(struct checker *k, unsigned n)
{
    k->n_locals -= MIN_OF(n, k->n_locals);
    k->next_slot -= (int)n;
}

static void check_ident(struct checker *k, struct ast *e)
{
    if (!find_name(k, e->name, e)) {
        undeclared(k, e->pos, e->name);
        e->type = &cel_type_error;
    }
}

/* A chain a.b.c that is the name of a variable or type becomes an AST_IDENT. Names of locals and
 * of shorter variables win only when the longer one does not exist. */
static bool check_qualified(struct checker *k, struct ast *e)
{
    struct str name = cel_qualified_name(&k->c->a, e);
    struct ast ident = {.kind = AST_IDENT, .pos = e->pos, .depth = 1, .name = name};
    if (!name.n) {
        return false;
    }
    struct str first = name;
    (void)str_cut(name, '.', &first, NULL);
    for (uint32_t i = k->n_locals; i > 0; i--) {
        if (str_eq(k->locals[i - 1].name, first)) {
            return false;
        }
    }
    ident.local = ident.var = -1;
    if (!find_global(k, name, &ident)) {
        return false;
    }
    *e = ident;
    return true;
}

/* ---- selection ---- */

static const struct cel_type *field_type(struct checker *k, struct ast *e,
                                         const struct cel_type *operand)
{
    const struct cel_type *t = resolve(operand);
    switch (t->kind) {
    case CEL_DYN:
    case CEL_ERROR:
    case CEL_PARAM:
        if (t->kind == CEL_PARAM) {
            (void)assignable(k, t, &cel_type_dyn);
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
        cel_issue(k->c, e->pos, "type '%s' does not support field selection", name_of(k, t));
        return &cel_type_error;
    }
}

static void check_select(struct checker *k, struct ast *e)
{
    if (!e->test && !e->optional && check_qualified(k, e)) {
        return;
    }
    check(k, e->operand);
    if (!k->typed) {
        e->type = &cel_type_dyn;
        return;
    }
    const struct cel_type *operand = resolve(e->operand->type);
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

/* ---- calls ---- */

static const char *sigs_of(const struct checker *k, const struct cel_fn *fn)
{
    const char *cross = strchr(fn->sigs, '|');
    if (!cross || k->c->opts->flags & CEL_F_CROSS_TYPE) {
        return fn->sigs;
    }
    return arena_strndup(&k->c->a, fn->sigs, (size_t)(cross - fn->sigs));
}

static const char *shown_name(const struct ast *e)
{
    return e->fn->name;
}

static void no_overload(struct checker *k, const struct ast *e, const struct cel_type **args,
                        unsigned n)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    unsigned first = 0;
    if (e->target) {
        cel_type_print(&out, finish(&k->c->a, args[0]));
        (void)buf_putc(&out, '.');
        first = 1;
    }
    (void)buf_putc(&out, '(');
    for (unsigned i = first; i < n; i++) {
        (void)buf_puts(&out, i > first ? ", " : "");
        cel_type_print(&out, finish(&k->c->a, args[i]));
    }
    (void)buf_putc(&out, ')');
    cel_issue(k->c, e->pos, "found no matching overload for '%s' applied to '" STR_FMT "'",
              shown_name(e), STR_ARG(buf_str(&out)));
}

static bool sig_fits(struct checker *k, const struct cel_sig *sig, bool member,
                     const struct cel_type **args, unsigned n)
{
    if (sig->member != member || sig->n != n) {
        return false;
    }
    uint32_t trail = k->n_trail;
    for (unsigned i = 0; i < n; i++) {
        const struct cel_type *arg = resolve(args[i]);
        /* An object is a map to the functions of maps. */
        bool map = arg->kind == CEL_OBJECT && sig->args[i]->kind == CEL_MAP;
        if (!map && !assign(k, args[i], sig->args[i])) {
            undo(k, trail);
            return false;
        }
    }
    return true;
}

static const struct cel_type *resolve_overload(struct checker *k, struct ast *e,
                                               const struct cel_type **args, unsigned n)
{
    const struct cel_type *result = NULL;
    const char *at = sigs_of(k, e->fn);
    struct cel_sig sig;
    while (at && cel_sig_next(k->c, &at, &sig)) {
        if (!sig_fits(k, &sig, e->target != NULL, args, n)) {
            continue;
        }
        if (!result) {
            result = sig.result;
        } else if (resolve(result) != resolve(sig.result) &&
                   !(is_general(result, sig.result) && is_general(sig.result, result))) {
            result = &cel_type_dyn;
        }
    }
    if (!result && !arena_failed(&k->c->a)) {
        no_overload(k, e, args, n);
    }
    return result ? result : &cel_type_error;
}

/* Sets e->fn. A target that is a namespace (math.greatest) is taken off. */
static bool find_function(struct checker *k, struct ast *e)
{
    const struct cel_compile_opts *o = k->c->opts;
    struct str space = e->target ? cel_qualified_name(&k->c->a, e->target) : STR_NULL;
    if (space.n) {
        struct str full = str_of(
            arena_printf(&k->c->a, STR_FMT "." STR_FMT, STR_ARG(space), STR_ARG(e->function)));
        e->fn = cel_function(o, full);
        if (e->fn) {
            e->target = NULL;
            return true;
        }
    }
    for (unsigned n = 0; !e->fn; n++) {
        struct str full = e->target ? e->function : candidate(k, e->function, n);
        if (!full.n || (e->target && n)) {
            return false;
        }
        e->fn = cel_function(o, full);
    }
    return true;
}

/* The arguments of e with its target first, checked. */
static const struct cel_type **check_args(struct checker *k, struct ast *e, unsigned *ret_n)
{
    unsigned n = 0;
    const struct cel_type **types =
        arena_alloc(&k->c->a, (e->n_args + 1) * sizeof(const struct cel_type *));
    bool found = find_function(k, e);
    if (!types) {
        return NULL;
    }
    if (e->target) {
        check(k, e->target);
        types[n++] = e->target->type;
    }
    if (!found) {
        undeclared(k, e->pos, e->function);
    }
    for (uint32_t i = 0; i < e->n_args; i++) {
        check(k, e->args[i]);
        types[n++] = e->args[i]->type;
    }
    *ret_n = n;
    return found ? types : NULL;
}

/* math.greatest(a, b, c...): any number of arguments, or one list. */
static const struct cel_type *check_greatest(struct checker *k, struct ast *e,
                                             const struct cel_type **args, unsigned n)
{
    const struct cel_type *result = NULL;
    for (unsigned i = 0; i < n; i++) {
        const struct cel_type *t = resolve(args[i]);
        if (n == 1 && t->kind == CEL_LIST) {
            t = resolve(cel_type_elem(t));
            if (e->args[0]->kind == AST_LIST && e->args[0]->n_args == 0) {
                cel_issue(k->c, e->args[0]->pos, "%s() invalid single argument value", e->fn->name);
                return &cel_type_error;
            }
        }
        bool number = t->kind == CEL_INT || t->kind == CEL_UINT || t->kind == CEL_DOUBLE ||
                      t->kind == CEL_DYN || t->kind == CEL_ERROR || t->kind == CEL_PARAM;
        if (!number) {
            cel_issue(k->c, e->args[i]->pos, "%s() %s", e->fn->name,
                      n == 1 ? "invalid single argument value"
                             : "simple literal arguments must be numeric");
            return &cel_type_error;
        }
        result = !result || result->kind == t->kind ? t : &cel_type_dyn;
    }
    return result;
}

static void check_call(struct checker *k, struct ast *e)
{
    unsigned n = 0;
    const struct cel_type **args = check_args(k, e, &n);
    e->type = args ? &cel_type_dyn : &cel_type_error;
    if (!args) {
        return;
    }
    if (cstr_eq(e->fn->name, "math.greatest") || cstr_eq(e->fn->name, "math.least")) {
        if (n == 0) {
            cel_issue(k->c, e->pos, "%s() requires at least one argument", e->fn->name);
            e->type = &cel_type_error;
        } else {
            const struct cel_type *t = check_greatest(k, e, args, n);
            e->type = k->typed ? t : &cel_type_dyn;
        }
    } else if (k->typed) {
        e->type = resolve_overload(k, e, args, n);
    }
}

/* ---- aggregates ---- */

static const struct cel_type *join(struct checker *k, const struct ast *at,
                                   const struct cel_type *before, const struct cel_type *now)
{
    if (!before) {
        return now;
    }
    if (assignable(k, before, now)) {
        return most_general(before, now);
    }
    if (k->c->opts->flags & CEL_F_MIXED_LISTS) {
        return &cel_type_dyn;
    }
    cel_issue(k->c, at->pos, "expected type '%s' but found '%s'", name_of(k, before),
              name_of(k, now));
    return before;
}

/* The type of an element, without the optional around it where it is ?e. */
static const struct cel_type *element_type(struct checker *k, const struct ast *e, bool optional)
{
    const struct cel_type *t = e->type;
    if (!optional || resolve(t)->kind == CEL_DYN || resolve(t)->kind == CEL_ERROR) {
        return t;
    }
    if (resolve(t)->kind == CEL_OPTIONAL) {
        return cel_type_elem(resolve(t));
    }
    cel_issue(k->c, e->pos, "expected type 'optional_type(%s)' but found '%s'", name_of(k, t),
              name_of(k, t));
    return t;
}

static void check_list(struct checker *k, struct ast *e)
{
    const struct cel_type *elem = NULL;
    for (uint32_t i = 0; i < e->n_args; i++) {
        check(k, e->args[i]);
        if (k->typed) {
            elem = join(k, e->args[i], elem,
                        element_type(k, e->args[i], e->optionals && e->optionals[i]));
        }
    }
    e->type = !k->typed ? &cel_type_dyn : cel_type_list(&k->c->a, elem ? elem : fresh(k));
}

static bool is_aggregate(enum cel_kind kind)
{
    return is_parameterised(kind) || kind == CEL_OBJECT || kind == CEL_TYPE;
}

static void check_map(struct checker *k, struct ast *e)
{
    const struct cel_type *key = NULL, *elem = NULL;
    for (uint32_t i = 0; i + 1 < e->n_args; i += 2) {
        check(k, e->args[i]);
        check(k, e->args[i + 1]);
        if (k->typed) {
            key = join(k, e->args[i], key, e->args[i]->type);
            elem = join(k, e->args[i + 1], elem,
                        element_type(k, e->args[i + 1], e->optionals && e->optionals[i / 2]));
        }
    }
    e->type = &cel_type_dyn;
    if (k->typed) {
        /* A key that is no scalar fails when it runs; here it would let types grow like 2^n. */
        key = !key ? fresh(k) : is_aggregate(resolve(key)->kind) ? &cel_type_dyn : key;
        e->type = cel_type_map(&k->c->a, key, elem ? elem : fresh(k));
    }
}

/* Messages are not built here: there are no protobuf types to build. */
static void check_struct(struct checker *k, struct ast *e)
{
    struct ast ident = {.kind = AST_IDENT};
    struct str name = e->name;
    e->type = &cel_type_error;
    bool known = find_global(k, name, &ident);
    if (!known) {
        undeclared(k, e->pos, name);
    } else if (k->typed) {
        cel_issue(k->c, e->pos, "'" STR_FMT "' is not a %stype", STR_ARG(name),
                  ident.denotes ? "message " : "");
    }
    if (!known && k->typed) {
        return;
    }
    for (uint32_t i = 0; i < e->n_args; i++) {
        check(k, e->args[i]);
    }
}

/* ---- macros ---- */

static void want_bool(struct checker *k, const struct ast *e)
{
    if (k->typed && !assignable(k, &cel_type_bool, e->type)) {
        cel_issue(k->c, e->pos, "expected type 'bool' but found '%s'", name_of(k, e->type));
    }
}

/* As cel-go finds it in the expanded macro: the operands of `function` do not fit. */
static void want_operand(struct checker *k, const struct ast *fold, const struct ast *e,
                         const char *function, const char *left, const char *right)
{
    if (!k->typed || assignable(k, &cel_type_bool, e->type)) {
        return;
    }
    cel_issue(k->c, fold->pos, "found no matching overload for '%s' applied to '(%s%s%s)'",
              function, left, name_of(k, e->type), right);
}

/* Declares the variables of a fold by the type of its range. */
static void declare_range(struct checker *k, struct ast *e, const struct cel_type *range)
{
    const struct cel_type *key = &cel_type_dyn, *elem = &cel_type_dyn;
    switch (range->kind) {
    case CEL_LIST:
        key = &cel_type_int;
        elem = cel_type_elem(range);
        break;
    case CEL_MAP:
        key = cel_type_key(range);
        elem = cel_type_elem(range);
        break;
    case CEL_OBJECT:
    case CEL_DYN:
    case CEL_ERROR:
        break;
    case CEL_PARAM:
        (void)assignable(k, range, &cel_type_dyn);
        break;
    default:
        cel_issue(k->c, e->range->pos,
                  "expression of type '%s' cannot be range of a comprehension (must be list, map, "
                  "or dynamic)",
                  name_of(k, range));
        key = elem = &cel_type_error;
    }
    if (range->kind == CEL_OBJECT) {
        cel_issue(k->c, e->range->pos,
                  "expression of type '%s' cannot be range of a comprehension (must be list, map, "
                  "or dynamic)",
                  name_of(k, range));
    }
    e->slot = k->next_slot;
    if (e->n_vars == 2) {
        declare(k, e->vars[0], key);
        declare(k, e->vars[1], elem);
    } else {
        declare(k, e->vars[0], range->kind == CEL_LIST ? elem : key);
    }
}

static const struct cel_type *fold_type(struct checker *k, struct ast *e,
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
    case FOLD_FILTER: {
        const struct cel_type *elem = range->kind == CEL_LIST  ? cel_type_elem(range)
                                      : range->kind == CEL_MAP ? cel_type_key(range)
                                                               : &cel_type_dyn;
        const char *list = name_of(k, cel_type_list(&k->c->a, elem));
        want_operand(k, e, body, "_?_:_", "", arena_printf(&k->c->a, ", %s, %s", list, list));
        return cel_type_list(&k->c->a, elem);
    }
    case FOLD_MAP:
    case FOLD_TRANSFORM_LIST: {
        const struct cel_type *list = cel_type_list(&k->c->a, body->type);
        if (e->n_args == 2) {
            const char *name = name_of(k, list);
            want_operand(k, e, e->args[0], "_?_:_", "",
                         arena_printf(&k->c->a, ", %s, %s", name, name));
        }
        return list;
    }
    case FOLD_TRANSFORM_MAP:
    case FOLD_TRANSFORM_ENTRY:
        break;
    }
    if (e->n_args == 2) {
        want_bool(k, e->args[0]);
    }
    if (e->macro == FOLD_TRANSFORM_ENTRY) {
        const struct cel_type *map = cel_type_map(&k->c->a, fresh(k), fresh(k));
        if (!assignable(k, map, body->type)) {
            cel_issue(k->c, body->pos, "expected a map but found '%s'", name_of(k, body->type));
        }
        return map;
    }
    return cel_type_map(&k->c->a,
                        range->kind == CEL_LIST  ? &cel_type_int
                        : range->kind == CEL_MAP ? cel_type_key(range)
                                                 : &cel_type_dyn,
                        body->type);
}

static void check_fold(struct checker *k, struct ast *e)
{
    check(k, e->range);
    const struct cel_type *range = k->typed ? resolve(e->range->type) : &cel_type_dyn;
    declare_range(k, e, range);
    for (uint32_t i = 0; i < e->n_args; i++) {
        check(k, e->args[i]);
    }
    e->type = k->typed ? fold_type(k, e, resolve(range)) : &cel_type_dyn;
    forget(k, e->n_vars);
}

static void check_bind(struct checker *k, struct ast *e)
{
    check(k, e->range);
    const struct cel_type *value = resolve(e->range->type);
    e->slot = k->next_slot;
    if (e->macro == BIND_PLAIN) {
        declare(k, e->vars[0], e->range->type);
    } else {
        bool known = value->kind == CEL_OPTIONAL;
        if (k->typed && !known && value->kind != CEL_DYN && value->kind != CEL_ERROR) {
            cel_issue(k->c, e->pos, "found no matching overload for 'hasValue' applied to '%s.()'",
                      name_of(k, value));
        }
        declare(k, e->vars[0], known ? cel_type_elem(value) : &cel_type_dyn);
    }
    check(k, e->args[0]);
    const struct cel_type *body = e->args[0]->type;
    e->type = !k->typed                        ? &cel_type_dyn
              : e->macro == BIND_PLAIN         ? body
              : e->macro == BIND_OPT_MAP       ? cel_type_of(&k->c->a, CEL_OPTIONAL, body)
              : resolve(body)->kind == CEL_DYN ? &cel_type_optional_dyn
                                               : body;
    forget(k, 1);
}

static const struct cel_type *constant_type(struct checker *k, const struct ast *e)
{
    return k->typed ? cel_type_simple(e->value.kind) : &cel_type_dyn;
}

/* Recursion follows the tree, whose depth the parser bounds. */
static void check(struct checker *k, struct ast *e)
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
        check_ident(k, e);
        break;
    case AST_SELECT:
        check_select(k, e);
        break;
    case AST_CALL:
        check_call(k, e);
        break;
    case AST_LIST:
        check_list(k, e);
        break;
    case AST_MAP:
        check_map(k, e);
        break;
    case AST_STRUCT:
        check_struct(k, e);
        break;
    case AST_FOLD:
        check_fold(k, e);
        break;
    case AST_BIND:
        check_bind(k, e);
        break;
    }
}

/* Replaces variables by what they stand for, unbound ones by dyn. Types of the caller, which hold
 * none, are shared. */
static const struct cel_type *finish(struct arena *a, const struct cel_type *t)
{
    t = resolve(t);
    if (t->kind == CEL_PARAM) {
        return &cel_type_dyn;
    }
    bool simple = !is_parameterised(t->kind) && t->kind != CEL_TYPE;
    if (simple || !t->elem) {
        return t;
    }
    const struct cel_type *elem = finish(a, t->elem), *key = t->key ? finish(a, t->key) : NULL;
    if (elem == t->elem && key == t->key) {
        return t;
    }
    return t->kind == CEL_MAP ? cel_type_map(a, key, elem) : cel_type_of(a, t->kind, elem);
}

static void finish_tree(struct arena *a, struct ast *e)
{
    e->type = finish(a, e->type);
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
    struct checker k = {.c = c, .typed = c->opts->flags & CEL_F_CHECKED};
    c->checking = true;
    check(&k, root);
    if (c->n_issues == 0 && !arena_failed(&c->a)) {
        finish_tree(&c->a, root);
    }
    return c->n_issues == 0 && !arena_failed(&c->a);
}

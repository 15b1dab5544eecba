/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: which function is meant, and which of its overloads fit. */
#include "cel_checker.h"

static const char *sigs_of(const struct cel_checker *k, const struct cel_fn *fn)
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

static void no_overload(struct cel_checker *k, const struct ast *e, const struct cel_type **args,
                        unsigned n)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    unsigned first = 0;
    if (e->target) {
        cel_type_print(&out, cel_type_finish(&k->c->a, args[0]));
        (void)buf_putc(&out, '.');
        first = 1;
    }
    (void)buf_putc(&out, '(');
    for (unsigned i = first; i < n; i++) {
        (void)buf_puts(&out, i > first ? ", " : "");
        cel_type_print(&out, cel_type_finish(&k->c->a, args[i]));
    }
    (void)buf_putc(&out, ')');
    cel_issue(k->c, e->pos, "found no matching overload for '%s' applied to '" STR_FMT "'",
              shown_name(e), STR_ARG(buf_str(&out)));
}

static bool sig_fits(struct cel_checker *k, const struct cel_sig *sig, bool member,
                     const struct cel_type **args, unsigned n)
{
    if (sig->member != member || sig->n != n) {
        return false;
    }
    uint32_t trail = k->n_trail;
    for (unsigned i = 0; i < n; i++) {
        const struct cel_type *arg = cel_type_resolve(args[i]);
        /* An object is a map to the functions of maps. */
        bool map = arg->kind == CEL_OBJECT && sig->args[i]->kind == CEL_MAP;
        if (!map && !cel_unify(k, args[i], sig->args[i])) {
            cel_unify_undo(k, trail);
            return false;
        }
    }
    return true;
}

static const struct cel_type *resolve_overload(struct cel_checker *k, struct ast *e,
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
        } else if (cel_type_resolve(result) != cel_type_resolve(sig.result) &&
                   !(cel_type_is_general(result, sig.result) &&
                     cel_type_is_general(sig.result, result))) {
            result = &cel_type_dyn;
        }
    }
    if (!result && !arena_failed(&k->c->a)) {
        no_overload(k, e, args, n);
    }
    return result ? result : &cel_type_error;
}

/* Sets e->fn. A target that is a namespace (math.greatest) is taken off. */
static bool find_function(struct cel_checker *k, struct ast *e)
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
        struct str full = e->target ? e->function : cel_candidate(k, e->function, n);
        if (!full.n || (e->target && n)) {
            return false;
        }
        e->fn = cel_function(o, full);
    }
    return true;
}

/* The arguments of e with its target first, checked. */
static const struct cel_type **check_args(struct cel_checker *k, struct ast *e, unsigned *ret_n)
{
    unsigned n = 0;
    const struct cel_type **types =
        arena_alloc(&k->c->a, (e->n_args + 1) * sizeof(const struct cel_type *));
    bool found = find_function(k, e);
    if (!types) {
        return NULL;
    }
    if (e->target) {
        cel_check_node(k, e->target);
        types[n++] = e->target->type;
    }
    if (!found) {
        cel_undeclared(k, e->pos, e->function);
    }
    for (uint32_t i = 0; i < e->n_args; i++) {
        cel_check_node(k, e->args[i]);
        types[n++] = e->args[i]->type;
    }
    *ret_n = n;
    return found ? types : NULL;
}

/* math.greatest(a, b, c...): any number of arguments, or one list. */
static const struct cel_type *check_greatest(struct cel_checker *k, struct ast *e,
                                             const struct cel_type **args, unsigned n)
{
    const struct cel_type *result = NULL;
    for (unsigned i = 0; i < n; i++) {
        const struct cel_type *t = cel_type_resolve(args[i]);
        if (n == 1 && t->kind == CEL_LIST) {
            t = cel_type_resolve(cel_type_elem(t));
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

void cel_check_call(struct cel_checker *k, struct ast *e)
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

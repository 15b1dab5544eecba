/* SPDX-License-Identifier: Apache-2.0 */
/* Names: locals of macros, variables of the environment, types, within a container. */
#include "cel_checker.h"

static const char *container(const struct cel_checker *k)
{
    return k->c->opts->container ? k->c->opts->container : "";
}

/* Without types it is an error of the evaluation, which && and || may absorb. */
void cel_undeclared(struct cel_checker *k, uint32_t pos, struct str name)
{
    if (!k->typed) {
        return;
    }
    cel_issue(k->c, pos, "undeclared reference to '" STR_FMT "' (in container '%s')", STR_ARG(name),
              container(k));
}

/* The candidates of a name in a container, nearest first: a.b.x, a.x, x. The n-th, or an empty
 * text. */
struct str cel_candidate(struct cel_checker *k, struct str name, unsigned n)
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

bool cel_find_global(struct cel_checker *k, struct str name, struct ast *ret)
{
    const struct cel_compile_opts *o = k->c->opts;
    for (unsigned n = 0;; n++) {
        struct str full = cel_candidate(k, name, n);
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
static bool find_name(struct cel_checker *k, struct str name, struct ast *ret)
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
    return cel_find_global(k, name, ret);
}

void cel_declare(struct cel_checker *k, struct str name, const struct cel_type *type)
{
    if (k->n_locals == k->cap_locals) {
        uint32_t cap = k->cap_locals ? k->cap_locals * 2 : 16;
        struct cel_scope *grown =
            arena_grow(&k->c->a, k->locals, k->cap_locals * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            return;
        }
        k->locals = grown;
        k->cap_locals = cap;
    }
    k->locals[k->n_locals++] = (struct cel_scope){name, type, k->next_slot++};
    k->c->max_locals = MAX_OF(k->c->max_locals, k->next_slot);
}

void cel_forget(struct cel_checker *k, unsigned n)
{
    k->n_locals -= MIN_OF(n, k->n_locals);
    k->next_slot -= (int)n;
}

void cel_check_ident(struct cel_checker *k, struct ast *e)
{
    if (!find_name(k, e->name, e)) {
        cel_undeclared(k, e->pos, e->name);
        e->type = &cel_type_error;
    }
}

/* A chain a.b.c that is the name of a variable or type becomes an AST_IDENT. Names of locals and
 * of shorter variables win only when the longer one does not exist. */
bool cel_check_qualified(struct cel_checker *k, struct ast *e)
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
    if (!cel_find_global(k, name, &ident)) {
        return false;
    }
    *e = ident;
    return true;
}

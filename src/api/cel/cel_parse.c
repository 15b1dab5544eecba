/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser: CEL's grammar (cel-spec, langdef.md) by recursive descent, macros expanded into
 * AST_FOLD and AST_BIND as they are read.
 *
 * The first syntax error ends it, in the words of cel-go's ANTLR grammar. Depth is bounded by
 * LIMIT_CEL_DEPTH, both of the text's nesting and of the tree.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cel_lex.h"
#include "cel_private.h"
#include "codec/utf8.h"

#define PRIMARY                                                                              \
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, " \
    "STRING, BYTES, IDENTIFIER}"
#define PRIMARY_OR(list)                                                                 \
    "{'[', '{', " list "'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, " \
    "BYTES, IDENTIFIER}"

struct parser {
    struct cel_compiler *c;
    struct lexer lex;
    struct token t; /* the current one */
    unsigned depth;
    bool failed;
};

static struct ast *parse_expr(struct parser *p);
static struct ast *parse_unary(struct parser *p);

/* ---- frame ---- */

static void *error_at(struct parser *p, uint32_t pos, const char *text)
{
    if (!p->failed) {
        cel_issue(p->c, pos, "%s", text);
    }
    p->failed = true;
    return NULL;
}

static void advance(struct parser *p)
{
    const char *problem = lex_next(&p->lex, &p->t);
    if (problem) {
        error_at(p, p->t.pos, problem);
        p->t = (struct token){.type = TOKEN_END, .pos = (uint32_t)p->c->source.n};
    }
}

static bool at(const struct parser *p, int type)
{
    return (int)p->t.type == type;
}

static bool accept(struct parser *p, int type)
{
    if (!at(p, type)) {
        return false;
    }
    advance(p);
    return true;
}

static struct str token_text(const struct parser *p)
{
    return at(p, TOKEN_END) ? STR_LIT("<EOF>") : p->t.text;
}

/* Whether the token can open an expression. */
static bool opens_expression(const struct token *t)
{
    int type = (int)t->type;
    return (type >= TOKEN_IDENT && type <= TOKEN_NULL && type != TOKEN_ESCAPED) || type == '[' ||
           type == '{' || type == '(' || type == '.' || type == '-' || type == '!';
}

/* ANTLR calls a token extraneous when what follows it would have been right. */
static void *unexpected(struct parser *p, bool extraneous, const char *expecting)
{
    struct str got = token_text(p);
    return error_at(p, p->t.pos,
                    arena_printf(&p->c->a, "Syntax error: %s input '" STR_FMT "' expecting %s",
                                 extraneous ? "extraneous" : "mismatched", STR_ARG(got),
                                 expecting));
}

static struct token following(const struct parser *p)
{
    struct lexer ahead = p->lex;
    struct token t;
    (void)lex_next(&ahead, &t);
    return t;
}

static void *mismatch(struct parser *p, const char *expecting)
{
    return unexpected(p, false, expecting);
}

static void *no_expression(struct parser *p, const char *expecting)
{
    struct token next = following(p);
    return unexpected(p, !at(p, TOKEN_END) && opens_expression(&next), expecting);
}

static void *no_field(struct parser *p, const char *expecting)
{
    struct token next = following(p);
    bool fits = (int)next.type == '}' || (int)next.type == TOKEN_IDENT;
    return unexpected(p, !at(p, TOKEN_END) && fits, expecting);
}

static bool expect(struct parser *p, int type, const char *expecting)
{
    if (accept(p, type)) {
        return true;
    }
    mismatch(p, expecting);
    return false;
}

static struct ast *node(struct parser *p, enum ast_kind kind, uint32_t pos)
{
    struct ast *e = p->failed ? NULL : arena_zalloc(&p->c->a, sizeof(*e));
    if (!e) {
        p->failed = true;
        return NULL;
    }
    if (++p->c->n_nodes > LIMIT_CEL_NODES) {
        return error_at(p, pos, "expression is too large");
    }
    e->kind = kind;
    e->pos = pos;
    e->depth = 1;
    return e;
}

/* Takes the depth of a child over; the tree may not be deeper than what may recurse over it. */
static bool grow(struct parser *p, struct ast *e, const struct ast *child)
{
    if (!e || !child) {
        return false;
    }
    if (child->depth + 1 > e->depth) {
        e->depth = child->depth + 1;
    }
    if (e->depth > LIMIT_CEL_DEPTH) {
        error_at(p, e->pos, "expression recursion limit exceeded: 250");
        return false;
    }
    return true;
}

static bool enter(struct parser *p)
{
    if (++p->depth > LIMIT_CEL_DEPTH) {
        error_at(p, p->t.pos, "expression recursion limit exceeded: 250");
        return false;
    }
    return !p->failed;
}

struct ast_vec {
    struct ast **items;
    uint32_t n, cap;
};

static bool push(struct parser *p, struct ast_vec *v, struct ast *e)
{
    if (!e) {
        return false;
    }
    if (v->n == v->cap) {
        uint32_t cap = v->cap ? v->cap * 2 : 4;
        struct ast **grown =
            arena_grow(&p->c->a, v->items, v->cap * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            p->failed = true;
            return false;
        }
        v->items = grown;
        v->cap = cap;
    }
    v->items[v->n++] = e;
    return true;
}

static struct ast *with_args(struct parser *p, struct ast *e, const struct ast_vec *args)
{
    for (uint32_t i = 0; e && i < args->n; i++) {
        if (!grow(p, e, args->items[i])) {
            return NULL;
        }
    }
    if (e) {
        e->args = args->items;
        e->n_args = args->n;
    }
    return e;
}

static struct ast *call(struct parser *p, uint32_t pos, const char *function, struct ast *a,
                        struct ast *b)
{
    struct ast_vec args = {0};
    struct ast *e = node(p, AST_CALL, pos);
    if (!e || !push(p, &args, a) || (b && !push(p, &args, b))) {
        return NULL;
    }
    e->function = str_of(function);
    return with_args(p, e, &args);
}

/* ---- literals ---- */

static struct ast *constant(struct parser *p, struct cel_value v)
{
    struct ast *e = node(p, AST_CONST, p->t.pos);
    if (e) {
        e->value = v;
        advance(p);
    }
    return e;
}

/* Any number; `negative` when a minus stands before it. */
static struct ast *parse_number(struct parser *p, bool negative, uint32_t pos)
{
    struct cel_value v;
    const char *problem = lex_number(&p->t, negative, &v);
    if (problem) {
        return error_at(p, pos, problem);
    }
    struct ast *e = constant(p, v);
    if (e) {
        e->pos = pos;
    }
    return e;
}

static struct ast *parse_string(struct parser *p)
{
    struct cel_value v;
    const char *problem = lex_string(&p->c->a, &p->t, &v);
    if (problem) {
        return error_at(p, p->t.pos, problem);
    }
    return constant(p, v);
}

/* ---- lists, maps, structs ---- */

static bool set_optional(struct parser *p, bool **flags, uint32_t n, bool optional)
{
    if (optional && !*flags) {
        *flags = arena_zalloc(&p->c->a, LIMIT_CEL_NODES);
        p->failed |= !*flags;
    }
    if (optional && *flags) {
        (*flags)[n] = true;
    }
    return !p->failed;
}

static struct ast *parse_list(struct parser *p)
{
    struct ast *e = node(p, AST_LIST, p->t.pos);
    struct ast_vec items = {0};
    bool *optionals = NULL;
    advance(p);
    while (e && !at(p, ']')) {
        bool optional = accept(p, '?');
        if (items.n < LIMIT_CEL_NODES && !set_optional(p, &optionals, items.n, optional)) {
            return NULL;
        }
        if (!push(p, &items, parse_expr(p))) {
            return NULL;
        }
        if (!accept(p, ',')) {
            break;
        }
    }
    if (!e || !expect(p, ']', "{']', ','}")) {
        return NULL;
    }
    e->optionals = optionals;
    return with_args(p, e, &items);
}

static struct ast *parse_map(struct parser *p)
{
    struct ast *e = node(p, AST_MAP, p->t.pos);
    struct ast_vec entries = {0};
    bool *optionals = NULL;
    advance(p);
    if (!at(p, '}') && !at(p, '?') && !opens_expression(&p->t)) {
        return no_expression(p, PRIMARY_OR("'}', '(', '.', ',', '-', '!', '?', "));
    }
    while (e && !at(p, '}')) {
        bool optional = accept(p, '?');
        if (entries.n < LIMIT_CEL_NODES && !set_optional(p, &optionals, entries.n / 2, optional)) {
            return NULL;
        }
        if (!push(p, &entries, parse_expr(p)) || !expect(p, ':', "':'") ||
            !push(p, &entries, parse_expr(p))) {
            return NULL;
        }
        if (!accept(p, ',')) {
            break;
        }
    }
    if (!e || !expect(p, '}', "{'}', ','}")) {
        return NULL;
    }
    e->optionals = optionals;
    return with_args(p, e, &entries);
}

static struct ast *parse_struct(struct parser *p, struct str name)
{
    struct ast *e = node(p, AST_STRUCT, p->t.pos);
    struct ast_vec fields = {0};
    struct str *names = NULL;
    advance(p);
    while (e && !at(p, '}')) {
        bool optional = accept(p, '?');
        struct str field = p->t.text;
        if (!at(p, TOKEN_IDENT) && !at(p, TOKEN_ESCAPED)) {
            return optional ? no_field(p, "{IDENTIFIER, ESC_IDENTIFIER}")
                            : no_field(p, "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}");
        }
        advance(p);
        if (!expect(p, ':', "':'") || !push(p, &fields, parse_expr(p))) {
            return NULL;
        }
        names =
            arena_grow(&p->c->a, names, (fields.n - 1) * sizeof(*names), fields.n * sizeof(*names));
        if (!names) {
            p->failed = true;
            return NULL;
        }
        names[fields.n - 1] = field;
        if (!accept(p, ',')) {
            break;
        }
    }
    if (!e || !expect(p, '}', "{'}', ','}")) {
        return NULL;
    }
    e->name = name;
    e->names = names;
    return with_args(p, e, &fields);
}

/* ---- macros ---- */

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

static bool macro_var(struct parser *p, const struct ast *arg, bool two, struct str *ret)
{
    if (arg->kind != AST_IDENT || arg->name.p[0] == '.') {
        error_at(p, arg->pos,
                 arg->kind == AST_CONST || two ? "argument must be a simple name"
                                               : "argument is not an identifier");
        return false;
    }
    if (str_is(arg->name, "__result__")) {
        error_at(p, arg->pos, "iteration variable overwrites accumulator variable");
        return false;
    }
    *ret = arg->name;
    return true;
}

static struct ast *fold_of(struct parser *p, uint32_t pos, struct ast *range,
                           const struct ast_vec *args, size_t macro)
{
    struct ast *e = node(p, AST_FOLD, pos);
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
        return error_at(
            p, args->items[1]->pos,
            arena_printf(&p->c->a, "duplicate variable name: " STR_FMT, STR_ARG(e->vars[0])));
    }
    e->macro = folds[macro].kind;
    e->range = range;
    e->n_vars = (uint8_t)vars;
    struct ast_vec bodies = {args->items + vars, args->n - vars, 0};
    return grow(p, e, range) ? with_args(p, e, &bodies) : NULL;
}

static struct ast *bind_of(struct parser *p, uint32_t pos, int kind, struct ast *var,
                           struct ast *value, struct ast *body)
{
    struct ast *e = node(p, AST_BIND, pos);
    struct ast_vec args = {0};
    if (!e || !push(p, &args, body)) {
        return NULL;
    }
    if (var->kind != AST_IDENT || var->name.p[0] == '.') {
        return error_at(p, var->pos,
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
    return grow(p, e, value) ? with_args(p, e, &args) : NULL;
}

/* A member call that is a macro; NULL without failure when it is none. */
static struct ast *member_macro(struct parser *p, uint32_t pos, struct ast *target, struct str name,
                                const struct ast_vec *args)
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

static struct ast *has_macro(struct parser *p, uint32_t pos, const struct ast_vec *args)
{
    struct ast *field = args->items[0];
    if (field->kind != AST_SELECT || field->test) {
        return error_at(p, field->pos, "invalid argument to has() macro");
    }
    field->test = true;
    field->pos = field->optional ? field->pos : pos;
    return field;
}

/* ---- members ---- */

static bool parse_args(struct parser *p, struct ast_vec *args)
{
    advance(p);
    while (!at(p, ')')) {
        if (!push(p, args, parse_expr(p))) {
            return false;
        }
        if (!accept(p, ',')) {
            break;
        }
    }
    return expect(p, ')', "{')', ','}") && !p->failed;
}

static struct ast *global_call(struct parser *p, struct str name)
{
    uint32_t pos = p->t.pos;
    struct ast_vec args = {0};
    if (!parse_args(p, &args)) {
        return NULL;
    }
    if (str_is(name, "has") && args.n == 1) {
        return has_macro(p, pos, &args);
    }
    struct ast *e = node(p, AST_CALL, pos);
    if (e) {
        e->function = name;
    }
    return with_args(p, e, &args);
}

static struct ast *member_call(struct parser *p, struct ast *target, struct str name)
{
    uint32_t pos = p->t.pos;
    struct ast_vec args = {0};
    if (!parse_args(p, &args)) {
        return NULL;
    }
    struct ast *e = member_macro(p, pos, target, name, &args);
    if (e || p->failed) {
        return e;
    }
    e = node(p, AST_CALL, pos);
    if (!e || !grow(p, e, target)) {
        return NULL;
    }
    e->function = name;
    e->target = target;
    return with_args(p, e, &args);
}

static struct ast *select_of(struct parser *p, struct ast *operand, uint32_t pos, struct str field,
                             bool optional)
{
    struct ast *e = node(p, AST_SELECT, pos);
    if (!e || !grow(p, e, operand)) {
        return NULL;
    }
    e->operand = operand;
    e->field = field;
    e->optional = optional;
    return e;
}

static struct ast *parse_dot(struct parser *p, struct ast *e)
{
    uint32_t pos = p->t.pos;
    advance(p);
    bool optional = accept(p, '?');
    struct str name = p->t.text;
    if (at(p, TOKEN_ESCAPED)) {
        name = str_n(name.p + 1, name.n - 2);
        advance(p);
        return select_of(p, e, pos, name, optional);
    }
    if (at(p, TOKEN_TRUE) || at(p, TOKEN_FALSE) || at(p, TOKEN_NULL) || at(p, TOKEN_IN)) {
        return mismatch(p, "IDENTIFIER");
    }
    if (!at(p, TOKEN_IDENT)) {
        return error_at(p, p->t.pos,
                        arena_printf(&p->c->a,
                                     "Syntax error: no viable alternative at input '." STR_FMT "'",
                                     STR_ARG(at(p, TOKEN_END) ? STR_LIT("") : p->t.text)));
    }
    advance(p);
    if (!optional && at(p, '(')) {
        return member_call(p, e, name);
    }
    return select_of(p, e, pos, name, optional);
}

static struct ast *parse_index(struct parser *p, struct ast *e)
{
    uint32_t pos = p->t.pos;
    advance(p);
    bool optional = accept(p, '?');
    struct ast *key = parse_expr(p);
    if (!key || !expect(p, ']', "']'")) {
        return NULL;
    }
    return call(p, pos, optional ? "_[?_]" : "_[_]", e, key);
}

static bool is_reserved(struct str name)
{
    static const char *const words[] = {
        "as",  "break", "const",   "continue",  "else",   "for", "function", "if",   "import",
        "let", "loop",  "package", "namespace", "return", "var", "void",     "while"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (str_is(name, words[i])) {
            return true;
        }
    }
    return false;
}

static struct ast *parse_name(struct parser *p)
{
    uint32_t pos = p->t.pos;
    bool absolute = accept(p, '.');
    struct str name = p->t.text;
    if (!at(p, TOKEN_IDENT)) {
        return absolute ? error_at(p, p->t.pos, "Syntax error: no viable alternative at input '.'")
                        : no_expression(p, PRIMARY);
    }
    if (is_reserved(name)) {
        return error_at(p, p->t.pos,
                        arena_printf(&p->c->a, "reserved identifier: " STR_FMT, STR_ARG(name)));
    }
    if (absolute) {
        const char *dotted = arena_printf(&p->c->a, "." STR_FMT, STR_ARG(name));
        name = str_of(dotted);
    }
    advance(p);
    if (at(p, '(')) {
        return global_call(p, name);
    }
    struct ast *e = node(p, AST_IDENT, pos);
    if (e) {
        e->name = name;
        e->local = e->var = -1;
    }
    return e;
}

static struct ast *parse_primary(struct parser *p)
{
    switch ((int)p->t.type) {
    case TOKEN_INT:
    case TOKEN_UINT:
    case TOKEN_DOUBLE:
        return parse_number(p, false, p->t.pos);
    case TOKEN_STRING:
        return parse_string(p);
    case TOKEN_TRUE:
    case TOKEN_FALSE:
        return constant(p, cel_bool(at(p, TOKEN_TRUE)));
    case TOKEN_NULL:
        return constant(p, cel_null());
    case '[':
        return parse_list(p);
    case '{':
        return parse_map(p);
    case '(': {
        advance(p);
        struct ast *e = parse_expr(p);
        return e && expect(p, ')', "')'") ? e : NULL;
    }
    case '*':
    case '/':
    case '%':
        return unexpected(p, true, PRIMARY);
    default:
        return parse_name(p);
    }
}

/* What follows a primary: .name .name() [index], and {fields} behind a pure name. */
static struct ast *parse_members(struct parser *p, struct ast *e)
{
    while (e && !p->failed) {
        if (at(p, '.')) {
            e = parse_dot(p, e);
        } else if (at(p, '[')) {
            e = parse_index(p, e);
        } else if (at(p, '{') && cel_qualified_name(&p->c->a, e).n) {
            e = parse_struct(p, cel_qualified_name(&p->c->a, e));
        } else {
            return e;
        }
    }
    return NULL;
}

static struct ast *parse_member(struct parser *p)
{
    return parse_members(p, parse_primary(p));
}

struct str cel_qualified_name(struct arena *a, const struct ast *e)
{
    if (e->kind == AST_IDENT) {
        return e->name;
    }
    if (e->kind != AST_SELECT || e->test || e->optional) {
        return STR_NULL;
    }
    struct str head = cel_qualified_name(a, e->operand);
    return head.n ? str_of(arena_printf(a, STR_FMT "." STR_FMT, STR_ARG(head), STR_ARG(e->field)))
                  : STR_NULL;
}

/* ---- operators ---- */

static struct ast *parse_minus(struct parser *p)
{
    uint32_t pos = p->t.pos;
    advance(p);
    if (at(p, TOKEN_INT) || at(p, TOKEN_DOUBLE)) {
        return parse_members(p, parse_number(p, true, pos));
    }
    if (at(p, TOKEN_END)) {
        return error_at(p, p->t.pos, "Syntax error: no viable alternative at input '-'");
    }
    struct ast *e = at(p, '-') ? parse_unary(p) : parse_member(p);
    return e ? call(p, pos, "-_", e, NULL) : NULL;
}

static struct ast *parse_unary(struct parser *p)
{
    struct ast *e;
    uint32_t pos = p->t.pos;
    if (!enter(p)) {
        return NULL;
    }
    if (at(p, '-')) {
        e = parse_minus(p);
    } else if (accept(p, '!')) {
        e = at(p, '!') ? parse_unary(p) : parse_member(p);
        e = e ? call(p, pos, "!_", e, NULL) : NULL;
    } else {
        e = parse_member(p);
    }
    p->depth--;
    return e;
}

struct binary {
    int token;
    const char *function;
};
static const struct binary products[] = {{'*', "_*_"}, {'/', "_/_"}, {'%', "_%_"}, {0, NULL}};
static const struct binary sums[] = {{'+', "_+_"}, {'-', "_-_"}, {0, NULL}};
static const struct binary relations[] = {
    {'<', "_<_"},       {TOKEN_LE, "_<=_"}, {'>', "_>_"},      {TOKEN_GE, "_>=_"},
    {TOKEN_EQ, "_==_"}, {TOKEN_NE, "_!=_"}, {TOKEN_IN, "@in"}, {0, NULL}};
static const struct binary *const levels[] = {relations, sums, products};

static struct ast *parse_level(struct parser *p, unsigned level)
{
    bool last = level + 1 == ARRAY_SIZE(levels);
    struct ast *e = last ? parse_unary(p) : parse_level(p, level + 1);
    while (e) {
        const struct binary *op = levels[level];
        while (op->token && !at(p, op->token)) {
            op++;
        }
        if (!op->token) {
            return e;
        }
        uint32_t pos = p->t.pos;
        advance(p);
        struct ast *right = last ? parse_unary(p) : parse_level(p, level + 1);
        e = right ? call(p, pos, op->function, e, right) : NULL;
    }
    return NULL;
}

/* lo and hi number operators. A long chain of && becomes a balanced tree, so that its depth is the
 * logarithm of its length. */
static struct ast *balance(struct parser *p, const char *function, const struct ast_vec *terms,
                           const uint32_t *ops, uint32_t lo, uint32_t hi)
{
    uint32_t mid = (lo + hi + 1) / 2;
    struct ast *left =
        mid == lo ? terms->items[mid] : balance(p, function, terms, ops, lo, mid - 1);
    struct ast *right =
        mid == hi ? terms->items[mid + 1] : balance(p, function, terms, ops, mid + 1, hi);
    return left && right ? call(p, ops[mid], function, left, right) : NULL;
}

static struct ast *parse_chain(struct parser *p, bool or)
{
    struct ast_vec terms = {0};
    uint32_t *ops = NULL, cap = 0;
    if (!push(p, &terms, or ? parse_chain(p, false) : parse_level(p, 0))) {
        return NULL;
    }
    while (at(p, or ? TOKEN_OR : TOKEN_AND)) {
        if (terms.n > cap) {
            uint32_t more = cap ? cap * 2 : 8;
            ops = arena_grow(&p->c->a, ops, cap * sizeof(*ops), more * sizeof(*ops));
            cap = more;
            if (!ops) {
                p->failed = true;
                return NULL;
            }
        }
        ops[terms.n - 1] = p->t.pos;
        advance(p);
        if (!push(p, &terms, or ? parse_chain(p, false) : parse_level(p, 0))) {
            return NULL;
        }
    }
    return terms.n == 1 ? terms.items[0]
                        : balance(p, or ? "_||_" : "_&&_", &terms, ops, 0, terms.n - 2);
}

static struct ast *parse_expr(struct parser *p)
{
    if (!enter(p)) {
        return NULL;
    }
    struct ast *e = parse_chain(p, true);
    uint32_t pos = p->t.pos;
    if (e && accept(p, '?')) {
        struct ast *yes = parse_chain(p, true);
        struct ast *no = yes && expect(p, ':', "':'") ? parse_expr(p) : NULL;
        struct ast_vec args = {0};
        struct ast *cond = node(p, AST_CALL, pos);
        if (!cond || !push(p, &args, e) || !push(p, &args, yes) || !push(p, &args, no)) {
            return NULL;
        }
        cond->function = STR_LIT("_?_:_");
        e = with_args(p, cond, &args);
    }
    p->depth--;
    return e;
}

struct ast *cel_parse(struct cel_compiler *c)
{
    struct parser p = {.c = c, .lex = {.text = c->source, .a = &c->a}};
    if (!utf8_valid(c->source)) {
        cel_issue(c, 0, "Syntax error: the expression is not UTF-8");
        return NULL;
    }
    advance(&p);
    struct ast *e = p.failed ? NULL : parse_expr(&p);
    if (e && !at(&p, TOKEN_END)) {
        bool word = at(&p, TOKEN_IDENT) || at(&p, ')') || at(&p, '}') || at(&p, ']');
        return unexpected(&p, word, "<EOF>");
    }
    return p.failed ? NULL : e;
}

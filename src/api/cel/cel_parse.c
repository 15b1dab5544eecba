/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of CEL (cel-spec, langdef.md) by recursive descent: members and operators.
 *
 * The first syntax error ends it. Depth is bounded by LIMIT_CEL_DEPTH, both of the text's nesting
 * and of the tree. See cel_parser.h for the other parts.
 */
#include "cel_parser.h"

#include "codec/utf8.h"

static struct ast *parse_unary(struct cel_parser *p);

/* ---- members ---- */

static bool parse_args(struct cel_parser *p, struct ast_vec *args)
{
    cel_parser_advance(p);
    while (!cel_parser_at(p, ')')) {
        if (!cel_parser_push(p, args, cel_parse_expr(p))) {
            return false;
        }
        if (!cel_parser_accept(p, ',')) {
            break;
        }
    }
    return cel_parser_expect(p, ')', "{')', ','}") && !p->failed;
}

static struct ast *global_call(struct cel_parser *p, struct str name)
{
    uint32_t pos = p->t.pos;
    struct ast_vec args = {0};
    if (!parse_args(p, &args)) {
        return NULL;
    }
    if (str_is(name, "has") && args.n == 1) {
        return cel_parse_has(p, pos, &args);
    }
    struct ast *e = cel_parser_node(p, AST_CALL, pos);
    if (e) {
        e->function = name;
    }
    return cel_parser_with_args(p, e, &args);
}

static struct ast *member_call(struct cel_parser *p, struct ast *target, struct str name)
{
    uint32_t pos = p->t.pos;
    struct ast_vec args = {0};
    if (!parse_args(p, &args)) {
        return NULL;
    }
    struct ast *e = cel_parse_member_macro(p, pos, target, name, &args);
    if (e || p->failed) {
        return e;
    }
    e = cel_parser_node(p, AST_CALL, pos);
    if (!e || !cel_parser_grow(p, e, target)) {
        return NULL;
    }
    e->function = name;
    e->target = target;
    return cel_parser_with_args(p, e, &args);
}

static struct ast *select_of(struct cel_parser *p, struct ast *operand, uint32_t pos,
                             struct str field, bool optional)
{
    struct ast *e = cel_parser_node(p, AST_SELECT, pos);
    if (!e || !cel_parser_grow(p, e, operand)) {
        return NULL;
    }
    e->operand = operand;
    e->field = field;
    e->optional = optional;
    return e;
}

static struct ast *parse_dot(struct cel_parser *p, struct ast *e)
{
    uint32_t pos = p->t.pos;
    cel_parser_advance(p);
    bool optional = cel_parser_accept(p, '?');
    struct str name = p->t.text;
    if (cel_parser_at(p, TOKEN_ESCAPED)) {
        name = str_n(name.p + 1, name.n - 2);
        cel_parser_advance(p);
        return select_of(p, e, pos, name, optional);
    }
    if (cel_parser_at(p, TOKEN_TRUE) || cel_parser_at(p, TOKEN_FALSE) ||
        cel_parser_at(p, TOKEN_NULL) || cel_parser_at(p, TOKEN_IN)) {
        return cel_parser_mismatch(p, "IDENTIFIER");
    }
    if (!cel_parser_at(p, TOKEN_IDENT)) {
        return cel_parser_error(
            p, p->t.pos,
            arena_printf(&p->c->a, "Syntax error: no viable alternative at input '." STR_FMT "'",
                         STR_ARG(cel_parser_at(p, TOKEN_END) ? STR_LIT("") : p->t.text)));
    }
    cel_parser_advance(p);
    if (!optional && cel_parser_at(p, '(')) {
        return member_call(p, e, name);
    }
    return select_of(p, e, pos, name, optional);
}

static struct ast *parse_index(struct cel_parser *p, struct ast *e)
{
    uint32_t pos = p->t.pos;
    cel_parser_advance(p);
    bool optional = cel_parser_accept(p, '?');
    struct ast *key = cel_parse_expr(p);
    if (!key || !cel_parser_expect(p, ']', "']'")) {
        return NULL;
    }
    return cel_parser_call(p, pos, optional ? "_[?_]" : "_[_]", e, key);
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

static struct ast *parse_name(struct cel_parser *p)
{
    uint32_t pos = p->t.pos;
    bool absolute = cel_parser_accept(p, '.');
    struct str name = p->t.text;
    if (!cel_parser_at(p, TOKEN_IDENT)) {
        return absolute ? cel_parser_error(p, p->t.pos,
                                           "Syntax error: no viable alternative at input '.'")
                        : cel_parser_no_expression(p, PRIMARY);
    }
    if (is_reserved(name)) {
        return cel_parser_error(
            p, p->t.pos, arena_printf(&p->c->a, "reserved identifier: " STR_FMT, STR_ARG(name)));
    }
    if (absolute) {
        const char *dotted = arena_printf(&p->c->a, "." STR_FMT, STR_ARG(name));
        name = str_of(dotted);
    }
    cel_parser_advance(p);
    if (cel_parser_at(p, '(')) {
        return global_call(p, name);
    }
    struct ast *e = cel_parser_node(p, AST_IDENT, pos);
    if (e) {
        e->name = name;
        e->local = e->var = -1;
    }
    return e;
}

static struct ast *parse_primary(struct cel_parser *p)
{
    switch ((int)p->t.type) {
    case TOKEN_INT:
    case TOKEN_UINT:
    case TOKEN_DOUBLE:
        return cel_parse_number(p, false, p->t.pos);
    case TOKEN_STRING:
        return cel_parse_string(p);
    case TOKEN_TRUE:
    case TOKEN_FALSE:
        return cel_parse_constant(p, cel_bool(cel_parser_at(p, TOKEN_TRUE)));
    case TOKEN_NULL:
        return cel_parse_constant(p, cel_null());
    case '[':
        return cel_parse_list(p);
    case '{':
        return cel_parse_map(p);
    case '(': {
        cel_parser_advance(p);
        struct ast *e = cel_parse_expr(p);
        return e && cel_parser_expect(p, ')', "')'") ? e : NULL;
    }
    case '*':
    case '/':
    case '%':
        return cel_parser_unexpected(p, true, PRIMARY);
    default:
        return parse_name(p);
    }
}

/* What follows a primary: .name .name() [index], and {fields} behind a pure name. */
static struct ast *parse_members(struct cel_parser *p, struct ast *e)
{
    while (e && !p->failed) {
        if (cel_parser_at(p, '.')) {
            e = parse_dot(p, e);
        } else if (cel_parser_at(p, '[')) {
            e = parse_index(p, e);
        } else if (cel_parser_at(p, '{') && cel_qualified_name(&p->c->a, e).n) {
            e = cel_parse_struct(p, cel_qualified_name(&p->c->a, e));
        } else {
            return e;
        }
    }
    return NULL;
}

static struct ast *parse_member(struct cel_parser *p)
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

static struct ast *parse_minus(struct cel_parser *p)
{
    uint32_t pos = p->t.pos;
    cel_parser_advance(p);
    if (cel_parser_at(p, TOKEN_INT) || cel_parser_at(p, TOKEN_DOUBLE)) {
        return parse_members(p, cel_parse_number(p, true, pos));
    }
    if (cel_parser_at(p, TOKEN_END)) {
        return cel_parser_error(p, p->t.pos, "Syntax error: no viable alternative at input '-'");
    }
    struct ast *e = cel_parser_at(p, '-') ? parse_unary(p) : parse_member(p);
    return e ? cel_parser_call(p, pos, "-_", e, NULL) : NULL;
}

static struct ast *parse_unary(struct cel_parser *p)
{
    struct ast *e;
    uint32_t pos = p->t.pos;
    if (!cel_parser_enter(p)) {
        return NULL;
    }
    if (cel_parser_at(p, '-')) {
        e = parse_minus(p);
    } else if (cel_parser_accept(p, '!')) {
        e = cel_parser_at(p, '!') ? parse_unary(p) : parse_member(p);
        e = e ? cel_parser_call(p, pos, "!_", e, NULL) : NULL;
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

static struct ast *parse_level(struct cel_parser *p, unsigned level)
{
    bool last = level + 1 == ARRAY_SIZE(levels);
    struct ast *e = last ? parse_unary(p) : parse_level(p, level + 1);
    while (e) {
        const struct binary *op = levels[level];
        while (op->token && !cel_parser_at(p, op->token)) {
            op++;
        }
        if (!op->token) {
            return e;
        }
        uint32_t pos = p->t.pos;
        cel_parser_advance(p);
        struct ast *right = last ? parse_unary(p) : parse_level(p, level + 1);
        e = right ? cel_parser_call(p, pos, op->function, e, right) : NULL;
    }
    return NULL;
}

/* lo and hi number operators. A long chain of && becomes a balanced tree, so that its depth is the
 * logarithm of its length. */
static struct ast *balance(struct cel_parser *p, const char *function, const struct ast_vec *terms,
                           const uint32_t *ops, uint32_t lo, uint32_t hi)
{
    uint32_t mid = (lo + hi + 1) / 2;
    struct ast *left =
        mid == lo ? terms->items[mid] : balance(p, function, terms, ops, lo, mid - 1);
    struct ast *right =
        mid == hi ? terms->items[mid + 1] : balance(p, function, terms, ops, mid + 1, hi);
    return left && right ? cel_parser_call(p, ops[mid], function, left, right) : NULL;
}

static struct ast *parse_chain(struct cel_parser *p, bool or)
{
    struct ast_vec terms = {0};
    uint32_t *ops = NULL, cap = 0;
    if (!cel_parser_push(p, &terms, or ? parse_chain(p, false) : parse_level(p, 0))) {
        return NULL;
    }
    while (cel_parser_at(p, or ? TOKEN_OR : TOKEN_AND)) {
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
        cel_parser_advance(p);
        if (!cel_parser_push(p, &terms, or ? parse_chain(p, false) : parse_level(p, 0))) {
            return NULL;
        }
    }
    return terms.n == 1 ? terms.items[0]
                        : balance(p, or ? "_||_" : "_&&_", &terms, ops, 0, terms.n - 2);
}

struct ast *cel_parse_expr(struct cel_parser *p)
{
    if (!cel_parser_enter(p)) {
        return NULL;
    }
    struct ast *e = parse_chain(p, true);
    uint32_t pos = p->t.pos;
    if (e && cel_parser_accept(p, '?')) {
        struct ast *yes = parse_chain(p, true);
        struct ast *no = yes && cel_parser_expect(p, ':', "':'") ? cel_parse_expr(p) : NULL;
        struct ast_vec args = {0};
        struct ast *cond = cel_parser_node(p, AST_CALL, pos);
        if (!cond || !cel_parser_push(p, &args, e) || !cel_parser_push(p, &args, yes) ||
            !cel_parser_push(p, &args, no)) {
            return NULL;
        }
        cond->function = STR_LIT("_?_:_");
        e = cel_parser_with_args(p, cond, &args);
    }
    p->depth--;
    return e;
}

struct ast *cel_parse(struct cel_compiler *c)
{
    struct cel_parser p = {.c = c, .lex = {.text = c->source, .a = &c->a}};
    if (!utf8_valid(c->source)) {
        cel_issue(c, 0, "Syntax error: the expression is not UTF-8");
        return NULL;
    }
    cel_parser_advance(&p);
    struct ast *e = p.failed ? NULL : cel_parse_expr(&p);
    if (e && !cel_parser_at(&p, TOKEN_END)) {
        bool word = cel_parser_at(&p, TOKEN_IDENT) || cel_parser_at(&p, ')') ||
                    cel_parser_at(&p, '}') || cel_parser_at(&p, ']');
        return cel_parser_unexpected(&p, word, "<EOF>");
    }
    return p.failed ? NULL : e;
}

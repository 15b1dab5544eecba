/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of the parser: the cursor over tokens, nodes, and errors in the words of cel-go's ANTLR
 * grammar. */
#include "cel_parser.h"

void *cel_parser_error(struct cel_parser *p, uint32_t pos, const char *text)
{
    if (!p->failed) {
        cel_issue(p->c, pos, "%s", text);
    }
    p->failed = true;
    return NULL;
}

void cel_parser_advance(struct cel_parser *p)
{
    const char *problem = lex_next(&p->lex, &p->t);
    if (problem) {
        cel_parser_error(p, p->t.pos, problem);
        p->t = (struct token){.type = TOKEN_END, .pos = (uint32_t)p->c->source.n};
    }
}

bool cel_parser_accept(struct cel_parser *p, int type)
{
    if (!cel_parser_at(p, type)) {
        return false;
    }
    cel_parser_advance(p);
    return true;
}

static struct str token_text(const struct cel_parser *p)
{
    return cel_parser_at(p, TOKEN_END) ? STR_LIT("<EOF>") : p->t.text;
}

/* Whether the token can open an expression. */
bool cel_opens_expression(const struct token *t)
{
    int type = (int)t->type;
    return (type >= TOKEN_IDENT && type <= TOKEN_NULL && type != TOKEN_ESCAPED) || type == '[' ||
           type == '{' || type == '(' || type == '.' || type == '-' || type == '!';
}

/* ANTLR calls a token extraneous when what follows it would have been right. */
void *cel_parser_unexpected(struct cel_parser *p, bool extraneous, const char *expecting)
{
    struct str got = token_text(p);
    return cel_parser_error(
        p, p->t.pos,
        arena_printf(&p->c->a, "Syntax error: %s input '" STR_FMT "' expecting %s",
                     extraneous ? "extraneous" : "mismatched", STR_ARG(got), expecting));
}

static struct token following(const struct cel_parser *p)
{
    struct lexer ahead = p->lex;
    struct token t;
    (void)lex_next(&ahead, &t);
    return t;
}

void *cel_parser_mismatch(struct cel_parser *p, const char *expecting)
{
    return cel_parser_unexpected(p, false, expecting);
}

void *cel_parser_no_expression(struct cel_parser *p, const char *expecting)
{
    struct token next = following(p);
    return cel_parser_unexpected(p, !cel_parser_at(p, TOKEN_END) && cel_opens_expression(&next),
                                 expecting);
}

void *cel_parser_no_field(struct cel_parser *p, const char *expecting)
{
    struct token next = following(p);
    bool fits = (int)next.type == '}' || (int)next.type == TOKEN_IDENT;
    return cel_parser_unexpected(p, !cel_parser_at(p, TOKEN_END) && fits, expecting);
}

bool cel_parser_expect(struct cel_parser *p, int type, const char *expecting)
{
    if (cel_parser_accept(p, type)) {
        return true;
    }
    cel_parser_mismatch(p, expecting);
    return false;
}

struct ast *cel_parser_node(struct cel_parser *p, enum ast_kind kind, uint32_t pos)
{
    struct ast *e = p->failed ? NULL : arena_zalloc(&p->c->a, sizeof(*e));
    if (!e) {
        p->failed = true;
        return NULL;
    }
    if (++p->c->n_nodes > LIMIT_CEL_NODES) {
        return cel_parser_error(p, pos, "expression is too large");
    }
    e->kind = kind;
    e->pos = pos;
    e->depth = 1;
    return e;
}

/* Takes the depth of a child over; the tree may not be deeper than what may recurse over it. */
bool cel_parser_grow(struct cel_parser *p, struct ast *e, const struct ast *child)
{
    if (!e || !child) {
        return false;
    }
    if (child->depth + 1 > e->depth) {
        e->depth = child->depth + 1;
    }
    if (e->depth > LIMIT_CEL_DEPTH) {
        cel_parser_error(p, e->pos, "expression recursion limit exceeded: 250");
        return false;
    }
    return true;
}

bool cel_parser_enter(struct cel_parser *p)
{
    if (++p->depth > LIMIT_CEL_DEPTH) {
        cel_parser_error(p, p->t.pos, "expression recursion limit exceeded: 250");
        return false;
    }
    return !p->failed;
}

bool cel_parser_push(struct cel_parser *p, struct ast_vec *v, struct ast *e)
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

struct ast *cel_parser_with_args(struct cel_parser *p, struct ast *e, const struct ast_vec *args)
{
    for (uint32_t i = 0; e && i < args->n; i++) {
        if (!cel_parser_grow(p, e, args->items[i])) {
            return NULL;
        }
    }
    if (e) {
        e->args = args->items;
        e->n_args = args->n;
    }
    return e;
}

struct ast *cel_parser_call(struct cel_parser *p, uint32_t pos, const char *function, struct ast *a,
                            struct ast *b)
{
    struct ast_vec args = {0};
    struct ast *e = cel_parser_node(p, AST_CALL, pos);
    if (!e || !cel_parser_push(p, &args, a) || (b && !cel_parser_push(p, &args, b))) {
        return NULL;
    }
    e->function = str_of(function);
    return cel_parser_with_args(p, e, &args);
}

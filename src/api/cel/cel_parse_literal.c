/* SPDX-License-Identifier: Apache-2.0 */
/* Literals, and the aggregates [..], {..} and name{..}. */
#include "cel_parser.h"

struct ast *cel_parse_constant(struct cel_parser *p, struct cel_value v)
{
    struct ast *e = cel_parser_node(p, AST_CONST, p->t.pos);
    if (e) {
        e->value = v;
        cel_parser_advance(p);
    }
    return e;
}

/* Any number; `negative` when a minus stands before it. */
struct ast *cel_parse_number(struct cel_parser *p, bool negative, uint32_t pos)
{
    struct cel_value v;
    const char *problem = lex_number(&p->t, negative, &v);
    if (problem) {
        return cel_parser_error(p, pos, problem);
    }
    struct ast *e = cel_parse_constant(p, v);
    if (e) {
        e->pos = pos;
    }
    return e;
}

struct ast *cel_parse_string(struct cel_parser *p)
{
    struct cel_value v;
    const char *problem = lex_string(&p->c->a, &p->t, &v);
    if (problem) {
        return cel_parser_error(p, p->t.pos, problem);
    }
    return cel_parse_constant(p, v);
}

static bool set_optional(struct cel_parser *p, bool **flags, uint32_t n, bool optional)
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

struct ast *cel_parse_list(struct cel_parser *p)
{
    struct ast *e = cel_parser_node(p, AST_LIST, p->t.pos);
    struct ast_vec items = {0};
    bool *optionals = NULL;
    cel_parser_advance(p);
    while (e && !cel_parser_at(p, ']')) {
        bool optional = cel_parser_accept(p, '?');
        if (items.n < LIMIT_CEL_NODES && !set_optional(p, &optionals, items.n, optional)) {
            return NULL;
        }
        if (!cel_parser_push(p, &items, cel_parse_expr(p))) {
            return NULL;
        }
        if (!cel_parser_accept(p, ',')) {
            break;
        }
    }
    if (!e || !cel_parser_expect(p, ']', "{']', ','}")) {
        return NULL;
    }
    e->optionals = optionals;
    return cel_parser_with_args(p, e, &items);
}

struct ast *cel_parse_map(struct cel_parser *p)
{
    struct ast *e = cel_parser_node(p, AST_MAP, p->t.pos);
    struct ast_vec entries = {0};
    bool *optionals = NULL;
    cel_parser_advance(p);
    if (!cel_parser_at(p, '}') && !cel_parser_at(p, '?') && !cel_opens_expression(&p->t)) {
        return cel_parser_no_expression(p, PRIMARY_OR("'}', '(', '.', ',', '-', '!', '?', "));
    }
    while (e && !cel_parser_at(p, '}')) {
        bool optional = cel_parser_accept(p, '?');
        if (entries.n < LIMIT_CEL_NODES && !set_optional(p, &optionals, entries.n / 2, optional)) {
            return NULL;
        }
        if (!cel_parser_push(p, &entries, cel_parse_expr(p)) || !cel_parser_expect(p, ':', "':'") ||
            !cel_parser_push(p, &entries, cel_parse_expr(p))) {
            return NULL;
        }
        if (!cel_parser_accept(p, ',')) {
            break;
        }
    }
    if (!e || !cel_parser_expect(p, '}', "{'}', ','}")) {
        return NULL;
    }
    e->optionals = optionals;
    return cel_parser_with_args(p, e, &entries);
}

struct ast *cel_parse_struct(struct cel_parser *p, struct str name)
{
    struct ast *e = cel_parser_node(p, AST_STRUCT, p->t.pos);
    struct ast_vec fields = {0};
    struct str *names = NULL;
    cel_parser_advance(p);
    while (e && !cel_parser_at(p, '}')) {
        bool optional = cel_parser_accept(p, '?');
        struct str field = p->t.text;
        if (!cel_parser_at(p, TOKEN_IDENT) && !cel_parser_at(p, TOKEN_ESCAPED)) {
            return optional ? cel_parser_no_field(p, "{IDENTIFIER, ESC_IDENTIFIER}")
                            : cel_parser_no_field(p, "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}");
        }
        cel_parser_advance(p);
        if (!cel_parser_expect(p, ':', "':'") || !cel_parser_push(p, &fields, cel_parse_expr(p))) {
            return NULL;
        }
        names =
            arena_grow(&p->c->a, names, (fields.n - 1) * sizeof(*names), fields.n * sizeof(*names));
        if (!names) {
            p->failed = true;
            return NULL;
        }
        names[fields.n - 1] = field;
        if (!cel_parser_accept(p, ',')) {
            break;
        }
    }
    if (!e || !cel_parser_expect(p, '}', "{'}', ','}")) {
        return NULL;
    }
    e->name = name;
    e->names = names;
    return cel_parser_with_args(p, e, &fields);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FROM and JOIN. As eKuiper takes topics for streams, a name may be made of names and numbers with
 * '/', '#', '+' between them ("topic/sensor/#"); its parts must stand together here.
 */
#include "sql_private.h"

static bool part_of_name(const struct token *t)
{
    return sql_is_name(t) || t->kind == TOKEN_SLASH || t->kind == TOKEN_HASH ||
           t->kind == TOKEN_PLUS || t->kind == TOKEN_INT || sql_reserved(t->text) != TOKEN_NAME;
}

/* Words that go on after a source and are no alias of it. */
static bool follows_source(const struct parser *p)
{
    static const char *const words[] = {"union", "match_recognize", "with"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (sql_at_word(p, words[i])) {
            return true;
        }
    }
    return false;
}

static int stream_name(struct parser *p, struct ast_source *ret)
{
    bool mark =
        p->tok.kind == TOKEN_SLASH || p->tok.kind == TOKEN_HASH || p->tok.kind == TOKEN_PLUS;
    if (!sql_is_name(&p->tok) && !mark) {
        return sql_fail_at(p, "found", &p->tok, ", expected a stream name.");
    }
    ret->name = p->tok.text;
    uint32_t end = p->tok.end;
    sql_advance(p);
    while (p->tok.at == end && part_of_name(&p->tok)) {
        struct str part = p->tok.kind == TOKEN_QUOTED ? p->tok.text : p->tok.raw;
        const char *text = arena_printf(p->a, STR_FMT STR_FMT, STR_ARG(ret->name), STR_ARG(part));
        if (!text) {
            return sql_fail(p, -ENOMEM, "%s", err_text(-ENOMEM));
        }
        ret->name = str_of(text);
        end = p->tok.end;
        sql_advance(p);
    }
    return 0;
}

static int alias(struct parser *p, struct ast_source *ret)
{
    if (sql_accept(p, TOKEN_AS)) {
        return sql_name(p, "expected JOIN key word.", &ret->alias);
    }
    if (sql_is_name(&p->tok) && !follows_source(p)) {
        ret->alias = p->tok.text;
        sql_advance(p);
    }
    return 0;
}

/* Behind '('. */
static int subquery(struct parser *p, struct ast_source *ret)
{
    uint32_t height = p->height;
    if (!(ret->select = sql_select(p))) {
        return p->rc;
    }
    p->clause = CLAUSE_OTHER;
    p->height = MAX_OF(height, p->height);
    if (!sql_accept(p, TOKEN_RPAREN)) {
        return sql_fail_at(p, "found", &p->tok, ", expected right paren.");
    }
    return 0;
}

int sql_source(struct parser *p, struct ast_source *ret)
{
    ret->at = p->tok.at;
    int rc = sql_accept(p, TOKEN_LPAREN) ? subquery(p, ret) : stream_name(p, ret);
    if (rc < 0 || alias(p, ret) < 0) {
        return p->rc;
    }
    if (sql_accept_word(p, "match_recognize")) {
        if (!(ret->match = sql_match(p)) || alias(p, ret) < 0) {
            return p->rc;
        }
    }
    if (ret->select && !ret->alias.n) {
        return sql_fail(p, -E_PARSE, "a sub-query in FROM needs a name: (SELECT ...) AS name");
    }
    return 0;
}

static bool join_kind(enum token_kind t, enum ast_join_kind *ret)
{
    static const struct {
        enum token_kind token;
        enum ast_join_kind kind;
    } kinds[] = {
        {TOKEN_INNER, AST_JOIN_INNER}, {TOKEN_LEFT, AST_JOIN_LEFT},   {TOKEN_RIGHT, AST_JOIN_RIGHT},
        {TOKEN_FULL, AST_JOIN_FULL},   {TOKEN_CROSS, AST_JOIN_CROSS}, {TOKEN_JOIN, AST_JOIN_INNER},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (t == kinds[i].token) {
            *ret = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static int join(struct parser *p, struct ast_join *j)
{
    struct token first = p->tok;
    if (first.kind != TOKEN_JOIN) {
        sql_advance(p);
    }
    if (!sql_accept(p, TOKEN_JOIN)) {
        return sql_fail_at(p, "found", &first, ", expected JOIN key word.");
    }
    if (sql_source(p, &j->source) < 0) {
        return p->rc;
    }
    if (sql_accept(p, TOKEN_ON)) {
        if (j->kind == AST_JOIN_CROSS) {
            return sql_fail(p, -E_PARSE, "On expression is not required for cross join type.");
        }
        if (!(j->on = sql_expr(p))) {
            return p->rc;
        }
    }
    return 0;
}

int sql_joins(struct parser *p, struct ast_join **ret, uint32_t *ret_n)
{
    struct list l = {0};
    enum ast_join_kind kind;
    while (join_kind(p->tok.kind, &kind)) {
        struct ast_join *j = sql_list_add(p, &l, sizeof(*j));
        if (!j) {
            return p->rc;
        }
        j->kind = kind;
        if (join(p, j) < 0) {
            return p->rc;
        }
    }
    *ret = l.items;
    *ret_n = l.n;
    return 0;
}

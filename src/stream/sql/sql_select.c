/* SPDX-License-Identifier: Apache-2.0 */
/* SELECT with its clauses, WITH and UNION ALL. */
#include "sql_private.h"

int sql_field(struct parser *p, struct ast_field *ret)
{
    ret->expr = sql_expr(p);
    if (!ret->expr) {
        return p->rc;
    }
    if (sql_accept(p, TOKEN_AS)) {
        if (sql_name(p, "expected as alias.", &ret->alias) < 0) {
            return p->rc;
        }
        if (ret->expr->kind == AST_WILDCARD) {
            return sql_fail(p, -E_PARSE, "alias is not supported for *");
        }
    }
    ret->invisible = sql_accept_word(p, "invisible");
    return 0;
}

static int fields(struct parser *p, struct ast_select *s)
{
    struct list l = {0};
    do {
        struct ast_field *f = sql_list_add(p, &l, sizeof(*f));
        if (!f || sql_field(p, f) < 0) {
            return p->rc;
        }
    } while (sql_accept(p, TOKEN_COMMA));
    s->fields = l.items;
    s->n_fields = l.n;
    return 0;
}

static bool at_window(struct parser *p)
{
    return p->tok.kind == TOKEN_NAME && sql_window_kind(p->tok.text) != AST_WINDOW_NONE &&
           sql_peek(p).kind == TOKEN_LPAREN;
}

/* Behind GROUP. */
static int group(struct parser *p, struct ast_select *s)
{
    struct list keys = {0};
    if (!sql_accept(p, TOKEN_BY)) {
        return sql_fail_at(p, "found", &p->tok, ", expected BY statement.");
    }
    do {
        if (at_window(p)) {
            if (s->window.kind != AST_WINDOW_NONE) {
                return sql_fail(p, -E_PARSE, "GROUP BY has more than one window");
            }
            if (sql_window(p, &s->window) < 0) {
                return p->rc;
            }
            continue;
        }
        struct ast_expr *e = sql_expr(p), **slot;
        if (!e || !(slot = sql_list_add(p, &keys, sizeof(e)))) {
            return p->rc;
        }
        *slot = e;
    } while (sql_accept(p, TOKEN_COMMA));
    s->group = keys.items;
    s->n_group = keys.n;
    return 0;
}

int sql_orders(struct parser *p, struct ast_order **ret, uint32_t *ret_n)
{
    struct list l = {0};
    do {
        struct ast_order *o = sql_list_add(p, &l, sizeof(*o));
        if (!o || !(o->expr = sql_expr(p))) {
            return p->rc;
        }
        o->descending = p->tok.kind == TOKEN_DESC;
        if (o->descending || p->tok.kind == TOKEN_ASC) {
            sql_advance(p);
        }
    } while (sql_accept(p, TOKEN_COMMA));
    *ret = l.items;
    *ret_n = l.n;
    return 0;
}

/* Behind LIMIT. */
static int limit(struct parser *p, struct ast_select *s)
{
    struct ast_expr *e = sql_expr(p);
    if (!e) {
        return p->rc;
    }
    if (e->kind != AST_CONST || e->value.type != VALUE_INT || e->value.i < 0) {
        return sql_fail(p, -E_PARSE, "limit should be integer");
    }
    s->limit = e->value.i;
    return 0;
}

static int tail(struct parser *p, struct ast_select *s)
{
    if (sql_accept(p, TOKEN_WHERE) && !(s->where = sql_expr(p))) {
        return p->rc;
    }
    if (sql_accept(p, TOKEN_GROUP) && group(p, s) < 0) {
        return p->rc;
    }
    if (sql_accept(p, TOKEN_HAVING) && !(s->having = sql_expr(p))) {
        return p->rc;
    }
    if (sql_accept(p, TOKEN_ORDER)) {
        if (!sql_accept(p, TOKEN_BY)) {
            return sql_fail_at(p, "found", &p->tok, ", expected BY keyword.");
        }
        if (sql_orders(p, &s->order, &s->n_order) < 0) {
            return p->rc;
        }
    }
    return sql_accept(p, TOKEN_LIMIT) ? limit(p, s) : 0;
}

/* Whether DISTINCT here is the key word: what follows could begin a field. */
static bool at_distinct(struct parser *p)
{
    if (!sql_at_word(p, "distinct")) {
        return false;
    }
    enum token_kind next = sql_peek(p).kind;
    return next != TOKEN_COMMA && next != TOKEN_FROM && next != TOKEN_AS && next != TOKEN_DOT &&
           next != TOKEN_ARROW && next != TOKEN_LBRACKET && next != TOKEN_PLUS &&
           next != TOKEN_SLASH && next != TOKEN_END;
}

static void measure(void *arg, struct ast_expr *e)
{
    uint32_t *height = arg;
    *height = MAX_OF(*height, e->height);
}

static int body(struct parser *p, struct ast_select *s)
{
    p->clause = CLAUSE_SELECT;
    if (fields(p, s) < 0) {
        return p->rc;
    }
    p->clause = CLAUSE_OTHER;
    if (!sql_accept(p, TOKEN_FROM)) {
        return sql_fail_at(p, "found", &p->tok, ", expected FROM.");
    }
    uint32_t inner = 0;
    p->height = 0;
    if (sql_source(p, &s->from) < 0 || sql_joins(p, &s->joins, &s->n_joins) < 0) {
        return p->rc;
    }
    inner = p->height;
    if (tail(p, s) < 0) {
        return p->rc;
    }
    sql_each_expr(s, measure, &inner);
    p->height = inner + 1;
    return p->height > LIMIT_SQL_DEPTH
               ? sql_fail(p, -E_LIMIT, "the statement is nested more than %d deep", LIMIT_SQL_DEPTH)
               : sql_check_select(p, s);
}

/* One branch, at SELECT. */
static struct ast_select *branch(struct parser *p)
{
    struct ast_select *s = arena_zalloc(p->a, sizeof(*s));
    if (!s) {
        (void)sql_fail(p, -ENOMEM, "%s", err_text(-ENOMEM));
        return NULL;
    }
    if (p->tok.kind != TOKEN_SELECT) {
        (void)sql_fail_at(p, "Found", &p->tok, ", Expected SELECT.");
        return NULL;
    }
    s->at = p->tok.at;
    s->limit = -1;
    s->window.kind = AST_WINDOW_NONE;
    sql_advance(p);
    if (at_distinct(p)) {
        sql_advance(p);
        s->distinct = true;
    }
    return body(p, s) < 0 ? NULL : s;
}

/* WITH name AS (SELECT ...), ...: behind WITH. */
static int with(struct parser *p, struct list *l, uint32_t *height)
{
    do {
        struct ast_source *s = sql_list_add(p, l, sizeof(*s));
        if (!s) {
            return p->rc;
        }
        s->at = p->tok.at;
        if (sql_name(p, "expected a name after WITH.", &s->alias) < 0) {
            return p->rc;
        }
        if (!sql_accept(p, TOKEN_AS) || !sql_accept(p, TOKEN_LPAREN)) {
            return sql_fail_at(p, "found", &p->tok, ", expected AS ( after the name in WITH.");
        }
        if (!(s->select = sql_select(p))) {
            return p->rc;
        }
        *height = MAX_OF(*height, p->height);
        if (!sql_accept(p, TOKEN_RPAREN)) {
            return sql_fail_at(p, "found", &p->tok, ", expected right paren.");
        }
    } while (sql_accept(p, TOKEN_COMMA));
    return 0;
}

static struct ast_select *branches(struct parser *p)
{
    struct list l = {0};
    uint32_t height = 0;
    if (sql_accept_word(p, "with") && with(p, &l, &height) < 0) {
        return NULL;
    }
    struct ast_select *first = branch(p), *last = first;
    while (last && sql_at_word(p, "union")) {
        height = MAX_OF(height, p->height);
        sql_advance(p);
        if (!sql_accept_word(p, "all")) {
            (void)sql_fail_at(p, "found", &p->tok, ", expected ALL after UNION.");
            return NULL;
        }
        last = last->union_all = branch(p);
    }
    if (!last) {
        return NULL;
    }
    first->with = l.items;
    first->n_with = l.n;
    p->height = MAX_OF(height, p->height);
    return first;
}

struct ast_select *sql_select(struct parser *p)
{
    if (sql_enter(p) < 0) {
        return NULL;
    }
    struct ast_select *s = branches(p);
    sql_leave(p);
    return s;
}

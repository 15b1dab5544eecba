/* SPDX-License-Identifier: Apache-2.0 */
/* Statements: the first words, and the doors to the parser. */
#include "sql.h"

#include "codec/utf8.h"
#include "sql_private.h"

struct str sql_option(const struct ast_statement *s, const char *key)
{
    for (uint32_t i = 0; i < s->n_options; i++) {
        if (str_is(s->options[i].key, key)) {
            return s->options[i].value;
        }
    }
    return STR_NULL;
}

static struct str upper(struct parser *p, struct str s)
{
    char *text = arena_strndup(p->a, s.p, s.n);
    for (size_t i = 0; text && i < s.n; i++) {
        text[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i]);
    }
    return str_n(text, text ? s.n : 0);
}

/* STREAM or TABLE behind CREATE, DROP, DESCRIBE, EXPLAIN. */
static int stream_or_table(struct parser *p, struct ast_statement *s)
{
    s->table = sql_at_word(p, "table");
    if (!s->table && !sql_at_word(p, "stream")) {
        return sql_fail(p, -E_PARSE, "found %s, expected keyword stream or table.",
                        sql_quoted(p, upper(p, p->tok.text)));
    }
    sql_advance(p);
    return 0;
}

static int named(struct parser *p, struct ast_statement *s)
{
    if (stream_or_table(p, s) < 0) {
        return p->rc;
    }
    return sql_name(p, s->table ? "expected table name." : "expected stream name.", &s->name);
}

static int show(struct parser *p, struct ast_statement *s)
{
    s->table = sql_at_word(p, "tables");
    if (!s->table && !sql_at_word(p, "streams")) {
        return sql_fail(p, -E_PARSE, "found %s, expected keyword streams or tables.",
                        sql_quoted(p, upper(p, p->tok.text)));
    }
    sql_advance(p);
    if (p->tok.kind != TOKEN_END && p->tok.kind != TOKEN_SEMICOLON) {
        return sql_fail_at(p, "found", &p->tok, ", expected semecolon or EOF.");
    }
    return 0;
}

static int query(struct parser *p, struct ast_statement *s)
{
    s->select = sql_select(p);
    if (!s->select) {
        return p->rc;
    }
    sql_resolve(p, s->select);
    return p->rc;
}

static int statement(struct parser *p, struct ast_statement *s)
{
    static const struct {
        const char *word;
        enum ast_statement_kind kind;
    } kinds[] = {
        {"create", AST_CREATE},     {"drop", AST_DROP},       {"show", AST_SHOW},
        {"describe", AST_DESCRIBE}, {"explain", AST_EXPLAIN},
    };
    s->kind = AST_SELECT;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (sql_at_word(p, kinds[i].word)) {
            s->kind = kinds[i].kind;
        }
    }
    if (s->kind == AST_SELECT) {
        return query(p, s);
    }
    sql_advance(p);
    if (s->kind == AST_SHOW) {
        return show(p, s);
    }
    if (s->kind == AST_EXPLAIN && (p->tok.kind == TOKEN_SELECT || sql_at_word(p, "with"))) {
        return query(p, s);
    }
    if (s->kind == AST_CREATE) {
        return stream_or_table(p, s) < 0 ? p->rc : sql_create(p, s);
    }
    return named(p, s);
}

/* What both doors share: err may be NULL, but the parser reads it back. */
static int begin(struct parser *p, struct arena *a, struct str text, struct err *err)
{
    *p = (struct parser){.a = a, .lex = {.a = a}, .err = err};
    if (text.n > LIMIT_SQL_SOURCE) {
        return sql_fail(p, -E_LIMIT, "the statement has more than %d bytes", LIMIT_SQL_SOURCE);
    }
    if (!utf8_valid(text)) {
        return sql_fail(p, -E_PARSE, "the statement is no valid UTF-8");
    }
    char *copy = arena_strndup(a, text.p ? text.p : "", text.n);
    if (!copy) {
        return sql_fail(p, -ENOMEM, "%s", err_text(-ENOMEM));
    }
    p->lex.text = str_n(copy, text.n);
    sql_advance(p);
    return 0;
}

static int finish(struct parser *p)
{
    if (p->rc == 0 && p->tok.kind == TOKEN_SEMICOLON) {
        sql_advance(p);
    }
    if (p->rc == 0 && p->tok.kind != TOKEN_END) {
        return sql_fail_at(p, "found", &p->tok, ", expected EOF.");
    }
    if (p->rc == 0 && arena_failed(p->a)) {
        return sql_fail(p, -ENOMEM, "%s", err_text(-ENOMEM));
    }
    return p->rc;
}

int sql_parse(struct arena *a, struct str text, struct ast_statement **ret, struct err *err)
{
    struct parser p;
    struct err own;
    struct ast_statement *s = arena_zalloc(a, sizeof(*s));
    if (begin(&p, a, text, err ? err : &own) < 0) {
        return p.rc;
    }
    if (!s) {
        return sql_fail(&p, -ENOMEM, "%s", err_text(-ENOMEM));
    }
    if (statement(&p, s) < 0 || finish(&p) < 0) {
        return p.rc;
    }
    *ret = s;
    return 0;
}

int sql_parse_expr(struct arena *a, struct str text, struct ast_expr **ret, struct err *err)
{
    struct parser p;
    struct err own;
    if (begin(&p, a, text, err ? err : &own) < 0) {
        return p.rc;
    }
    p.clause = CLAUSE_OTHER;
    struct ast_expr *e = sql_expr(&p);
    if (!e || finish(&p) < 0) {
        return p.rc;
    }
    *ret = e;
    return 0;
}

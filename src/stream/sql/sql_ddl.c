/* SPDX-License-Identifier: Apache-2.0 */
/* CREATE STREAM and CREATE TABLE: columns with types and defaults, options. */
#include "sql_private.h"

static int columns(struct parser *p, struct ast_column **ret, uint32_t *ret_n);

static const struct {
    const char *name;
    enum value_type type;
} types[] = {
    {"bigint", VALUE_INT},    {"float", VALUE_FLOAT},   {"string", VALUE_STRING},
    {"datetime", VALUE_TIME}, {"boolean", VALUE_BOOL},  {"bytea", VALUE_BYTES},
    {"array", VALUE_ARRAY},   {"struct", VALUE_OBJECT},
};

/* ---- types ---- */

static bool type_of(struct str name, enum value_type *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (str_iis(name, types[i].name)) {
            *ret = types[i].type;
            return true;
        }
    }
    return false;
}

static int type(struct parser *p, struct ast_type *ret, const char *expected);

/* "(type)" behind ARRAY; nothing = any. */
static int element(struct parser *p, struct ast_type *ret)
{
    if (!sql_accept(p, TOKEN_LPAREN)) {
        return 0;
    }
    struct ast_type *e = arena_zalloc(p->a, sizeof(*e));
    if (!e) {
        return sql_fail(p, -ENOMEM, "%s", err_text(-ENOMEM));
    }
    if (type(p, e, "expect stream data types.") < 0) {
        return p->rc;
    }
    if (!sql_accept(p, TOKEN_RPAREN)) {
        return sql_fail_at(p, "found", &p->tok, ", expect rparen in array type definition.");
    }
    ret->element = e;
    return 0;
}

static int type(struct parser *p, struct ast_type *ret, const char *expected)
{
    if (!type_of(p->tok.text, &ret->type)) {
        return sql_fail(p, -E_PARSE, "found %s, %s", sql_quoted(p, p->tok.text), expected);
    }
    sql_advance(p);
    if (ret->type != VALUE_ARRAY && ret->type != VALUE_OBJECT) {
        return 0;
    }
    if (sql_enter(p) < 0) {
        return p->rc;
    }
    int rc =
        ret->type == VALUE_ARRAY ? element(p, ret) : columns(p, &ret->columns, &ret->n_columns);
    sql_leave(p);
    return rc;
}

/* ---- columns ---- */

static int fallback_value(struct parser *p, const struct ast_column *c, struct str text,
                          struct value *ret)
{
    int rc = 0;
    *ret = (struct value){.type = c->type.type};
    switch (c->type.type) {
    case VALUE_INT:
        rc = str_i64(text, &ret->i);
        break;
    case VALUE_FLOAT:
        rc = str_double(text, &ret->f);
        break;
    case VALUE_BOOL:
        rc = str_bool(text, &ret->b);
        break;
    case VALUE_STRING:
        *ret = value_string(text);
        break;
    default:
        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
            if (types[i].type == c->type.type) {
                return sql_fail(p, -E_PARSE, "DEFAULT clause is not supported for %s",
                                types[i].name);
            }
        }
        break;
    }
    return rc < 0 ? sql_fail(p, -E_PARSE, "found %s, which is no default value of column " STR_FMT,
                             sql_quoted(p, text), STR_ARG(c->name))
                  : 0;
}

/* Behind DEFAULT. */
static int fallback(struct parser *p, struct ast_column *c)
{
    bool negative = sql_accept(p, TOKEN_MINUS);
    bool literal = p->tok.kind == TOKEN_INT || p->tok.kind == TOKEN_NUMBER ||
                   (!negative && (p->tok.kind == TOKEN_STRING || p->tok.kind == TOKEN_TRUE ||
                                  p->tok.kind == TOKEN_FALSE));
    if (!literal) {
        return sql_fail_at(p, "found", &p->tok, ", expect a value after DEFAULT.");
    }
    struct str text = p->tok.text;
    if (negative) {
        text = str_of(arena_printf(p->a, "-" STR_FMT, STR_ARG(text)));
    }
    sql_advance(p);
    return fallback_value(p, c, text, &c->fallback);
}

static int column(struct parser *p, struct ast_column *c)
{
    c->fallback.type = VALUE_ABSENT;
    if (sql_name(p, "expect stream field name.", &c->name) < 0 ||
        type(p, &c->type,
             "expect valid stream field types(BIGINT | FLOAT | STRING | DATETIME | BOOLEAN | BYTEA "
             "| ARRAY | STRUCT).") < 0) {
        return p->rc;
    }
    if (sql_accept_word(p, "default") && fallback(p, c) < 0) {
        return p->rc;
    }
    if (!sql_accept(p, TOKEN_COMMA) && p->tok.kind != TOKEN_RPAREN) {
        return sql_fail_at(p, "found", &p->tok, ", expect comma or rparen.");
    }
    return 0;
}

static int columns(struct parser *p, struct ast_column **ret, uint32_t *ret_n)
{
    struct list l = {0};
    if (!sql_accept(p, TOKEN_LPAREN)) {
        return sql_fail_at(p, "found", &p->tok, ", expected lparen after stream name.");
    }
    while (!sql_accept(p, TOKEN_RPAREN)) {
        struct ast_column *c = sql_list_add(p, &l, sizeof(*c));
        if (!c || column(p, c) < 0) {
            return p->rc;
        }
        if (++p->nodes > LIMIT_SQL_NODES) {
            return sql_fail(p, -E_LIMIT, "the statement has more than %d columns", LIMIT_SQL_NODES);
        }
    }
    *ret = l.items;
    *ret_n = l.n;
    return 0;
}

/* ---- options ---- */

static const char *const option_names[] = {
    "DATASOURCE",  "FORMAT",    "KEY",
    "CONF_KEY",    "SHARED",    "STRICT_VALIDATION",
    "TYPE",        "TIMESTAMP", "TIMESTAMP_FORMAT",
    "RETAIN_SIZE", "SCHEMAID",  "EXTRA",
    "VERSION",     "TEMP",      "KIND",
    "DELIMITER",
};

#define OPTION_NAMES                                                                           \
    "DATASOURCE|FORMAT|KEY|CONF_KEY|SHARED|STRICT_VALIDATION|TYPE|TIMESTAMP|TIMESTAMP_FORMAT|" \
    "RETAIN_SIZE|SCHEMAID|EXTRA|VERSION|TEMP|KIND|DELIMITER"

static const char *option_name(struct str word)
{
    for (size_t i = 0; i < ARRAY_SIZE(option_names); i++) {
        if (str_iis(word, option_names[i])) {
            return option_names[i];
        }
    }
    return NULL;
}

static struct str change_case(struct parser *p, struct str s, char from, char to)
{
    char *text = arena_strndup(p->a, s.p, s.n);
    for (size_t i = 0; text && i < s.n; i++) {
        if (text[i] >= from && text[i] < from + 26) {
            text[i] = (char)(text[i] - from + to);
        }
    }
    return str_n(text, text ? s.n : 0);
}

static int check_option(struct parser *p, struct ast_option *o)
{
    uint64_t n;
    bool yes_no =
        str_is(o->key, "STRICT_VALIDATION") || str_is(o->key, "SHARED") || str_is(o->key, "TEMP");
    if (yes_no && !str_iis(o->value, "true") && !str_iis(o->value, "false")) {
        return sql_fail(p, -E_PARSE, "found %s, expect TRUE/FALSE value in " STR_FMT " option.",
                        sql_quoted(p, o->value), STR_ARG(o->key));
    }
    if (str_is(o->key, "RETAIN_SIZE") && str_u64(o->value, &n) < 0) {
        return sql_fail(p, -E_PARSE, "found %s, expect number value in " STR_FMT " option.",
                        sql_quoted(p, o->value), STR_ARG(o->key));
    }
    if (str_is(o->key, "KIND")) {
        o->value = change_case(p, o->value, 'A', 'a');
    }
    return 0;
}

static int option(struct parser *p, struct ast_option *o)
{
    const char *name = option_name(p->tok.text);
    if (!name) {
        return sql_fail(p, -E_PARSE, "found %s, unknown option keys(" OPTION_NAMES ").",
                        sql_quoted(p, change_case(p, p->tok.text, 'a', 'A')));
    }
    o->key = str_of(name);
    sql_advance(p);
    if (!sql_accept(p, TOKEN_EQ)) {
        return sql_fail_at(p, "found", &p->tok, ", expect equals(=) in options.");
    }
    if (p->tok.kind != TOKEN_STRING) {
        return sql_fail_at(p, "found", &p->tok, ", expect string value in option.");
    }
    o->value = p->tok.text;
    sql_advance(p);
    return check_option(p, o);
}

/* A later option of the same name wins. */
static struct ast_option *option_slot(struct parser *p, struct list *l)
{
    const char *name = option_name(p->tok.text);
    struct ast_option *all = l->items;
    for (uint32_t i = 0; name && i < l->n; i++) {
        if (str_is(all[i].key, name)) {
            return &all[i];
        }
    }
    return sql_list_add(p, l, sizeof(struct ast_option));
}

static int options(struct parser *p, struct ast_statement *s)
{
    struct list l = {0};
    if (!sql_accept(p, TOKEN_LPAREN)) {
        return sql_fail_at(p, "found", &p->tok, ", expect stream options.");
    }
    while (!sql_accept(p, TOKEN_RPAREN)) {
        if (sql_accept(p, TOKEN_COMMA)) {
            continue;
        }
        struct ast_option *o = option_slot(p, &l);
        if (!o || option(p, o) < 0) {
            return p->rc;
        }
    }
    s->options = l.items;
    s->n_options = l.n;
    if (str_is(sql_option(s, "KIND"), "lookup") && str_is(sql_option(s, "TYPE"), "memory") &&
        !sql_option(s, "KEY").n) {
        return sql_fail(p, -E_PARSE, "Option \"key\" is required for memory lookup table.");
    }
    return 0;
}

/* ---- the whole ---- */

static int check_format(struct parser *p, const struct ast_statement *s)
{
    static const char *const formats[] = {"json",     "delimited",  "binary",
                                          "protobuf", "urlencoded", "batch"};
    struct str format = sql_option(s, "FORMAT");
    bool known = format.n == 0;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        known = known || str_iis(format, formats[i]);
    }
    if (!known) {
        return sql_fail(p, -E_PARSE, "option 'format=" STR_FMT "' is invalid", STR_ARG(format));
    }
    if (!str_iis(format, "binary")) {
        return 0;
    }
    if (s->table) {
        return sql_fail(p, -E_PARSE, "'binary' format is not supported for table");
    }
    if (s->n_columns > 1) {
        return sql_fail(p, -E_PARSE, "'binary' format stream can have only one field");
    }
    if (s->n_columns == 1 && s->columns[0].type.type != VALUE_BYTES) {
        return sql_fail(p, -E_PARSE, "'binary' format stream can have only 'bytea' type field");
    }
    return 0;
}

static int check_name(struct parser *p, struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!fine) {
            return sql_fail(p, -E_PARSE,
                            "id '" STR_FMT "' contains invalid characters: only alphanumeric, "
                            "hyphens and underscores are allowed",
                            STR_ARG(name));
        }
    }
    return 0;
}

/* Behind CREATE STREAM or CREATE TABLE. */
int sql_create(struct parser *p, struct ast_statement *s)
{
    if (sql_name(p, "expected stream name.", &s->name) < 0 ||
        columns(p, &s->columns, &s->n_columns) < 0) {
        return p->rc;
    }
    if (!sql_accept_word(p, "with")) {
        return sql_fail(p, -E_PARSE, "found %s, expected is with.",
                        sql_quoted(p, change_case(p, p->tok.text, 'a', 'A')));
    }
    if (options(p, s) < 0) {
        return p->rc;
    }
    if (p->tok.kind != TOKEN_END && p->tok.kind != TOKEN_SEMICOLON) {
        return sql_fail_at(p, "found", &p->tok, ", expected semicolon or EOF.");
    }
    return check_format(p, s) < 0 ? p->rc : check_name(p, s->name);
}

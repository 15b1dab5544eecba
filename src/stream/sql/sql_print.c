/* SPDX-License-Identifier: Apache-2.0 */
/* Trees as text, in canonical form: what is printed parses to the same tree. */
#include <math.h>
#include <stdio.h>

#include "sql_private.h"

enum { PREC_OR = 1, PREC_AND, PREC_NOT, PREC_COMPARE, PREC_ADD, PREC_MULTIPLY, PREC_POSTFIX };

static void expr(struct buf *out, const struct ast_expr *e, int prec);
static void select_text(struct buf *out, const struct ast_select *s);

static void name(struct buf *out, struct str s)
{
    if (sql_is_bare_name(s)) {
        (void)buf_append_str(out, s);
    } else {
        (void)buf_printf(out, "`" STR_FMT "`", STR_ARG(s));
    }
}

static void text(struct buf *out, struct str s)
{
    (void)buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            (void)buf_printf(out, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            (void)buf_printf(out, "\\x%02x", c);
        } else {
            (void)buf_putc(out, (char)c);
        }
    }
    (void)buf_putc(out, '"');
}

static void number(struct buf *out, double f)
{
    char digits[40];
    int n = 0;
    for (int precision = 15; precision <= 17; precision += 2) {
        double back = 0;
        n = snprintf(digits, sizeof(digits), "%.*g", precision, f);
        if (str_double(str_n(digits, (size_t)n), &back) == 0 && back == f) {
            break;
        }
    }
    (void)buf_append(out, digits, (size_t)n);
    if (!memchr(digits, '.', (size_t)n) && !memchr(digits, 'e', (size_t)n)) {
        (void)buf_puts(out, ".0");
    }
}

static void constant(struct buf *out, const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        (void)buf_puts(out, v->b ? "true" : "false");
        break;
    case VALUE_INT:
        (void)buf_printf(out, "%lld", (long long)v->i);
        break;
    case VALUE_FLOAT:
        number(out, v->f);
        break;
    case VALUE_STRING:
        text(out, value_text(v));
        break;
    default:
        (void)buf_puts(out, "null");
        break;
    }
}

static void exprs(struct buf *out, struct ast_expr *const *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        (void)buf_puts(out, i ? ", " : "");
        expr(out, list[i], 0);
    }
}

static void orders(struct buf *out, const struct ast_order *o, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        (void)buf_puts(out, i ? ", " : " ORDER BY ");
        expr(out, o[i].expr, 0);
        (void)buf_puts(out, o[i].descending ? " DESC" : "");
    }
}

static void fields(struct buf *out, const struct ast_field *f, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        (void)buf_puts(out, i ? ", " : "");
        expr(out, f[i].expr, 0);
        if (f[i].alias.n) {
            (void)buf_puts(out, " AS ");
            name(out, f[i].alias);
        }
        (void)buf_puts(out, f[i].invisible ? " INVISIBLE" : "");
    }
}

/* " OVER (PARTITION BY ... WHEN e)", " FILTER (WHERE e)" where they are. */
static void filter(struct buf *out, const struct ast_expr *e)
{
    if (e) {
        (void)buf_puts(out, " FILTER (WHERE ");
        expr(out, e, 0);
        (void)buf_putc(out, ')');
    }
}

static void over(struct buf *out, struct ast_expr *const *partition, uint32_t n,
                 const struct ast_order *order, uint32_t n_order, const struct ast_expr *when)
{
    if (!n && !n_order && !when) {
        return;
    }
    (void)buf_puts(out, " OVER (");
    (void)buf_puts(out, n ? "PARTITION BY " : "");
    exprs(out, partition, n);
    orders(out, order, n_order);
    if (when) {
        (void)buf_puts(out, n ? " WHEN " : "WHEN ");
        expr(out, when, 0);
    }
    (void)buf_putc(out, ')');
}

static void call(struct buf *out, const struct ast_expr *e)
{
    (void)buf_append_str(out, e->function);
    (void)buf_puts(out, e->distinct ? "(DISTINCT " : "(");
    exprs(out, e->args, e->n_args);
    (void)buf_putc(out, ')');
    filter(out, e->filter);
    over(out, e->partition, e->n_partition, e->order, e->n_order, e->when);
}

static void wildcard(struct buf *out, const struct ast_expr *e)
{
    if (e->of.n) {
        name(out, e->of);
        (void)buf_putc(out, '.');
    }
    (void)buf_putc(out, '*');
    for (uint32_t i = 0; i < e->n_except; i++) {
        (void)buf_puts(out, i ? ", " : " EXCEPT (");
        name(out, e->except[i]);
    }
    (void)buf_puts(out, e->n_except ? ")" : "");
    if (e->n_replace) {
        (void)buf_puts(out, " REPLACE (");
        fields(out, e->replace, e->n_replace);
        (void)buf_putc(out, ')');
    }
}

static void case_when(struct buf *out, const struct ast_expr *e)
{
    (void)buf_puts(out, "CASE");
    if (e->a) {
        (void)buf_putc(out, ' ');
        expr(out, e->a, 0);
    }
    for (uint32_t i = 0; i < e->n_whens; i++) {
        (void)buf_puts(out, " WHEN ");
        expr(out, e->whens[i], 0);
        (void)buf_puts(out, " THEN ");
        expr(out, e->thens[i], 0);
    }
    if (e->c) {
        (void)buf_puts(out, " ELSE ");
        expr(out, e->c, 0);
    }
    (void)buf_puts(out, " END");
}

static int precedence(const struct ast_expr *e)
{
    switch (e->kind) {
    case AST_BINARY:
        return e->op == VALUE_OR    ? PREC_OR
               : e->op == VALUE_AND ? PREC_AND
               : e->op <= VALUE_GE  ? PREC_COMPARE
               : e->op == VALUE_MUL || e->op == VALUE_DIV || e->op == VALUE_MOD ||
                       e->op == VALUE_BIT_AND
                   ? PREC_MULTIPLY
                   : PREC_ADD;
    case AST_NOT:
        return PREC_NOT;
    case AST_BETWEEN:
    case AST_IN:
    case AST_LIKE:
        return PREC_COMPARE;
    case AST_MINUS:
        return PREC_MULTIPLY;
    case AST_CONST: /* -1[0] is no index of -1 */
        return (e->value.type == VALUE_INT && e->value.i < 0) ||
                       (e->value.type == VALUE_FLOAT && signbit(e->value.f))
                   ? PREC_MULTIPLY
                   : PREC_POSTFIX;
    default:
        return PREC_POSTFIX;
    }
}

static void binary(struct buf *out, const struct ast_expr *e)
{
    static const char *const ops[VALUE_OP_NR] = {"=", "!=", "<", "<=", ">", ">=", "+",   "-",
                                                 "*", "/",  "%", "&",  "|", "^",  "AND", "OR"};
    int prec = precedence(e);
    expr(out, e->a, prec);
    (void)buf_printf(out, " %s ", ops[e->op]);
    /* AND and OR associate: the balanced trees of the parser print as one chain. */
    expr(out, e->b, prec <= PREC_AND ? prec : prec + 1);
}

static void predicate(struct buf *out, const struct ast_expr *e)
{
    expr(out, e->a, PREC_COMPARE);
    (void)buf_puts(out, e->negated ? " NOT" : "");
    if (e->kind == AST_BETWEEN) {
        (void)buf_puts(out, " BETWEEN ");
        expr(out, e->b, PREC_ADD);
        (void)buf_puts(out, " AND ");
        expr(out, e->c, PREC_ADD);
    } else if (e->kind == AST_LIKE) {
        (void)buf_puts(out, " LIKE ");
        expr(out, e->b, PREC_ADD);
    } else if (e->n_list) {
        (void)buf_puts(out, " IN (");
        exprs(out, e->list, e->n_list);
        (void)buf_putc(out, ')');
    } else {
        bool parenthesis = precedence(e->b) < PREC_POSTFIX; /* would read as a list of one */
        (void)buf_puts(out, parenthesis ? " IN CASE WHEN true THEN " : " IN ");
        expr(out, e->b, parenthesis ? 0 : PREC_POSTFIX);
        (void)buf_puts(out, parenthesis ? " END" : "");
    }
}

static void postfix(struct buf *out, const struct ast_expr *e)
{
    expr(out, e->a, PREC_POSTFIX);
    if (e->kind == AST_ARROW) {
        (void)buf_puts(out, "->");
        if (str_is(e->name, "*")) {
            (void)buf_putc(out, '*');
        } else {
            name(out, e->name);
        }
        return;
    }
    (void)buf_putc(out, '[');
    if (e->b) {
        expr(out, e->b, 0);
    }
    if (e->kind == AST_SLICE) {
        (void)buf_putc(out, ':');
        if (e->c) {
            expr(out, e->c, 0);
        }
    }
    (void)buf_putc(out, ']');
}

static void field(struct buf *out, const struct ast_expr *e)
{
    if (e->stream.n) {
        name(out, e->stream);
        (void)buf_putc(out, '.');
    }
    name(out, e->name);
}

static void bare(struct buf *out, const struct ast_expr *e)
{
    switch (e->kind) {
    case AST_CONST:
        constant(out, &e->value);
        break;
    case AST_FIELD:
        field(out, e);
        break;
    case AST_WILDCARD:
        wildcard(out, e);
        break;
    case AST_CALL:
        call(out, e);
        break;
    case AST_NOT:
        (void)buf_puts(out, "NOT ");
        expr(out, e->a, PREC_NOT);
        break;
    case AST_MINUS: /* "- 1" would be a constant, "--" a comment */
        (void)buf_puts(out, e->a->kind == AST_CONST || e->a->kind == AST_MINUS ? "-(" : "-");
        expr(out, e->a, e->a->kind == AST_CONST || e->a->kind == AST_MINUS ? 0 : PREC_POSTFIX);
        (void)buf_puts(out, e->a->kind == AST_CONST || e->a->kind == AST_MINUS ? ")" : "");
        break;
    case AST_BINARY:
        binary(out, e);
        break;
    case AST_BETWEEN:
    case AST_IN:
    case AST_LIKE:
        predicate(out, e);
        break;
    case AST_CASE:
        case_when(out, e);
        break;
    case AST_ARROW:
    case AST_INDEX:
    case AST_SLICE:
        postfix(out, e);
        break;
    case AST_SUBQUERY:
    case AST_EXISTS:
        (void)buf_puts(out, e->kind == AST_EXISTS ? "exists(" : "(");
        select_text(out, e->select);
        (void)buf_putc(out, ')');
        break;
    }
}

static void expr(struct buf *out, const struct ast_expr *e, int prec)
{
    bool parenthesis = precedence(e) < prec;
    (void)buf_puts(out, parenthesis ? "(" : "");
    bare(out, e);
    (void)buf_puts(out, parenthesis ? ")" : "");
}

/* ---- statements ---- */

static void quantifier(struct buf *out, const struct ast_pattern_step *s)
{
    if (s->min == 1 && s->max == 1) {
        return;
    }
    if (s->max != UINT32_MAX) {
        (void)buf_printf(out, "{%u,%u}", s->min, s->max);
    } else if (s->min > 1) {
        (void)buf_printf(out, "{%u,}", s->min);
    } else {
        (void)buf_putc(out, s->min ? '+' : '*');
    }
    (void)buf_puts(out, s->lazy ? "?" : "");
}

static void match(struct buf *out, const struct ast_match *m)
{
    (void)buf_puts(out, " MATCH_RECOGNIZE (");
    if (m->n_partition) {
        (void)buf_puts(out, "PARTITION BY ");
        exprs(out, m->partition, m->n_partition);
        (void)buf_putc(out, ' ');
    }
    if (m->n_measures) {
        (void)buf_puts(out, "MEASURES ");
        fields(out, m->measures, m->n_measures);
        (void)buf_putc(out, ' ');
    }
    (void)buf_puts(out, m->all_rows ? "ALL ROWS PER MATCH" : "ONE ROW PER MATCH");
    (void)buf_puts(out, m->skip_past ? " AFTER MATCH SKIP PAST LAST ROW"
                                     : " AFTER MATCH SKIP TO NEXT ROW");
    (void)buf_puts(out, " PATTERN (");
    for (uint32_t i = 0; i < m->n_steps; i++) {
        (void)buf_puts(out, i ? " " : "");
        name(out, m->steps[i].name);
        quantifier(out, &m->steps[i]);
    }
    (void)buf_putc(out, ')');
    if (m->within_us) {
        (void)buf_printf(out, " WITHIN %lld ms", (long long)(m->within_us / 1000));
    }
    for (uint32_t i = 0; i < m->n_defines; i++) {
        (void)buf_puts(out, i ? ", " : " DEFINE ");
        name(out, m->defines[i].alias);
        (void)buf_puts(out, " AS ");
        expr(out, m->defines[i].expr, 0);
    }
    (void)buf_putc(out, ')');
}

static void source(struct buf *out, const struct ast_source *s)
{
    if (s->select) {
        (void)buf_putc(out, '(');
        select_text(out, s->select);
        (void)buf_putc(out, ')');
    } else {
        name(out, s->name);
    }
    if (s->match) {
        match(out, s->match);
    }
    if (s->alias.n) {
        (void)buf_puts(out, " AS ");
        name(out, s->alias);
    }
}

static void joins(struct buf *out, const struct ast_select *s)
{
    static const char *const kinds[] = {"INNER", "LEFT", "RIGHT", "FULL", "CROSS"};
    for (uint32_t i = 0; i < s->n_joins; i++) {
        (void)buf_printf(out, " %s JOIN ", kinds[s->joins[i].kind]);
        source(out, &s->joins[i].source);
        if (s->joins[i].on) {
            (void)buf_puts(out, " ON ");
            expr(out, s->joins[i].on, 0);
        }
    }
}

static int64_t unit_us(struct str unit)
{
    return str_is(unit, "dd")   ? 86400000000
           : str_is(unit, "hh") ? 3600000000
           : str_is(unit, "mi") ? 60000000
           : str_is(unit, "ss") ? 1000000
                                : 1000;
}

static void window(struct buf *out, const struct ast_window *w)
{
    static const char *const names[] = {"",
                                        "TUMBLINGWINDOW",
                                        "HOPPINGWINDOW",
                                        "SLIDINGWINDOW",
                                        "SESSIONWINDOW",
                                        "COUNTWINDOW",
                                        "STATEWINDOW"};
    (void)buf_printf(out, "%s(", names[w->kind]);
    if (w->kind == AST_WINDOW_COUNT) {
        (void)buf_printf(out, "%lld, %lld", (long long)w->length, (long long)w->interval);
    } else if (w->kind == AST_WINDOW_STATE) {
        expr(out, w->begin, 0);
        if (w->emit) {
            (void)buf_puts(out, ", ");
            expr(out, w->emit, 0);
        }
    } else {
        int64_t us = unit_us(w->unit);
        int64_t more = w->kind == AST_WINDOW_SLIDING ? w->delay : w->interval;
        (void)buf_printf(out, STR_FMT ", %lld", STR_ARG(w->unit), (long long)(w->length / us));
        if (more) {
            (void)buf_printf(out, ", %lld", (long long)(more / us));
        }
    }
    (void)buf_putc(out, ')');
    filter(out, w->filter);
    over(out, w->partition, w->n_partition, NULL, 0, w->when);
}

static void branch(struct buf *out, const struct ast_select *s)
{
    (void)buf_puts(out, s->distinct ? "SELECT DISTINCT " : "SELECT ");
    fields(out, s->fields, s->n_fields);
    (void)buf_puts(out, " FROM ");
    source(out, &s->from);
    joins(out, s);
    if (s->where) {
        (void)buf_puts(out, " WHERE ");
        expr(out, s->where, 0);
    }
    if (s->n_group || s->window.kind != AST_WINDOW_NONE) {
        (void)buf_puts(out, " GROUP BY ");
        exprs(out, s->group, s->n_group);
        (void)buf_puts(out, s->n_group && s->window.kind != AST_WINDOW_NONE ? ", " : "");
        if (s->window.kind != AST_WINDOW_NONE) {
            window(out, &s->window);
        }
    }
    if (s->having) {
        (void)buf_puts(out, " HAVING ");
        expr(out, s->having, 0);
    }
    orders(out, s->order, s->n_order);
    if (s->limit >= 0) {
        (void)buf_printf(out, " LIMIT %lld", (long long)s->limit);
    }
}

static void select_text(struct buf *out, const struct ast_select *s)
{
    for (uint32_t i = 0; i < s->n_with; i++) {
        (void)buf_puts(out, i ? ", " : "WITH ");
        name(out, s->with[i].alias);
        (void)buf_puts(out, " AS (");
        select_text(out, s->with[i].select);
        (void)buf_puts(out, ")");
    }
    (void)buf_puts(out, s->n_with ? " " : "");
    branch(out, s);
    while ((s = s->union_all)) {
        (void)buf_puts(out, " UNION ALL ");
        branch(out, s);
    }
}

int sql_print_expr(struct buf *out, const struct ast_expr *e)
{
    expr(out, e, 0);
    return buf_failed(out) ? -ENOMEM : 0;
}

int sql_print_select(struct buf *out, const struct ast_select *s)
{
    select_text(out, s);
    return buf_failed(out) ? -ENOMEM : 0;
}

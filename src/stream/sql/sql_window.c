/* SPDX-License-Identifier: Apache-2.0 */
/* The six windows of GROUP BY, with FILTER and OVER. */
#include "sql_private.h"

static const struct {
    const char *name;
    enum ast_window_kind kind;
    uint32_t min_args, max_args;
} windows[] = {
    {"countwindow", AST_WINDOW_COUNT, 1, 2},     {"hoppingwindow", AST_WINDOW_HOPPING, 3, 3},
    {"sessionwindow", AST_WINDOW_SESSION, 3, 3}, {"slidingwindow", AST_WINDOW_SLIDING, 2, 3},
    {"statewindow", AST_WINDOW_STATE, 1, 2},     {"tumblingwindow", AST_WINDOW_TUMBLING, 2, 2},
};

static int index_of(struct str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
        if (str_iis(name, windows[i].name)) {
            return (int)i;
        }
    }
    return -1;
}

enum ast_window_kind sql_window_kind(struct str name)
{
    int i = index_of(name);
    return i < 0 ? AST_WINDOW_NONE : windows[i].kind;
}

static bool integer(const struct ast_expr *e, int64_t *ret)
{
    if (e->kind != AST_CONST || e->value.type != VALUE_INT) {
        return false;
    }
    *ret = e->value.i;
    return true;
}

static const char *shown(struct parser *p, const struct ast_expr *e)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    (void)sql_print_expr(&b, e); /* for a message only */
    const char *text = arena_str(p->a, buf_str(&b));
    return text ? text : "";
}

/* Microseconds of dd, hh, mi, ss, ms; 0 = it is none of them. */
static int64_t unit_us(const struct ast_expr *e, struct str *ret_unit)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {
        {"dd", 86400000000}, {"hh", 3600000000}, {"mi", 60000000}, {"ss", 1000000}, {"ms", 1000},
    };
    for (size_t i = 0; e->kind == AST_FIELD && !e->stream.n && i < ARRAY_SIZE(units); i++) {
        if (str_iis(e->name, units[i].unit)) {
            *ret_unit = str_of(units[i].unit);
            return units[i].us;
        }
    }
    return 0;
}

static int time_window(struct parser *p, struct ast_window *w, const char *name,
                       struct ast_expr **args, uint32_t n)
{
    int64_t numbers[2] = {0, 0};
    int64_t us = unit_us(args[0], &w->unit);
    if (!us) {
        return sql_fail(p, -E_PARSE,
                        "The 1st argument for %s is expecting timer literal expression. One value "
                        "of [dd|hh|mi|ss|ms].",
                        name);
    }
    for (uint32_t i = 1; i < n; i++) {
        if (!integer(args[i], &numbers[i - 1])) {
            return sql_fail(p, -E_PARSE,
                            "The %u argument for %s is expecting interger literal expression.", i,
                            name);
        }
        bool delay = i == 2 && w->kind == AST_WINDOW_SLIDING;
        if (numbers[i - 1] < (delay ? 0 : 1) || numbers[i - 1] > INT64_MAX / 4 / us) {
            return sql_fail(p, -E_PARSE, "The %u argument for %s is out of range: %s.", i, name,
                            shown(p, args[i]));
        }
    }
    w->length = numbers[0] * us;
    *(w->kind == AST_WINDOW_SLIDING ? &w->delay : &w->interval) = numbers[1] * us;
    return 0;
}

static int count_window(struct parser *p, struct ast_window *w, struct ast_expr **args, uint32_t n)
{
    bool ok = integer(args[0], &w->length) && (n == 1 || integer(args[1], &w->interval));
    if (ok && n == 2 && w->length < w->interval) {
        return sql_fail(
            p, -E_PARSE,
            "The second parameter value %lld should be less than the first parameter %lld.",
            (long long)w->interval, (long long)w->length);
    }
    if (!ok || w->length < 1 || (n == 2 && w->interval < 1)) {
        return n == 1 ? sql_fail(p, -E_PARSE, "Invalid parameter value %s.", shown(p, args[0]))
                      : sql_fail(p, -E_PARSE, "Invalid parameter value %s, %s.", shown(p, args[0]),
                                 shown(p, args[1]));
    }
    if (n == 1) {
        w->interval = w->length;
    }
    return 0;
}

static int check_count(struct parser *p, int i, uint32_t n)
{
    if (n >= windows[i].min_args && n <= windows[i].max_args) {
        return 0;
    }
    if (windows[i].kind == AST_WINDOW_COUNT) {
        return sql_fail(p, -E_PARSE, "Invalid parameter count.");
    }
    return windows[i].min_args == windows[i].max_args
               ? sql_fail(p, -E_PARSE, "The arguments for %s should be %u.", windows[i].name,
                          windows[i].min_args)
               : sql_fail(p, -E_PARSE, "The arguments for %s should be %u or %u.", windows[i].name,
                          windows[i].min_args, windows[i].max_args);
}

static int arguments(struct parser *p, struct ast_window *w, int i)
{
    struct ast_expr **args = NULL;
    uint32_t n = 0;
    if (p->tok.kind != TOKEN_RPAREN && sql_exprs(p, &args, &n) < 0) {
        return p->rc;
    }
    if (!sql_accept(p, TOKEN_RPAREN)) {
        return sql_fail(p, -E_PARSE, "found function call \"%s\", expected ), but with %s.",
                        windows[i].name, sql_quoted(p, p->tok.text));
    }
    if (check_count(p, i, n) < 0) {
        return p->rc;
    }
    if (w->kind == AST_WINDOW_COUNT) {
        return count_window(p, w, args, n);
    }
    if (w->kind == AST_WINDOW_STATE) {
        w->begin = args[0];
        w->emit = n > 1 ? args[1] : NULL;
        return 0;
    }
    return time_window(p, w, windows[i].name, args, n);
}

/* Behind OVER. */
static int over(struct parser *p, struct ast_window *w)
{
    if (!sql_accept(p, TOKEN_LPAREN)) {
        return sql_fail_at(p, "Found", &p->tok, " after OVER, expect parentheses.");
    }
    if (p->tok.kind == TOKEN_PARTITION && w->kind == AST_WINDOW_STATE) {
        if (sql_partition(p, &w->partition, &w->n_partition) < 0) {
            return p->rc;
        }
    } else if (!sql_accept(p, TOKEN_WHEN)) {
        return sql_fail_at(p, "Found", &p->tok, " after OVER(, expect WHEN.");
    } else if (!(w->when = sql_expr(p))) {
        return p->rc;
    }
    if (!sql_accept(p, TOKEN_RPAREN)) {
        return sql_fail_at(p, "Found", &p->tok, " after OVER, expect right parentheses.");
    }
    return 0;
}

int sql_window(struct parser *p, struct ast_window *ret)
{
    int i = index_of(p->tok.text);
    *ret = (struct ast_window){.kind = windows[i].kind, .at = p->tok.at};
    sql_advance(p);
    sql_advance(p);
    if (arguments(p, ret, i) < 0) {
        return p->rc;
    }
    if (sql_accept(p, TOKEN_FILTER) && !(ret->filter = sql_filter(p))) {
        return p->rc;
    }
    return sql_accept(p, TOKEN_OVER) ? over(p, ret) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MATCH_RECOGNIZE (SQL:2016, ISO/IEC 19075-5), the part that rules need:
 *
 *      MATCH_RECOGNIZE (
 *          [PARTITION BY e, ...]
 *          [MEASURES e AS name, ...]
 *          [ONE ROW PER MATCH | ALL ROWS PER MATCH]
 *          [AFTER MATCH SKIP PAST LAST ROW | AFTER MATCH SKIP TO NEXT ROW]
 *          PATTERN (A B+ C{2,3} D*?) [WITHIN 10 ss | WITHIN INTERVAL '10' SECOND]
 *          DEFINE A AS condition, ...)
 *
 * Rows are matched in order of their time, so there is no ORDER BY. Alternatives, groups and
 * exclusions are refused by the grammar.
 */
#include "sql_private.h"

static int expect_word(struct parser *p, const char *word)
{
    if (!sql_accept_word(p, word)) {
        return sql_fail(p, -E_PARSE, "found %s, expected %s in MATCH_RECOGNIZE.",
                        sql_quoted(p, p->tok.text), word);
    }
    return 0;
}

static int expect_words(struct parser *p, const char *const *words)
{
    for (; *words; words++) {
        if (expect_word(p, *words) < 0) {
            return p->rc;
        }
    }
    return 0;
}

/* e AS name, ... */
static int measures(struct parser *p, struct ast_match *m)
{
    struct list l = {0};
    do {
        struct ast_field *f = sql_list_add(p, &l, sizeof(*f));
        if (!f || sql_field(p, f) < 0) {
            return p->rc;
        }
        if (!f->alias.n) {
            return sql_fail_at(p, "found", &p->tok, ", expected AS name behind a measure.");
        }
    } while (sql_accept(p, TOKEN_COMMA));
    m->measures = l.items;
    m->n_measures = l.n;
    return 0;
}

/* name AS condition, ... */
static int defines(struct parser *p, struct ast_match *m)
{
    struct list l = {0};
    do {
        struct ast_field *f = sql_list_add(p, &l, sizeof(*f));
        if (!f || sql_name(p, "expected a name of the pattern in DEFINE.", &f->alias) < 0) {
            return p->rc;
        }
        if (!sql_accept(p, TOKEN_AS)) {
            return sql_fail_at(p, "found", &p->tok, ", expected AS in DEFINE.");
        }
        if (!(f->expr = sql_expr(p))) {
            return p->rc;
        }
    } while (sql_accept(p, TOKEN_COMMA));
    m->defines = l.items;
    m->n_defines = l.n;
    return 0;
}

static int rows_per_match(struct parser *p, struct ast_match *m)
{
    static const char *const one[] = {"row", "per", "match", NULL};
    static const char *const all[] = {"rows", "per", "match", NULL};
    if (sql_accept_word(p, "one")) {
        return expect_words(p, one);
    }
    if (sql_accept_word(p, "all")) {
        m->all_rows = true;
        return expect_words(p, all);
    }
    return 0;
}

static int after_match(struct parser *p, struct ast_match *m)
{
    static const char *const head[] = {"match", "skip", NULL};
    static const char *const past[] = {"last", "row", NULL};
    static const char *const next[] = {"next", "row", NULL};
    m->skip_past = true;
    if (!sql_accept_word(p, "after")) {
        return 0;
    }
    if (expect_words(p, head) < 0) {
        return p->rc;
    }
    if (sql_accept_word(p, "past")) {
        return expect_words(p, past);
    }
    m->skip_past = false;
    return expect_word(p, "to") < 0 ? p->rc : expect_words(p, next);
}

static int count(struct parser *p, uint32_t *ret)
{
    int64_t n;
    if (p->tok.kind != TOKEN_INT || str_i64(p->tok.text, &n) < 0 || n > LIMIT_MATCH_ROWS) {
        return sql_fail(p, -E_PARSE, "found %s, expected a number up to %d in PATTERN.",
                        sql_quoted(p, p->tok.text), LIMIT_MATCH_ROWS);
    }
    *ret = (uint32_t)n;
    sql_advance(p);
    return 0;
}

/* Behind '{': n} n,} ,m} n,m} */
static int braces(struct parser *p, struct ast_pattern_step *s)
{
    s->min = 0;
    s->max = UINT32_MAX;
    if (p->tok.kind == TOKEN_INT && count(p, &s->min) < 0) {
        return p->rc;
    }
    if (!sql_accept(p, TOKEN_COMMA)) {
        s->max = s->min;
    } else if (p->tok.kind == TOKEN_INT && count(p, &s->max) < 0) {
        return p->rc;
    }
    if (!sql_accept(p, TOKEN_RBRACE)) {
        return sql_fail_at(p, "found", &p->tok, ", expected } in PATTERN.");
    }
    if (s->max == 0 || s->min > s->max) {
        return sql_fail(p, -E_PARSE, "the repetition of " STR_FMT " in PATTERN is empty",
                        STR_ARG(s->name));
    }
    return 0;
}

static int step(struct parser *p, struct ast_pattern_step *s)
{
    if (sql_name(p, "expected a name in PATTERN.", &s->name) < 0) {
        return p->rc;
    }
    s->min = s->max = 1;
    if (sql_accept(p, TOKEN_STAR)) {
        s->min = 0;
        s->max = UINT32_MAX;
    } else if (sql_accept(p, TOKEN_PLUS)) {
        s->max = UINT32_MAX;
    } else if (sql_accept(p, TOKEN_QUESTION)) {
        s->min = 0;
    } else if (!sql_accept(p, TOKEN_LBRACE)) {
        return 0;
    } else if (braces(p, s) < 0) {
        return p->rc;
    }
    s->lazy = sql_accept(p, TOKEN_QUESTION);
    return 0;
}

static int pattern(struct parser *p, struct ast_match *m)
{
    struct list l = {0};
    bool needs_row = false;
    if (expect_word(p, "pattern") < 0) {
        return p->rc;
    }
    if (!sql_accept(p, TOKEN_LPAREN)) {
        return sql_fail_at(p, "found", &p->tok, ", expected ( after PATTERN.");
    }
    while (!sql_accept(p, TOKEN_RPAREN)) {
        struct ast_pattern_step *s = sql_list_add(p, &l, sizeof(*s));
        if (!s || step(p, s) < 0) {
            return p->rc;
        }
        needs_row = needs_row || s->min > 0;
        if (l.n > LIMIT_MATCH_STEPS) {
            return sql_fail(p, -E_LIMIT, "PATTERN has more than %d parts", LIMIT_MATCH_STEPS);
        }
    }
    if (!needs_row) {
        return sql_fail(p, -E_PARSE,
                        "PATTERN matches no row at all: one part must not be optional");
    }
    m->steps = l.items;
    m->n_steps = l.n;
    return 0;
}

/* Microseconds of a unit's name, in any of the ways users know; 0 = it is none. */
static int64_t unit_us(struct str s)
{
    static const struct {
        const char *names[4];
        int64_t us;
    } units[] = {
        {{"dd", "day", "days"}, 86400000000},          {{"hh", "hour", "hours"}, 3600000000},
        {{"mi", "minute", "minutes"}, 60000000},       {{"ss", "second", "seconds"}, 1000000},
        {{"ms", "millisecond", "milliseconds"}, 1000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        for (size_t j = 0; j < 3; j++) {
            if (str_iis(s, units[i].names[j])) {
                return units[i].us;
            }
        }
    }
    return 0;
}

/* Behind WITHIN. */
static int within(struct parser *p, struct ast_match *m)
{
    bool interval = sql_accept_word(p, "interval");
    int64_t n = 0;
    if (p->tok.kind != (interval ? TOKEN_STRING : TOKEN_INT) || str_i64(p->tok.text, &n) < 0) {
        return sql_fail_at(p, "found", &p->tok, ", expected a number after WITHIN.");
    }
    sql_advance(p);
    int64_t us = unit_us(p->tok.text);
    if (!us || n < 1 || n > INT64_MAX / 4 / us) {
        return sql_fail_at(p, "found", &p->tok,
                           ", expected a unit (dd, hh, mi, ss, ms) in WITHIN.");
    }
    sql_advance(p);
    m->within_us = n * us;
    return 0;
}

/* Each part of the pattern has at most one definition, and each definition a part. */
static int check(struct parser *p, const struct ast_match *m)
{
    for (uint32_t i = 0; i < m->n_defines; i++) {
        bool found = false;
        for (uint32_t j = 0; j < m->n_steps; j++) {
            found = found || str_eq(m->steps[j].name, m->defines[i].alias);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (str_eq(m->defines[j].alias, m->defines[i].alias)) {
                return sql_fail(p, -E_PARSE, "DEFINE defines " STR_FMT " twice",
                                STR_ARG(m->defines[i].alias));
            }
        }
        if (!found) {
            return sql_fail(p, -E_PARSE, "DEFINE defines " STR_FMT ", which PATTERN does not have",
                            STR_ARG(m->defines[i].alias));
        }
    }
    return 0;
}

static int clauses(struct parser *p, struct ast_match *m)
{
    if (p->tok.kind == TOKEN_PARTITION && sql_partition(p, &m->partition, &m->n_partition) < 0) {
        return p->rc;
    }
    if (p->tok.kind == TOKEN_ORDER) {
        return sql_fail(p, -E_PARSE,
                        "MATCH_RECOGNIZE takes no ORDER BY: rows are matched in order of time");
    }
    if (sql_accept_word(p, "measures") && measures(p, m) < 0) {
        return p->rc;
    }
    if (rows_per_match(p, m) < 0 || after_match(p, m) < 0 || pattern(p, m) < 0) {
        return p->rc;
    }
    if (sql_accept_word(p, "within") && within(p, m) < 0) {
        return p->rc;
    }
    if (sql_accept_word(p, "define") && defines(p, m) < 0) {
        return p->rc;
    }
    if (!sql_accept(p, TOKEN_RPAREN)) {
        return sql_fail_at(p, "found", &p->tok, ", expected ) at the end of MATCH_RECOGNIZE.");
    }
    return check(p, m);
}

struct ast_match *sql_match(struct parser *p)
{
    struct ast_match *m = arena_zalloc(p->a, sizeof(*m));
    bool in_match = p->in_match;
    if (!m) {
        (void)sql_fail(p, -ENOMEM, "%s", err_text(-ENOMEM));
        return NULL;
    }
    if (!sql_accept(p, TOKEN_LPAREN)) {
        (void)sql_fail_at(p, "found", &p->tok, ", expected ( after MATCH_RECOGNIZE.");
        return NULL;
    }
    p->in_match = true;
    int rc = clauses(p, m);
    p->in_match = in_match;
    return rc < 0 ? NULL : m;
}

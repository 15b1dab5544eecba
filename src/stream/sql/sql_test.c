/* SPDX-License-Identifier: Apache-2.0 */
/* The parser: what it takes, what it refuses and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "sql.h"

struct text_case {
    const char *text, *wanted;
};

/* The statement in canonical form, or the error; lives in the arena. */
static const char *canonical(struct arena *a, const char *text)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct ast_statement *s;
    struct err err;
    int rc = sql_parse(a, str_of(text), &s, &err);
    if (rc < 0) {
        return arena_strdup(a, err.text);
    }
    if (!s->select) {
        return arena_str(a, s->name);
    }
    assert_int_equal(sql_print_select(&b, s->select), 0);
    return arena_str(a, buf_str(&b));
}

static const char *canonical_expr(struct arena *a, const char *text)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct ast_expr *e;
    struct err err;
    if (sql_parse_expr(a, str_of(text), &e, &err) < 0) {
        return arena_strdup(a, err.text);
    }
    assert_int_equal(sql_print_expr(&b, e), 0);
    return arena_str(a, buf_str(&b));
}

static void run(const struct text_case *cases, size_t n,
                const char *(*parse)(struct arena *a, const char *text))
{
    for (size_t i = 0; i < n; i++) {
        struct arena a;
        arena_init(&a, 0);
        assert_string_equal(parse(&a, cases[i].text), cases[i].wanted);
        arena_fini(&a);
    }
}

static void operators_bind_as_users_expect(void **state)
{
    static const struct text_case cases[] = {
        {"1+2*3", "1 + 2 * 3"},
        {"(1+2)*3", "(1 + 2) * 3"},
        {"1-2-3", "1 - 2 - 3"},
        {"1-(2-3)", "1 - (2 - 3)"},
        {"a or b and not c = 1", "a OR b AND NOT c = 1"},
        {"not (a or b)", "NOT (a OR b)"},
        {"2 * a->b[0].c", "2 * a->b[0]->c"},
        {"a & 1 | 2 ^ 3", "a & 1 | 2 ^ 3"},
        {"a between 1 and 2 and b", "a BETWEEN 1 AND 2 AND b"},
        {"a not between 1 + 1 and 3", "a NOT BETWEEN 1 + 1 AND 3"},
        {"a not in (1, 'x') or b in c", "a NOT IN (1, \"x\") OR b IN c"},
        {"a like '%x' = true", "a LIKE \"%x\" = true"},
        {"a is null or b is not null", "isnull(a) OR NOT isnull(b)"},
        {"-a + -3 - -1.5", "-a + -3 - -1.5"},
        {"-. 3", "-0.3"},
        {"a[1:], ", "found \",\", expected EOF."},
        {"a[:b+1]", "a[:b + 1]"},
        {"a[]", "a[:]"},
        {"a <> 1", "a != 1"},
        {"case a when 1 then 'x' else 'y' end", "CASE a WHEN 1 THEN \"x\" ELSE \"y\" END"},
        {"1e3", "1000.0"},
        {"007", "7"},
        {"9223372036854775808", "found \"9223372036854775808\", invalid number value."},
        {"1.2.3", "found \"1.2.3\", invalid number value."},
        {"null", "null"},
        {"`null`", "`null`"},
        {"`a b`->`from`", "`a b`->`from`"},
        {"a.end", "a.`end`"},
        {"\"\\u4e2d\\x41\\101\\n\"", "\"\u4e2dAA\\x0a\""},
        {"'it\\'s \"so\"'", "\"it's \\\"so\\\"\""},
        {"\u6e29\u5ea6 > 1 -- more", "\u6e29\u5ea6 > 1"},
        {"a /* b */ + c", "a + c"},
        {"a /* b", "found \"/*\", expected EOF."},
        {"* + 1", "found \"*\", expected expression."},
    };
    (void)state;
    run(cases, ARRAY_SIZE(cases), canonical_expr);
}

static void statements_print_in_canonical_form(void **state)
{
    static const struct text_case cases[] = {
        {"select a, b as c from demo;", "SELECT a, b AS c FROM demo"},
        {"select a.b from demo", "SELECT a->b FROM demo"},
        {"select demo.b.c from demo", "SELECT demo.b->c FROM demo"},
        {"select d.b from demo as d where d.x.y > 1", "SELECT d.b FROM demo AS d WHERE d.x->y > 1"},
        {"select a x from demo", "found \"x\", expected FROM."},
        {"select a from topic/sensor1/# as t", "SELECT a FROM `topic/sensor1/#` AS t"},
        {"select * except(a, b) replace(c*2 as c), d.* from demo d",
         "SELECT * EXCEPT (a, b) REPLACE (c * 2 AS c), d.* FROM demo AS d"},
        {"select distinct a from demo", "SELECT DISTINCT a FROM demo"},
        {"select distinct, a from demo", "SELECT distinct, a FROM demo"},
        {"select a invisible, b as c invisible from demo",
         "SELECT a INVISIBLE, b AS c INVISIBLE FROM demo"},
        {"select a from s1 inner join s2 on s1.id = s2.id cross join s3",
         "SELECT a FROM s1 INNER JOIN s2 ON s1.id = s2.id CROSS JOIN s3"},
        {"select count(*) as n, count(distinct a) filter (where b > 1) from demo group by c, "
         "hoppingwindow(ss, 10, 5) filter (where d = 1) having count(*) > 1 order by n desc, c "
         "limit 5",
         "SELECT count(*) AS n, count(DISTINCT a) FILTER (WHERE b > 1) FROM demo GROUP BY c, "
         "HOPPINGWINDOW(ss, 10, 5) FILTER (WHERE d = 1) HAVING count(*) > 1 ORDER BY n DESC, c "
         "LIMIT 5"},
        {"select a from demo group by slidingwindow(mi, 5, 1) over (when a > 1)",
         "SELECT a FROM demo GROUP BY SLIDINGWINDOW(mi, 5, 1) OVER (WHEN a > 1)"},
        {"select a from demo group by statewindow(a > 1, a < 0) over (partition by b)",
         "SELECT a FROM demo GROUP BY STATEWINDOW(a > 1, a < 0) OVER (PARTITION BY b)"},
        {"select a from demo group by countwindow(4)",
         "SELECT a FROM demo GROUP BY COUNTWINDOW(4, 4)"},
        {"select a from demo group by sessionwindow(ss, 10, 2)",
         "SELECT a FROM demo GROUP BY SESSIONWINDOW(ss, 10, 2)"},
        {"select x from (select a as x from demo where a > 1) as inner1 where x < 9",
         "SELECT x FROM (SELECT a AS x FROM demo WHERE a > 1) AS inner1 WHERE x < 9"},
        {"with w as (select a from s1), v as (select b from s2) select * from w union all select * "
         "from v",
         "WITH w AS (SELECT a FROM s1), v AS (SELECT b FROM s2) SELECT * FROM w UNION ALL SELECT * "
         "FROM v"},
        {"select a from demo where a in (select id from t) and exists (select b from t)",
         "SELECT a FROM demo WHERE a IN (SELECT id FROM t) AND exists(SELECT b FROM t)"},
        {"select m.n from demo match_recognize (partition by id measures last(b.t) as n one row per "
         "match after match skip to next row pattern (a b{2,3} c*? d+) within interval '10' second "
         "define a as t > 1, b as b.t > prev(b.t)) as m",
         "SELECT m.n FROM demo MATCH_RECOGNIZE (PARTITION BY id MEASURES last(b.t) AS n ONE ROW PER "
         "MATCH AFTER MATCH SKIP TO NEXT ROW PATTERN (a b{2,3} c*? d+) WITHIN 10000 ms DEFINE a AS "
         "t > 1, b AS b.t > prev(b.t)) AS m"},
    };
    (void)state;
    run(cases, ARRAY_SIZE(cases), canonical);
}

static void refusals_say_what_was_found(void **state)
{
    static const struct text_case cases[] = {
        {"", "Found \"EOF\", Expected SELECT."},
        {"SELECTname FROM tbl", "Found \"SELECTname\", Expected SELECT."},
        {"select a", "found \"EOF\", expected FROM."},
        {"select a from", "found \"EOF\", expected a stream name."},
        {"select from demo", "found \"FROM\", expected expression."},
        {"select a from demo where", "found \"EOF\", expected expression."},
        {"select a from demo group a", "found \"a\", expected BY statement."},
        {"select a from demo order a", "found \"a\", expected BY keyword."},
        {"select a from demo limit 1.5", "limit should be integer"},
        {"select * as b from demo", "alias is not supported for *"},
        {"select nope(1) from demo", "function nope not found"},
        {"select a from s1 left s2 on a = b", "found \"LEFT\", expected JOIN key word."},
        {"select a from s1 cross join s2 on a = b",
         "On expression is not required for cross join type."},
        {"select tumblingwindow(ss, 1) from demo",
         "the window tumblingwindow stands in GROUP BY only"},
        {"select a from demo group by tumblingwindow(ss, 1), countwindow(2)",
         "GROUP BY has more than one window"},
        {"select a from demo group by tumblingwindow(5, 1)",
         "The 1st argument for tumblingwindow is expecting timer literal expression. One value of "
         "[dd|hh|mi|ss|ms]."},
        {"select a from demo group by tumblingwindow(ss, 0)",
         "The 1 argument for tumblingwindow is out of range: 0."},
        {"select a from demo group by hoppingwindow(ss, 5)",
         "The arguments for hoppingwindow should be 3."},
        {"select a from demo group by countwindow(0)", "Invalid parameter value 0."},
        {"select abs(1, 2) from demo",
         "validate function abs error: Expect 1 arguments but found 2."},
        {"select a from demo group by count(a)",
         "Not allowed to call aggregate functions in GROUP BY clause."},
        {"select a from (select a from demo)",
         "a sub-query in FROM needs a name: (SELECT ...) AS name"},
        {"select a from s1 union select b from s2", "found \"SELECT\", expected ALL after UNION."},
        {"select a from demo match_recognize (pattern (a*) define a as x > 1)",
         "PATTERN matches no row at all: one part must not be optional"},
        {"select a from demo match_recognize (pattern (a) define b as x > 1)",
         "DEFINE defines b, which PATTERN does not have"},
        {"select case 1 else 2 end from demo",
         "invalid CASE expression, WHEN expected before ELSE"},
        {"select a[1 from demo", "Unexpected token \"1\". when parsing bracket expressions."},
        {"select \"a\xff\" from demo", "the statement is no valid UTF-8"},
    };
    (void)state;
    run(cases, ARRAY_SIZE(cases), canonical);
}

static void definitions_hold_columns_types_and_options(void **state)
{
    struct arena a;
    struct ast_statement *s;
    struct err err;
    (void)state;
    arena_init(&a, 0);
    assert_int_equal(
        sql_parse(&a,
                  STR_LIT("CREATE STREAM demo (id bigint DEFAULT -5, `\u5730\u5740` STRUCT(street "
                          "STRING, zip ARRAY(BIGINT)), ok BOOLEAN default \"true\",) WITH "
                          "(datasource=\"users\", FORMAT='json', SHARED=\"TRUE\");"),
                  &s, &err),
        0);
    assert_int_equal(s->kind, AST_CREATE);
    assert_false(s->table);
    assert_int_equal(s->n_columns, 3);
    assert_int_equal(s->columns[0].type.type, VALUE_INT);
    assert_int_equal(s->columns[0].fallback.i, -5);
    assert_int_equal(s->columns[1].type.n_columns, 2);
    assert_int_equal(s->columns[1].type.columns[1].type.element->type, VALUE_INT);
    assert_int_equal(s->columns[1].fallback.type, VALUE_ABSENT);
    assert_true(s->columns[2].fallback.b);
    assert_true(str_is(sql_option(s, "DATASOURCE"), "users"));
    assert_int_equal(sql_option(s, "TYPE").n, 0);
    assert_int_equal(sql_parse(&a, STR_LIT("drop table t1"), &s, &err), 0);
    assert_int_equal(s->kind, AST_DROP);
    assert_true(s->table);
    assert_int_equal(sql_parse(&a, STR_LIT("explain select a from demo"), &s, &err), 0);
    assert_int_equal(s->kind, AST_EXPLAIN);
    assert_non_null(s->select);
    arena_fini(&a);
}

static void definitions_are_refused_in_words(void **state)
{
    static const struct text_case cases[] = {
        {"CREATE VIEW x", "found \"VIEW\", expected keyword stream or table."},
        {"CREATE STREAM 5", "found \"5\", expected stream name."},
        {"CREATE STREAM d WITH", "found \"WITH\", expected lparen after stream name."},
        {"CREATE STREAM d (a string b) WITH ()", "found \"b\", expect comma or rparen."},
        {"CREATE STREAM d (a array(x)) WITH ()", "found \"x\", expect stream data types."},
        {"CREATE STREAM d (a bigint DEFAULT \"x\") WITH ()",
         "found \"x\", which is no default value of column a"},
        {"CREATE STREAM d () WITH (FORMAT=json)", "found \"json\", expect string value in option."},
        {"CREATE STREAM d () WITH (FORMAT \"json\")",
         "found \"json\", expect equals(=) in options."},
        {"CREATE STREAM d () WITH (FORMAT=\"x\")", "option 'format=x' is invalid"},
        {"CREATE TABLE d () WITH (FORMAT=\"binary\")",
         "'binary' format is not supported for table"},
        {"CREATE STREAM d (a bytea, b bytea) WITH (FORMAT=\"binary\")",
         "'binary' format stream can have only one field"},
        {"CREATE STREAM d () WITH (RETAIN_SIZE=\"x\")",
         "found \"x\", expect number value in RETAIN_SIZE option."},
        {"CREATE STREAM d () WITH () x", "found \"x\", expected semicolon or EOF."},
        {"CREATE STREAM `a.b` () WITH ()",
         "id 'a.b' contains invalid characters: only alphanumeric, hyphens and underscores are "
         "allowed"},
        {"SHOW x", "found \"X\", expected keyword streams or tables."},
        {"DESCRIBE STREAM", "found \"EOF\", expected stream name."},
        {"DROP TABLE 1", "found \"1\", expected table name."},
    };
    (void)state;
    run(cases, ARRAY_SIZE(cases), canonical);
}

/* "head" + n times "part" + "tail" */
static char *repeated(const char *head, const char *part, size_t n, const char *tail)
{
    struct buf b = BUF_INIT;
    (void)buf_puts(&b, head);
    for (size_t i = 0; i < n; i++) {
        (void)buf_puts(&b, part);
    }
    (void)buf_puts(&b, tail);
    char *text = buf_take(&b, NULL);
    assert_non_null(text);
    return text;
}

static int parse_repeated(const char *head, const char *part, size_t n, const char *tail)
{
    struct arena a;
    struct ast_statement *s;
    char *text = repeated(head, part, n, tail);
    arena_init(&a, 0);
    int rc = sql_parse(&a, str_of(text), &s, NULL);
    arena_fini(&a);
    mem_free(text);
    return rc;
}

static void nesting_and_size_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(parse_repeated("SELECT ", "(", 50, "1"), -E_PARSE);
    assert_int_equal(parse_repeated("SELECT ", "(", 5000, "1"), -E_LIMIT);
    assert_int_equal(parse_repeated("SELECT ", "- ", 5000, "1 FROM d"), -E_LIMIT);
    assert_int_equal(parse_repeated("SELECT ", "NOT ", 5000, "a FROM d"), -E_LIMIT);
    assert_int_equal(parse_repeated("SELECT a", "[0]", 5000, " FROM d"), -E_LIMIT);
    assert_int_equal(parse_repeated("SELECT 1", "+1", 5000, " FROM d"), -E_LIMIT);
    assert_int_equal(parse_repeated("", "SELECT a FROM (", 5000, ""), -E_LIMIT);
    assert_int_equal(parse_repeated("CREATE STREAM d (a ", "ARRAY(", 5000, ""), -E_LIMIT);
    assert_int_equal(parse_repeated("SELECT a FROM d WHERE a=1", " OR a=1", 3000, ""), 0);
    assert_int_equal(parse_repeated("SELECT a", ",a", 30000, " FROM d"), -E_LIMIT);
    assert_int_equal(parse_repeated("SELECT a FROM d", " ", LIMIT_SQL_SOURCE, ""), -E_LIMIT);
    assert_int_equal(parse_repeated("SELECT concat(a", ",a", LIMIT_SQL_ARGS, ") FROM d"), -E_LIMIT);
}

static void memory_that_runs_out_is_told(void **state)
{
    static const struct str text =
        STR_LIT("SELECT a, count(*) AS n FROM (SELECT * FROM demo) AS d WHERE a->b IN (1, 2) GROUP "
                "BY a, TUMBLINGWINDOW(ss, 1)");
    int rc = -1;
    (void)state;
    for (unsigned long n = 1; rc != 0 && n < 1000; n++) {
        struct arena a;
        struct ast_statement *s;
        arena_init(&a, 0);
        (void)mem_fail_at(n);
        rc = sql_parse(&a, text, &s, NULL);
        (void)mem_fail_at(0);
        assert_true(rc == 0 || rc == -ENOMEM);
        arena_fini(&a);
    }
    assert_int_equal(rc, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_bind_as_users_expect),
        cmocka_unit_test(statements_print_in_canonical_form),
        cmocka_unit_test(refusals_say_what_was_found),
        cmocka_unit_test(definitions_hold_columns_types_and_options),
        cmocka_unit_test(definitions_are_refused_in_words),
        cmocka_unit_test(nesting_and_size_are_bounded),
        cmocka_unit_test(memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `rule`: rules by hand, without a node: `test` runs rules over given events on a
 * virtual clock, `bench` measures one, `explain` shows a plan, `functions` lists the language's
 * functions.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "rule.h"

static const char usage[] =
    "usage: selvedge rule COMMAND [options]\n"
    "\n"
    "  test FILE        run the rules of a file over its events, on a virtual clock; prints a line\n"
    "                   of JSON for each result; with `expect` compares and ends with 1 when they\n"
    "                   differ\n"
    "  bench FILE [N] [--threads T]\n"
    "                   the same rules over the events, N times (default 1000000 events); prints\n"
    "                   events a second. With T threads the rules are dealt out to T engines\n"
    "  explain FILE     the plans of the rules of a file\n"
    "  functions        the functions of streaming SQL, a line each\n"
    "\n"
    "A file is YAML or JSON:\n"
    "\n"
    "  streams:\n"
    "    - CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")\n"
    "  rules:\n"
    "    - {id: hot, sql: \"SELECT t FROM demo WHERE t > 30\", options: {}}\n"
    "  events:                       # in order of time; `at` in milliseconds since 1970\n"
    "    - {stream: demo, at: 1000, data: {t: 31}, meta: {topic: a}}\n"
    "  until: 5000                   # else: one second after the last event\n"
    "  expect:\n"
    "    hot: [[{t: 31}]]            # a list for each emission\n";

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"bench", rule_bench},
    {"explain", rule_explain_file},
    {"functions", rule_functions},
    {"test", rule_test},
};

int main(int argc, char **argv)
{
    log_init("rule", LOG_WARN);
    const char *name = argc > 1 ? argv[1] : "--help";
    if (cstr_eq(name, "--help") || cstr_eq(name, "-h")) {
        (void)fputs(usage, stdout);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (cstr_eq(commands[i].name, name)) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    (void)fprintf(stderr, "rule: there is no command '%s'; see `selvedge rule --help`\n", name);
    return 2;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses statements for conformance_test.py: a line of JSON in, a line out.
 *
 *      in   "SELECT ..."
 *      out  {"error": text} or {"printed": canonical text, "aggregate": bool}
 *
 * What is printed is parsed again and must print the same: {"unstable": text} if it does not. With
 * an argument it prints the table of functions, a line of JSON each, for reference_test.py.
 */
#include <stdio.h>

#include "base/mem.h"
#include "codec/json.h"
#include "sql.h"
#include "stream/fn/function.h"

enum { LINE_MAX_BYTES = 1 << 20 };

static void again(struct arena *a, struct str printed, struct json *out)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    struct ast_statement *s;
    struct err err;
    if (sql_parse(a, printed, &s, &err) < 0) {
        json_set_str(out, "unstable", err.text);
    } else if (sql_print_select(&text, s->select) < 0 || !str_eq(buf_str(&text), printed)) {
        (void)json_set(out, "unstable", json_string_n(a, buf_str(&text)));
    }
}

static void parse(struct arena *a, struct str text, struct json *out)
{
    CLEANUP(buf_finip) struct buf printed = BUF_INIT;
    struct ast_statement *s;
    struct err err;
    if (sql_parse(a, text, &s, &err) < 0) {
        json_set_str(out, "error", err.text);
        return;
    }
    if (s->select && sql_print_select(&printed, s->select) == 0) {
        (void)json_set(out, "printed", json_string_n(a, buf_str(&printed)));
        json_set_bool(out, "aggregate", sql_is_aggregate(s->select));
        again(a, buf_str(&printed), out);
    }
}

static void print_functions(void)
{
    uint32_t n;
    const struct function *const *all = function_all(&n);
    for (uint32_t i = 0; i < n; i++) {
        struct arena a;
        CLEANUP(buf_finip) struct buf text = BUF_INIT;
        arena_init(&a, 0);
        struct json *j = json_object(&a);
        json_set_str(j, "name", all[i]->name);
        json_set_int(j, "kind", all[i]->kind);
        json_set_int(j, "min", all[i]->min_args);
        json_set_int(j, "max", all[i]->max_args == FUNCTION_ARGS_ANY ? -1 : all[i]->max_args);
        json_set_str(j, "help", all[i]->help);
        (void)json_print(&text, j);
        (void)printf(STR_FMT "\n", STR_ARG(buf_str(&text)));
        arena_fini(&a);
    }
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        print_functions();
        return 0;
    }
    char *line = mem_alloc(LINE_MAX_BYTES);
    while (line && fgets(line, LINE_MAX_BYTES, stdin)) {
        struct arena a;
        struct json *in, *out;
        CLEANUP(buf_finip) struct buf text = BUF_INIT;
        arena_init(&a, 0);
        out = json_object(&a);
        if (json_parse(&a, str_of(line), NULL, &in, NULL) < 0) {
            json_set_str(out, "error", "not JSON");
        } else {
            parse(&a, json_text(in), out);
        }
        (void)json_print(&text, out);
        (void)printf(STR_FMT "\n", STR_ARG(buf_str(&text)));
        arena_fini(&a);
    }
    mem_free(line);
    return 0;
}

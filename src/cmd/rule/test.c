/* SPDX-License-Identifier: Apache-2.0 */
/* `rule test`, `rule explain`, `rule functions`. */
#include <stdio.h>

#include "base/mem.h"
#include "rule.h"
#include "stream/expr/expr.h"

#define STEP_US INT64_C(100000) /* of the virtual clock between events: timers fire in time */

struct run {
    struct rule_file file;
    struct arena arena;
    struct json *got; /* rule -> list of emissions */
    bool quiet;
    int rc;
};

static bool wants_nulls(const struct run *run, const char *id)
{
    JSON_FOR_EACH (rule, json_get(run->file.json, "rules")) {
        if (cstr_eq(json_cstr(json_get(rule, "id"), ""), id)) {
            return json_true(json_get(json_get(rule, "options"), "sendNilField"), false);
        }
    }
    return false;
}

static void on_result(void *arg, struct rule *r, struct batch *b, bool single,
                      const struct window_range *range)
{
    struct run *run = arg;
    (void)range;
    struct buf out = BUF_INIT;
    struct arena a;
    arena_init(&a, 0);
    for (uint32_t i = 0; i < b->rows || (i == 0 && !single); i += single ? 1 : b->rows + 1) {
        (void)buf_printf(&out, "{\"rule\":\"%s\",\"at\":%lld,\"rows\":[", rule_id(r),
                         (long long)(engine_now(run->file.engine) / 1000)); /* sticky */
        for (uint32_t k = i; k < (single ? i + 1 : b->rows); k++) {
            struct value v = batch_object(&a, b, k, wants_nulls(run, rule_id(r)));
            (void)buf_puts(&out, k > i ? "," : "");
            (void)value_print_json(&out, &v);
        }
        (void)buf_puts(&out, "]}");
        struct json *line = NULL;
        if (json_parse(&run->arena, buf_str(&out), NULL, &line, NULL) == 0) {
            json_push(json_ensure_array(run->got, rule_id(r)),
                      json_get(line, "rows")); /* numbers keep their text */
        }
        (void)printf(STR_FMT "\n", STR_ARG(buf_str(&out)));
        buf_clear(&out);
    }
    buf_fini(&out);
    arena_fini(&a);
}

static void on_error(void *arg, struct rule *r, const struct err *err)
{
    (void)arg;
    (void)fprintf(stderr, "rule %s: %s\n", rule_id(r), err->text);
}

static int advance(struct run *run, int64_t to_us)
{
    int rc = 0;
    while (rc == 0 && engine_now(run->file.engine) + STEP_US < to_us) {
        rc = engine_advance(run->file.engine, engine_now(run->file.engine) + STEP_US);
    }
    return rc < 0 ? rc : engine_advance(run->file.engine, to_us);
}

/* Values of JSON; {"$time": ms} is a datetime, {"$bytes": base64} bytes, {"$float": 2} a float. */
static struct value value_of(struct arena *a, const struct json *j)
{
    struct value v = value_from_json(a, j);
    const struct json *mark;
    if (json_is(j, JSON_OBJECT) && j->n == 1) {
        if ((mark = json_get(j, "$time"))) {
            return value_time((struct wall){json_i64(mark, 0) * 1000});
        }
        if ((mark = json_get(j, "$float"))) {
            return value_float(json_double(mark, 0));
        }
        if ((mark = json_get(j, "$bytes"))) {
            struct value text = value_string(json_text(mark)), bytes;
            return value_cast(a, &text, VALUE_BYTES, &bytes, NULL) == 0 ? bytes : text;
        }
    }
    if (v.type == VALUE_OBJECT) {
        struct value_member *m = arena_alloc(a, (v.n + 1) * sizeof(*m));
        uint32_t n = 0;
        JSON_FOR_EACH_MEMBER (member, j) {
            if (m) {
                m[n++] = (struct value_member){str_n(member->key, member->key_n),
                                               value_of(a, member->value)};
            }
        }
        v.members = m;
    } else if (v.type == VALUE_ARRAY) {
        struct value *items = arena_alloc(a, (v.n + 1) * sizeof(*items));
        for (uint32_t i = 0; items && i < v.n; i++) {
            items[i] = value_of(a, json_at(j, i));
        }
        v.items = items;
    }
    return v;
}

static int push(struct run *run, const struct json *event, struct err *err)
{
    const char *name = json_cstr(json_get(event, "stream"), "");
    struct engine_stream *s = engine_stream(run->file.engine, str_of(name));
    int64_t at = json_i64(json_get(event, "at"), engine_now(run->file.engine) / 1000) * 1000;
    const struct json *text = json_get(event, "text");
    if (!s) {
        return err_set(err, -E_NOENT, "an event for '%s', which is no stream", name);
    }
    int rc = advance(run, at);
    struct value meta = value_of(&run->arena, json_get(event, "meta"));
    if (rc == 0 && (text || json_true(json_get(event, "decode"), false))) { /* by the format */
        CLEANUP(buf_finip) struct buf b = BUF_INIT;
        (void)(text ? buf_append_str(&b, json_text(text))
                    : json_print(&b, json_get(event, "data")));
        const struct payload p = {.bytes = buf_str(&b), .arrival_us = at, .meta = meta};
        rc = engine_push(run->file.engine, s, &p, 1);
    } else if (rc == 0) {
        struct value v = value_of(&run->arena, json_get(event, "data"));
        rc = engine_push_values(run->file.engine, s, &v, &meta, &at, 1);
    }
    return rc < 0 ? err_sys(err, rc, "an event of '%s'", name) : 0;
}

static int compare(const struct run *run)
{
    int differ = 0;
    JSON_FOR_EACH_MEMBER (m, json_get(run->file.json, "expect")) {
        const struct json *got = json_get_n(run->got, str_n(m->key, m->key_n));
        if (!json_equal(got, m->value) && !(json_len(m->value) == 0 && !got)) {
            struct buf b = BUF_INIT;
            (void)json_print(&b, m->value); /* sticky */
            (void)fprintf(stderr, "rule %s: expected " STR_FMT "\n", m->key, STR_ARG(buf_str(&b)));
            buf_fini(&b);
            differ = 1;
        }
    }
    return differ;
}

static int run_events(struct run *run, struct err *err)
{
    int rc = 0;
    JSON_FOR_EACH (event, json_get(run->file.json, "events")) {
        rc = rc < 0 ? rc : push(run, event, err);
    }
    if (rc == 0) {
        const struct json *until = json_get(run->file.json, "until");
        int64_t end = until ? json_i64(until, 0) * 1000 : engine_now(run->file.engine) + 1000000;
        rc = advance(run, end);
        rc = rc < 0 ? err_sys(err, rc, "advance the clock") : 0;
    }
    return rc;
}

int rule_test(int argc, char **argv)
{
    struct run run = {0};
    struct err err;
    if (argc != 2) {
        (void)fputs("usage: selvedge rule test FILE\n", stderr);
        return 2;
    }
    arena_init(&run.arena, (size_t)1 << 30);
    run.got = json_object(&run.arena);
    int rc = rule_file_open(argv[1], on_result, on_error, &run, &run.file, &err);
    rc = rc < 0 ? rc : run_events(&run, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "rule: %s\n", err.text);
    } else {
        rc = compare(&run);
    }
    if (run.file.engine) {
        rule_file_close(&run.file);
    }
    arena_fini(&run.arena);
    return rc < 0 ? 2 : rc;
}

static void ignore_result(void *arg, struct rule *r, struct batch *b, bool single,
                          const struct window_range *range)
{
    (void)arg;
    (void)r;
    (void)b;
    (void)single;
    (void)range;
}

int rule_explain_file(int argc, char **argv)
{
    struct rule_file f;
    struct err err;
    if (argc != 2) {
        (void)fputs("usage: selvedge rule explain FILE\n", stderr);
        return 2;
    }
    if (rule_file_open(argv[1], ignore_result, NULL, NULL, &f, &err) < 0) {
        (void)fprintf(stderr, "rule: %s\n", err.text);
        return 2;
    }
    for (uint32_t i = 0; i < f.n_rules; i++) {
        struct buf b = BUF_INIT;
        (void)rule_explain(f.rules[i], &b); /* sticky */
        (void)printf("%s\n" STR_FMT, rule_id(f.rules[i]), STR_ARG(buf_str(&b)));
        buf_fini(&b);
    }
    rule_file_close(&f);
    return 0;
}

int rule_functions(int argc, char **argv)
{
    static const char *const kinds[] = {"scalar", "aggregate", "analytic", "set", "columns", "row"};
    uint32_t n;
    const struct function *const *all = function_all(&n);
    (void)argc;
    (void)argv;
    for (uint32_t i = 0; i < n; i++) {
        (void)printf("%-24s %-10s %s\n", all[i]->name, kinds[all[i]->kind],
                     all[i]->help ? all[i]->help : "");
    }
    return 0;
}

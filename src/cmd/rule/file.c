/* SPDX-License-Identifier: Apache-2.0 */
/* A file of streams, rules and events: read, and its rules started in an engine of their own. */
#include "base/mem.h"
#include "codec/yaml.h"
#include "io/file.h"
#include "rule.h"

#define FILE_MAX ((size_t)256 << 20)

static int read_file(const char *path, struct rule_file *f, struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t n = 0;
    int rc = file_read(path, FILE_MAX, &text, &n, err);
    if (rc < 0) {
        return rc;
    }
    bool json = n > 0 && text[0] == '{';
    rc = json ? json_parse(&f->arena, str_n(text, n), NULL, &f->json, err)
              : yaml_parse(&f->arena, str_n(text, n), &f->json, err);
    return rc < 0 ? err_wrap(err, rc, "%s", path) : 0;
}

/* The virtual clock starts at the first event, rounded down to a second. */
static int64_t start_of(const struct json *json)
{
    const struct json *first = json_at(json_get(json, "events"), 0);
    int64_t ms = json_i64(json_get(json, "start"), json_i64(json_get(first, "at"), 0));
    return (json_get(json, "start") ? ms : ms / 1000 * 1000) * 1000;
}

static int64_t duration_us(const struct json *options, const char *name)
{
    const struct json *j = json_get(options, name);
    int64_t us = 0;
    if (json_is(j, JSON_STRING)) {
        return duration_parse(json_text(j), &us) == 0 ? us : 0;
    }
    return json_i64(j, 0) * 1000;
}

static int add_rule(struct rule_file *f, const struct json *j, rule_result_fn *on_result, void *arg,
                    struct err *err)
{
    const struct json *o = json_get(j, "options");
    const struct rule_options opts = {.event_time = json_true(json_get(o, "isEventTime"), false),
                                      .send_error = json_true(json_get(o, "sendError"), false),
                                      .send_nil = json_true(json_get(o, "sendNilField"), false),
                                      .late_tolerance_us = duration_us(o, "lateTolerance"),
                                      .idle_timeout_us = duration_us(o, "idleTimeout"),
                                      .allowed_lateness_us = duration_us(o, "allowedLateness"),
                                      .memory_limit =
                                          (size_t)json_i64(json_get(o, "memoryLimit"), 0),
                                      .zone = json_cstr(json_get(o, "timezone"), NULL)};
    int rc = rule_new(f->engine, json_text(json_get(j, "id")), json_text(json_get(j, "sql")), &opts,
                      on_result, arg, &f->rules[f->n_rules], err);
    if (rc == 0) {
        rc = rule_start(f->rules[f->n_rules++], err);
    }
    return rc < 0 ? err_wrap(err, rc, "rule %s", json_cstr(json_get(j, "id"), "")) : 0;
}

static int define_all(struct rule_file *f, rule_result_fn *on_result, void *arg, struct err *err)
{
    const struct json *rules = json_get(f->json, "rules");
    int rc = 0;
    JSON_FOR_EACH (ddl, json_get(f->json, "streams")) {
        rc = rc < 0 ? rc : engine_define(f->engine, json_text(ddl), false, err);
    }
    f->rules = mem_zalloc((json_len(rules) + 1) * sizeof(struct rule *));
    rc = rc < 0 || f->rules ? rc : err_sys(err, -E_NOMEM, "read the rules");
    JSON_FOR_EACH (rule, rules) {
        rc = rc < 0 ? rc : add_rule(f, rule, on_result, arg, err);
    }
    return rc;
}

int rule_file_open(const char *path, rule_result_fn *on_result,
                   void (*on_error)(void *arg, struct rule *r, const struct err *err), void *arg,
                   struct rule_file *ret, struct err *err)
{
    *ret = (struct rule_file){0};
    arena_init(&ret->arena, (size_t)1 << 30);
    int rc = read_file(path, ret, err);
    if (rc == 0) {
        const struct engine_options opts = {.zone =
                                                json_cstr(json_get(ret->json, "timezone"), NULL),
                                            .on_error = on_error,
                                            .arg = arg};
        rc = engine_new(&opts, start_of(ret->json), &ret->engine, err);
    }
    rc = rc < 0 ? rc : define_all(ret, on_result, arg, err);
    if (rc < 0) {
        rule_file_close(ret);
    }
    return rc;
}

void rule_file_close(struct rule_file *f)
{
    engine_free(f->engine); /* and its rules */
    mem_free(f->rules);
    arena_fini(&f->arena);
    *f = (struct rule_file){0};
}

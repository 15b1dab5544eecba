/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /ruleset: all definitions as one JSON document, out and in.
 *
 *     {"streams": {"demo": "CREATE STREAM ..."}, "tables": {...}, "rules": {"r": "{...}"}}
 *
 * What exists already is left as it is. The document is taken in whole or told where it is wrong: a
 * definition that does not work is named in the answer, the others count.
 */
#include "base/mem.h"
#include "io/file.h"
#include "rest_private.h"

#define RULESET_MAX ((size_t)64 << 20)

/* ---- export ---- */

void rest_set_export(struct rest_call *c)
{
    struct json *o = json_object(c->arena);
    struct json *streams = json_ensure_object(o, "streams");
    struct json *tables = json_ensure_object(o, "tables");
    struct json *rules = json_ensure_object(o, "rules");
    for (struct engine_stream *s = NULL; (s = engine_stream_next(c->data->engine, s));) {
        json_set_str(engine_stream_is_table(s) ? tables : streams, engine_stream_name(s),
                     engine_stream_ddl(s));
    }
    MAP_FOR_EACH (slot, &c->data->rules) {
        const struct data_rule *r = slot->value;
        json_set_str(rules, r->id, r->text);
    }
    rest_json(c, 200, o);
}

/* ---- import ---- */

/* An import under way: answers when the last definition is kept. */
struct import {
    struct rest_call *call;
    unsigned waiting;
    unsigned streams, tables, rules;
    struct buf problems; /* a line each */
};

static void problem(struct import *im, const char *kind, const char *name, const char *text)
{
    (void)buf_printf(&im->problems, "\n%s %s: %s", kind, name, text); /* sticky */
}

static void release(struct import *im)
{
    if (--im->waiting > 0) {
        return;
    }
    CLEANUP(mem_freep)
    char *problems = buf_len(&im->problems) > 0 ? buf_take(&im->problems, NULL) : NULL;
    rest_text(im->call, 200, "imported %u streams, %u tables and %u rules%s", im->streams,
              im->tables, im->rules, problems ? problems : "");
    buf_fini(&im->problems);
    mem_free(im);
}

static void on_kept(void *arg, int code, const char *text)
{
    struct import *im = arg;
    if (code < 0) {
        problem(im, "not kept", "on disk", text);
    }
    release(im);
}

static void keep(struct import *im, const char *group, const char *name, struct str value)
{
    im->waiting++;
    data_keep(im->call->data, group, str_of(name), value, on_kept, im);
}

static void import_definitions(struct import *im, const struct json *of, bool tables)
{
    struct data *d = im->call->data;
    JSON_FOR_EACH_MEMBER (m, of) {
        struct err err;
        const char *name;
        struct str ddl = json_text(m->value);
        if (engine_stream(d->engine, str_n(m->key, m->key_n))) {
            continue;
        }
        if (data_define(d, ddl, false, &name, &err) < 0) {
            problem(im, tables ? "table" : "stream", m->key, err.text);
            continue;
        }
        *(tables ? &im->tables : &im->streams) += 1;
        keep(im, "streams", name, ddl);
    }
}

static void import_rules(struct import *im, const struct json *of)
{
    struct data *d = im->call->data;
    JSON_FOR_EACH_MEMBER (m, of) {
        struct data_rule *r;
        struct err err;
        struct str id = str_n(m->key, m->key_n), text = json_text(m->value);
        if (data_rule_find(d, id)) {
            continue;
        }
        if (data_rule_define(d, text, id, false, &r, &err) < 0) {
            problem(im, "rule", m->key, err.text);
            continue;
        }
        if (r->triggered && data_rule_start(r, &err) < 0) {
            problem(im, "rule", m->key, err.text); /* it is there, stopped */
        }
        im->rules++;
        keep(im, "rules", r->id, text);
    }
}

static void import_all(struct rest_call *c, const struct json *set)
{
    struct import *im = mem_zalloc(sizeof(*im));
    if (!im) {
        rest_text(c, 503, "out of memory");
        return;
    }
    c->waits = true;
    buf_init(&im->problems, (size_t)1 << 20);
    im->call = c;
    im->waiting = 1;
    import_definitions(im, json_get(set, "streams"), false);
    import_definitions(im, json_get(set, "tables"), true);
    import_rules(im, json_get(set, "rules"));
    release(im);
}

/* {"content": "..."} or {"file": "file:///path"} */
static int read_set(struct rest_call *c, const struct json *body, struct json **ret,
                    struct err *err)
{
    struct str content = json_text(json_get(body, "content"));
    const char *file = json_cstr(json_get(body, "file"), "");
    CLEANUP(mem_freep) char *bytes = NULL;
    size_t n = 0;
    if ((content.n > 0) == (*file != '\0')) {
        return err_set(err, -E_INVAL, "must specify %s",
                       content.n ? "content or file, not both" : "content or file");
    }
    if (*file) {
        if (!str_starts(str_of(file), "file:///")) {
            return err_set(err, -E_NOTSUP, "file: only file:///... is read, not '%s'", file);
        }
        int rc = file_read(file + strlen("file://"), RULESET_MAX, &bytes, &n, err);
        if (rc < 0) {
            return rc;
        }
        content = str_n(bytes, n);
    }
    return json_parse(c->arena, content, NULL, ret, err);
}

void rest_set_import(struct rest_call *c)
{
    struct json *body = rest_body(c), *set = NULL;
    struct err err;
    if (!body) {
        return;
    }
    if (read_set(c, body, &set, &err) < 0) {
        rest_error(c, "Invalid body", &err);
        return;
    }
    import_all(c, set);
}

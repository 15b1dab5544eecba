/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of .proto texts, and who uses one of them; see schemas.h. */
#include "schemas.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "placement.h"
#include "stream/format/protobuf_text.h"

struct schema {
    char *text;
    struct buf set; /* a FileDescriptorSet */
};

static void free_schema(void *p)
{
    struct schema *s = p;
    if (s) {
        mem_free(s->text);
        buf_fini(&s->set);
        mem_free(s);
    }
}

/* The dot ends it in SCHEMAID; the slash is that of paths. */
static int check_name(struct str name, struct err *err)
{
    bool ok =
        name.n > 0 && name.n <= 253 && !memchr(name.p, '.', name.n) && !memchr(name.p, '/', name.n);
    return ok ? 0
              : err_set(err, -E_INVAL,
                        "a name of a schema has 1 to 253 bytes and neither '.' nor '/'");
}

static int compile(struct str text, struct schema **ret, struct err *err)
{
    struct schema *s = mem_zalloc(sizeof(*s));
    int rc = -E_NOMEM;
    if (s) {
        buf_init(&s->set, 16 * LIMIT_PROTOBUF_TEXT);
        s->text = mem_strndup(text.p, text.n);
        rc = s->text ? protobuf_text_compile(text, &s->set, err) : -E_NOMEM;
    }
    if (rc == -E_NOMEM) {
        rc = err_sys(err, rc, "define a schema");
    }
    if (rc < 0) {
        free_schema(s);
        return rc;
    }
    *ret = s;
    return 0;
}

static int tell_streams(struct data *d, struct str name, struct err *err)
{
    int rc = engine_schema_changed(d->engine, name, err);
    return rc < 0 ? rc : placement_schema_changed(d, name, err);
}

int schemas_define(struct data *d, struct str name, struct str text, bool replace, struct err *err)
{
    struct schema *s = NULL;
    void *old = NULL;
    int rc = check_name(name, err);
    if (rc == 0 && !replace && map_get(&d->schemas, name)) {
        rc = err_set(err, -E_EXISTS, "schema protobuf." STR_FMT " already registered",
                     STR_ARG(name));
    }
    if (rc == 0 && !map_get(&d->schemas, name) && map_len(&d->schemas) >= LIMIT_SCHEMAS) {
        rc = err_set(err, -E_LIMIT, "there are %d schemas already", LIMIT_SCHEMAS);
    }
    rc = rc < 0 ? rc : compile(text, &s, err);
    if (rc < 0) {
        return rc;
    }
    if (map_put(&d->schemas, name, s, &old) < 0) {
        free_schema(s);
        return err_sys(err, -E_NOMEM, "define a schema");
    }
    rc = tell_streams(d, name, err);
    if (rc < 0 && old) { /* some stream's message is not in it: all stay with the old one */
        (void)map_put(&d->schemas, name, old, NULL); /* there is a slot: it replaces */
        (void)tell_streams(d, name, NULL);           /* they worked with it before */
        old = s;
    }
    free_schema(old);
    return rc;
}

/* ---- users ---- */

/* Whether "schema.Message" is of the schema. */
static bool names(struct str schema_id, struct str name)
{
    struct str first;
    (void)str_cut(schema_id, '.', &first, NULL);
    return str_eq(first, name);
}

static bool rule_uses(const struct data_rule *r, struct str name)
{
    struct arena a;
    struct json *j = NULL;
    bool uses = false;
    arena_init_small(&a, 0);
    if (json_parse(&a, str_of(r->text), NULL, &j, NULL) == 0) {
        JSON_FOR_EACH (action, json_get(j, "actions")) {
            JSON_FOR_EACH_MEMBER (m, action) {
                uses |= names(json_text(json_get(m->value, "schemaId")), name);
            }
        }
    }
    arena_fini(&a);
    return uses;
}

int schemas_drop(struct data *d, struct str name, struct err *err)
{
    if (!map_get(&d->schemas, name)) {
        return err_set(err, -E_NOENT, "schema protobuf." STR_FMT " is not found", STR_ARG(name));
    }
    for (struct engine_stream *s = NULL; (s = engine_stream_next(d->engine, s));) {
        if (names(engine_stream_option(s, "SCHEMAID"), name)) {
            return err_set(err, -E_CONFLICT, "schema " STR_FMT " is used by stream %s",
                           STR_ARG(name), engine_stream_name(s));
        }
    }
    MAP_FOR_EACH (slot, &d->rules) {
        const struct data_rule *r = slot->value;
        if (rule_uses(r, name)) {
            return err_set(err, -E_CONFLICT, "schema " STR_FMT " is used by rule %s", STR_ARG(name),
                           r->id);
        }
    }
    free_schema(map_del(&d->schemas, name));
    return 0;
}

const char *schemas_text(const struct data *d, struct str name)
{
    const struct schema *s = map_get(&d->schemas, name);
    return s ? s->text : NULL;
}

int schemas_find(void *arg, struct str name, struct str *ret_set, struct err *err)
{
    const struct data *d = arg;
    struct schema *s = map_get(&d->schemas, name);
    if (!s) {
        return err_set(err, -E_INVAL,
                       "schema " STR_FMT " is not registered: POST it to "
                       "/schemas/protobuf",
                       STR_ARG(name));
    }
    *ret_set = buf_str(&s->set);
    return 0;
}

/* ---- life ---- */

static void load(struct data *d, struct str name, struct str text)
{
    struct err err;
    if (schemas_define(d, name, text, false, &err) < 0) {
        log_error("schema " STR_FMT ": %s", STR_ARG(name), err.text);
    }
}

void schemas_load(struct data *d)
{
    data_kept_each(d, "schemas", load);
}

void schemas_free(struct data *d)
{
    map_fini(&d->schemas, free_schema);
}

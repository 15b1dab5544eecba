/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams and tables of the part: their definitions, and their sources, which are open while a
 * running rule reads them; those of lookup tables always are.
 */
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"
#include "replay.h"
#include "placement.h"
#include "part/data/source/source.h"
#include "stream/sql/sql.h"

static void free_stream(void *p)
{
    struct data_stream *s = p;
    if (s) {
        source_close(s->source);
        mem_free(s->trouble);
        mem_free(s);
    }
}

/* The name and whether it is a table, by a look at the text. */
static int read_definition(struct arena *a, struct str ddl, struct ast_statement **ret,
                           struct err *err)
{
    int rc = sql_parse(a, ddl, ret, err);
    if (rc == 0 && (*ret)->kind != AST_CREATE) {
        rc = err_set(err, -E_INVAL, "expect CREATE STREAM or CREATE TABLE");
    }
    return rc;
}

/* A kind of source that nobody knows is refused before it is kept. */
static int check_source(const struct ast_statement *st, struct err *err)
{
    struct str type = sql_option(st, "TYPE");
    if (str_iis(sql_option(st, "KIND"), "lookup") && !str_iis(type, "memory")) {
        return err_set(err, -E_NOTSUP,
                       "lookup tables of TYPE " STR_FMT
                       " are not supported: only \"memory\", which rules keep up to date",
                       STR_ARG(type.n ? type : STR_LIT("mqtt")));
    }
    if (type.n == 0 || source_find(type)) {
        return 0;
    }
    return err_set(err, -E_INVAL, "source type " STR_FMT " not found", STR_ARG(type));
}

static int remember(struct data *d, struct str name, struct err *err)
{
    struct engine_stream *stream = engine_stream(d->engine, name);
    struct data_stream *s = map_get(&d->streams, name);
    if (!stream) {
        return err_sys(err, -E_NOMEM, "define a stream");
    }
    if (!s) {
        s = mem_zalloc(sizeof(*s) + d->n_shards * sizeof(s->there[0]));
        if (!s || map_put(&d->streams, name, s, NULL) < 0) {
            mem_free(s);
            return err_sys(err, -E_NOMEM, "define " STR_FMT, STR_ARG(name));
        }
        s->data = d;
    }
    s->stream = stream;
    engine_stream_set_data(stream, s);
    bool always = engine_stream_is_lookup(stream);
    if (always != s->always) { /* it gathers its rows whether a rule reads them or not */
        s->always = always;
        data_stream_count(s, always);
    }
    return 0;
}

/* "scope/name" as the engine has it; empty when memory is short. */
static struct str full_name(struct arena *a, struct str scope, struct str name)
{
    return scope.n ? str_of(arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(scope), STR_ARG(name)))
                   : name;
}

int data_define(struct data *d, struct str ddl, bool replace, const char **ret_name,
                struct err *err)
{
    return data_define_in(d, STR_NULL, ddl, replace, ret_name, err);
}

int data_define_in(struct data *d, struct str scope, struct str ddl, bool replace,
                   const char **ret_name, struct err *err)
{
    struct arena a;
    struct ast_statement *st = NULL;
    arena_init(&a, 0);
    int rc = read_definition(&a, ddl, &st, err);
    rc = rc < 0 ? rc : check_source(st, err);
    rc = rc < 0 ? rc : engine_define_in(d->engine, scope, ddl, replace, err);
    struct str name = rc < 0 ? STR_NULL : full_name(&a, scope, st->name);
    rc = rc < 0 ? rc : remember(d, name, err);
    if (rc == 0) {
        struct data_stream *s = map_get(&d->streams, name);
        *ret_name = engine_stream_name(s->stream);
        rc = placement_redefine(s, err);
        if (s->source) { /* the definition says where events come from: open it anew */
            replay_reopen(s);
        }
    }
    arena_fini(&a);
    return rc;
}

int data_drop(struct data *d, struct str name, bool table, struct err *err)
{
    int rc = engine_drop(d->engine, name, table, err);
    if (rc == 0) {
        placement_undefine(d, name, table);
        free_stream(map_del(&d->streams, name));
    }
    return rc;
}

void data_stream_open(struct data_stream *s)
{
    struct err err;
    mem_free(TAKE_PTR(s->trouble));
    if (!s->source && source_open(s->data, s->stream, &s->source, &err) < 0) {
        log_error("open the source of %s: %s", engine_stream_name(s->stream), err.text);
        s->trouble = mem_strdup(err.text);
    }
}

void data_stream_count(struct data_stream *s, bool used)
{
    s->users = used ? s->users + 1 : s->users - 1;
    if (!used && s->users == 0) {
        source_close(TAKE_PTR(s->source));
    } else if (used && s->users == 1) {
        data_stream_open(s);
    }
}

void data_stream_used(struct data *d, struct engine_stream *stream, bool used)
{
    struct data_stream *s = engine_stream_data(stream);
    (void)d;
    if (s) { /* else a stream of a trial run, which feeds itself */
        data_stream_count(s, used);
    }
}

static void load_stream(struct data *d, struct str name, struct str ddl)
{
    const char *defined;
    struct err err;
    if (data_define(d, ddl, false, &defined, &err) < 0) {
        log_error("define " STR_FMT ": %s, ignoring", STR_ARG(name), err.text);
    }
}

void data_streams_load(struct data *d)
{
    data_kept_each(d, "streams", load_stream);
}

void data_streams_free(struct data *d)
{
    map_fini(&d->streams, free_stream);
}

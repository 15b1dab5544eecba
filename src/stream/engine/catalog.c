/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams and tables: their definitions, their decoders, the rows that tables keep, and the way of
 * a decoded batch to the rules that tapped the stream.
 */
#include "base/limits.h"
#include "engine_private.h"
#include "stream/sql/sql.h"

/* ---- definitions ---- */

static struct str option(const struct engine_stream *s, const char *key)
{
    return s->definition ? sql_option(s->definition, key) : STR_NULL;
}

static bool option_true(const struct engine_stream *s, const char *key)
{
    return str_iis(option(s, key), "true");
}

void stream_free(struct engine_stream *s)
{
    if (!s) {
        return;
    }
    for (uint32_t i = 0; i < s->n_kept; i++) {
        row_unref(s->kept[i]);
    }
    mem_free(s->kept);
    if (s->lookup) {
        lookup_fini(&s->by_key);
    }
    decoder_free(s->decoder);
    index_free(s->index);
    shape_fini(&s->shape);
    arena_fini(&s->arena);
    mem_free(s->name);
    mem_free(s->ddl);
    mem_free(s);
}

static struct engine_stream *stream_blank(struct str scope, struct str name)
{
    struct engine_stream *s = mem_zalloc(sizeof(*s));
    if (!s) {
        return NULL;
    }
    list_init(&s->link);
    list_init(&s->taps);
    shape_init(&s->shape);
    arena_init_small(&s->arena, 0);
    s->name = mem_printf(STR_FMT "%s" STR_FMT, STR_ARG(scope), scope.n ? "/" : "", STR_ARG(name));
    if (!s->name || index_new(&s->index) < 0) {
        stream_free(s);
        return NULL;
    }
    s->plain = s->name + (scope.n ? scope.n + 1 : 0);
    return s;
}

struct engine_stream *stream_new_hidden(struct engine *e, struct str name, struct err *err)
{
    struct engine_stream *s = stream_blank(STR_NULL, name);
    (void)e;
    if (!s) {
        (void)err_sys(err, -E_NOMEM, "plan a sub-query");
        return NULL;
    }
    s->shape.whole = true; /* its events come as values */
    return s;
}

static int declare_columns(struct engine_stream *s, struct err *err)
{
    const struct ast_statement *st = s->definition;
    for (uint32_t i = 0; i < st->n_columns; i++) {
        const struct ast_column *c = &st->columns[i];
        int slot = shape_add(&s->shape, c->name, c->type.type);
        if (slot < 0) {
            return err_sys(err, slot, "column " STR_FMT, STR_ARG(c->name));
        }
        s->shape.fields[slot].declared = &c->type;
        s->shape.fields[slot].fallback = c->fallback;
    }
    return 0;
}

static int open_decoder(const struct engine_stream *s, struct decoder **ret, struct err *err)
{
    struct str delimiter = option(s, "DELIMITER");
    struct format_options opts = {.format = option(s, "FORMAT"),
                                  .delimiter = str_is(delimiter, "\\t") ? '\t'
                                               : delimiter.n > 0        ? delimiter.p[0]
                                                                        : 0,
                                  .header = option_true(s, "HASHEADER"),
                                  .timestamp = option(s, "TIMESTAMP"),
                                  .timestamp_format = option(s, "TIMESTAMP_FORMAT")};
    const struct engine_options *e = &s->engine->opts;
    int rc = format_use_schema(&opts, option(s, "SCHEMAID"), e->find_schema, e->schema_arg, err);
    return rc < 0 ? rc : decoder_new(&opts, &s->shape, ret, err);
}

static int read_options(struct engine_stream *s, struct err *err)
{
    uint64_t retain = 0;
    s->table = s->definition->table;
    s->lookup = s->table && str_iis(option(s, "KIND"), "lookup");
    if (s->lookup) {
        lookup_init(&s->by_key, option(s, "KEY"));
        if (option(s, "KEY").n == 0) {
            return err_set(err, -E_INVAL, "Option \"key\" is required for lookup table.");
        }
    }
    s->shape.strict = option_true(s, "STRICT_VALIDATION");
    s->shape.whole = s->table; /* its rows are shown to rules that come later */
    struct str text = option(s, "RETAIN_SIZE");
    if (text.n > 0 && (str_u64(text, &retain) < 0 || retain > LIMIT_TABLE_ROWS)) {
        return err_set(err, -E_INVAL, "RETAIN_SIZE '" STR_FMT "' is not a number up to %d",
                       STR_ARG(text), LIMIT_TABLE_ROWS);
    }
    s->retain = (uint32_t)retain;
    return 0;
}

static int parse_definition(struct engine *e, struct str scope, struct str ddl,
                            struct engine_stream **ret, struct err *err)
{
    struct arena a;
    struct ast_statement *st;
    arena_init(&a, 0);
    int rc = sql_parse(&a, ddl, &st, err);
    if (rc == 0 && st->kind != AST_CREATE) {
        rc = err_set(err, -E_INVAL, "expect CREATE STREAM or CREATE TABLE");
    }
    if (rc < 0) {
        arena_fini(&a);
        return rc;
    }
    struct engine_stream *s = stream_blank(scope, st->name);
    if (!s) {
        arena_fini(&a);
        return err_sys(err, -E_NOMEM, "define a stream");
    }
    s->engine = e;
    s->arena = a;
    s->definition = st;
    s->ddl = mem_strndup(ddl.p, ddl.n);
    rc = s->ddl ? read_options(s, err) : err_sys(err, -E_NOMEM, "define a stream");
    rc = rc < 0 ? rc : declare_columns(s, err);
    rc = rc < 0 ? rc : open_decoder(s, &s->decoder, err);
    if (rc < 0) {
        stream_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

static void insert_sorted(struct engine *e, struct engine_stream *s)
{
    struct list *at = e->stream_order.next;
    while (at != &e->stream_order &&
           strcmp(CONTAINER_OF(at, struct engine_stream, link)->name, s->name) < 0) {
        at = at->next;
    }
    list_push_back(at, &s->link); /* before `at` */
}

/* ---- replacement: the rules that read the old one are planned over the new one ---- */

static int check_version(const struct engine_stream *old, const struct engine_stream *s,
                         struct err *err)
{
    struct str before = option(old, "VERSION"), now = option(s, "VERSION");
    if (before.n > 0 && now.n > 0 && str_cmp(now, before) <= 0) {
        return err_set(err, -E_CONFLICT,
                       "source %s already exists with version (" STR_FMT "), new version (" STR_FMT
                       ") is lower",
                       s->name, STR_ARG(before), STR_ARG(now));
    }
    return 0;
}

static void swap_in(struct engine *e, struct engine_stream *s)
{
    (void)map_put(&e->streams, str_of(s->name), s, NULL); /* there is a slot: it replaces */
    insert_sorted(e, s);
}

static int replan_all(struct engine *e, struct engine_stream *old, struct err *err)
{
    int rc = 0;
    MAP_FOR_EACH (slot, &e->rules) {
        struct rule *r = slot->value;
        if (rc == 0 && rule_reads(r, old)) {
            rc = rule_replan(r, err);
        }
    }
    return rc;
}

static int replace(struct engine *e, struct engine_stream *old, struct engine_stream *s,
                   struct err *err)
{
    int rc = old->table != s->table
                 ? err_set(err, -E_CONFLICT, "%s is a %s", s->name, old->table ? "table" : "stream")
                 : check_version(old, s, err);
    if (rc < 0) {
        return rc;
    }
    s->data = old->data;
    s->sequence = old->sequence;
    list_del(&old->link);
    swap_in(e, s);
    rc = replan_all(e, old, err);
    if (rc < 0) { /* some rule does not fit: all go back */
        list_del(&s->link);
        swap_in(e, old);
        (void)replan_all(e, s, NULL); /* they worked with the old one before */
        return rc;
    }
    if (old->lookup && s->lookup && str_eq(option(old, "KEY"), option(s, "KEY"))) {
        lookup_move(&s->by_key, &old->by_key);
    }
    stream_free(old);
    return 0;
}

int engine_define(struct engine *e, struct str ddl, bool replace_it, struct err *err)
{
    return engine_define_in(e, STR_NULL, ddl, replace_it, err);
}

int engine_define_in(struct engine *e, struct str scope, struct str ddl, bool replace_it,
                     struct err *err)
{
    struct engine_stream *s = NULL;
    int rc = parse_definition(e, scope, ddl, &s, err);
    if (rc < 0) {
        return rc;
    }
    struct engine_stream *old = engine_stream(e, str_of(s->name));
    if (old && !replace_it) {
        rc =
            err_set(err, -E_EXISTS, "%s %s already exists", s->table ? "Table" : "Stream", s->name);
    } else if (old) {
        rc = replace(e, old, s, err);
    } else if (map_put(&e->streams, str_of(s->name), s, NULL) < 0) {
        rc = err_sys(err, -E_NOMEM, "define a stream");
    } else {
        insert_sorted(e, s);
    }
    if (rc < 0) {
        stream_free(s);
    }
    return rc;
}

int engine_drop(struct engine *e, struct str name, bool table, struct err *err)
{
    struct engine_stream *s = engine_stream(e, name);
    if (!s || s->table != table) {
        return err_set(err, -E_NOENT, "%s " STR_FMT " is not found", table ? "Table" : "Stream",
                       STR_ARG(name));
    }
    MAP_FOR_EACH (slot, &e->rules) {
        struct rule *r = slot->value;
        if (rule_reads(r, s)) {
            return err_set(err, -E_CONFLICT,
                           "stream " STR_FMT " has been referenced by other rules: %s",
                           STR_ARG(name), r->id);
        }
    }
    (void)map_del(&e->streams, name);
    list_del(&s->link);
    stream_free(s);
    return 0;
}

/* The stream's own schema: what stands before the dot of SCHEMAID. */
static bool uses_schema(const struct engine_stream *s, struct str schema)
{
    struct str name;
    (void)str_cut(option(s, "SCHEMAID"), '.', &name, NULL);
    return str_eq(name, schema) && str_iis(option(s, "FORMAT"), "protobuf");
}

int engine_schema_changed(struct engine *e, struct str schema, struct err *err)
{
    for (int swap = 0; swap < 2; swap++) { /* first a trial: all of them, or none */
        LIST_FOR_EACH (l, &e->stream_order) {
            struct engine_stream *s = CONTAINER_OF(l, struct engine_stream, link);
            struct decoder *d = NULL;
            int rc = uses_schema(s, schema) ? open_decoder(s, &d, err) : 0;
            if (rc < 0) {
                return err_wrap(err, rc, "stream %s", s->name);
            }
            if (d && swap) {
                decoder_free(s->decoder);
                s->decoder = d;
            } else {
                decoder_free(d);
            }
        }
    }
    return 0;
}

void catalog_free(struct engine *e)
{
    while (!list_empty(&e->stream_order)) {
        struct engine_stream *s = CONTAINER_OF(e->stream_order.next, struct engine_stream, link);
        list_del(&s->link);
        stream_free(s);
    }
    map_fini(&e->streams, NULL);
}

/* ---- looks ---- */

struct engine_stream *engine_stream(struct engine *e, struct str name)
{
    return map_get(&e->streams, name);
}

const char *engine_stream_name(const struct engine_stream *s)
{
    return s->name;
}

const char *engine_stream_ddl(const struct engine_stream *s)
{
    return s->ddl ? s->ddl : "";
}

bool engine_stream_is_table(const struct engine_stream *s)
{
    return s->table;
}

bool engine_stream_is_lookup(const struct engine_stream *s)
{
    return s->lookup;
}

void engine_delete(struct engine *e, struct engine_stream *s, const struct value *key)
{
    (void)e;
    if (s->lookup) {
        lookup_delete(&s->by_key, key);
    }
}

struct str engine_stream_option(const struct engine_stream *s, const char *key)
{
    return option(s, key);
}

struct engine_stream *engine_stream_next(struct engine *e, struct engine_stream *s)
{
    struct list *next = s ? s->link.next : e->stream_order.next;
    return next == &e->stream_order ? NULL : CONTAINER_OF(next, struct engine_stream, link);
}

void engine_stream_set_data(struct engine_stream *s, void *data)
{
    s->data = data;
}

void *engine_stream_data(const struct engine_stream *s)
{
    return s->data;
}

/* ---- rows of tables ---- */

int stream_keep_row(struct engine_stream *s, const struct batch *b, uint32_t row)
{
    uint32_t limit = s->retain ? s->retain : LIMIT_TABLE_ROWS;
    struct row *r = batch_row(b, row);
    if (!r) {
        return -E_NOMEM;
    }
    if (s->lookup) {
        struct err err;
        if (lookup_put(&s->by_key, r, &err) < 0) {
            stream_refused(s, &err);
        }
        return 0;
    }
    if (s->n_kept == limit) {
        row_unref(s->kept[s->oldest]);
        s->kept[s->oldest] = r;
        s->oldest = (s->oldest + 1) % limit;
        return 0;
    }
    if (s->n_kept == s->cap_kept) {
        uint32_t cap = s->cap_kept ? s->cap_kept * 2 : 16;
        struct row **kept = mem_realloc(s->kept, cap * sizeof(struct row *));
        if (!kept) {
            row_unref(r);
            return -E_NOMEM;
        }
        s->kept = kept;
        s->cap_kept = cap;
    }
    s->kept[s->n_kept++] = r;
    return 0;
}

int stream_each_row(struct engine_stream *s, int (*fn)(void *arg, struct row *r), void *arg)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < s->n_kept; i++) {
        struct row *r = row_in_shape(s->kept[(s->oldest + i) % s->n_kept], &s->shape);
        rc = r ? fn(arg, r) : -E_NOMEM;
        row_unref(r);
    }
    return rc;
}

/* ---- a batch to all ---- */

struct spread {
    struct batch *batch;
    int rc;
};

static void on_match(void *arg, void *rule, struct selection *sel, bool exact)
{
    struct spread *s = arg;
    struct tap *t = rule;
    if (t->skip) {
        return;
    }
    int rc = pipeline_take(t->pipeline, t->source, s->batch, sel, exact);
    s->rc = s->rc < 0 ? s->rc : rc;
}

int stream_spread(struct engine_stream *s, struct batch *b)
{
    struct spread to = {.batch = b};
    int rc = index_match(s->index, b, on_match, &to);
    return rc < 0 ? rc : to.rc;
}

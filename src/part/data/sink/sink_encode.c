/* SPDX-License-Identifier: Apache-2.0 */
/* From an emission of a rule to messages; see sink_encode.h. */
#include "sink_encode.h"

#include "base/mem.h"
#include "part/data/schemas.h"
#include "stream/fn/compress.h"
#include "template.h"

#define BATCH_MAX 100000
#define LINGER_MAX_MS (24 * 3600 * 1000)

struct sink_encoder {
    sink_ready_fn *ready;
    void *arg;
    sink_linger_fn *linger;
    bool lingers;           /* the caller was asked to flush */
    struct encoder *format; /* NULL: JSON, before the first message */
    struct template *template;
    bool values, send_single, omit_empty, json;
    struct str *fields, *except; /* in arena */
    uint32_t n_fields, n_except;
    struct str data_field;
    bool compressed;
    enum compress_method method;
    uint32_t batch_size;
    int64_t linger_ms;
    struct value *rows;
    uint32_t n_rows, cap_rows;
    struct arena *rows_arena; /* NULL until a row lingers */
    struct arena arena;
};

/* ---- rows as values ---- */

static bool listed(const struct str *names, uint32_t n, struct str name)
{
    for (uint32_t i = 0; i < n; i++) {
        if (str_eq(names[i], name)) {
            return true;
        }
    }
    return false;
}

/* The members that `fields` and `excludeFields` leave of an object. */
static struct value pick(const struct sink_encoder *e, struct arena *a, const struct value *v)
{
    if (v->type != VALUE_OBJECT || e->n_fields + e->n_except == 0) {
        return *v;
    }
    struct value_member *members = arena_alloc(a, (v->n + 1) * sizeof(*members));
    uint32_t n = 0;
    for (uint32_t i = 0; members && i < v->n; i++) {
        struct str key = v->members[i].key;
        if ((e->n_fields == 0 || listed(e->fields, e->n_fields, key)) &&
            !listed(e->except, e->n_except, key)) {
            members[n++] = v->members[i];
        }
    }
    return (struct value){.type = VALUE_OBJECT, .n = members ? n : 0, .members = members};
}

static struct value pick_all(const struct sink_encoder *e, struct arena *a, const struct value *v)
{
    if (v->type != VALUE_ARRAY) {
        return pick(e, a, v);
    }
    struct value *items = arena_alloc(a, (v->n + 1) * sizeof(*items));
    for (uint32_t i = 0; items && i < v->n; i++) {
        items[i] = pick(e, a, &v->items[i]);
    }
    return (struct value){.type = VALUE_ARRAY, .n = items ? v->n : 0, .items = items};
}

/* The member that dataField names; of an array, that of each item. Absent ones are left out. */
static struct value inner(const struct sink_encoder *e, struct arena *a, const struct value *v)
{
    const struct value *found = value_get(v, e->data_field);
    if (v->type != VALUE_ARRAY) {
        return found ? *found : (struct value){.type = VALUE_NULL};
    }
    struct value *items = arena_alloc(a, (v->n + 1) * sizeof(*items));
    uint32_t n = 0;
    for (uint32_t i = 0; items && i < v->n; i++) {
        found = value_get(&v->items[i], e->data_field);
        if (found) {
            items[n++] = *found;
        }
    }
    return (struct value){.type = VALUE_ARRAY, .n = n, .items = items};
}

static struct value transform(const struct sink_encoder *e, struct arena *a, const struct value *v)
{
    struct value out = e->data_field.n > 0 ? inner(e, a, v) : *v;
    return pick_all(e, a, &out);
}

/* ---- compression ---- */

static int compress_message(const struct sink_encoder *e, struct buf *b)
{
    struct buf out = BUF_INIT;
    if (!e->compressed) {
        return 0;
    }
    int rc = compress_bytes(&out, e->method, buf_str(b), NULL);
    if (rc == 0) {
        buf_clear(b);
        rc = buf_append_str(b, buf_str(&out));
    }
    buf_fini(&out);
    return rc;
}

/* ---- messages ---- */

/* Hands on an item with the bytes in b; the item is freed on failure. */
static int hand_bytes(struct sink_encoder *e, struct sink_item *it, struct buf *b, int rc)
{
    rc = rc < 0 ? rc : compress_message(e, b);
    rc = rc < 0 ? rc : buf_failed(b) ? -E_NOMEM : 0;
    if (rc == 0) {
        void *bytes = arena_dup(&it->arena, buf_data(b), buf_len(b));
        it->message.bytes = str_n(bytes, buf_len(b));
        rc = bytes || buf_len(b) == 0 ? 0 : -E_NOMEM;
    }
    if (rc < 0) {
        sink_item_free(it);
        return rc;
    }
    e->ready(e->arg, it);
    return 0;
}

/* A message of a value: through the template, as values, or as JSON. */
static int send_value(struct sink_encoder *e, const struct value *v, struct err *err)
{
    struct sink_item *it = sink_item_new();
    struct buf b = BUF_INIT;
    if (!it) {
        return err_sys(err, -E_NOMEM, "make a message");
    }
    int rc = 0;
    if (e->template) {
        struct value whole = e->data_field.n > 0 ? inner(e, &it->arena, v) : *v;
        rc = template_run(e->template, &whole, &b, err);
    } else {
        struct value out = transform(e, &it->arena, v);
        if (e->values) {
            struct value *kept = arena_alloc(&it->arena, sizeof(*kept));
            if (kept) {
                *kept = value_copy(&it->arena, &out);
            }
            it->message.object = kept;
            rc = arena_failed(&it->arena) ? -E_NOMEM : 0;
        } else {
            rc = value_print_json(&b, &out);
        }
        if (rc < 0) {
            (void)err_sys(err, rc, "make a message");
        }
    }
    if (rc == 0 && it->message.object) {
        e->ready(e->arg, it);
    } else {
        int code = hand_bytes(e, it, &b, rc);
        rc = rc < 0 || code == 0 ? rc : err_sys(err, code, "make a message");
    }
    buf_fini(&b);
    return rc;
}

/* The encoder of JSON, which needs no settings, is made by the first message. */
static int need_format(struct sink_encoder *e, struct err *err)
{
    return e->format ? 0 : encoder_new(&(struct format_options){.delimiter = 0}, &e->format, err);
}

/* A message of rows as they are, through the format's encoder. */
static int send_rows(struct sink_encoder *e, const struct batch *r, uint32_t first, uint32_t n,
                     bool nulls, struct err *err)
{
    struct sink_item *it = sink_item_new();
    struct buf b = BUF_INIT;
    if (!it) {
        return err_sys(err, -E_NOMEM, "make a message");
    }
    int rc = need_format(e, err);
    rc = rc < 0 ? rc : encoder_encode(e->format, r, first, n, !e->send_single, nulls, &b, err);
    int code = hand_bytes(e, it, &b, rc);
    buf_fini(&b);
    return rc < 0 || code == 0 ? rc : err_sys(err, code, "make a message");
}

static bool needs_values(const struct sink_encoder *e)
{
    return e->values || e->template || e->n_fields + e->n_except > 0 || e->data_field.n > 0;
}

/* ---- rows that linger ---- */

void sink_encoder_flush(struct sink_encoder *e)
{
    if (e->lingers) {
        e->lingers = false;
        e->linger(e->arg, 0);
    }
    if (e->n_rows > 0) {
        struct value all = {.type = VALUE_ARRAY, .n = e->n_rows, .items = e->rows};
        e->n_rows = 0;
        (void)send_value(e, &all, NULL); /* a failure was told by the first row that met it */
        arena_clear(e->rows_arena);
    }
}

static int gather(struct sink_encoder *e, const struct value *row, struct err *err)
{
    if (!e->rows_arena) {
        e->rows_arena = mem_alloc(sizeof(*e->rows_arena));
        if (!e->rows_arena) {
            return err_sys(err, -E_NOMEM, "gather rows");
        }
        arena_init_small(e->rows_arena, 0);
    }
    if (e->n_rows == e->cap_rows) {
        uint32_t cap = MAX_OF(64u, e->cap_rows * 2);
        struct value *rows = mem_realloc(e->rows, cap * sizeof(*rows));
        if (!rows) {
            return err_sys(err, -E_NOMEM, "gather rows");
        }
        e->rows = rows;
        e->cap_rows = cap;
    }
    e->rows[e->n_rows++] = value_copy(e->rows_arena, row);
    if (arena_failed(e->rows_arena)) { /* too large to wait: what is there goes now */
        e->n_rows--;
        sink_encoder_flush(e);
        return send_value(e, row, err);
    }
    if (e->batch_size > 0 && e->n_rows >= e->batch_size) {
        sink_encoder_flush(e);
    } else if (e->linger_ms > 0 && !e->lingers) {
        e->lingers = true;
        e->linger(e->arg, e->linger_ms);
    }
    return 0;
}

/* ---- an emission ---- */

static bool gathers(const struct sink_encoder *e)
{
    return e->batch_size > 0 || e->linger_ms > 0;
}

static int take_row(struct sink_encoder *e, const struct batch *r, uint32_t row, bool nulls,
                    struct err *err)
{
    struct arena a;
    if (!needs_values(e) && !gathers(e)) {
        return send_rows(e, r, row, 1, nulls, err);
    }
    arena_init(&a, 0);
    struct value v = batch_object(&a, r, row, nulls);
    struct value list = {.type = VALUE_ARRAY, .n = 1, .items = &v};
    int rc = arena_failed(&a) ? err_sys(err, -E_NOMEM, "make a message") : 0;
    if (rc == 0 && !(e->omit_empty && v.n == 0)) {
        rc = gathers(e) ? gather(e, &v, err)
                        : send_value(e, e->send_single || e->values ? &v : &list, err);
    }
    arena_fini(&a);
    return rc;
}

static int take_together(struct sink_encoder *e, const struct batch *r, bool nulls, struct err *err)
{
    struct arena a;
    if (!needs_values(e)) {
        return send_rows(e, r, 0, r->rows, nulls, err);
    }
    arena_init(&a, 0);
    struct value *rows = arena_alloc(&a, (r->rows + 1) * sizeof(*rows));
    for (uint32_t i = 0; rows && i < r->rows; i++) {
        rows[i] = batch_object(&a, r, i, nulls);
    }
    struct value list = {.type = VALUE_ARRAY, .n = r->rows, .items = rows};
    int rc =
        arena_failed(&a) ? err_sys(err, -E_NOMEM, "make a message") : send_value(e, &list, err);
    arena_fini(&a);
    return rc;
}

int sink_encoder_take(struct sink_encoder *e, struct batch *r, bool single, bool nulls,
                      struct err *err)
{
    struct err first = {0}, one;
    if (r->rows == 0) {
        return 0; /* omitIfEmpty or not: there is no event in it */
    }
    if (!single && !e->send_single && !gathers(e) && !e->values) {
        return take_together(e, r, nulls, err);
    }
    for (uint32_t i = 0; i < r->rows; i++) {
        if (take_row(e, r, i, nulls, &one) < 0 && first.code == 0) {
            first = one;
        }
    }
    if (first.code < 0 && err) {
        *err = first;
    }
    return first.code;
}

/* ---- configuration ---- */

/* A copy: the configuration goes away. */
static struct str text_of(struct sink_encoder *e, const struct json *j)
{
    struct str s = json_text(j);
    char *copy = s.n > 0 ? arena_str(&e->arena, s) : NULL;
    return str_n(copy, copy ? s.n : 0);
}

static int read_names(struct sink_encoder *e, const struct json *conf, const char *key,
                      struct str **ret, uint32_t *ret_n, struct err *err)
{
    const struct json *list = json_get(conf, key);
    if (list && !json_is(list, JSON_ARRAY)) {
        return err_set(err, -E_INVAL, "%s must be a list of names", key);
    }
    if (json_len(list) == 0) {
        return 0;
    }
    struct str *names = arena_alloc(&e->arena, (json_len(list) + 1) * sizeof(*names));
    uint32_t n = 0;
    JSON_FOR_EACH (item, list) {
        if (names) {
            names[n++] = text_of(e, item);
        }
    }
    *ret = names;
    *ret_n = n;
    return names ? 0 : err_sys(err, -E_NOMEM, "read %s", key);
}

static int read_compression(struct sink_encoder *e, const struct json *conf, struct err *err)
{
    const char *wanted = json_cstr(json_get(conf, "compression"), "");
    e->compressed = *wanted != '\0';
    return e->compressed ? compress_method(str_of(wanted), &e->method, err) : 0;
}

static int read_format(struct sink_encoder *e, struct data *d, const struct json *conf,
                       struct err *err)
{
    const char *delimiter = json_cstr(json_get(conf, "delimiter"), "");
    if (strlen(delimiter) > 1 && !cstr_eq(delimiter, "\\t")) {
        return err_set(err, -E_INVAL, "delimiter must be one character");
    }
    struct format_options opts = {.format = json_text(json_get(conf, "format")),
                                  .delimiter = cstr_eq(delimiter, "\\t") ? '\t' : delimiter[0],
                                  .header = json_true(json_get(conf, "hasHeader"), false)};
    e->json = opts.format.n == 0 || str_iis(opts.format, "json");
    e->send_single |= str_iis(opts.format, "protobuf"); /* which has no lists of messages */
    int rc = format_use_schema(&opts, json_text(json_get(conf, "schemaId")), schemas_find, d, err);
    rc = rc < 0 || e->json ? rc : encoder_new(&opts, &e->format, err);
    if (rc == 0 && !e->json && (needs_values(e) || gathers(e)) && !e->template && !e->values) {
        rc = err_set(err, -E_NOTSUP,
                     "format " STR_FMT " does not go with fields, excludeFields, dataField, "
                     "batchSize or lingerInterval: select the fields in SQL",
                     STR_ARG(opts.format));
    }
    return rc;
}

static int read_conf(struct sink_encoder *e, struct data *d, const struct json *conf,
                     struct err *err)
{
    struct str template = json_text(json_get(conf, "dataTemplate"));
    int64_t batch = json_i64(json_get(conf, "batchSize"), 0);
    e->linger_ms = json_i64(json_get(conf, "lingerInterval"), 0);
    e->send_single = json_true(json_get(conf, "sendSingle"), false);
    e->omit_empty = json_true(json_get(conf, "omitIfEmpty"), false);
    e->data_field = text_of(e, json_get(conf, "dataField"));
    if (batch < 0 || batch > BATCH_MAX || e->linger_ms < 0 || e->linger_ms > LINGER_MAX_MS) {
        return err_set(err, -E_RANGE, "batchSize or lingerInterval is out of range");
    }
    if (*json_cstr(json_get(conf, "encryption"), "")) {
        return err_set(err, -E_NOTSUP, "encryption is not supported: use TLS to the peer");
    }
    e->batch_size = (uint32_t)batch;
    int rc = read_names(e, conf, "fields", &e->fields, &e->n_fields, err);
    rc = rc < 0 ? rc : read_names(e, conf, "excludeFields", &e->except, &e->n_except, err);
    rc = rc < 0 ? rc : read_compression(e, conf, err);
    if (rc == 0 && template.n > 0) {
        rc = template_compile(template, &e->template, err);
        rc = rc < 0 ? err_wrap(err, rc, "dataTemplate") : 0;
    }
    return rc < 0 ? rc : read_format(e, d, conf, err);
}

int sink_encoder_new(struct data *d, const struct json *conf, bool values, sink_ready_fn *ready,
                     void *arg, sink_linger_fn *linger, struct sink_encoder **ret, struct err *err)
{
    struct sink_encoder *e = mem_zalloc(sizeof(*e));
    if (!e) {
        return err_sys(err, -E_NOMEM, "open a sink");
    }
    e->ready = ready;
    e->arg = arg;
    e->linger = linger;
    e->values = values;
    arena_init_sized(&e->arena, 0, 64);
    int rc = read_conf(e, d, conf, err);
    if (rc == 0 && arena_failed(&e->arena)) {
        rc = err_sys(err, -E_NOMEM, "open a sink");
    }
    if (rc < 0) {
        sink_encoder_free(e);
        return rc;
    }
    *ret = e;
    return 0;
}

void sink_encoder_free(struct sink_encoder *e)
{
    if (e) {
        encoder_free(e->format);
        template_free(e->template);
        if (e->rows_arena) {
            arena_fini(e->rows_arena);
            mem_free(e->rows_arena);
        }
        arena_fini(&e->arena);
        mem_free(e->rows);
        mem_free(e);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol Buffers by a message of a descriptor set: a payload is one message. Fields that proto3
 * leaves out because they are zero are there as zero, repeated fields as empty arrays, as in
 * eKuiper; other fields that are left out are absent. Enumerations are numbers, maps are objects
 * with text keys.
 */
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/utf8.h"
#include "decoder_private.h"
#include "protobuf_schema.h"

struct protobuf_decoder {
    struct decoder d;
    struct arena schema; /* of the descriptors */
    const struct schema_message *message;
    uint32_t *slots; /* of the message's fields */
};

static int init(struct decoder *d, struct err *err)
{
    struct protobuf_decoder *p = (struct protobuf_decoder *)d;
    arena_init(&p->schema, 0);
    int rc = schema_read(&p->schema, d->opts.schema, d->opts.message, &p->message, err);
    if (rc == 0) {
        p->slots = arena_alloc(&p->schema, p->message->n_fields * sizeof(*p->slots));
        rc = p->slots ? 0 : err_set(err, -ENOMEM, "no memory for a decoder");
    }
    return rc;
}

static void fini(struct decoder *d)
{
    arena_fini(&((struct protobuf_decoder *)d)->schema);
}

static void begin(struct decoder *d)
{
    struct protobuf_decoder *p = (struct protobuf_decoder *)d;
    for (uint32_t i = 0; i < p->message->n_fields; i++) {
        p->slots[i] = fill_slot(&d->fill, p->message->fields[i].name);
    }
}

/* ---- values ---- */

static int64_t zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static struct value unsigned_value(uint64_t v)
{
    return v <= INT64_MAX ? value_int((int64_t)v) : value_float((double)v);
}

static struct value scalar(enum schema_type t, uint64_t v)
{
    double d;
    float f;
    uint32_t low = (uint32_t)v;
    switch (t) {
    case SCHEMA_DOUBLE:
        memcpy(&d, &v, sizeof(d));
        return value_float(d);
    case SCHEMA_FLOAT:
        memcpy(&f, &low, sizeof(f));
        return value_float((double)f);
    case SCHEMA_UINT64:
    case SCHEMA_FIXED64:
        return unsigned_value(v);
    case SCHEMA_UINT32:
    case SCHEMA_FIXED32:
        return value_int(low);
    case SCHEMA_BOOL:
        return value_bool(v != 0);
    case SCHEMA_SINT32:
    case SCHEMA_SINT64:
        return value_int(zigzag(v));
    case SCHEMA_INT32:
    case SCHEMA_ENUM:
    case SCHEMA_SFIXED32:
        return value_int((int32_t)low);
    default:
        return value_int((int64_t)v);
    }
}

static int read_message(struct arena *a, const struct schema_message *m, struct str bytes,
                        const uint32_t *wanted, struct value *values, int depth);

static struct value object_of(struct arena *a, const struct schema_message *m,
                              const struct value *values)
{
    struct value_member *members = arena_alloc(a, m->n_fields * sizeof(*members));
    uint32_t n = 0;
    for (uint32_t i = 0; members && i < m->n_fields; i++) {
        if (values[i].type != VALUE_ABSENT) {
            members[n++] = (struct value_member){m->fields[i].name, values[i]};
        }
    }
    return (struct value){.type = VALUE_OBJECT, .n = n, .members = members};
}

/* What stands in bytes: text, bytes, a message. */
static int read_bytes(struct arena *a, const struct schema_field *f, struct str bytes,
                      struct value *ret, int depth)
{
    if (f->type != SCHEMA_MESSAGE) {
        *ret = value_string(bytes);
        ret->type = f->type == SCHEMA_BYTES ? VALUE_BYTES : VALUE_STRING;
        return f->type == SCHEMA_BYTES || utf8_valid(bytes) ? 0 : -E_PROTO;
    }
    if (depth >= LIMIT_PROTOBUF_DEPTH) {
        return -E_PROTO;
    }
    struct value *values = arena_alloc(a, f->message->n_fields * sizeof(*values));
    int rc = values ? read_message(a, f->message, bytes, NULL, values, depth + 1) : -E_LIMIT;
    if (rc == 0) {
        *ret = object_of(a, f->message, values);
    }
    return rc;
}

/* Adds to an array, whose room is the next power of two. */
static bool push(struct arena *a, struct value *array, const struct value *v)
{
    uint32_t n = array->n;
    if ((n & (n - 1)) == 0) {
        array->items = arena_grow(a, (void *)array->items, n * sizeof(*v),
                                  (n ? (size_t)n * 2 : 1) * sizeof(*v));
    }
    if (!array->items) {
        array->n = 0;
        return false;
    }
    ((struct value *)array->items)[array->n++] = *v;
    return true;
}

/* Adds an entry {key, value} to an object that grows as an array does. */
static bool push_entry(struct arena *a, struct value *map, const struct value *entry)
{
    const struct value *key = value_get(entry, STR_LIT("key"));
    const struct value *v = value_get(entry, STR_LIT("value"));
    struct buf text = BUF_INIT;
    (void)value_print_text(&text, key ? key : &VALUE_OF_NULL); /* a failure sticks */
    struct value_member m = {str_n(arena_dup(a, buf_data(&text), buf_len(&text)), buf_len(&text)),
                             v ? *v : VALUE_OF_NULL};
    bool ok = !buf_failed(&text) && m.key.p;
    buf_fini(&text);
    for (uint32_t i = 0; ok && i < map->n; i++) {
        if (str_eq(map->members[i].key, m.key)) {
            ((struct value_member *)map->members)[i].value = m.value;
            return true;
        }
    }
    uint32_t n = map->n;
    if ((n & (n - 1)) == 0) {
        map->members =
            arena_grow(a, (void *)map->members, n * sizeof(m), (n ? (size_t)n * 2 : 1) * sizeof(m));
    }
    if (!ok || !map->members || n >= LIMIT_STREAM_FIELDS) {
        return false;
    }
    ((struct value_member *)map->members)[map->n++] = m;
    return true;
}

static int read_packed(struct arena *a, const struct schema_field *f, struct str bytes,
                       struct value *array)
{
    enum pb_wire wire = schema_wire(f->type);
    size_t width = wire == PB_FIXED64 ? 8 : 4;
    struct pb_reader r = pb_reader_of(bytes);
    int rc = 1;
    while (r.at < r.end && rc == 1) {
        uint64_t v = 0;
        if (wire == PB_VARINT) {
            rc = pb_next_varint(&r, &v);
        } else if ((size_t)(r.end - r.at) < width) {
            rc = -E_PROTO;
        } else {
            memcpy(&v, r.at, width); /* little endian, as we are */
            r.at += width;
        }
        struct value one = scalar(f->type, v);
        if (rc == 1 && !push(a, array, &one)) {
            return -E_LIMIT;
        }
    }
    return rc == 1 ? 0 : -E_PROTO;
}

static int read_field(struct arena *a, const struct schema_field *f, const struct pb_field *p,
                      struct value *v, int depth)
{
    enum pb_wire wire = schema_wire(f->type);
    struct value one;
    if (f->repeated && p->wire == PB_BYTES && wire != PB_BYTES) {
        return read_packed(a, f, p->bytes, v);
    }
    if (p->wire != wire) {
        return -E_PROTO;
    }
    if (wire == PB_BYTES) {
        int rc = read_bytes(a, f, p->bytes, &one, depth);
        if (rc < 0) {
            return rc;
        }
    } else {
        one = scalar(f->type, p->value);
    }
    if (!f->repeated) {
        *v = one;
        return 0;
    }
    bool map = f->message && f->message->map_entry;
    return (map ? push_entry(a, v, &one) : push(a, v, &one)) ? 0 : -E_LIMIT;
}

static struct value initial(const struct schema_field *f)
{
    if (f->repeated) {
        bool map = f->message && f->message->map_entry;
        return (struct value){.type = map ? VALUE_OBJECT : VALUE_ARRAY};
    }
    if (!f->implicit) {
        return (struct value){.type = VALUE_ABSENT};
    }
    return f->type == SCHEMA_STRING  ? value_string(STR_LIT(""))
           : f->type == SCHEMA_BYTES ? (struct value){.type = VALUE_BYTES, .s = ""}
                                     : scalar(f->type, 0);
}

/* Fields mostly come in the order of the descriptor: the search goes on where the last was. */
static uint32_t find_field(const struct schema_message *m, uint32_t number, uint32_t from)
{
    for (uint32_t i = 0; i < m->n_fields; i++) {
        uint32_t at = (from + i) % m->n_fields;
        if (m->fields[at].number == number) {
            return at;
        }
    }
    return m->n_fields;
}

/* wanted NULL: all fields; else those whose slot is not FILL_NOWHERE. */
static int read_message(struct arena *a, const struct schema_message *m, struct str bytes,
                        const uint32_t *wanted, struct value *values, int depth)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field p;
    uint32_t at = 0;
    int rc;
    for (uint32_t i = 0; i < m->n_fields; i++) {
        values[i] = initial(&m->fields[i]);
    }
    while ((rc = pb_next(&r, &p)) == 1) {
        uint32_t i = find_field(m, p.number, at);
        if (i == m->n_fields) {
            continue; /* of a newer schema */
        }
        at = i;
        if (wanted && wanted[i] == FILL_NOWHERE) {
            continue;
        }
        rc = read_field(a, &m->fields[i], &p, &values[i], depth);
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

static int decode(struct decoder *d)
{
    struct protobuf_decoder *p = (struct protobuf_decoder *)d;
    struct fill *f = &d->fill;
    struct arena *a = &f->b->arena;
    struct str bytes = d->payload->bytes;
    bool whole = f->b->whole != NULL;
    struct value *values = arena_alloc(a, p->message->n_fields * sizeof(*values));
    const char *copy = d->payload->stable ? bytes.p : arena_dup(a, bytes.p, bytes.n);
    if (!values || (!copy && bytes.n)) {
        return -E_LIMIT;
    }
    int rc = read_message(a, p->message, str_n(copy, bytes.n), whole ? NULL : p->slots, values, 0);
    if (rc == -E_PROTO) {
        struct err err;
        err_set(&err, -E_PROTO, "the payload is no message " STR_FMT, STR_ARG(p->message->name));
        decoder_refuse(d, &err);
        return 1;
    }
    if (rc < 0) {
        return rc;
    }
    fill_row(f);
    for (uint32_t i = 0; i < p->message->n_fields; i++) {
        if (p->slots[i] != FILL_NOWHERE) {
            fill_value(f, p->slots[i], &values[i]);
        }
    }
    struct value object = {.type = VALUE_ABSENT};
    if (whole) {
        object = object_of(a, p->message, values);
        for (uint32_t i = 0; i < object.n; i++) { /* the batch may outlive the schema */
            struct str *key = &((struct value_member *)object.members)[i].key;
            key->p = arena_str(a, *key);
        }
    }
    rc = decoder_end_row(d, &object);
    return rc < 0 ? rc : 1;
}

const struct decoder_ops decode_protobuf = {
    .size = sizeof(struct protobuf_decoder),
    .init = init,
    .fini = fini,
    .begin = begin,
    .decode = decode,
};

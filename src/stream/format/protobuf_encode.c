/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as Protocol Buffers, by a message of a descriptor set: one message a row; several rows
 * follow each other with their lengths before them, as varints. Columns that the message does not
 * have are left out; a value that a field cannot hold is refused.
 */
#include "base/limits.h"
#include "base/mem.h"
#include "encoder_private.h"
#include "protobuf_schema.h"

struct protobuf_encoder {
    struct encoder e;
    struct arena schema;
    const struct schema_message *message;
};

static int init(struct encoder *e, struct err *err)
{
    struct protobuf_encoder *p = (struct protobuf_encoder *)e;
    arena_init(&p->schema, 0);
    return schema_read(&p->schema, e->opts.schema, e->opts.message, &p->message, err);
}

static void fini(struct encoder *e)
{
    arena_fini(&((struct protobuf_encoder *)e)->schema);
}

static int refuse(const struct schema_field *f, const struct value *v, struct err *err)
{
    return err_set(err, -E_INVAL, "field " STR_FMT " of the message cannot hold a %s",
                   STR_ARG(f->name), value_type_name((enum value_type)v->type));
}

static void put_tag(struct buf *out, const struct schema_field *f, enum pb_wire wire)
{
    pb_put_varint(out, (uint64_t)f->number << 3 | wire);
}

static void put_float(struct buf *out, const struct schema_field *f, double d)
{
    float single = (float)d;
    put_tag(out, f, schema_wire(f->type));
    (void)buf_append(out, f->type == SCHEMA_DOUBLE ? (const void *)&d : (const void *)&single,
                     f->type == SCHEMA_DOUBLE ? sizeof(d) : sizeof(single)); /* a failure sticks */
}

static void put_int(struct buf *out, const struct schema_field *f, int64_t i)
{
    enum pb_wire wire = schema_wire(f->type);
    put_tag(out, f, wire);
    if (f->type == SCHEMA_SINT32 || f->type == SCHEMA_SINT64) {
        pb_put_varint(out, (uint64_t)i << 1 ^ (i < 0 ? UINT64_MAX : 0));
    } else if (wire == PB_VARINT) {
        pb_put_varint(out, (uint64_t)i);
    } else {
        (void)buf_append(out, &i, wire == PB_FIXED64 ? 8 : 4); /* a failure sticks */
    }
}

static bool fits(enum schema_type t, int64_t i)
{
    switch (t) {
    case SCHEMA_INT32:
    case SCHEMA_SINT32:
    case SCHEMA_SFIXED32:
    case SCHEMA_ENUM:
        return i >= INT32_MIN && i <= INT32_MAX;
    case SCHEMA_UINT32:
    case SCHEMA_FIXED32:
        return i >= 0 && i <= UINT32_MAX;
    case SCHEMA_UINT64:
    case SCHEMA_FIXED64:
        return i >= 0;
    default:
        return true;
    }
}

static int put_object(struct buf *out, const struct schema_message *m, const struct value *v,
                      int depth, struct err *err);

static int put_one(struct buf *out, const struct schema_field *f, const struct value *v, int depth,
                   struct err *err)
{
    bool number = value_is_number(v);
    switch (f->type) {
    case SCHEMA_DOUBLE:
    case SCHEMA_FLOAT:
        if (!number) {
            return refuse(f, v, err);
        }
        put_float(out, f, v->type == VALUE_INT ? (double)v->i : v->f);
        return 0;
    case SCHEMA_BOOL:
        if (v->type != VALUE_BOOL) {
            return refuse(f, v, err);
        }
        pb_put_uint(out, f->number, v->b);
        return 0;
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        if (v->type != VALUE_STRING && (v->type != VALUE_BYTES || f->type == SCHEMA_STRING)) {
            return refuse(f, v, err);
        }
        pb_put_bytes(out, f->number, value_text(v));
        return 0;
    case SCHEMA_MESSAGE: {
        if (v->type != VALUE_OBJECT || depth >= LIMIT_PROTOBUF_DEPTH) {
            return refuse(f, v, err);
        }
        size_t mark = pb_open(out, f->number);
        int rc = put_object(out, f->message, v, depth + 1, err);
        pb_close(out, mark);
        return rc;
    }
    default: {
        bool whole = v->type == VALUE_FLOAT && v->f >= -9e18 && v->f <= 9e18 &&
                     v->f == (double)(int64_t)v->f;
        int64_t i = whole ? (int64_t)v->f : v->type == VALUE_TIME ? v->i / 1000 : v->i;
        if ((v->type != VALUE_INT && v->type != VALUE_TIME && !whole) || !fits(f->type, i)) {
            return refuse(f, v, err);
        }
        put_int(out, f, i);
        return 0;
    }
    }
}

/* A map: an entry {key, value} a member. Keys are texts in values; those of numbers are read. */
static int put_map(struct buf *out, const struct schema_field *f, const struct value *v, int depth,
                   struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < v->n; i++) {
        struct value key = value_string(v->members[i].key), converted;
        const struct schema_field *key_field = &f->message->fields[0];
        if (key_field->type != SCHEMA_STRING) {
            bool boolean = key_field->type == SCHEMA_BOOL;
            rc = value_cast(NULL, &key, boolean ? VALUE_BOOL : VALUE_INT, &converted, err);
            key = rc == 0 ? converted : key;
        }
        struct value_member entry[] = {{STR_LIT("key"), key},
                                       {STR_LIT("value"), v->members[i].value}};
        struct value object = {.type = VALUE_OBJECT, .n = 2, .members = entry};
        rc = rc < 0 ? rc : put_one(out, f, &object, depth, err);
    }
    return rc;
}

static int put_field(struct buf *out, const struct schema_field *f, const struct value *v,
                     int depth, struct err *err)
{
    int rc = 0;
    if (value_is_null(v)) {
        return 0;
    }
    if (!f->repeated) {
        return put_one(out, f, v, depth, err);
    }
    if (f->message && f->message->map_entry && f->message->n_fields == 2) {
        return v->type == VALUE_OBJECT ? put_map(out, f, v, depth, err) : refuse(f, v, err);
    }
    if (v->type != VALUE_ARRAY) {
        return refuse(f, v, err);
    }
    for (uint32_t i = 0; rc == 0 && i < v->n; i++) {
        rc = put_one(out, f, &v->items[i], depth, err);
    }
    return rc;
}

static int put_object(struct buf *out, const struct schema_message *m, const struct value *v,
                      int depth, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < m->n_fields; i++) {
        const struct value *member = value_get(v, m->fields[i].name);
        rc = member ? put_field(out, &m->fields[i], member, depth, err) : 0;
    }
    return rc;
}

static int encode(struct encoder *e, uint32_t first, uint32_t n, bool array, struct buf *out,
                  struct err *err)
{
    struct protobuf_encoder *p = (struct protobuf_encoder *)e;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        CLEANUP(buf_finip) struct buf message = BUF_INIT;
        arena_clear(&e->scratch);
        struct value v = batch_object(&e->scratch, e->batch, first + i, /* nulls= */ false);
        rc = put_object(&message, p->message, &v, 0, err);
        if (array || n > 1) {
            pb_put_varint(out, buf_len(&message));
        }
        (void)buf_append_str(out, buf_str(&message)); /* a failure sticks */
        out->failed |= buf_failed(&message);
    }
    return rc;
}

const struct encoder_ops encode_protobuf = {
    .size = sizeof(struct protobuf_encoder),
    .init = init,
    .fini = fini,
    .encode = encode,
};

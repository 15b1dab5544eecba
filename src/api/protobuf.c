/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to objects, guided by the schema. Depth is bounded by LIMIT_PROTOBUF_DEPTH, the number
 * of nodes by the arena's cap (the smallest list item costs two bytes of input).
 */
#include "api/protobuf.h"

#include <string.h>

#include "api/kind.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/protobuf.h"
#include "codec/utf8.h"

struct decoder {
    struct arena *arena;
    struct err *err;
};

static int message(struct decoder *d, const struct schema_type *t, struct str bytes, unsigned level,
                   struct json *into, int depth);

static int bad(struct decoder *d, const struct schema_field *f, const char *what)
{
    return err_set(d->err, -E_PROTO, "protobuf: field %s: %s", schema_field_name(f), what);
}

/* A text or bytes field `number` of a small message, "" when absent; false when malformed. */
static bool inner_bytes(struct str bytes, uint32_t number, struct str *ret)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field f;
    int rc;
    *ret = str_n("", 0);
    while ((rc = pb_next(&r, &f)) == 1) {
        if (f.number == number && f.wire == PB_BYTES) {
            *ret = f.bytes;
        }
    }
    return rc == 0;
}

static bool inner_int(struct str bytes, uint32_t number, int64_t *ret)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field f;
    int rc;
    *ret = 0;
    while ((rc = pb_next(&r, &f)) == 1) {
        if (f.number == number && f.wire == PB_VARINT) {
            *ret = (int64_t)f.value;
        }
    }
    return rc == 0;
}

/* ---- values that are messages on the wire and no objects in JSON ---- */

static int int_or_string(struct decoder *d, const struct schema_field *f, struct str bytes,
                         struct json **ret)
{
    int64_t type, number;
    struct str text;
    if (!inner_int(bytes, 1, &type) || !inner_int(bytes, 2, &number) ||
        !inner_bytes(bytes, 3, &text) || !utf8_valid(text)) {
        return bad(d, f, "malformed");
    }
    *ret = type == 0 ? json_int(d->arena, (int32_t)number) : json_string_n(d->arena, text);
    return 0;
}

/* An empty message is the zero time, which JSON writes as null: left out. */
static int time_value(struct decoder *d, const struct schema_field *f, struct str bytes,
                      struct json **ret)
{
    int64_t seconds, nanos;
    char text[TIME_TEXT_SIZE];
    if (!inner_int(bytes, 1, &seconds) || !inner_int(bytes, 2, &nanos)) {
        return bad(d, f, "malformed");
    }
    if (bytes.n == 0) {
        return 0;
    }
    /* The years 1 to 9999, as RFC 3339 can say them. */
    if (seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos > 999999999) {
        return bad(d, f, "the time is out of range");
    }
    if (f->value == SCHEMA_TIME) {
        *ret = json_string(d->arena, time_text((struct wall){seconds * 1000000}, text));
    } else {
        struct wall t = {seconds * 1000000 + nanos / 1000};
        *ret = json_string(d->arena, time_text_micro(t, text));
    }
    return 0;
}

static int json_inside(struct decoder *d, const struct schema_field *f, struct str bytes,
                       struct json **ret)
{
    struct str raw;
    if (!inner_bytes(bytes, 1, &raw)) {
        return bad(d, f, "malformed");
    }
    if (raw.n == 0) {
        return 0;
    }
    int rc = json_parse(d->arena, raw, /* opts= */ NULL, ret, d->err);
    return rc == -E_NOMEM || rc == 0 ? rc : bad(d, f, "holds no JSON");
}

/* Nothing inside is null: Go's value without a text. */
static int any_value(struct decoder *d, const struct schema_field *f, struct str bytes,
                     struct json **ret)
{
    int rc = json_inside(d, f, bytes, ret);
    if (rc == 0 && !*ret) {
        *ret = json_null(d->arena);
    }
    return rc;
}

static int strings_value(struct decoder *d, const struct schema_field *f, struct str bytes,
                         uint32_t number, struct json **ret)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field pb;
    int rc;
    *ret = *ret ? *ret : json_array(d->arena);
    while ((rc = pb_next(&r, &pb)) == 1) {
        if (pb.number == number && pb.wire == PB_BYTES) {
            if (!utf8_valid(pb.bytes)) {
                return bad(d, f, "is not UTF-8");
            }
            json_push(*ret, json_string_n(d->arena, pb.bytes));
        }
    }
    return rc < 0 ? bad(d, f, "malformed") : 0;
}

/* A message that holds an object or something simpler. The numbers that are not there are absent;
 * with both, the object is what Go writes to JSON. */
static int either_value(struct decoder *d, const struct schema_field *f, struct str bytes,
                        struct json **ret, int depth)
{
    const struct schema_type *t = schema_field_inner(f);
    uint32_t object = f->value == SCHEMA_OBJECT_OR_BOOL ? 2 : 1;
    struct pb_reader r = pb_reader_of(bytes);
    struct json *one = NULL, *list = NULL;
    struct pb_field pb;
    bool yes = false;
    int rc;
    if (depth >= LIMIT_PROTOBUF_DEPTH) {
        return bad(d, f, "nested too deep");
    }
    while ((rc = pb_next(&r, &pb)) == 1) {
        if (pb.wire == PB_BYTES && pb.number == object) {
            one = one ? one : json_object(d->arena);
            rc = message(d, t, pb.bytes, /* level= */ 0, one, depth + 1);
        } else if (pb.wire == PB_BYTES && pb.number == 2 && f->value == SCHEMA_OBJECT_OR_LIST) {
            list = list ? list : json_array(d->arena);
            struct json *item = json_push(list, json_object(d->arena));
            rc = message(d, t, pb.bytes, /* level= */ 0, item, depth + 1);
        } else if (pb.wire == PB_VARINT && pb.number == 1) {
            yes = pb.value != 0;
        }
        if (rc < 0) {
            return rc;
        }
    }
    if (rc == 0 && !one && f->value == SCHEMA_OBJECT_OR_STRINGS) {
        return strings_value(d, f, bytes, 2, ret);
    }
    *ret = one                                 ? one
           : f->value == SCHEMA_OBJECT_OR_BOOL ? json_bool(d->arena, yes)
           : list                              ? list
                                               : json_array(d->arena);
    return rc < 0 ? bad(d, f, "malformed") : 0;
}

/* ---- one value ---- */

static int text_value(struct decoder *d, const struct schema_field *f, struct str bytes,
                      struct json **ret)
{
    if (!utf8_valid(bytes)) {
        return bad(d, f, "is not UTF-8");
    }
    *ret = json_string_n(d->arena, bytes);
    return 0;
}

static int bytes_value(struct decoder *d, struct str bytes, struct json **ret)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    if (base64_encode(&text, bytes.p, bytes.n) < 0) {
        return -E_NOMEM;
    }
    *ret = json_string_n(d->arena, buf_str(&text));
    return 0;
}

static int scalar_value(struct decoder *d, const struct schema_field *f, const struct pb_field *pb,
                        struct json **ret)
{
    double real;
    switch (f->value) {
    case SCHEMA_BOOL:
        *ret = json_bool(d->arena, pb->value != 0);
        return 0;
    case SCHEMA_INT32:
        *ret = json_int(d->arena, (int32_t)pb->value);
        return 0;
    case SCHEMA_INT64:
        *ret = json_int(d->arena, (int64_t)pb->value);
        return 0;
    default:
        memcpy(&real, &pb->value, sizeof(real));
        if (!(real - real == 0)) { /* an infinity, or no number */
            return bad(d, f, "is no finite number");
        }
        *ret = json_real(d->arena, real);
        return 0;
    }
}

static int object_value(struct decoder *d, const struct schema_field *f, struct str bytes,
                        struct json **ret, int depth)
{
    if (depth >= LIMIT_PROTOBUF_DEPTH) {
        return bad(d, f, "nested too deep");
    }
    *ret = *ret ? *ret : json_object(d->arena);
    return message(d, schema_field_type(f), bytes, /* level= */ 0, *ret, depth + 1);
}

static enum pb_wire wire_of(const struct schema_field *f)
{
    switch (f->value) {
    case SCHEMA_BOOL:
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return PB_VARINT;
    case SCHEMA_DOUBLE:
        return PB_FIXED64;
    default:
        return PB_BYTES;
    }
}

/* *ret is NULL before, or the object of an earlier part of the same message (parts of one message
 * merge), and stays NULL for what JSON leaves out. */
static int value(struct decoder *d, const struct schema_field *f, const struct pb_field *pb,
                 struct json **ret, int depth)
{
    if (pb->wire != wire_of(f)) {
        return bad(d, f, "has the wrong wire type");
    }
    struct str text;
    switch ((enum schema_value)f->value) {
    case SCHEMA_STRING:
        return text_value(d, f, pb->bytes, ret);
    case SCHEMA_BYTES:
        return bytes_value(d, pb->bytes, ret);
    case SCHEMA_OBJECT:
        return object_value(d, f, pb->bytes, ret, depth);
    case SCHEMA_QUANTITY:
        return inner_bytes(pb->bytes, 1, &text) ? text_value(d, f, text, ret)
                                                : bad(d, f, "malformed");
    case SCHEMA_INT_OR_STRING:
        return int_or_string(d, f, pb->bytes, ret);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return time_value(d, f, pb->bytes, ret);
    case SCHEMA_FIELDS_V1:
    case SCHEMA_RAW:
        return json_inside(d, f, pb->bytes, ret);
    case SCHEMA_ANY:
        return any_value(d, f, pb->bytes, ret);
    case SCHEMA_STRINGS:
        return strings_value(d, f, pb->bytes, 1, ret);
    case SCHEMA_OBJECT_OR_LIST:
    case SCHEMA_OBJECT_OR_BOOL:
    case SCHEMA_OBJECT_OR_STRINGS:
        return either_value(d, f, pb->bytes, ret, depth);
    default:
        return scalar_value(d, f, pb, ret);
    }
}

/* ---- fields ---- */

static bool is_zero(const struct json *j)
{
    return (j->type == JSON_STRING && j->n == 0) || (j->type == JSON_INT && j->i == 0) ||
           (j->type == JSON_REAL && j->d == 0) || (j->type == JSON_BOOL && !j->b);
}

/* {1: key, 2: value}; an absent value is the zero value. */
static int map_entry(struct decoder *d, const struct schema_field *f, struct str bytes,
                     struct json *into, int depth)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field pb, found = {.wire = wire_of(f), .bytes = str_n("", 0)};
    struct str key = str_n("", 0);
    int rc;
    while ((rc = pb_next(&r, &pb)) == 1) {
        if (pb.number == 1 && pb.wire == PB_BYTES) {
            key = pb.bytes;
        } else if (pb.number == 2) {
            found = pb;
        }
    }
    if (rc < 0 || !utf8_valid(key)) {
        return bad(d, f, "has a malformed entry");
    }
    struct json *v = NULL;
    rc = value(d, f, &found, &v, depth);
    if (rc == 0) {
        json_set_n(json_ensure_object(into, schema_field_name(f)), key, v);
    }
    return rc;
}

/* Repeated numbers may be packed into one field. */
static int packed(struct decoder *d, const struct schema_field *f, struct str bytes,
                  struct json *list, int depth)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field one = {.wire = PB_VARINT};
    int rc;
    while ((rc = pb_next_varint(&r, &one.value)) == 1) {
        struct json *v = NULL;
        rc = value(d, f, &one, &v, depth);
        if (rc < 0) {
            return rc;
        }
        json_push(list, v);
    }
    return rc < 0 ? bad(d, f, "malformed") : 0;
}

static int known_field(struct decoder *d, const struct schema_field *f, const struct pb_field *pb,
                       struct json *into, int depth)
{
    struct json *v = NULL;
    const char *name = schema_field_name(f);
    if (f->shape == SCHEMA_MAP) {
        return pb->wire == PB_BYTES ? map_entry(d, f, pb->bytes, into, depth)
                                    : bad(d, f, "has the wrong wire type");
    }
    if (f->shape == SCHEMA_LIST) {
        struct json *list = json_ensure_array(into, name);
        if (pb->wire == PB_BYTES && wire_of(f) == PB_VARINT) {
            return packed(d, f, pb->bytes, list, depth);
        }
        int rc = value(d, f, pb, &v, depth);
        json_push(list, v);
        return rc;
    }
    v = f->value == SCHEMA_OBJECT ? json_get(into, name) : NULL;
    int rc = value(d, f, pb, &v, depth);
    bool keep = f->flags & (SCHEMA_F_REQUIRED | SCHEMA_F_KEEP_ZERO);
    bool two_forms = f->value == SCHEMA_INT_OR_STRING || f->value == SCHEMA_ANY ||
                     schema_field_inner(f); /* their zeros are values */
    if (rc == 0 && v && (keep || two_forms || !is_zero(v))) {
        json_set(into, name, v);
    }
    return rc;
}

static int message(struct decoder *d, const struct schema_type *t, struct str bytes, unsigned level,
                   struct json *into, int depth)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field pb;
    int rc;
    while ((rc = pb_next(&r, &pb)) == 1) {
        const struct schema_field *f = schema_field_by_pb(t, pb.number, level);
        if (f) {
            rc = known_field(d, f, &pb, into, depth);
        } else if (level < 2 && t->pb_inline != 0 && pb.number == t->pb_inline) {
            rc = pb.wire == PB_BYTES ? message(d, t, pb.bytes, level + 1, into, depth) : -E_PROTO;
        } else {
            rc = 0;
        }
        if (rc < 0) {
            break;
        }
    }
    if (rc == -E_PROTO && d->err && d->err->code != -E_PROTO) {
        (void)err_set(d->err, rc, "protobuf: malformed %s", schema_type_short(t));
    }
    return rc;
}

int protobuf_decode_message(struct arena *a, const struct schema_type *t, struct str bytes,
                            struct json **ret, struct err *err)
{
    struct err own = {0};
    struct decoder d = {.arena = a, .err = err ? err : &own};
    d.err->code = 0;
    struct json *obj = json_object(a);
    int rc = message(&d, t, bytes, /* level= */ 0, obj, 0);
    if (rc == -E_NOMEM || arena_failed(a)) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    if (rc == 0) {
        *ret = obj;
    }
    return rc;
}

/* ---- the envelope ---- */

static const char magic[4] = {'k', '8', 's', '\0'};

bool protobuf_is_envelope(struct str body)
{
    return body.n >= sizeof(magic) && memcmp(body.p, magic, sizeof(magic)) == 0;
}

struct unknown {
    struct str api_version, kind, raw, encoding, type;
};

static bool read_envelope(struct str body, struct unknown *ret)
{
    struct str meta;
    body = str_n(body.p + sizeof(magic), body.n - sizeof(magic));
    return inner_bytes(body, 1, &meta) && inner_bytes(body, 2, &ret->raw) &&
           inner_bytes(body, 3, &ret->encoding) && inner_bytes(body, 4, &ret->type) &&
           inner_bytes(meta, 1, &ret->api_version) && inner_bytes(meta, 2, &ret->kind);
}

int protobuf_decode(struct arena *a, struct str body, struct json **ret, struct err *err)
{
    struct unknown u;
    if (!protobuf_is_envelope(body) || !read_envelope(body, &u)) {
        return err_set(err, -E_PROTO, "the body is no Kubernetes protobuf");
    }
    if (u.encoding.n != 0 ||
        (u.type.n != 0 && !str_is(u.type, "application/vnd.kubernetes.protobuf"))) {
        return err_set(err, -E_MEDIATYPE, "the protobuf envelope holds another format");
    }
    struct str group, version;
    if (!str_cut(u.api_version, '/', &group, &version)) {
        group = STR_NULL;
        version = u.api_version;
    }
    const struct schema_type *t =
        kind_body_type(arena_str(a, group), arena_str(a, version), arena_str(a, u.kind));
    if (!t) {
        return err_set(err, -E_INVAL,
                       "no kind \"" STR_FMT "\" is registered for version \"" STR_FMT "\"",
                       STR_ARG(u.kind), STR_ARG(u.api_version));
    }
    struct json *obj = NULL;
    int rc = protobuf_decode_message(a, t, u.raw, &obj, err);
    if (rc < 0) {
        return rc;
    }
    json_set(obj, "apiVersion", json_string_n(a, u.api_version));
    json_set(obj, "kind", json_string_n(a, u.kind));
    if (arena_failed(a)) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    *ret = obj;
    return 0;
}

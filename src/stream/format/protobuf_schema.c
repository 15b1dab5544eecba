/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor sets; see protobuf_schema.h. Numbers of fields are those of descriptor.proto. */
#include "protobuf_schema.h"

#include "base/limits.h"
#include "base/map.h"
#include "format.h"

struct reader {
    struct arena *a;
    struct schema_message *messages; /* of all files */
    struct map names;                /* full name -> struct schema_message */
    bool proto3;                     /* of the file that is read */
};

static char *join_name(struct arena *a, struct str scope, struct str name)
{
    return scope.n ? arena_printf(a, STR_FMT "." STR_FMT, STR_ARG(scope), STR_ARG(name))
                   : arena_str(a, name);
}

/* FieldOptions: packed = 2. */
static void read_field_options(struct str bytes, struct schema_field *f)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field p;
    while (pb_next(&r, &p) == 1) {
        if (p.number == 2) {
            f->packed = p.value != 0;
        }
    }
}

/* FieldDescriptorProto: name 1, number 3, label 4, type 5, type_name 6, options 8, oneof_index 9.
 */
static bool read_field(struct reader *rd, struct str bytes, struct schema_field *f)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field p;
    int rc;
    bool choice = false;
    *f = (struct schema_field){.packed = rd->proto3};
    while ((rc = pb_next(&r, &p)) == 1) {
        switch (p.number) {
        case 1:
            f->name = p.bytes;
            break;
        case 3:
            f->number = (uint32_t)p.value;
            break;
        case 4:
            f->repeated = p.value == 3;
            break;
        case 5:
            f->type = (enum schema_type)p.value;
            break;
        case 6:
            f->type_name = p.bytes;
            break;
        case 8:
            read_field_options(p.bytes, f);
            break;
        case 9:
            choice = true;
            break;
        default:
            break;
        }
    }
    f->implicit = rd->proto3 && !choice && !f->repeated && f->type != SCHEMA_MESSAGE;
    return rc == 0 && f->name.n && f->number && f->type >= SCHEMA_DOUBLE &&
           f->type <= SCHEMA_SINT64 && f->type != SCHEMA_GROUP;
}

static bool add_field(struct reader *rd, struct schema_message *m, struct str bytes)
{
    if (m->n_fields == m->cap_fields) {
        uint32_t cap = m->cap_fields ? m->cap_fields * 2 : 8;
        struct schema_field *grown =
            arena_grow(rd->a, m->fields, m->cap_fields * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            return false;
        }
        m->fields = grown;
        m->cap_fields = cap;
    }
    return read_field(rd, bytes, &m->fields[m->n_fields++]);
}

/* MessageOptions: map_entry = 7. */
static void read_message_options(struct str bytes, struct schema_message *m)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field p;
    while (pb_next(&r, &p) == 1) {
        if (p.number == 7) {
            m->map_entry = p.value != 0;
        }
    }
}

/* DescriptorProto: name 1, field 2, nested_type 3, options 7. The name may come last, so it is
 * looked for first. */
static bool read_message(struct reader *rd, struct str scope, struct str bytes, int depth)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field p;
    int rc;
    struct str name = STR_NULL;
    struct schema_message *m = arena_zalloc(rd->a, sizeof(*m));
    while ((rc = pb_next(&r, &p)) == 1) {
        name = p.number == 1 ? p.bytes : name;
    }
    if (!m || rc < 0 || depth > LIMIT_PROTOBUF_DEPTH) {
        return false;
    }
    m->name = str_of(join_name(rd->a, scope, name));
    m->next = rd->messages;
    rd->messages = m;
    bool ok = m->name.p && map_put(&rd->names, m->name, m, NULL) == 0;
    r = pb_reader_of(bytes);
    while (ok && pb_next(&r, &p) == 1) {
        if (p.number == 2) {
            ok = add_field(rd, m, p.bytes);
        } else if (p.number == 3) {
            ok = read_message(rd, m->name, p.bytes, depth + 1);
        } else if (p.number == 7) {
            read_message_options(p.bytes, m);
        }
    }
    return ok;
}

/* FileDescriptorProto: package 2, message_type 4, syntax 12. */
static bool read_file(struct reader *rd, struct str bytes)
{
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field p;
    struct str package = STR_NULL;
    int rc;
    rd->proto3 = false;
    while ((rc = pb_next(&r, &p)) == 1) {
        package = p.number == 2 ? p.bytes : package;
        rd->proto3 |= p.number == 12 && str_is(p.bytes, "proto3");
    }
    bool ok = rc == 0;
    r = pb_reader_of(bytes);
    while (ok && pb_next(&r, &p) == 1) {
        ok = p.number != 4 || read_message(rd, package, p.bytes, 0);
    }
    return ok;
}

static struct schema_message *find_last_part(struct reader *rd, struct str name)
{
    struct schema_message *found = NULL;
    for (struct schema_message *m = rd->messages; m; m = m->next) {
        struct str last;
        if (str_rcut(m->name, '.', NULL, &last) && str_eq(last, name)) {
            if (found) {
                return NULL;
            }
            found = m;
        }
    }
    return found;
}

static int resolve(struct reader *rd, struct err *err)
{
    for (struct schema_message *m = rd->messages; m; m = m->next) {
        for (uint32_t i = 0; i < m->n_fields; i++) {
            struct schema_field *f = &m->fields[i];
            if (f->type != SCHEMA_MESSAGE) {
                continue;
            }
            struct str name = f->type_name;
            if (name.n && name.p[0] == '.') {
                name = str_n(name.p + 1, name.n - 1);
            }
            f->message = map_get(&rd->names, name);
            if (!f->message) {
                return err_set(err, -E_INVAL, "the schema lacks the message " STR_FMT,
                               STR_ARG(f->type_name));
            }
        }
    }
    return 0;
}

static int read_set(struct reader *rd, struct str set, struct str message,
                    const struct schema_message **ret, struct err *err)
{
    struct pb_reader r = pb_reader_of(set);
    struct pb_field p;
    int rc;
    bool ok = true;
    while (ok && (rc = pb_next(&r, &p)) == 1) {
        ok = p.number != 1 || read_file(rd, p.bytes);
    }
    if (arena_failed(rd->a)) {
        return err_set(err, -ENOMEM, "no memory for the schema");
    }
    if (!ok || rc < 0 || !rd->messages) {
        return err_set(err, -E_INVAL, "the schema is no FileDescriptorSet");
    }
    rc = resolve(rd, err);
    struct schema_message *found = map_get(&rd->names, message);
    found = found ? found : find_last_part(rd, message);
    if (rc == 0 && !found) {
        rc = err_set(err, -E_INVAL, "the schema has no message '" STR_FMT "'", STR_ARG(message));
    }
    if (rc == 0) {
        *ret = found;
    }
    return rc;
}

int schema_read(struct arena *a, struct str set, struct str message,
                const struct schema_message **ret, struct err *err)
{
    struct reader rd = {.a = a, .names = MAP_INIT};
    int rc = read_set(&rd, set, message, ret, err);
    map_fini(&rd.names, NULL);
    return rc;
}

enum pb_wire schema_wire(enum schema_type t)
{
    switch (t) {
    case SCHEMA_DOUBLE:
    case SCHEMA_FIXED64:
    case SCHEMA_SFIXED64:
        return PB_FIXED64;
    case SCHEMA_FLOAT:
    case SCHEMA_FIXED32:
    case SCHEMA_SFIXED32:
        return PB_FIXED32;
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
    case SCHEMA_MESSAGE:
    case SCHEMA_GROUP:
        return PB_BYTES;
    default:
        return PB_VARINT;
    }
}

int format_use_schema(struct format_options *opts, struct str schema_id, schema_find_fn *find,
                      void *arg, struct err *err)
{
    struct str name;
    if (!str_iis(opts->format, "protobuf")) {
        return 0;
    }
    if (!str_cut(schema_id, '.', &name, &opts->message) || name.n == 0 || opts->message.n == 0) {
        return err_set(err, -E_INVAL,
                       "invalid schema id '" STR_FMT
                       "' for protobuf, the format must be schemaName.messageName",
                       STR_ARG(schema_id));
    }
    return find ? find(arg, name, &opts->schema, err)
                : err_set(err, -E_NOTSUP, "schemas are registered with the program data only");
}

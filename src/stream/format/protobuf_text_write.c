/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a .proto text says to a FileDescriptorSet. Names of types are resolved as C++ does it:
 * from the innermost scope outwards. Numbers of fields are those of descriptor.proto.
 */
#include "base/limits.h"
#include "protobuf_text_private.h"

struct writer {
    struct proto_file *file;
    struct buf *out;
    struct err *err;
};

static const struct proto_type *find_type(const struct writer *w, struct str scope, struct str name)
{
    char full[1024];
    if (name.p[0] == '.') {
        return map_get(&w->file->names, str_n(name.p + 1, name.n - 1));
    }
    for (;;) {
        size_t n = scope.n > 0 ? scope.n + 1 + name.n : name.n;
        if (n <= sizeof(full)) {
            memcpy(full, scope.p ? scope.p : "", scope.n);
            full[scope.n] = '.';
            memcpy(full + n - name.n, name.p, name.n);
            const struct proto_type *t = map_get(&w->file->names, str_n(full, n));
            if (t) {
                return t;
            }
        }
        if (scope.n == 0) {
            return NULL;
        }
        struct str outer = STR_NULL;
        scope = str_rcut(scope, '.', &outer, NULL) ? outer : STR_NULL;
    }
}

static int write_field(struct writer *w, const struct proto_type *m, const struct proto_field *f)
{
    const struct proto_type *t = f->type == 0 ? find_type(w, m->full, f->type_name) : NULL;
    if (f->type == 0 && !t) {
        return err_set(w->err, -E_INVAL, "line %u: the type " STR_FMT " is not defined", f->line,
                       STR_ARG(f->type_name));
    }
    enum schema_type type = !t ? f->type : t->is_enum ? SCHEMA_ENUM : SCHEMA_MESSAGE;
    size_t mark = pb_open(w->out, 2);
    pb_put_bytes(w->out, 1, f->name);
    pb_put_uint(w->out, 3, f->number);
    pb_put_uint(w->out, 4, f->label);
    pb_put_uint(w->out, 5, type);
    if (t) {
        size_t name = pb_open(w->out, 6);
        (void)buf_putc(w->out, '.'); /* sticky, as below */
        (void)buf_append_str(w->out, t->full);
        pb_close(w->out, name);
    }
    if (f->packed >= 0) {
        size_t options = pb_open(w->out, 8);
        pb_put_uint(w->out, 2, (uint64_t)f->packed);
        pb_close(w->out, options);
    }
    if (f->choice) {
        pb_put_uint(w->out, 9, 0);
    }
    pb_close(w->out, mark);
    return 0;
}

/* Nesting is bounded by the reader. */
static int write_message(struct writer *w, const struct proto_type *m, uint32_t number)
{
    size_t mark = pb_open(w->out, number);
    int rc = 0;
    pb_put_bytes(w->out, 1, m->name);
    for (const struct proto_field *f = m->fields; rc == 0 && f; f = f->next) {
        rc = write_field(w, m, f);
    }
    for (const struct proto_type *t = m->types; rc == 0 && t; t = t->next) {
        rc = t->is_enum ? 0 : write_message(w, t, 3);
    }
    if (m->map_entry) {
        size_t options = pb_open(w->out, 7);
        pb_put_uint(w->out, 7, 1);
        pb_close(w->out, options);
    }
    pb_close(w->out, mark);
    return rc;
}

int proto_write(struct proto_file *file, struct buf *out, struct err *err)
{
    struct writer w = {file, out, err};
    int rc = 0;
    size_t mark = pb_open(out, 1);
    pb_put_bytes(out, 2, file->package);
    for (const struct proto_type *t = file->root.types; rc == 0 && t; t = t->next) {
        rc = t->is_enum ? 0 : write_message(&w, t, 4);
    }
    pb_put_bytes(out, 12, file->proto3 ? STR_LIT("proto3") : STR_LIT("proto2"));
    pb_close(out, mark);
    return rc == 0 && buf_failed(out) ? err_sys(err, -E_NOMEM, "write a schema") : rc;
}

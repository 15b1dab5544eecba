/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a .proto schema: what compiles reads as a descriptor set, with its first message. */
#include <assert.h>

#include "protobuf_schema.h"
#include "protobuf_text.h"
#include "protobuf_text_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct proto_type *first_message(const struct proto_file *file)
{
    const struct proto_type *t = file->root.types;
    while (t && t->is_enum) {
        t = t->next;
    }
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_n((const char *)data, size);
    struct proto_file file;
    struct buf set = BUF_INIT;
    struct arena a;
    struct err err;
    arena_init(&a, 0);
    if (protobuf_text_compile(text, &set, &err) == 0) {
        const struct schema_message *m = NULL;
        assert(proto_read(&a, text, &file, &err) == 0);
        const struct proto_type *t = first_message(&file);
        assert(!t || (schema_read(&a, buf_str(&set), t->full, &m, &err) == 0 &&
                      m->n_fields == t->n_fields));
        map_fini(&file.names, NULL);
    }
    buf_fini(&set);
    arena_fini(&a);
    return 0;
}

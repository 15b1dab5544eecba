/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes through the YAML reader: all documents of the stream are printed. */
#include "yaml.h"

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int print(void *arg, struct json *doc, struct err *err)
{
    (void)arg;
    (void)err;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    return json_print(&out, doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct err err;
    arena_init(&a, (size_t)16 << 20);
    (void)yaml_parse_all(&a, str_n((const char *)data, size), print, NULL, &err);
    arena_fini(&a);
    return 0;
}

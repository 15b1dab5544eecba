/* SPDX-License-Identifier: Apache-2.0 */
/* A path, a line break, a document: no path may crash, hang or find without bound. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/jsonpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str path, text;
    struct arena a;
    struct json *root;
    const struct jsonpath *p;
    struct err err;
    size_t n;
    (void)str_cut(str_n((const char *)data, size), '\n', &path, &text);
    arena_init(&a, 0);
    if (json_parse(&a, text, NULL, &root, &err) == 0 && jsonpath_compile(&a, path, &p, &err) == 0) {
        (void)jsonpath_find(&a, p, root, &n);
        assert(n <= JSONPATH_FOUND_MAX);
    }
    arena_fini(&a);
    return 0;
}

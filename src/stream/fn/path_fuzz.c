/* SPDX-License-Identifier: Apache-2.0 */
/* Any text before a NUL or newline as a JSON path, over what follows as JSON. */
#include <assert.h>
#include <stdint.h>

#include "path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text, rest, whole = str_n((const char *)data, size);
    const struct path *path;
    struct json *tree;
    struct value v, ret;
    struct arena a;
    arena_init(&a, (size_t)4 << 20);
    (void)str_cut(whole, '\n', &text, &rest); /* without one there is no value */
    if (path_parse(&a, text, &path, NULL) == 0) {
        v = VALUE_OF_NULL;
        if (json_parse(&a, rest, NULL, &tree, NULL) == 0) {
            v = value_from_json(&a, tree);
        }
        int rc = path_eval(path, &a, &v, &ret, NULL);
        assert(rc <= 0);
        assert(rc < 0 || path_definite(path) || ret.type == VALUE_ARRAY);
        assert(rc < 0 || value_size(&ret) < SIZE_MAX / 2); /* all of it can be read */
    }
    arena_fini(&a);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A schema, a line break, an object: whatever they are, the schema's own check, pruning and
 * defaulting end, and doing the latter again changes nothing. */
#include "api/crd/schema.h"

#include <assert.h>

#include "api/crd/crd_structural.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str first, second;
    struct arena a;
    struct json *schema, *obj;
    struct crd_regexes regexes = {0};
    const struct crd_schema *s = NULL;
    struct err err = {0};
    (void)str_cut(str_n((const char *)data, size), '\n', &first, &second);
    arena_init(&a, 0);
    if (json_parse(&a, first, NULL, &schema, NULL) == 0 &&
        json_parse(&a, second, NULL, &obj, NULL) == 0 &&
        crd_schema_compile(&a, schema, &regexes, &s, &err) == 0) {
        struct field_errors e;
        field_errors_init(&e, &a);
        crd_structural_check(&e, "spec", schema);
        crd_prune(&a, s, obj, true, json_array(&a));
        struct json *pruned = json_clone(&a, obj);
        crd_prune(&a, s, obj, true, NULL);
        assert(arena_failed(&a) || json_equal(pruned, obj));
        crd_defaults(&a, s, obj, true);
        field_errors_init(&e, &a);
        crd_check(&e, s, obj, NULL);
        field_errors_init(&e, &a);
        crd_check(&e, s, obj, obj);
    }
    crd_regexes_fini(&regexes);
    arena_fini(&a);
    return 0;
}

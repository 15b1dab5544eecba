/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target and patch as two JSON texts, separated by a newline, through all three patches. Target and
 * patch must not change.
 */
#include <assert.h>
#include <stdint.h>

#include "kind.h"
#include "patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct str first, second;
    struct json *target = NULL, *patch = NULL, *out = NULL;
    arena_init(&a, 0);
    if (str_cut(str_n((const char *)data, size), '\n', &first, &second) &&
        json_parse(&a, first, NULL, &target, NULL) == 0 &&
        json_parse(&a, second, NULL, &patch, NULL) == 0) {
        struct json *target_was = json_clone(&a, target), *patch_was = json_clone(&a, patch);
        const struct kind *kind = kind_find_api("v1", "Pod");
        struct err err;
        (void)patch_json(&a, target, patch, &out, &err);
        (void)patch_merge(&a, target, patch, &out, &err);
        (void)patch_strategic(&a, NULL, target, patch, &out, &err);
        (void)patch_strategic(&a, kind ? kind->type : NULL, target, patch, &out, &err);
        if (!arena_failed(&a)) {
            assert(json_equal(target, target_was) && json_equal(patch, patch_was));
        }
    }
    arena_fini(&a);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any JSON against the schema of a kind: it is checked, completed, and must then pass again. */
#include <stdlib.h>

#include "api/defaults.h"
#include "api/kind.h"
#include "api/schema_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct err err;
    struct json *obj;
    struct schema_report report;
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    if (size == 0) {
        return 0;
    }
    const struct kind *k = kinds[data[0] % n];
    arena_init(&a, (size_t)16 << 20);
    if (json_parse(&a, str_n((const char *)data + 1, size - 1), NULL, &obj, &err) == 0 &&
        schema_check_object(&a, k->type, obj, &report, &err) == 0) {
        schema_defaults(&a, k->type, obj);
        int rc = schema_check(&a, k->type, obj, &report, &err);
        if (!arena_failed(&a) && (rc < 0 || json_len(report.unknown) > 0)) {
            abort();
        }
    }
    arena_fini(&a);
    return 0;
}

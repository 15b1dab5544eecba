/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a protobuf body; what is not an envelope is read as a bare message of a kind. */
#include <stdlib.h>

#include "api/defaults.h"
#include "api/kind.h"
#include "api/protobuf.h"
#include "api/schema_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct err err;
    struct json *obj = NULL;
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    struct str body = str_n((const char *)data, size);
    arena_init(&a, (size_t)16 << 20);
    if (protobuf_is_envelope(body)) {
        (void)protobuf_decode(&a, body, &obj, &err);
    } else if (size > 0) {
        const struct schema_type *t = kinds[data[0] % n]->type;
        struct str message = str_n(body.p + 1, size - 1);
        if (protobuf_decode_message(&a, t, message, &obj, &err) == 0) {
            /* What was decoded by the schema has its types; only texts can be wrong in themselves.
             */
            (void)schema_check(&a, t, obj, NULL, &err);
            schema_defaults(&a, t, obj);
        }
    }
    arena_fini(&a);
    return 0;
}

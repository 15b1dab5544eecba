/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as JSON. What parses must print, and what was printed must parse to the
 * same tree. */
#include <stdlib.h>

#include "base/mem.h"
#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json *j, *again;
    struct err err;
    arena_init(&a, (size_t)16 << 20);
    if (json_parse(&a, str_n((const char *)data, size), NULL, &j, &err) == 0) {
        struct buf b = BUF_INIT;
        int rc = json_print(&b, j);
        assert(rc == 0);
        rc = json_parse(&a, buf_str(&b), NULL, &again, NULL);
        assert(rc == -E_NOMEM || (rc == 0 && json_equal(j, again)));
        buf_fini(&b);
    }
    arena_fini(&a);
    return 0;
}

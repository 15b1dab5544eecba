/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as a time zone; offsets of what is accepted stay within a week. */
#include "base/mem.h"
#include "zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t times[] = {0, 946684799, 946684800, 1774745999, 4102444800};
    struct zone *z = NULL;
    if (zone_parse(str_n((const char *)data, size), &z) == 0) {
        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
            int32_t offset = zone_offset(z, times[i]);
            assert(offset > -8 * 86400 && offset < 8 * 86400);
        }
    }
    zone_free(z);
    return 0;
}

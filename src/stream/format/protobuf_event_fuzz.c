/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: two bytes of length, a descriptor set of so many bytes, a message "M" of it. */
#include "format_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t n = data[0] | (size_t)data[1] << 8;
    n = n > size - 2 ? size - 2 : n;
    struct format_options opts = {.format = STR_LIT("protobuf"),
                                  .schema = str_n((const char *)data + 2, n),
                                  .message = STR_LIT("M")};
    (void)fuzz_format(&opts, str_n((const char *)data + 2 + n, size - 2 - n));
    return 0;
}

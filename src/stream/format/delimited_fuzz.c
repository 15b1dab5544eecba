/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as the format delimited. */
#include "format_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct format_options opts = {.format = STR_LIT("delimited"), .header = size % 2};
    (void)fuzz_format(&opts, str_n((const char *)data, size));
    return 0;
}

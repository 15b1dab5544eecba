/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as a frame, its length and checksum set right, which no fuzzer would
 * guess. */
#include <stdlib.h>

#include "base/crc.h"
#include "base/mem.h"
#include "format_fuzz.h"
#include "frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t magic = FRAME_MAGIC, n = (uint32_t)(size / 8 * 8);
    struct format_options opts = {.format = STR_LIT("batch")};
    (void)frame_length(str_n((const char *)data, size)); /* must only not read beyond */
    (void)fuzz_format(&opts, str_n((const char *)data, size));
    if (n < FRAME_HEADER) {
        return 0;
    }
    char *frame = mem_dup(data, n);
    if (frame) {
        memcpy(frame, &magic, 4);
        memcpy(frame + 4, &n, 4);
        uint32_t crc = crc32c(0, frame + 12, n - 12);
        memcpy(frame + 8, &crc, 4);
        (void)fuzz_format(&opts, str_n(frame, n));
    }
    mem_free(frame);
    return 0;
}

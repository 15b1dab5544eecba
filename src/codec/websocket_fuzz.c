/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as WebSocket frames; the first byte chooses the role and the size of the
 * pieces. */
#include "base/mem.h"
#include "websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct websocket_decoder d;
    struct websocket_event ev;
    if (size == 0) {
        return 0;
    }
    size_t step = (size_t)(data[0] >> 1) + 1;
    int rc = 0;
    websocket_decoder_init(&d, data[0] & 1);
    for (size_t at = 1; at < size && rc >= 0; at += step) {
        struct str in = str_n((const char *)data + at, MIN_OF(step, size - at));
        do {
            rc = websocket_next(&d, &in, &ev);
        } while (rc > 0);
    }
    websocket_decoder_fini(&d);
    return 0;
}

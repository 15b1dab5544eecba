/* SPDX-License-Identifier: Apache-2.0 */
/* The framing of channels in a byte stream: see node_stream.h. */
#include "api/node_stream.h"

#include "base/limits.h"

int channel_frame(struct buf *out, uint8_t channel, struct str data)
{
    if (data.n > LIMIT_WS_MESSAGE) {
        return -E_LIMIT;
    }
    uint32_t n = (uint32_t)data.n;
    uint8_t head[CHANNEL_HEADER] = {channel, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
                                    (uint8_t)(n >> 8), (uint8_t)n};
    if (!buf_reserve(out, sizeof(head) + data.n)) {
        return -ENOMEM;
    }
    (void)buf_append(out, head, sizeof(head)); /* reserved above */
    return buf_append_str(out, data);
}

int64_t channel_next(struct str in, uint8_t *ret_channel, struct str *ret_data)
{
    if (in.n < CHANNEL_HEADER) {
        return 0;
    }
    const uint8_t *p = (const uint8_t *)in.p;
    uint32_t n = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (n > LIMIT_WS_MESSAGE) {
        return -E_LIMIT;
    }
    if (in.n - CHANNEL_HEADER < n) {
        return 0;
    }
    *ret_channel = p[0];
    *ret_data = str_n(in.p + CHANNEL_HEADER, n);
    return (int64_t)CHANNEL_HEADER + n;
}

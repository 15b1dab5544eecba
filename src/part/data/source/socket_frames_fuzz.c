/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as frames, fed in pieces of the size that the first byte says: the frames are those
 * that lie in the bytes, whatever the pieces. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "socket_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The frame at *at, found the plain way: its length; -1 there is none, -2 it is too large. */
static int64_t plain(const uint8_t *data, size_t size, size_t at)
{
    uint32_t n;
    if (size - at < 4) {
        return -1;
    }
    memcpy(&n, data + at, 4); /* little endian, as we are */
    return n > LIMIT_EVENT_BYTES ? -2 : size - at - 4 < n ? -1 : (int64_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct socket_frames f;
    struct str got;
    size_t step = size > 0 ? (size_t)data[0] + 1 : 1, at = 0;
    int rc = 0;
    socket_frames_init(&f);
    for (size_t fed = 0; fed < size && rc >= 0; fed += step) {
        size_t n = size - fed < step ? size - fed : step;
        assert(socket_frames_feed(&f, (const char *)data + fed, n) == 0);
        while ((rc = socket_frames_next(&f, &got)) == 1) {
            assert(plain(data, size, at) == (int64_t)got.n);
            assert(memcmp(data + at + 4, got.p, got.n) == 0);
            at += 4 + got.n;
        }
    }
    assert(plain(data, size, at) == (rc < 0 ? -2 : -1));
    socket_frames_fini(&f);
    return 0;
}

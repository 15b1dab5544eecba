/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any memory under the reader. The input: 8 bytes = what the writer claims to have written, the
 * rest = the begin of the data. What is read lies in the reader's own memory.
 */
#include <assert.h>
#include <stdlib.h>

#include "ring.h"
#include "ring_private.h"

#define CAPACITY ((size_t)64 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ring_reader *r = NULL;
    if (size < 8 || ring_reader_new(CAPACITY, &r, NULL) < 0) {
        return 0;
    }
    char *base = ring_map(ring_reader_fd(r), CAPACITY);
    assert(base);
    struct ring_page_writer *page = (struct ring_page_writer *)(base + RING_PAGE);
    uint64_t written;
    memcpy(&written, data, 8);
    memcpy(base + RING_DATA, data + 8, size - 8 < CAPACITY ? size - 8 : CAPACITY);
    atomic_store(&page->written, written);
    struct str records[4];
    unsigned char sum = 0; /* every byte is looked at */
    for (size_t n; (n = ring_read(r, records, 4)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            assert(records[i].n <= CAPACITY);
            for (size_t k = 0; k < records[i].n; k++) {
                sum += (unsigned char)records[i].p[k];
            }
        }
    }
    assert(sum + 1u > 0);
    assert(ring_sleep(r)); /* everything was read or skipped */
    ring_unmap(base, CAPACITY);
    ring_reader_free(r);
    return 0;
}

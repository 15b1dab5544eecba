/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a segment of a durable queue: opened, read to its end, and still taking messages. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "io/file.h"
#include "sink_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct sink_log *l, struct err *err)
{
    struct buf b = BUF_INIT;
    uint64_t next = 1, found = 0;
    while (sink_log_read(l, next, &b, &found, err) == 1) {
        assert(found >= next); /* forward, always */
        next = found + 1;
    }
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char folder[] = "/tmp/selvedge-sink-log-fuzz-XXXXXX", path[128];
    struct sink_log *l = NULL;
    struct err err;
    uint64_t sequence;
    log_init("sink_log_fuzz", LOG_ERROR);
    if (!path[0]) {
        assert(mkdtemp(folder));
        (void)snprintf(path, sizeof(path), "%s/%020d.log", folder, 1);
    }
    assert(dir_make(folder, 0700, &err) == 0);
    assert(file_write_replace(path, data, size, 0600, &err) == 0);
    if (sink_log_open(folder, 0, &l, &err) == 0) {
        read_all(l, &err);
        assert(sink_log_append(l, STR_LIT("one more"), &sequence, &err) == 0);
        read_all(l, &err);
        sink_log_destroy(l);
    }
    (void)tree_remove(folder, NULL); /* made anew by the next */
    return 0;
}

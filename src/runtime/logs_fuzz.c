/* SPDX-License-Identifier: Apache-2.0 */
/* Log files, which programs in containers fill: formatting and the search for the last lines. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/logs_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cri_format f = {
        .opts = {.timestamps = size % 2 == 0, .stream = size % 3 == 0 ? "stdout" : NULL}};
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    struct str rest = str_n((const char *)data, size), line;
    while (rest.n > 0) {
        str_cut(rest, '\n', &line, &rest);
        assert(cri_print(&f, line, &out) == 0);
    }
    assert(buf_len(&out) <= size + 1);
    CLEANUP(fd_closep) int fd = memfd_create("log", MFD_CLOEXEC);
    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    for (int64_t n = 0; n < 4; n++) {
        int64_t left = n;
        int64_t at = cri_tail(fd, (int64_t)size, &left);
        assert(at >= 0 && at <= (int64_t)size && left >= 0 && left <= n);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a schedule: what parses comes later than it is asked, on a whole second. */
#include <assert.h>

#include "cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cron c;
    struct wall after = {INT64_C(1774745999500000)}, next;
    if (cron_parse(str_n((const char *)data, size), &c, NULL) == 0 &&
        cron_next(&c, NULL, after, &next)) {
        assert(next.us > after.us - 1000000 && next.us % 1000000 == 0);
    }
    return 0;
}

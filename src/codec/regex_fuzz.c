/* SPDX-License-Identifier: Apache-2.0 */
/* "pattern\ntext": whatever compiles must say the same when asked for yes or no and for the place.
 */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(regex_freep) struct regex *re = NULL;
    struct str pattern, text;
    struct regex_span spans[4];
    struct err err;
    (void)str_cut(str_n((const char *)data, size), '\n', &pattern, &text);
    if (regex_compile(pattern, &re, &err) < 0) {
        return 0;
    }
    bool found = regex_match(re, text);
    int rc = regex_find(re, text, 0, spans, ARRAY_SIZE(spans));
    assert(rc == found);
    for (size_t i = 0; found && i < ARRAY_SIZE(spans); i++) {
        assert(spans[i].start == REGEX_NONE ||
               (spans[i].start <= spans[i].end && spans[i].end <= text.n));
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as a set of completion indexes; what is printed reads as the same set. */
#include "base/mem.h"
#include "job_indexes.h"

#define LIMIT 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct index_set s, again;
    arena_init(&a, /* cap= */ 0);
    if (index_set_parse(&s, &a, str_n((const char *)data, size), LIMIT)) {
        const char *text = index_set_text(&s, &a);
        assert(s.total >= 0 && s.total <= LIMIT && index_set_gap(&s, 0) <= LIMIT);
        if (text && index_set_parse(&again, &a, str_of(text), LIMIT)) {
            assert(again.n == s.n && again.total == s.total);
        }
    }
    arena_fini(&a);
    return 0;
}

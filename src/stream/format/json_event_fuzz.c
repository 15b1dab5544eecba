/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as JSON events. What the parser of the codec takes as events must be
 * events here as well, where nesting and numbers stay inside the limits of events. */
#include "base/limits.h"
#include "base/mem.h"
#include "format_fuzz.h"

static bool are_events(const struct json *j)
{
    if (j->type == JSON_OBJECT) {
        return true;
    }
    JSON_FOR_EACH (item, j) {
        if (item->type != JSON_OBJECT) {
            return false;
        }
    }
    return j->type == JSON_ARRAY;
}

/* Deep texts and long ones meet limits that differ. */
static bool modest(struct str s)
{
    size_t open = 0;
    for (size_t i = 0; i < s.n; i++) {
        open += s.p[i] == '[' || s.p[i] == '{';
    }
    return open < LIMIT_EVENT_DEPTH && s.n < 500;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_n((const char *)data, size);
    struct arena a;
    struct json *j;
    arena_init(&a, (size_t)64 << 20);
    bool good = fuzz_format(&(struct format_options){.format = STR_LIT("json")}, bytes);
    if (modest(bytes) && json_parse(&a, bytes, NULL, &j, NULL) == 0 && are_events(j)) {
        assert(good);
    }
    arena_fini(&a);
    return 0;
}

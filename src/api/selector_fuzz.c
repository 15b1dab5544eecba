/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a label selector, a field selector and (when it is JSON) a LabelSelector. What parses
 * must print to something that parses to as many terms. */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct selector *s = NULL, *again = NULL;
    struct json *j = NULL;
    arena_init(&a, 0);
    const char *text = arena_strndup(&a, (const char *)data, size);
    if (selector_parse(&a, text, &s, NULL) == 0) {
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        assert(selector_print(&out, s) == 0);
        assert(selector_parse(&a, arena_str(&a, buf_str(&out)), &again, NULL) == 0);
        assert(again->n == s->n);
        (void)selector_match_labels(s, NULL);
    }
    if (selector_parse_fields(&a, text, &s, NULL) == 0) {
        (void)selector_match(s, selector_field_get, NULL);
    }
    if (json_parse(&a, str_n((const char *)data, size), NULL, &j, NULL) == 0 &&
        selector_from_json(&a, j, &s, NULL) == 0) {
        (void)selector_match_labels(s, j);
    }
    arena_fini(&a);
    return 0;
}

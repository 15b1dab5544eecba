/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a template, run over values of several kinds: an error or a text, never more. */
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const inputs[] = {"{\"a\": [1, {\"b\": \"x\"}], \"t\": 1.5}", "[]", "3"};
    struct template *t = NULL;
    struct err err;
    if (template_compile(str_n((const char *)data, size), &t, &err) < 0) {
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
        struct arena a;
        struct buf out = BUF_INIT;
        struct json *j = NULL;
        arena_init(&a, 0);
        if (json_parse(&a, str_of(inputs[i]), NULL, &j, NULL) == 0) {
            struct value v = value_from_json(&a, j);
            (void)template_run(t, &v, &out, &err); /* both answers are fine */
        }
        buf_fini(&out);
        arena_fini(&a);
    }
    template_free(t);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as an expression over a fixed object, typed and not: it compiles or is refused, and what
 * compiles ends within its cost. */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "cel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char object[] = "{\"a\":1,\"b\":[1,2.5,\"x\",null,true],\"s\":\"text\",\"m\":{\"k\":"
                             "\"v\"},\"t\":\"2026-11-21T05:00:00Z\"}";

static void run(struct str text, uint32_t flags)
{
    struct arena a;
    struct json *j = NULL;
    struct cel_value v;
    struct err err;
    uint64_t cost = 0;
    uint32_t pos = 0;
    CLEANUP(cel_program_freep) struct cel_program *p = NULL;
    struct cel_var vars[] = {{"self", flags & CEL_F_CHECKED ? &cel_type_map_dyn : NULL}};
    struct cel_compile_opts opts = {.vars = vars, .n_vars = 1, .flags = flags};
    if (cel_compile(text, &opts, &p, &err) < 0) {
        return;
    }
    arena_init(&a, 0);
    assert(json_parse(&a, str_of(object), NULL, &j, NULL) == 0);
    struct cel_value self = cel_from_json(j, vars[0].type);
    struct cel_input in = {.arena = &a, .vars = &self, .cost_limit = 20000};
    if (cel_eval(p, &in, &v, &cost, &pos, &err) == 0) {
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        buf_init(&out, 1 << 20);
        (void)cel_print(&out, &v);
        (void)cel_to_json(&a, &v);
    } else {
        assert(pos <= text.n);
    }
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_n((const char *)data, size);
    run(text, CEL_F_ALL);
    run(text, CEL_F_EXT | CEL_F_KUBERNETES);
    return 0;
}

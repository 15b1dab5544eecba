/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as an expression over a fixed object, typed and not, and as a variable and an expression
 * of an admission policy: it compiles or is refused, and what compiles ends within its cost. */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "cel.h"
#include "cel_admission.h"

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

static void answer(void *arg, const struct cel_access *q, struct cel_access_answer *ret)
{
    assert(!arg && q->verb && q->path && q->account);
    *ret = (struct cel_access_answer){.reason = "", .error = *q->verb ? NULL : "no verb"};
}

/* What stands before a line break is a variable of what comes after it. */
static void run_policy(struct str text)
{
    const struct cel_admission_opts opts = {.params = true, .max_variables = 1};
    const struct cel_authorizer z = {answer, NULL};
    CLEANUP(cel_admission_env_freep) struct cel_admission_env *env = cel_admission_env_new(&opts);
    CLEANUP(cel_program_freep) struct cel_program *p = NULL;
    struct cel_admission_run one;
    struct arena a;
    struct json *request = NULL;
    struct cel_value v;
    struct err err;
    struct str variable, body = text;
    arena_init(&a, 0);
    if (str_cut(text, '\n', &variable, &body)) {
        (void)cel_admission_declare(env, &a, STR_LIT("v"), variable);
    } else {
        body = text;
    }
    assert(json_parse(&a, str_of(object), NULL, &request, NULL) == 0);
    const struct cel_admission_input in = {.request = request, .params = request, .authorizer = &z};
    if (!cel_admission_compile(env, &a, true, body, CEL_WANT_ANY, &p)) {
        assert(cel_admission_start(&one, env, &a, &in) == 0);
        cel_admission_budget(&one, 400000);
        (void)cel_admission_eval(&one, p, body, &v, &err);
    }
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_n((const char *)data, size);
    run(text, CEL_F_ALL);
    run(text, CEL_F_EXT | CEL_F_KUBERNETES);
    run_policy(text);
    return 0;
}

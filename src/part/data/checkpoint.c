/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints of rules: their state in the store, so that a restart goes on with it. */
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"

void data_rule_save(struct data_rule *r)
{
    struct arena a;
    struct value state;
    struct buf b = BUF_INIT;
    if (r->state != RULE_RUNNING || !r->saves) {
        return;
    }
    arena_init(&a, 0);
    if (rule_save(r->rule, &a, &state) == 0 && value_print_json(&b, &state) == 0) {
        data_keep(r->data, "checkpoints", str_of(r->id), buf_str(&b), NULL, NULL);
        r->checkpoints++;
    } else {
        log_warn("checkpoint of rule %s: out of memory, ignoring until the next", r->id);
    }
    buf_fini(&b);
    arena_fini(&a);
}

static void on_checkpoint(void *arg)
{
    data_rule_save(arg);
}

/* An edited rule goes on with what its predecessor knew, where the parts are the same. */
static void inherit(struct data_rule *r)
{
    struct err err;
    uint32_t kept;
    r->inherits = false;
    if (rule_load(r->rule, &r->inherited, &kept, &err) < 0) {
        log_warn("state of rule %s: %s, starting empty", r->id, err.text);
    }
}

void checkpoint_load(struct data_rule *r)
{
    if (r->inherits) {
        inherit(r);
        return;
    }
    struct str saved = data_kept(r->data, "checkpoints", str_of(r->id));
    struct arena a;
    struct json *j;
    struct err err;
    uint32_t kept;
    if (!saved.p || !r->saves) {
        return;
    }
    arena_init(&a, 0);
    int rc = json_parse(&a, saved, NULL, &j, &err);
    if (rc == 0) {
        struct value v = value_from_json(&a, j);
        rc = rule_load(r->rule, &v, &kept, &err);
    }
    if (rc < 0) {
        log_warn("checkpoint of rule %s: %s, starting empty", r->id, err.text);
    }
    arena_fini(&a);
}

void checkpoint_init(struct data_rule *r)
{
    io_timer_init(r->data->loop, &r->checkpoint, on_checkpoint, r);
}

void checkpoint_start(struct data_rule *r)
{
    int64_t interval_us = INT64_C(300) * 1000 * 1000;
    (void)data_rule_duration(json_path(r->json, "options.checkpointInterval"), "", &interval_us,
                             NULL); /* checked when it was defined */
    if (r->saves) {
        int64_t ms = MAX_OF(interval_us / 1000, 1);
        io_timer_start(&r->checkpoint, ms, ms);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of rules with qos > 0: one write of the store holds the rule's state, the places of
 * its sources, and the marks of its sinks:
 *
 *   {"pipelines": ..., "sequences": ..., "places": {stream: place}, "marks": [[epoch, sequence]]}
 *
 * It is taken between two deliveries, when the results of all events before it were handed to the
 * sinks, and written when the sinks have them safe (sink_reached()). When it is on the disk, sinks
 * of qos 2 may send what lies before it, and sources may give up what they kept for going back.
 * So after a crash: rule, sources and (qos 2) sinks go back to the same moment.
 */
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"
#include "placement.h"
#include "replay.h"
#include "part/data/sink/sink.h"

#define INTERVAL_US (INT64_C(300) * 1000 * 1000)

/* One that is under way. */
struct checkpoint {
    struct list link;       /* of the rule, oldest first */
    struct data_rule *rule; /* NULL: it was stopped meanwhile */
    struct arena arena;
    struct value value;
    struct sink_mark *marks; /* of the sinks, in order; in the arena */
    bool storing;
    bool first; /* since the start: what the store has may not be on the disk yet */
};

/* ---- what it holds ---- */

/* Marks of all sinks: also an array of [epoch, sequence]. */
static int take_marks(struct data_rule *r, struct arena *a, struct sink_mark **ret,
                      struct value *ret_value, struct err *err)
{
    struct sink_mark *marks = arena_alloc(a, (r->n_sinks + 1) * sizeof(*marks));
    struct value *list = arena_alloc(a, (r->n_sinks + 1) * sizeof(*list));
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        struct value *pair = arena_alloc(a, 2 * sizeof(*pair));
        if (!marks || !list || !pair) {
            return err_sys(err, -E_NOMEM, "take a checkpoint");
        }
        int rc = sink_mark(r->sinks[i], &marks[i], err);
        if (rc < 0) {
            return rc;
        }
        pair[0] = value_int((int64_t)marks[i].epoch);
        pair[1] = value_int((int64_t)marks[i].sequence);
        list[i] = (struct value){.type = VALUE_ARRAY, .n = 2, .items = pair};
    }
    *ret = marks;
    *ret_value = (struct value){.type = VALUE_ARRAY, .n = r->n_sinks, .items = list};
    return 0;
}

static int take_value(struct data_rule *r, struct arena *a, struct sink_mark **ret_marks,
                      struct value *ret, struct err *err)
{
    struct value state, marks;
    int rc = take_marks(r, a, ret_marks, &marks, err);
    if (rc < 0) {
        return rc;
    }
    rc = rule_save(r->live, a, &state);
    struct value_member *m = rc < 0 ? NULL : arena_alloc(a, (state.n + 2) * sizeof(*m));
    if (!m) {
        return err_sys(err, -E_NOMEM, "take a checkpoint");
    }
    memcpy(m, state.members, state.n * sizeof(*m));
    m[state.n] = (struct value_member){STR_LIT("places"), replay_value(r, a)};
    m[state.n + 1] = (struct value_member){STR_LIT("marks"), marks};
    *ret = (struct value){.type = VALUE_OBJECT, .n = state.n + 2, .members = m};
    return arena_failed(a) ? err_sys(err, -E_NOMEM, "take a checkpoint") : 0;
}

int checkpoint_value(struct data_rule *r, struct arena *a, struct value *ret, struct err *err)
{
    struct sink_mark *marks;
    return take_value(r, a, &marks, ret, err);
}

/* ---- writing ---- */

static void told(struct data_rule *r, const char *why)
{
    if (!cstr_eq(r->checkpoint_trouble, why)) {
        if (why) {
            log_warn("checkpoint of rule %s: %s, ignoring until the next", r->id, why);
        }
        mem_free(r->checkpoint_trouble);
        r->checkpoint_trouble = mem_strdup(why);
    }
}

static void free_checkpoint(struct checkpoint *c)
{
    list_del(&c->link);
    arena_fini(&c->arena);
    mem_free(c);
}

/* It is on the disk: who waited for it goes on. */
static void on_kept(void *arg, int code, const char *text)
{
    struct checkpoint *c = arg;
    struct data_rule *r = c->rule;
    if (r && code < 0) {
        told(r, text);
    } else if (r) {
        r->checkpoints++;
        told(r, NULL);
        for (uint32_t i = 0; i < r->n_sinks; i++) {
            sink_release(r->sinks[i], &c->marks[i]);
        }
        const struct value *places = value_get(&c->value, STR_LIT("places"));
        replay_covered(r, places);
    }
    free_checkpoint(c);
}

static bool is_oldest(const struct checkpoint *c)
{
    return c->rule->taking.next == &c->link;
}

static void store(struct checkpoint *c)
{
    struct data_rule *r = c->rule;
    struct buf b = BUF_INIT;
    c->storing = true;
    if (value_print_json(&b, &c->value) < 0) {
        on_kept(c, -E_NOMEM, "out of memory");
    } else if (!c->first && is_oldest(c) &&
               str_eq(buf_str(&b), data_kept(r->data, "checkpoints", str_of(r->id)))) {
        on_kept(c, 0, NULL); /* nothing happened since the last one */
    } else {
        data_keep(r->data, "checkpoints", str_of(r->id), buf_str(&b), on_kept, c);
    }
    buf_fini(&b);
}

static bool is_safe(const struct checkpoint *c)
{
    for (uint32_t i = 0; i < c->rule->n_sinks; i++) {
        if (!sink_reached(c->rule->sinks[i], &c->marks[i])) {
            return false;
        }
    }
    return true;
}

/* Those that waited for the sinks. */
static void on_progress(void *arg)
{
    struct data_rule *r = arg;
    LIST_FOR_EACH_SAFE (l, &r->taking) {
        struct checkpoint *c = CONTAINER_OF(l, struct checkpoint, link);
        if (!c->storing) {
            if (!is_safe(c)) {
                return;
            }
            store(c);
        }
    }
}

static void take(struct data_rule *r, bool first)
{
    struct err err;
    if (r->state != RULE_RUNNING || !r->saves) {
        return;
    }
    struct checkpoint *c = mem_zalloc(sizeof(*c));
    if (!c) {
        told(r, "out of memory");
        return;
    }
    c->rule = r;
    c->first = first;
    arena_init(&c->arena, 0);
    list_push_back(&r->taking, &c->link);
    placement_hold(r);
    int rc = take_value(r, &c->arena, &c->marks, &c->value, &err);
    placement_release(r);
    if (rc < 0) {
        told(r, err.text);
        free_checkpoint(c);
    } else {
        on_progress(r);
    }
}

void data_rule_save(struct data_rule *r)
{
    take(r, false);
}

static void on_interval(void *arg)
{
    checkpoint_hurry(arg);
}

void checkpoint_hurry(struct data_rule *r)
{
    if (list_empty(&r->taking)) { /* else the one before waits for a sink or for the disk */
        data_rule_save(r);
    }
}

/* ---- going back ---- */

static int resume_sinks(struct data_rule *r, const struct value *marks, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < r->n_sinks; i++) {
        const struct value *pair = marks && i < marks->n ? &marks->items[i] : NULL;
        struct sink_mark m = {0};
        if (pair && pair->type == VALUE_ARRAY && pair->n == 2) {
            m = (struct sink_mark){(uint64_t)pair->items[0].i, (uint64_t)pair->items[1].i};
        }
        rc = sink_resume(r->sinks[i], m.epoch > 0 ? &m : NULL, err);
    }
    return rc;
}

/* The checkpoint in the store; null where there is none, or none that can be read. */
static struct value read_saved(struct data_rule *r, struct arena *a)
{
    struct str text = r->saves ? data_kept(r->data, "checkpoints", str_of(r->id)) : STR_NULL;
    struct json *j;
    struct err err;
    if (!text.p) {
        return VALUE_OF_NULL;
    }
    if (json_parse(a, text, NULL, &j, &err) < 0) {
        log_warn("checkpoint of rule %s: %s, starting empty", r->id, err.text);
        return VALUE_OF_NULL;
    }
    return value_from_json(a, j);
}

static int need_timer(struct data_rule *r)
{
    if (r->saves && !r->checkpoint) {
        r->checkpoint = mem_zalloc(sizeof(*r->checkpoint));
        if (!r->checkpoint) {
            return -E_NOMEM;
        }
        io_timer_init(r->data->loop, r->checkpoint, on_interval, r);
    }
    return 0;
}

int checkpoint_begin(struct data_rule *r, struct err *err)
{
    struct arena a;
    struct err why;
    uint32_t kept;
    arena_init(&a, 0);
    struct value saved = r->inherited ? r->inherited->value : read_saved(r, &a);
    if (saved.type == VALUE_OBJECT && rule_load(r->live, &saved, &kept, &why) < 0) {
        log_warn("state of rule %s: %s, starting empty", r->id, why.text);
    }
    const struct value *marks = value_get(&saved, STR_LIT("marks"));
    int rc =
        r->saves ? resume_sinks(r, marks && marks->type == VALUE_ARRAY ? marks : NULL, err) : 0;
    if (rc == 0 && (need_timer(r) < 0 || replay_before(r) < 0)) {
        rc = err_sys(err, -E_NOMEM, "start rule %s", r->id);
    }
    rc = rc < 0 ? rc : rule_start(r->live, err);
    if (rc == 0) {
        replay_begin(r, value_get(&saved, STR_LIT("places")));
    } else {
        replay_end(r);
    }
    data_rule_forget(r);
    arena_fini(&a);
    return rc;
}

/* ---- life ---- */

void checkpoint_init(struct data_rule *r)
{
    list_init(&r->taking);
}

void checkpoint_start(struct data_rule *r)
{
    int64_t interval_us = INTERVAL_US;
    if (!r->saves) {
        return;
    }
    (void)data_rule_duration(json_path(r->json, "options.checkpointInterval"), "", &interval_us,
                             NULL); /* checked when it was defined */
    int64_t ms = MAX_OF(interval_us / 1000, 1);
    io_timer_start(r->checkpoint, ms, ms);
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        r->sinks[i]->on_progress = on_progress;
        r->sinks[i]->progress_arg = r;
    }
    take(r, true);
}

void checkpoint_end(struct data_rule *r)
{
    if (r->checkpoint) {
        io_timer_stop(r->checkpoint);
    }
    LIST_FOR_EACH_SAFE (l, &r->taking) {
        struct checkpoint *c = CONTAINER_OF(l, struct checkpoint, link);
        if (c->storing) { /* the store answers later */
            c->rule = NULL;
            list_del(&c->link);
            list_init(&c->link);
        } else {
            free_checkpoint(c);
        }
    }
    replay_end(r);
}

void checkpoint_fini(struct data_rule *r)
{
    checkpoint_end(r);
    mem_free(r->checkpoint);
    mem_free(r->checkpoint_trouble);
}

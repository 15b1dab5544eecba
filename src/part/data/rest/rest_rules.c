/* SPDX-License-Identifier: Apache-2.0 */
/* /rules: definitions, life and status of rules. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "rest_private.h"
#include "part/data/sink/sink.h"

static struct data_rule *find(struct rest_call *c, const char *prefix)
{
    struct data_rule *r = data_rule_find(c->data, c->name);
    struct err err;
    if (!r) {
        (void)err_set(&err, -E_NOENT, "Rule " STR_FMT " is not found", STR_ARG(c->name));
        rest_error(c, prefix, &err);
    }
    return r;
}

/* The same for what changes it. */
static struct data_rule *find_own(struct rest_call *c, const char *prefix)
{
    struct data_rule *r = find(c, prefix);
    return r && rest_owned(c, prefix, r->object) ? NULL : r;
}

/* ---- lists ---- */

static int by_id(const void *a, const void *b)
{
    const struct data_rule *const *x = a, *const *y = b;
    return strcmp((*x)->id, (*y)->id);
}

/* All rules in order of ids; NULL when memory is short. */
static struct data_rule **sorted(struct rest_call *c, size_t *ret_n)
{
    struct data_rule **rules =
        arena_alloc(c->arena, (map_len(&c->data->rules) + 1) * sizeof(struct data_rule *));
    size_t n = 0;
    MAP_FOR_EACH (slot, &c->data->rules) {
        if (rules) {
            rules[n++] = slot->value;
        }
    }
    if (rules) {
        qsort(rules, n, sizeof(struct data_rule *), by_id);
    }
    *ret_n = n;
    return rules;
}

static struct json *state_text(struct arena *a, const struct data_rule *r)
{
    if (r->state == RULE_RUNNING) {
        return json_string(a, "Running");
    }
    if (r->state == RULE_WAITING) {
        return json_string(a, "Stopped: waiting for next schedule.");
    }
    return json_printf(a, "Stopped: %s.", r->reason ? r->reason : "never started");
}

void rest_rules_list(struct rest_call *c)
{
    size_t n;
    struct data_rule **rules = sorted(c, &n);
    struct json *list = json_array(c->arena);
    for (size_t i = 0; i < n; i++) {
        struct json *o = json_push(list, json_object(c->arena));
        json_set_str(o, "id", rules[i]->id);
        const struct json *j = data_rule_json(rules[i], c->arena);
        json_set_str(o, "name", json_cstr(json_get(j, "name"), rules[i]->id));
        json_set(o, "status", state_text(c->arena, rules[i]));
        json_set_str(o, "version", json_cstr(json_get(j, "version"), NULL));
        json_set(o, "tags", json_clone(c->arena, json_get(j, "tags")));
    }
    rest_json(c, 200, list);
}

void rest_rules_status(struct rest_call *c)
{
    size_t n;
    struct data_rule **rules = sorted(c, &n);
    struct json *all = json_object(c->arena);
    for (size_t i = 0; i < n; i++) {
        json_set(all, rules[i]->id, data_rule_status(rules[i], c->arena));
    }
    rest_json(c, 200, all);
}

/* ---- definition ---- */

static void undo_create(struct rest_call *c)
{
    struct data_rule *r = data_rule_find(c->data, str_of(c->undo_arg));
    if (r) {
        data_rule_drop(r);
    }
}

/* undo_arg is the former text. */
static void undo_replace(struct rest_call *c)
{
    struct data_rule *r;
    struct err err;
    if (data_rule_define(c->data, str_of(c->undo_arg), STR_NULL, true, &r, &err) == 0 &&
        r->triggered) {
        (void)data_rule_start(r, &err); /* told by the rule's state */
    }
}

void rest_rules_create(struct rest_call *c)
{
    struct data_rule *r;
    struct err err;
    int rc = data_rule_define(c->data, c->body, STR_NULL, false, &r, &err);
    if (rc < 0) {
        rest_error(c, NULL, &err);
        return;
    }
    if (r->triggered && data_rule_start(r, &err) < 0) {
        data_rule_drop(r);
        rest_error(c, NULL, &err);
        return;
    }
    rest_keep(c, 201, "rules", str_of(r->id), c->body, undo_create, mem_strdup(r->id),
              "Rule %s was created successfully.", r->id);
}

void rest_rule_get(struct rest_call *c)
{
    struct data_rule *r = find(c, "Describe rule error");
    if (!r) {
        return;
    }
    struct json *j = data_rule_json(r, c->arena);
    if (j) {
        rest_json(c, 200, j);
    } else {
        rest_text(c, 200, "%s", r->text);
    }
}

void rest_rule_put(struct rest_call *c)
{
    struct data_rule *old = data_rule_find(c->data, c->name), *r;
    CLEANUP(mem_freep) char *before = old ? mem_strdup(old->text) : NULL;
    struct err err;
    if (old && rest_owned(c, "Update rule error", old->object)) {
        return;
    }
    int rc = data_rule_define(c->data, c->body, c->name, true, &r, &err);
    if (rc < 0) {
        rest_error(c, "Update rule error", &err);
        return;
    }
    if (r->triggered) {
        (void)data_rule_start(r,
                              &err); /* as in eKuiper: the rule is there, stopped with a reason */
    }
    rest_keep(c, 200, "rules", str_of(r->id), c->body, before ? undo_replace : undo_create,
              before ? TAKE_PTR(before) : mem_strdup(r->id), "Rule %s was updated successfully.",
              r->id);
}

void rest_rule_delete(struct rest_call *c)
{
    struct data_rule *r = find_own(c, "Delete rule error");
    if (!r) {
        return;
    }
    char *before = mem_strdup(r->text);
    data_rule_drop(r);
    rest_keep(c, 200, "rules", c->name, STR_NULL, undo_replace, before,
              "Rule " STR_FMT " is dropped.", STR_ARG(c->name));
}

void rest_rule_validate(struct rest_call *c)
{
    struct err err;
    struct json *streams, *o;
    if (data_rule_check(c->data, c->body, c->arena, &streams, &err) < 0) {
        rest_text(c, 422, "%s", err.text);
        return;
    }
    o = json_object(c->arena);
    json_set(o, "sources", streams);
    json_set_bool(o, "valid", true);
    rest_json(c, 200, o);
}

/* ---- life ---- */

/* Whether the rule runs again after a restart of the process, kept in its definition. */
static void keep_triggered(struct rest_call *c, struct data_rule *r, bool on, const char *fmt)
{
    struct buf b = BUF_INIT;
    char *answer = arena_printf(c->arena, fmt, r->id);
    r->triggered = on;
    struct json *j = data_rule_json(r, c->arena);
    if (j) {
        json_set_bool(j, "triggered", on);
        (void)json_print(&b, j); /* sticky */
    } else {
        (void)buf_puts(&b, r->text);
    }
    char *text = buf_take(&b, NULL);
    buf_fini(&b);
    if (!text || !answer) {
        mem_free(text);
        rest_text(c, 503, "out of memory");
        return;
    }
    mem_free(r->text);
    r->text = text;
    rest_keep(c, 200, "rules", str_of(r->id), str_of(r->text), NULL, NULL, "%s", answer);
}

void rest_rule_start(struct rest_call *c)
{
    struct data_rule *r = find_own(c, "start rule error");
    struct err err;
    if (!r) {
        return;
    }
    if (data_rule_start(r, &err) < 0) {
        rest_error(c, "start rule error", &err);
        return;
    }
    keep_triggered(c, r, true, "Rule %s was started");
}

void rest_rule_stop(struct rest_call *c)
{
    struct data_rule *r = find_own(c, "stop rule error");
    if (r) {
        data_rule_stop(r, NULL);
        keep_triggered(c, r, false, "Rule %s was stopped.");
    }
}

void rest_rule_restart(struct rest_call *c)
{
    struct data_rule *r = find_own(c, "restart rule error");
    struct err err;
    if (!r) {
        return;
    }
    data_rule_stop(r, NULL);
    if (data_rule_start(r, &err) < 0) {
        rest_error(c, "restart rule error", &err);
        return;
    }
    keep_triggered(c, r, true, "Rule %s was restarted");
}

void rest_rule_reset(struct rest_call *c)
{
    struct data_rule *r = find(c, "reset rule state error");
    struct err err;
    if (!r) {
        return;
    }
    bool ran = r->state == RULE_RUNNING || r->state == RULE_WAITING;
    data_rule_stop(r, NULL);
    data_keep(c->data, "checkpoints", str_of(r->id), STR_NULL, NULL, NULL);
    data_rule_forget(r);
    if (ran && data_rule_start(r, &err) < 0) {
        rest_error(c, "reset rule state error", &err);
        return;
    }
    rest_text(c, 200, "success");
}

/* ---- status ---- */

void rest_rule_status(struct rest_call *c)
{
    struct data_rule *r = find(c, "get rule status error");
    if (r) {
        rest_json(c, 200, data_rule_status(r, c->arena));
    }
}

/* {"sources": [...], "edges": {"source_demo": ["op_rule"], "op_rule": ["sink_log_0"]}} */
void rest_rule_topo(struct rest_call *c)
{
    struct data_rule *r = find(c, "get rule topo error");
    const char *name;
    if (!r) {
        return;
    }
    struct json *o = json_object(c->arena);
    struct json *sources = json_ensure_array(o, "sources");
    struct json *edges = json_ensure_object(o, "edges");
    for (uint32_t i = 0; r->rule && (name = rule_stream(r->rule, i)); i++) {
        char *node = arena_printf(c->arena, "source_%s", name);
        json_push(sources, json_string(c->arena, node));
        json_push(json_ensure_array(edges, node ? node : ""), json_string(c->arena, "op_rule"));
    }
    struct json *sinks = json_ensure_array(edges, "op_rule");
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        json_push(sinks, json_printf(c->arena, "sink_%s_%u", r->sinks[i]->ops->type, i));
    }
    rest_json(c, 200, o);
}

void rest_rule_explain(struct rest_call *c)
{
    struct data_rule *r = find(c, "explain rules error");
    struct buf b = BUF_INIT;
    if (!r) {
        return;
    }
    if (!r->rule || rule_explain(r->rule, &b) < 0 || buf_putc(&b, '\0') < 0) {
        rest_text(c, 503, "%s", r->rule ? "out of memory" : r->reason);
    } else {
        rest_text(c, 200, "%s", buf_data(&b));
    }
    buf_fini(&b);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the rules of a schema over an object: those of a node first, then those below it.
 *
 * An old value goes along where there is one that belongs to the new: by name in objects and maps,
 * by their keys in lists of type map, never in other lists.
 */
#include <stdio.h>

#include "cel_rules_private.h"

#define MESSAGE_MAX 5120

/* Where the walk is: printed only when there is a problem. */
struct place {
    const struct place *up;
    const char *name; /* a member; NULL = item number i */
    size_t i;
    bool brackets; /* [name]: of additionalProperties */
};

struct check {
    const struct cel_rules *r;
    struct arena *a;      /* for what is reported */
    struct arena scratch; /* of one rule, then forgotten */
    const char *root;     /* path of the object */
    const struct place *at;
    cel_problem_fn *report;
    void *arg;
    uint64_t budget;
    int problems;
    bool stop; /* the budget is spent, or memory */
    int rc;
};

static void check_node(struct check *c, const struct rule_node *n, const struct json *j,
                       const struct json *old);

/* ---- problems ---- */

/* Recursion follows the object's JSON, whose depth its parser bounds. */
static void print_place(struct buf *out, const struct place *at)
{
    if (!at) {
        return;
    }
    print_place(out, at->up);
    if (at->name) {
        (void)buf_printf(out, at->brackets ? "[%s]" : ".%s", at->name);
    } else {
        (void)buf_printf(out, "[%zu]", at->i);
    }
}

static void report(struct check *c, const struct rule_node *n, enum cel_cause cause,
                   const char *field, const char *detail)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    (void)buf_puts(&text, c->root);
    print_place(&text, c->at);
    (void)buf_puts(&text, field ? field : "");
    const char *path = buf_failed(&text) ? NULL : arena_str(c->a, buf_str(&text));
    const char *value = arena_printf(c->a, "\"%s\"", n->schema_type);
    if (!path || !value || !detail) {
        c->rc = -E_NOMEM;
        c->stop = true;
        return;
    }
    struct cel_problem p = {
        .cause = cause,
        .path = path[0] == '.' ? path + 1 : path,
        .detail = detail,
        .value = cause == CEL_CAUSE_INVALID || cause == CEL_CAUSE_DUPLICATE ? value : NULL};
    c->problems++;
    c->report(c->arg, &p);
}

static const char *rule_text(struct check *c, const struct rule *rule)
{
    return rule->message ? rule->message : arena_printf(c->a, "failed rule: %s", rule->text);
}

/* What messageExpression says; NULL when it fails or says nothing fit. */
static const char *computed_message(struct check *c, const struct rule *rule,
                                    const struct cel_value *vars)
{
    struct cel_input in = {.arena = &c->scratch, .vars = vars};
    struct cel_value v;
    uint64_t cost = 0;
    if (!rule->message_program) {
        return NULL;
    }
    in.cost_limit = MAX_OF(MIN_OF(c->budget, (uint64_t)CEL_COST_PER_CALL), (uint64_t)1);
    int rc = cel_eval(rule->message_program, &in, &v, &cost, NULL, NULL);
    c->budget -= MIN_OF(cost, c->budget);
    if (rc < 0 || v.kind != CEL_STRING) {
        return NULL;
    }
    struct str s = str_trim(cel_text(&v));
    return s.n && s.n <= MESSAGE_MAX && !memchr(s.p, '\n', s.n) ? arena_str(c->a, s) : NULL;
}

/* The evaluation itself failed. */
static void report_failure(struct check *c, const struct rule_node *n, const struct rule *rule,
                           int rc, const struct err *err)
{
    const char *text = rule_text(c, rule);
    if (rc == -E_NOMEM) {
        c->rc = rc;
        c->stop = true;
        return;
    }
    if (rc == -E_LIMIT) {
        c->stop = true;
        report(c, n, CEL_CAUSE_INVALID, NULL,
               arena_printf(c->a,
                            "'%s': no further validation rules will be run due to call cost "
                            "exceeds limit for rule: %s",
                            err->text, text));
    } else if (strncmp(err->text, "no such overload", 16) == 0) {
        report(c, n, CEL_CAUSE_INVALID, NULL,
               arena_printf(c->a,
                            "'%s': call arguments did not match a supported operator, function or "
                            "macro signature for rule: %s",
                            err->text, text));
    } else {
        report(c, n, CEL_CAUSE_INVALID, NULL,
               arena_printf(c->a, "%s evaluating rule: %s", err->text, text));
    }
}

/* ---- one rule ---- */

static bool applies(const struct rule *rule, const struct json *old)
{
    return !rule->transition || rule->optional_old || old;
}

static void run_rule(struct check *c, const struct rule_node *n, const struct rule *rule,
                     const struct json *j, const struct json *old)
{
    struct cel_value vars[VAR_NR], result, before;
    struct err err;
    uint64_t cost = 0;
    vars[VAR_SELF] = cel_from_json(j, n->type);
    before = cel_from_json(old, n->type);
    vars[VAR_OLD_SELF] =
        rule->optional_old ? cel_optional(&c->scratch, old ? &before : NULL) : before;
    struct cel_input in = {.arena = &c->scratch, .vars = vars};
    int rc = cel_eval(rule->program, &in, &result, &cost, NULL, &err);
    if (cost > c->budget) {
        c->stop = true;
        report(c, n, CEL_CAUSE_INVALID, NULL,
               "validation failed due to running out of cost budget, no further validation rules "
               "will be run");
        return;
    }
    c->budget -= cost;
    if (rc < 0) {
        report_failure(c, n, rule, rc, &err);
    } else if (result.kind != CEL_BOOL || !result.b) {
        const char *message = computed_message(c, rule, vars);
        report(c, n, rule->cause, rule->field_path, message ? message : rule_text(c, rule));
    }
}

static void run_rules(struct check *c, const struct rule_node *n, const struct json *j,
                      const struct json *old)
{
    int compared = -1; /* whether the value changed is asked at most once */
    for (uint32_t i = 0; i < n->n_rules && !c->stop; i++) {
        const struct rule *rule = &n->rules[i];
        if (!applies(rule, old)) {
            continue;
        }
        /* Ratcheting: what was stored before the rule was made does not have to obey it. */
        if (old && !rule->transition) {
            compared = compared < 0 ? json_equal(j, old) : compared;
            if (compared) {
                continue;
            }
        }
        run_rule(c, n, rule, j, old);
        arena_clear(&c->scratch);
    }
}

/* ---- the walk ---- */

static void below(struct check *c, const struct rule_node *n, const struct json *j,
                  const struct json *old, struct place place)
{
    place.up = c->at;
    c->at = &place;
    check_node(c, n, j, old);
    c->at = place.up;
}

static bool is_property(const struct rule_node *n, const char *name)
{
    for (uint32_t i = 0; i < n->n_fields; i++) {
        if (cstr_eq(n->fields[i].name, name)) {
            return true;
        }
    }
    return false;
}

static void check_members(struct check *c, const struct rule_node *n, const struct json *j,
                          const struct json *old)
{
    for (uint32_t i = 0; i < n->n_fields && !c->stop; i++) {
        const struct json *child = json_get(j, n->fields[i].name);
        if (child) {
            below(c, n->fields[i].node, child, json_get(old, n->fields[i].name),
                  (struct place){.name = n->fields[i].name});
        }
    }
    if (!n->additional) {
        return;
    }
    JSON_FOR_EACH_MEMBER (m, j) {
        if (!c->stop && !is_property(n, m->key)) {
            below(c, n->additional, m->value, json_get(old, m->key),
                  (struct place){.name = m->key, .brackets = true});
        }
    }
}

static bool same_keys(const struct rule_node *n, const struct json *a, const struct json *b)
{
    for (uint32_t i = 0; i < n->type->n_list_keys; i++) {
        const char *key = n->type->list_keys[i];
        const struct json *def = json_get(n->key_defaults, key);
        const struct json *x = json_get(a, key), *y = json_get(b, key);
        x = x ? x : def;
        y = y ? y : def;
        if (!x != !y || (x && !json_equal(x, y))) {
            return false;
        }
    }
    return n->type->n_list_keys > 0;
}

/* The old item with the same keys; the one at the same place is tried first. */
static const struct json *old_item(const struct rule_node *n, const struct json *old,
                                   const struct json *item, size_t i)
{
    const struct json *same = json_at(old, i);
    if (!n->map_list || !n->type || !json_is(old, JSON_ARRAY)) {
        return NULL;
    }
    if (same && same_keys(n, same, item)) {
        return same;
    }
    JSON_FOR_EACH (candidate, old) {
        if (same_keys(n, candidate, item)) {
            return candidate;
        }
    }
    return NULL;
}

static void check_node(struct check *c, const struct rule_node *n, const struct json *j,
                       const struct json *old)
{
    if (!n || c->stop || json_is(j, JSON_NULL)) {
        return;
    }
    run_rules(c, n, j, json_is(old, JSON_NULL) ? NULL : old);
    if (json_is(j, JSON_OBJECT)) {
        check_members(c, n, j, json_is(old, JSON_OBJECT) ? old : NULL);
    } else if (json_is(j, JSON_ARRAY) && n->items) {
        size_t i = 0;
        JSON_FOR_EACH (item, j) {
            below(c, n->items, item, old_item(n, old, item, i), (struct place){.i = i});
            i++;
        }
    }
}

int cel_rules_check(const struct cel_rules *r, struct arena *a, const struct json *obj,
                    const struct json *old, const char *path, cel_problem_fn *report_fn, void *arg)
{
    struct check c = {.r = r,
                      .a = a,
                      .root = path ? path : "",
                      .report = report_fn,
                      .arg = arg,
                      .budget = CEL_COST_PER_OBJECT};
    if (!r) {
        return 0;
    }
    arena_init(&c.scratch, 0);
    check_node(&c, r->root, obj, old);
    arena_fini(&c.scratch);
    return c.rc < 0 ? c.rc : c.problems;
}

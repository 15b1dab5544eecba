/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles x-kubernetes-validations of a schema and refuses what Kubernetes refuses, in its words:
 * rules that do not compile, that are not bool, that read oldSelf where old and new values cannot
 * be matched, and that would cost too much.
 */
#include "cel_rules.h"

#include <math.h>
#include <stdio.h>

#include "cel_rules_private.h"

enum {
    COST_RULE = 10000000,    /* estimated, of one rule times how often it may run */
    COST_SCHEMA = 100000000, /* of all rules of a schema */
    REQUEST_BYTES = 3 << 20
};

struct compiler {
    struct cel_rules *r;
    struct arena scratch; /* paths and texts of problems */
    cel_problem_fn *report;
    void *arg;
    uint32_t problems;
    uint64_t total; /* estimated cost so far */
    bool no_memory;
    struct costly {
        const char *path;
        uint64_t cost;
    } costly[4]; /* the most expensive */
};

/* Where the walk is. */
struct place {
    const char *path;
    uint64_t times;           /* how often values of this node may occur; UINT64_MAX = unbounded */
    const char *uncorrelated; /* path of the array that cuts old from new values; NULL = none */
    bool root;                /* of the resource or of an embedded one */
};

static uint64_t multiply(uint64_t a, uint64_t b)
{
    return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static void problem(struct compiler *c, enum cel_cause cause, const char *path, const char *detail,
                    const char *value)
{
    struct cel_problem p = {cause, path, detail, value};
    c->problems++;
    c->report(c->arg, &p);
}

static const char *quoted(struct compiler *c, const char *text)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    (void)json_print_string(&out, str_of(text));
    return arena_str(&c->scratch, buf_str(&out));
}

/* The rule as Go prints the struct. */
static const char *shown_rule(struct compiler *c, const struct json *rule)
{
    return arena_printf(&c->scratch,
                        "apiextensions.ValidationRule{Rule:%s, Message:%s, MessageExpression:%s, "
                        "Reason:(*apiextensions.FieldValueErrorReason)(%s), FieldPath:%s, "
                        "OptionalOldSelf:(*bool)(%s)}",
                        quoted(c, json_path_cstr(rule, "rule", "")),
                        quoted(c, json_path_cstr(rule, "message", "")),
                        quoted(c, json_path_cstr(rule, "messageExpression", "")),
                        json_get(rule, "reason") ? "0xc000000000" : "nil",
                        quoted(c, json_path_cstr(rule, "fieldPath", "")),
                        json_get(rule, "optionalOldSelf") ? "0xc000000000" : "nil");
}

/* ---- costs ---- */

static const char *budget_text(struct compiler *c, const char *what, uint64_t cost, uint64_t limit)
{
    double factor = (double)cost / (double)limit;
    const char *text = factor > 100.0 ? "more than 100x"
                       : factor < 1.5 ? arena_printf(&c->scratch, "%fx", factor)
                                      : arena_printf(&c->scratch, "%.1fx", factor);
    return arena_printf(&c->scratch,
                        "%s exceeds budget by factor of %s (try simplifying the rule, or adding "
                        "maxItems, maxProperties, and maxLength where arrays, maps, and strings "
                        "are declared)",
                        what, text);
}

static void add_cost(struct compiler *c, const char *path, uint64_t cost)
{
    struct costly item = {path, cost};
    c->total = cost > UINT64_MAX - c->total ? UINT64_MAX : c->total + cost;
    for (size_t i = 0; i < ARRAY_SIZE(c->costly); i++) {
        if (item.cost > c->costly[i].cost) {
            struct costly next = c->costly[i];
            c->costly[i] = item;
            item = next;
        }
    }
}

/* How often a value of a type can stand in one request at most. */
static uint64_t most_in_request(const struct cel_type *t)
{
    uint64_t min = !t                      ? 2
                   : t->kind == CEL_INT    ? 1
                   : t->kind == CEL_DOUBLE ? 1
                   : t->kind == CEL_BOOL   ? 4
                                           : 2;
    return REQUEST_BYTES / (min + 1);
}

static void check_cost(struct compiler *c, const struct place *at, const struct cel_type *type,
                       const char *path, const char *what, const struct cel_program *p)
{
    uint64_t times = MIN_OF(at->times, most_in_request(type));
    uint64_t cost = multiply(cel_program_cost(p), times);
    if (cost > COST_RULE) {
        problem(c, CEL_CAUSE_FORBIDDEN, path, budget_text(c, what, cost, COST_RULE), NULL);
    }
    add_cost(c, path, cost);
}

/* ---- one rule ---- */

static struct cel_program *compile_text(struct compiler *c, const struct rule_node *n,
                                        const char *text, bool optional_old, struct buf *issues,
                                        int *rc)
{
    struct cel_var *vars = arena_alloc(&c->scratch, VAR_NR * sizeof(*vars));
    struct cel_program *p = NULL;
    if (!vars) {
        *rc = -E_NOMEM;
        return NULL;
    }
    vars[VAR_SELF] = (struct cel_var){"self", n->type};
    vars[VAR_OLD_SELF] = (struct cel_var){"oldSelf", optional_old ? n->old_type : n->type};
    struct cel_compile_opts opts = {
        .vars = vars, .n_vars = VAR_NR, .flags = CEL_F_ALL, .issues = issues};
    struct err err;
    *rc = cel_compile(str_of(text), &opts, &p, &err);
    if (*rc < 0 && buf_len(issues) == 0) {
        (void)buf_puts(issues, err.text);
    }
    c->no_memory |= *rc == -E_NOMEM;
    return p;
}

static const char *trimmed(struct arena *a, const char *text)
{
    struct str s = str_of(text);
    while (s.n && strchr(" \t\r\n", s.p[0])) {
        s = str_n(s.p + 1, s.n - 1);
    }
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1])) {
        s.n--;
    }
    return arena_str(a, s);
}

static void compile_message(struct compiler *c, const struct json *json, const char *path,
                            const struct place *at, const struct rule_node *n, struct rule *rule)
{
    CLEANUP(buf_finip) struct buf issues = BUF_INIT;
    const char *text = json_path_cstr(json, "messageExpression", NULL);
    int rc = 0;
    if (!text || !*text) {
        return;
    }
    const char *where = arena_printf(&c->scratch, "%s.messageExpression", path);
    rule->message_program = compile_text(c, n, text, rule->optional_old, &issues, &rc);
    if (!rule->message_program) {
        problem(c, CEL_CAUSE_INVALID, where,
                arena_printf(&c->scratch, "messageExpression compilation failed: " STR_FMT,
                             STR_ARG(buf_str(&issues))),
                shown_rule(c, json));
    } else if (cel_program_kind(rule->message_program) != CEL_STRING) {
        problem(c, CEL_CAUSE_INVALID, where, "messageExpression must evaluate to a string",
                shown_rule(c, json));
    } else {
        check_cost(c, at, n->type, where, "estimated messageExpression cost",
                   rule->message_program);
    }
}

static void check_old_self(struct compiler *c, const struct json *json, const char *path,
                           const struct place *at, struct rule *rule)
{
    const struct json *optional = json_get(json, "optionalOldSelf");
    rule->transition = cel_program_reads(rule->program, VAR_OLD_SELF);
    if (rule->transition && at->uncorrelated) {
        problem(c, CEL_CAUSE_INVALID, arena_printf(&c->scratch, "%s.rule", path),
                arena_printf(&c->scratch,
                             "oldSelf cannot be used on the uncorrelatable portion of the schema "
                             "within %s",
                             at->uncorrelated),
                quoted(c, json_path_cstr(json, "rule", "")));
    } else if (!rule->transition && optional) {
        problem(c, CEL_CAUSE_INVALID, arena_printf(&c->scratch, "%s.optionalOldSelf", path),
                "may not be set if oldSelf is not used in rule",
                json_true(optional, false) ? "true" : "false");
    }
}

static enum cel_cause cause_of(const struct json *json)
{
    const char *reason = json_path_cstr(json, "reason", "");
    return cstr_eq(reason, "FieldValueRequired")    ? CEL_CAUSE_REQUIRED
           : cstr_eq(reason, "FieldValueForbidden") ? CEL_CAUSE_FORBIDDEN
           : cstr_eq(reason, "FieldValueDuplicate") ? CEL_CAUSE_DUPLICATE
                                                    : CEL_CAUSE_INVALID;
}

/* A fieldPath: ".a.b['c d'].e", below properties of the schema. The path to append, or NULL. */
static const char *field_path(struct arena *a, const struct json *schema, const char *text)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    struct str s = str_of(text);
    while (s.n) {
        struct str name;
        bool quote = str_starts(s, "['");
        if (quote) {
            const char *end = memmem(s.p, s.n, "']", 2);
            if (!end) {
                return NULL;
            }
            name = str_n(s.p + 2, (size_t)(end - s.p) - 2);
            s = str_n(end + 2, s.n - (size_t)(end + 2 - s.p));
        } else if (s.p[0] == '.') {
            size_t end = 1;
            while (end < s.n && s.p[end] != '.' && s.p[end] != '[') {
                end++;
            }
            name = str_n(s.p + 1, end - 1);
            s = str_n(s.p + end, s.n - end);
        } else {
            return NULL;
        }
        const struct json *next = json_get_n(json_get(schema, "properties"), name);
        bool map = !next && json_is(json_get(schema, "additionalProperties"), JSON_OBJECT);
        schema = map ? json_get(schema, "additionalProperties") : next;
        if (!schema || !name.n) {
            return NULL;
        }
        (void)buf_printf(&out, map ? "[" STR_FMT "]" : "." STR_FMT, STR_ARG(name));
    }
    return buf_len(&out) ? arena_str(a, buf_str(&out)) : NULL;
}

static void check_field_path(struct compiler *c, const struct json *schema, const struct json *json,
                             const char *path, struct rule *rule)
{
    const char *text = json_path_cstr(json, "fieldPath", NULL);
    if (!text || !*text) {
        return;
    }
    rule->field_path = field_path(&c->r->a, schema, text);
    if (!rule->field_path) {
        problem(c, CEL_CAUSE_INVALID, arena_printf(&c->scratch, "%s.fieldPath", path),
                "fieldPath must be a valid path", quoted(c, text));
    }
}

static void check_message(struct compiler *c, const struct json *json, const char *path,
                          struct rule *rule)
{
    const char *message = json_path_cstr(json, "message", NULL);
    const char *where = arena_printf(&c->scratch, "%s.message", path);
    if (message && strchr(message, '\n')) {
        problem(c, CEL_CAUSE_INVALID, where, "message must not contain line breaks",
                quoted(c, message));
    } else if (message && *message && !*trimmed(&c->scratch, message)) {
        problem(c, CEL_CAUSE_INVALID, where, "message must be non-empty if specified",
                quoted(c, message));
    } else if ((!message || !*message) && strchr(rule->text, '\n') &&
               !json_path_cstr(json, "messageExpression", NULL)) {
        problem(c, CEL_CAUSE_REQUIRED, where,
                "message must be specified if rule contains line breaks", NULL);
    }
    rule->message = message && *message ? trimmed(&c->r->a, message) : NULL;
}

static void compile_rule(struct compiler *c, const struct json *schema, const struct json *json,
                         const char *path, const struct place *at, struct rule_node *n)
{
    CLEANUP(buf_finip) struct buf issues = BUF_INIT;
    struct rule *rule = &n->rules[n->n_rules++];
    const char *where = arena_printf(&c->scratch, "%s.rule", path);
    const char *text = json_path_cstr(json, "rule", "");
    int rc = 0;
    rule->text = trimmed(&c->r->a, text);
    rule->cause = cause_of(json);
    rule->optional_old = json_path_true(json, "optionalOldSelf", false);
    if (!rule->text || !*rule->text) {
        problem(c, CEL_CAUSE_REQUIRED, where, "rule is not specified", NULL);
        return;
    }
    check_message(c, json, path, rule);
    check_field_path(c, schema, json, path, rule);
    rule->program = compile_text(c, n, text, rule->optional_old, &issues, &rc);
    if (!rule->program) {
        problem(
            c, CEL_CAUSE_INVALID, where,
            arena_printf(&c->scratch, "compilation failed: " STR_FMT, STR_ARG(buf_str(&issues))),
            shown_rule(c, json));
        return;
    }
    if (cel_program_kind(rule->program) != CEL_BOOL) {
        problem(c, CEL_CAUSE_INVALID, where, "cel expression must evaluate to a bool",
                shown_rule(c, json));
        return;
    }
    check_cost(c, at, n->type, where, "estimated rule cost", rule->program);
    check_old_self(c, json, path, at, rule);
    compile_message(c, json, path, at, n, rule);
}

/* ---- the schema ---- */

static struct rule_node *compile_node(struct compiler *c, const struct json *schema,
                                      const struct cel_type *type, const struct place *at);

static void compile_own(struct compiler *c, const struct json *schema, const struct place *at,
                        struct rule_node *n)
{
    const struct json *rules = json_get(schema, "x-kubernetes-validations");
    uint32_t i = 0;
    n->rules = arena_zalloc(&c->r->a, json_len(rules) * sizeof(*n->rules));
    JSON_FOR_EACH (rule, rules) {
        const char *path =
            arena_printf(&c->scratch, "%s.x-kubernetes-validations[%u]", at->path, i++);
        if (!n->rules || !path) {
            c->no_memory = true;
            return;
        }
        if (!n->type) {
            problem(c, CEL_CAUSE_INVALID, path,
                    "rule declared on a schema that does not support validation rules",
                    shown_rule(c, rule));
            return;
        }
        compile_rule(c, schema, rule, path, at, n);
    }
}

static bool is_embedded(const struct json *schema)
{
    return json_path_true(schema, "x-kubernetes-embedded-resource", false);
}

/* The type of a member of an object; types of what cannot be named are made apart. */
static const struct cel_type *member_type(struct compiler *c, const struct cel_type *type,
                                          const char *name, const struct json *schema, bool root)
{
    const char *escaped = cel_escape_name(&c->scratch, name);
    bool meta =
        root && (cstr_eq(name, "metadata") || cstr_eq(name, "kind") || cstr_eq(name, "apiVersion"));
    const struct cel_field *f = escaped && type && type->kind == CEL_OBJECT && !meta
                                    ? cel_type_field(type, str_of(escaped))
                                    : NULL;
    return f ? f->type : cel_type_from_schema(&c->r->a, schema, is_embedded(schema));
}

static void compile_members(struct compiler *c, const struct json *schema, const struct place *at,
                            struct rule_node *n)
{
    const struct json *properties = json_get(schema, "properties");
    if (!json_len(properties)) {
        return;
    }
    n->fields = arena_alloc(&c->r->a, json_len(properties) * sizeof(*n->fields));
    JSON_FOR_EACH_MEMBER (m, properties) {
        struct place below = *at;
        below.path = arena_printf(&c->scratch, "%s.properties[%s]", at->path, m->key);
        below.root = is_embedded(m->value);
        struct rule_node *child =
            compile_node(c, m->value, member_type(c, n->type, m->key, m->value, at->root), &below);
        if (child && n->fields) {
            n->fields[n->n_fields++] = (struct rule_field){arena_strdup(&c->r->a, m->key), child};
        }
    }
}

static uint64_t times_of(const struct json *schema, const char *bound, uint64_t times)
{
    const struct json *max = json_get(schema, bound);
    return max ? multiply(times, (uint64_t)MAX_OF(json_i64(max, 0), (int64_t)0)) : UINT64_MAX;
}

/* The value that stands for a list key that is left out. */
static const struct json *key_defaults(struct compiler *c, const struct json *schema)
{
    struct json *defaults = NULL;
    JSON_FOR_EACH (key, json_get(schema, "x-kubernetes-list-map-keys")) {
        const struct json *property =
            json_get_n(json_get(json_get(schema, "items"), "properties"), json_text(key));
        const struct json *value = json_get(property, "default");
        if (value) {
            defaults = defaults ? defaults : json_object(&c->r->a);
            (void)json_set_n(defaults, json_text(key), json_clone(&c->r->a, value));
        }
    }
    return defaults;
}

static void compile_items(struct compiler *c, const struct json *schema, const struct place *at,
                          struct rule_node *n)
{
    const struct json *items = json_get(schema, "items");
    struct place below = *at;
    n->map_list = cstr_eq(json_path_cstr(schema, "x-kubernetes-list-type", ""), "map");
    below.path = arena_printf(&c->scratch, "%s.items", at->path);
    below.times = times_of(schema, "maxItems", at->times);
    below.root = is_embedded(items);
    if (!n->map_list && !below.uncorrelated) {
        below.uncorrelated = below.path;
    }
    n->key_defaults = key_defaults(c, schema);
    n->items = compile_node(c, items, n->type ? n->type->elem : NULL, &below);
}

static void compile_additional(struct compiler *c, const struct json *schema,
                               const struct place *at, struct rule_node *n)
{
    const struct json *additional = json_get(schema, "additionalProperties");
    struct place below = *at;
    if (!json_is(additional, JSON_OBJECT)) {
        return;
    }
    below.path = arena_printf(&c->scratch, "%s.additionalProperties", at->path);
    below.times = times_of(schema, "maxProperties", at->times);
    below.root = is_embedded(additional);
    const struct cel_type *type = n->type && n->type->kind == CEL_MAP ? n->type->elem : NULL;
    n->additional = compile_node(c, additional, type, &below);
}

/* NULL when there are no rules here and below. Recursion follows the schema's JSON. */
static struct rule_node *compile_node(struct compiler *c, const struct json *schema,
                                      const struct cel_type *type, const struct place *at)
{
    struct rule_node n = {.type = type};
    if (!json_is(schema, JSON_OBJECT) || c->no_memory) {
        return NULL;
    }
    if (json_len(json_get(schema, "x-kubernetes-validations"))) {
        n.old_type = cel_type_of(&c->r->a, CEL_OPTIONAL, type ? type : &cel_type_dyn);
        compile_own(c, schema, at, &n);
    }
    compile_members(c, schema, at, &n);
    compile_additional(c, schema, at, &n);
    if (json_get(schema, "items")) {
        compile_items(c, schema, at, &n);
    }
    if (!n.n_rules && !n.n_fields && !n.items && !n.additional) {
        return NULL;
    }
    n.schema_type = arena_strdup(&c->r->a, json_path_cstr(schema, "type", "object"));
    struct rule_node *kept = arena_dup(&c->r->a, &n, sizeof(n));
    c->no_memory |= !kept;
    return kept;
}

static bool has_rules(const struct json *j)
{
    if (json_is(j, JSON_OBJECT)) {
        JSON_FOR_EACH_MEMBER (m, j) {
            if (cstr_eq(m->key, "x-kubernetes-validations") || has_rules(m->value)) {
                return true;
            }
        }
    }
    return false;
}

static void check_total(struct compiler *c, const char *path)
{
    if (c->total <= COST_SCHEMA) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(c->costly) && c->costly[i].path; i++) {
        if (c->costly[i].cost > COST_SCHEMA / 100) {
            problem(c, CEL_CAUSE_FORBIDDEN, c->costly[i].path,
                    "contributed to estimated rule cost total exceeding cost limit for entire "
                    "OpenAPIv3 schema",
                    NULL);
        }
    }
    problem(c, CEL_CAUSE_FORBIDDEN, path,
            budget_text(c,
                        "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 "
                        "schema",
                        c->total, COST_SCHEMA),
            NULL);
}

int cel_rules_compile(const struct json *schema, const char *path, cel_problem_fn *report,
                      void *arg, struct cel_rules **ret)
{
    *ret = NULL;
    if (!has_rules(schema)) {
        return 0;
    }
    struct cel_rules *r = mem_zalloc(sizeof(*r));
    if (!r) {
        return -E_NOMEM;
    }
    struct compiler c = {.r = r, .report = report, .arg = arg};
    struct place root = {.path = path, .times = 1, .root = true};
    arena_init(&r->a, 0);
    arena_init(&c.scratch, 0);
    r->root = compile_node(&c, schema, cel_type_from_schema(&r->a, schema, true), &root);
    check_total(&c, path);
    bool failed = c.no_memory || arena_failed(&r->a) || arena_failed(&c.scratch);
    arena_fini(&c.scratch);
    if (failed || c.problems) {
        cel_rules_free(r);
        return failed ? -E_NOMEM : -E_INVAL;
    }
    *ret = r;
    return 0;
}

static void free_programs(struct rule_node *n)
{
    if (!n) {
        return;
    }
    for (uint32_t i = 0; i < n->n_rules; i++) {
        cel_program_free(n->rules[i].program);
        cel_program_free(n->rules[i].message_program);
    }
    for (uint32_t i = 0; i < n->n_fields; i++) {
        free_programs(n->fields[i].node);
    }
    free_programs(n->items);
    free_programs(n->additional);
}

void cel_rules_free(struct cel_rules *r)
{
    if (r) {
        free_programs(r->root);
        arena_fini(&r->a);
        mem_free(r);
    }
}

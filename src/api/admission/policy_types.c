/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Type checking of admission policies, as Kubernetes does it: every expression is compiled once for
 * each of the first ten kinds that the rules name, with object, oldObject and params of that kind's
 * type. Rules with wildcards name none.
 */
#include "api/admission/policy_types.h"

#include <stdlib.h>

#include "api/cel/cel_admission.h"
#include "api/cel/cel_rules.h"
#include "api/crd/crd.h"
#include "base/mem.h"

enum { KINDS_MAX = 10 };

/* ---- the type of a kind ---- */

struct types {
    struct arena *arena;
    struct cel_type **objects; /* by place in schema_types[]; made when they are met */
};

static const struct cel_type *object_type(struct types *t, const struct schema_type *s);

static const struct cel_type *value_type(struct types *t, const struct schema_field *f)
{
    switch ((enum schema_value)f->value) {
    case SCHEMA_STRING:
        return &cel_type_string;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return &cel_type_int;
    case SCHEMA_BOOL:
        return &cel_type_bool;
    case SCHEMA_DOUBLE:
        return &cel_type_double;
    case SCHEMA_BYTES:
        return &cel_type_bytes;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return &cel_type_timestamp;
    case SCHEMA_OBJECT:
        return object_type(t, schema_field_type(f));
    default:
        return &cel_type_dyn; /* of more than one form */
    }
}

static const struct cel_type *field_type(struct types *t, const struct schema_field *f)
{
    const struct cel_type *one = value_type(t, f);
    struct cel_type *many = f->shape == SCHEMA_ONE ? NULL : arena_zalloc(t->arena, sizeof(*many));
    if (!many) {
        return one;
    }
    many->kind = f->shape == SCHEMA_LIST ? CEL_LIST : CEL_MAP;
    many->key = f->shape == SCHEMA_LIST ? NULL : &cel_type_string;
    many->elem = one;
    return many;
}

/* Types refer to each other in circles, so each is entered before its fields are. */
static const struct cel_type *object_type(struct types *t, const struct schema_type *s)
{
    struct cel_type **known = &t->objects[s - schema_types];
    struct cel_field *fields = arena_alloc(t->arena, (s->n + 1) * sizeof(*fields));
    uint32_t n = 0;
    if (*known || !fields) {
        return *known ? *known : &cel_type_dyn;
    }
    struct cel_type *type = arena_zalloc(t->arena, sizeof(*type));
    if (!type) {
        return &cel_type_dyn;
    }
    *known = type;
    SCHEMA_FOR_EACH_FIELD(f, s)
    {
        const char *name = schema_field_name(f), *escaped = cel_escape_name(t->arena, name);
        if (escaped) {
            fields[n++] =
                (struct cel_field){.name = escaped, .json_name = name, .type = field_type(t, f)};
        }
    }
    cel_fields_sort(fields, n);
    *type = (struct cel_type){
        .kind = CEL_OBJECT, .name = schema_type_short(s), .fields = fields, .n_fields = n};
    return type;
}

/* A custom kind's own fields, and metadata as all objects have it. */
static const struct cel_type *custom_type(struct types *t, const struct kind *k)
{
    struct json *schema = crd_schema_json(t->arena, k);
    const struct cel_type *own = schema ? cel_type_from_schema(t->arena, schema, true) : NULL;
    if (!own || own->kind != CEL_OBJECT) {
        return NULL;
    }
    struct cel_type *type = arena_dup(t->arena, own, sizeof(*own));
    struct cel_field *fields =
        arena_dup(t->arena, own->fields, own->n_fields * sizeof(*own->fields));
    if (!type || !fields) {
        return NULL;
    }
    for (uint32_t i = 0; i < own->n_fields; i++) {
        if (cstr_eq(fields[i].json_name, "metadata")) {
            fields[i].type = object_type(t, k->type);
        }
    }
    type->fields = fields;
    return type;
}

/* NULL when nothing is known. */
static const struct cel_type *kind_type(struct types *t, const struct kind *k)
{
    return !k ? NULL : k->custom ? custom_type(t, k) : object_type(t, k->type);
}

/* ---- the kinds that a policy is about ---- */

struct kinds {
    const struct kind *items[KINDS_MAX];
    size_t n;
};

static void add_kind(struct kinds *l, const struct kind *k)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->items[i] == k) {
            return;
        }
    }
    if (k && l->n < KINDS_MAX) {
        l->items[l->n++] = k;
    }
}

static bool has_wildcard(const struct json *list)
{
    JSON_FOR_EACH (item, list) {
        if (strchr(json_cstr(item, ""), '*')) {
            return true;
        }
    }
    return json_len(list) == 0;
}

static void add_rule(struct kinds *l, const struct json *rule)
{
    const struct json *groups = json_get(rule, "apiGroups");
    const struct json *versions = json_get(rule, "apiVersions");
    if (has_wildcard(groups) || has_wildcard(versions)) {
        return;
    }
    JSON_FOR_EACH (group, groups) {
        JSON_FOR_EACH (version, versions) {
            JSON_FOR_EACH (resource, json_get(rule, "resources")) {
                const char *plural = json_cstr(resource, "");
                if (!strpbrk(plural, "*/")) {
                    add_kind(l, kind_find(json_cstr(group, ""), json_cstr(version, ""), plural));
                }
            }
        }
    }
}

static int by_name(const void *a, const void *b)
{
    const struct kind *x = *(const struct kind *const *)a, *y = *(const struct kind *const *)b;
    int order = strcmp(x->group, y->group);
    order = order ? order : strcmp(x->version, y->version);
    return order ? order : strcmp(x->kind, y->kind);
}

/* ---- checking ---- */

struct checker {
    struct types types;
    const struct json *spec;
    struct kinds kinds;
    struct cel_admission_env *envs[KINDS_MAX]; /* of the kinds */
    struct json *warnings;
};

/* One that fails is found where it is used, and may be anything there. */
static void declare(struct cel_admission_env *env, struct arena *a, const struct json *variables)
{
    JSON_FOR_EACH (v, variables) {
        struct str name = json_text(json_get(v, "name"));
        if (cel_admission_declare(env, a, name, json_text(json_get(v, "expression")))) {
            (void)cel_admission_declare(env, a, name, STR_LIT("dyn(null)"));
        }
    }
}

static bool open_envs(struct checker *c)
{
    const struct json *kind = json_get(c->spec, "paramKind");
    const struct json *variables = json_get(c->spec, "variables");
    const struct kind *params =
        kind_find_api(json_path_cstr(kind, "apiVersion", ""), json_path_cstr(kind, "kind", ""));
    for (size_t i = 0; i < c->kinds.n; i++) {
        const struct cel_admission_opts opts = {.params = kind != NULL,
                                                .max_variables = (uint32_t)json_len(variables),
                                                .object = kind_type(&c->types, c->kinds.items[i]),
                                                .params_type = kind_type(&c->types, params)};
        c->envs[i] = cel_admission_env_new(&opts);
        if (!c->envs[i]) {
            return false;
        }
        declare(c->envs[i], c->types.arena, variables);
    }
    return true;
}

static void check(struct checker *c, const char *path, const struct json *text)
{
    static const char prefix[] = "compilation failed: ";
    struct arena *a = c->types.arena;
    const char *all = "";
    for (size_t i = 0; i < c->kinds.n && json_text(text).n; i++) {
        const struct kind *k = c->kinds.items[i];
        const char *why =
            cel_admission_compile(c->envs[i], a, true, json_text(text), CEL_WANT_ANY, NULL);
        if (!why) {
            continue;
        }
        why += str_starts(str_of(why), prefix) ? sizeof(prefix) - 1 : 0;
        all = arena_printf(a, "%s%s%s/%s, Kind=%s: %s\n", all, *all ? "\n" : "", k->group,
                           k->version, k->kind, why);
        if (!all) {
            return;
        }
    }
    if (*all) {
        struct json *w = json_push(c->warnings, json_object(a));
        json_set_str(w, "fieldRef", path);
        json_set_str(w, "warning", all);
    }
}

struct json *policy_type_warnings(struct arena *a, const struct json *policy)
{
    struct checker c = {
        .types = {.arena = a}, .spec = json_get(policy, "spec"), .warnings = json_array(a)};
    c.types.objects = arena_zalloc(a, schema_types_n * sizeof(*c.types.objects));
    if (!c.types.objects) {
        return NULL;
    }
    JSON_FOR_EACH (rule, json_path(c.spec, "matchConstraints.resourceRules")) {
        add_rule(&c.kinds, rule);
    }
    qsort(c.kinds.items, c.kinds.n, sizeof(*c.kinds.items), by_name); /* n may be 0, never NULL */
    const struct json *list = json_get(c.spec, "validations");
    bool ok = open_envs(&c);
    for (size_t i = 0; ok && i < json_len(list); i++) {
        const struct json *v = json_at(list, i);
        check(&c, arena_printf(a, "spec.validations[%zu].expression", i),
              json_get(v, "expression"));
        check(&c, arena_printf(a, "spec.validations[%zu].messageExpression", i),
              json_get(v, "messageExpression"));
    }
    for (size_t i = 0; i < c.kinds.n; i++) {
        cel_admission_env_free(c.envs[i]);
    }
    return ok && !arena_failed(a) ? c.warnings : NULL;
}

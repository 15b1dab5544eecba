/* SPDX-License-Identifier: Apache-2.0 */
/* What expressions about a request see: the environment. Runs are in cel_admission_run.c. */
#include "cel_admission.h"

#include "cel_admission_private.h"

#define FIELD(name_, type_)                                                         \
    {                                                                               \
        .name = name_, .json_name = name_, .type = &(type_), .n = sizeof(name_) - 1 \
    }
#define OBJECT(variable, shown, list)         \
    static const struct cel_type variable = { \
        .kind = CEL_OBJECT, .name = shown, .fields = list, .n_fields = ARRAY_SIZE(list)}

/* Fields stand in the order of their names. */
static const struct cel_type type_strings = {.kind = CEL_LIST, .elem = &cel_type_string};
static const struct cel_type type_extra = {
    .kind = CEL_MAP, .key = &cel_type_string, .elem = &type_strings};

static const struct cel_field gvk_fields[] = {FIELD("group", cel_type_string),
                                              FIELD("kind", cel_type_string),
                                              FIELD("version", cel_type_string)};
OBJECT(type_gvk, "kubernetes.GroupVersionKind", gvk_fields);

static const struct cel_field gvr_fields[] = {FIELD("group", cel_type_string),
                                              FIELD("resource", cel_type_string),
                                              FIELD("version", cel_type_string)};
OBJECT(type_gvr, "kubernetes.GroupVersionResource", gvr_fields);

static const struct cel_field user_fields[] = {
    FIELD("extra", type_extra), FIELD("groups", type_strings), FIELD("uid", cel_type_string),
    FIELD("username", cel_type_string)};
OBJECT(type_user, "kubernetes.UserInfo", user_fields);

static const struct cel_field request_fields[] = {FIELD("dryRun", cel_type_bool),
                                                  FIELD("kind", type_gvk),
                                                  FIELD("name", cel_type_string),
                                                  FIELD("namespace", cel_type_string),
                                                  FIELD("operation", cel_type_string),
                                                  FIELD("options", cel_type_dyn),
                                                  FIELD("requestKind", type_gvk),
                                                  FIELD("requestResource", type_gvr),
                                                  FIELD("requestSubResource", cel_type_string),
                                                  FIELD("resource", type_gvr),
                                                  FIELD("subResource", cel_type_string),
                                                  FIELD("userInfo", type_user)};
OBJECT(type_request, "kubernetes.AdmissionRequest", request_fields);

static const struct cel_type type_labels = {
    .kind = CEL_MAP, .key = &cel_type_string, .elem = &cel_type_string};

static const struct cel_field meta_fields[] = {FIELD("annotations", type_labels),
                                               FIELD("creationTimestamp", cel_type_timestamp),
                                               FIELD("deletionGracePeriodSeconds", cel_type_int),
                                               FIELD("deletionTimestamp", cel_type_timestamp),
                                               FIELD("finalizers", type_strings),
                                               FIELD("generateName", cel_type_string),
                                               FIELD("generation", cel_type_int),
                                               FIELD("labels", type_labels),
                                               FIELD("name", cel_type_string),
                                               FIELD("namespace", cel_type_string),
                                               FIELD("resourceVersion", cel_type_string),
                                               FIELD("uid", cel_type_string)};
OBJECT(type_meta, "kubernetes.NamespaceMetadata", meta_fields);

static const struct cel_field spec_fields[] = {FIELD("finalizers", type_strings)};
OBJECT(type_spec, "kubernetes.NamespaceSpec", spec_fields);

static const struct cel_field status_fields[] = {FIELD("phase", cel_type_string)};
OBJECT(type_status, "kubernetes.NamespaceStatus", status_fields);

static const struct cel_field namespace_fields[] = {
    FIELD("metadata", type_meta), FIELD("spec", type_spec), FIELD("status", type_status)};
OBJECT(type_namespace, "kubernetes.Namespace", namespace_fields);

const struct cel_type *const cel_admission_request_type = &type_request;
const struct cel_type *const cel_admission_namespace_type = &type_namespace;

/* ---- the environment ---- */

struct cel_admission_env *cel_admission_env_new(const struct cel_admission_opts *opts)
{
    struct cel_admission_env *env = mem_zalloc(sizeof(*env));
    if (!env) {
        return NULL;
    }
    uint32_t n = opts->max_variables, vars = VAR_NR + n;
    arena_init(&env->arena, 0);
    env->max = n;
    env->vars = arena_zalloc(&env->arena, vars * sizeof(*env->vars));
    env->quiet = arena_zalloc(&env->arena, vars * sizeof(*env->quiet));
    env->fields = arena_zalloc(&env->arena, (n + 1) * sizeof(*env->fields));
    env->variables = arena_zalloc(&env->arena, (n + 1) * sizeof(*env->variables));
    if (arena_failed(&env->arena)) {
        cel_admission_env_free(env);
        return NULL;
    }
    env->type = (struct cel_type){
        .kind = CEL_OBJECT, .name = "kubernetes.variables", .fields = env->fields};
    const struct cel_var fixed[VAR_NR] = {
        [VAR_OBJECT] = {"object", opts->object},
        [VAR_OLD_OBJECT] = {"oldObject", opts->object},
        [VAR_REQUEST] = {"request", &type_request},
        [VAR_NAMESPACE] = {"namespaceObject", &type_namespace},
        [VAR_PARAMS] = {opts->params ? "params" : "", opts->params_type},
        [VAR_AUTHORIZER] = {"authorizer", &cel_type_authorizer},
        [VAR_RESOURCE] = {"authorizer.requestResource", &cel_type_resource_check},
        [VAR_VARIABLES] = {n ? "variables" : "", &env->type}};
    memcpy(env->vars, fixed, sizeof(fixed));
    memcpy(env->quiet, fixed, sizeof(fixed));
    env->quiet[VAR_AUTHORIZER].name = env->quiet[VAR_RESOURCE].name = "";
    return env;
}

void cel_admission_env_free(struct cel_admission_env *env)
{
    for (uint32_t i = 0; env && i < env->n; i++) {
        cel_program_free(env->variables[i].program);
    }
    if (env) {
        arena_fini(&env->arena);
        mem_free(env);
    }
}

void cel_admission_env_freep(struct cel_admission_env **env)
{
    cel_admission_env_free(*env);
}

/* ---- compilation ---- */

static const char *compile(const struct cel_admission_env *env, struct arena *a, bool authorizer,
                           struct str text, struct cel_program **ret, struct arena *types,
                           const struct cel_type **ret_type)
{
    CLEANUP(buf_finip) struct buf issues = BUF_INIT;
    struct cel_compile_opts opts = {.vars = authorizer ? env->vars : env->quiet,
                                    .n_vars = VAR_NR + env->n,
                                    .flags = CEL_F_ALL,
                                    .issues = &issues,
                                    .types = types,
                                    .ret_type = ret_type};
    struct err err;
    if (cel_compile(text, &opts, ret, &err) == 0) {
        return NULL;
    }
    const char *why = buf_len(&issues) ? arena_str(a, buf_str(&issues)) : err.text;
    why = arena_printf(a, "compilation failed: %s", why);
    return why ? why : "out of memory";
}

const char *cel_admission_compile(const struct cel_admission_env *env, struct arena *a,
                                  bool authorizer, struct str text, enum cel_admission_want want,
                                  struct cel_program **ret)
{
    CLEANUP(cel_program_freep) struct cel_program *p = NULL;
    const char *problem = compile(env, a, authorizer, text, &p, NULL, NULL);
    if (problem) {
        return problem;
    }
    enum cel_kind kind = cel_program_kind(p);
    if (want == CEL_WANT_BOOL && kind != CEL_BOOL && kind != CEL_DYN) {
        return "must evaluate to bool";
    }
    if (want == CEL_WANT_STRING && kind != CEL_STRING && kind != CEL_DYN) {
        return "must evaluate to string";
    }
    if (want == CEL_WANT_STRING_OR_NULL && kind != CEL_STRING && kind != CEL_NULL &&
        kind != CEL_DYN) {
        return "must evaluate to one of [string null_type]";
    }
    if (ret) {
        *ret = TAKE_PTR(p);
    }
    return NULL;
}

/* Keeps the fields in the order of their names. */
static void add_field(struct cel_admission_env *env, const char *name, const struct cel_type *type)
{
    env->fields[env->type.n_fields++] =
        (struct cel_field){.name = name, .json_name = name, .type = type};
    cel_fields_sort(env->fields, env->type.n_fields);
}

const char *cel_admission_declare(struct cel_admission_env *env, struct arena *a, struct str name,
                                  struct str text)
{
    const struct cel_type *type = NULL;
    struct cel_program *p = NULL;
    if (env->n == env->max) {
        return "too many variables";
    }
    const char *problem = compile(env, a, /* authorizer= */ true, text, &p, &env->arena, &type);
    if (problem) {
        return problem;
    }
    const char *short_name = arena_str(&env->arena, name);
    const char *full = arena_printf(&env->arena, "variables." STR_FMT, STR_ARG(name));
    const char *source = arena_str(&env->arena, text);
    if (arena_failed(&env->arena)) {
        cel_program_free(p);
        return "out of memory";
    }
    env->variables[env->n] = (struct cel_admission_variable){short_name, source, p};
    env->vars[VAR_NR + env->n] = env->quiet[VAR_NR + env->n] = (struct cel_var){full, type};
    env->n++;
    add_field(env, short_name, type);
    return NULL;
}

const char *cel_condition_problem(struct arena *a, struct str text)
{
    CLEANUP(cel_admission_env_freep)
    struct cel_admission_env *env = cel_admission_env_new(&(struct cel_admission_opts){0});
    return env ? cel_admission_compile(env, a, true, text, CEL_WANT_BOOL, NULL) : "out of memory";
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of expressions about a request, within a budget. */
#include "cel_admission_private.h"

/* ---- variables ---- */

static struct cel_value failed(struct cel_admission_run *run, const char *name,
                               const struct err *err)
{
    const char *text =
        arena_printf(run->a, "composited variable \"%s\" fails to evaluate: %s", name, err->text);
    return cel_error(str_of(text ? text : "out of memory"));
}

static int eval(struct cel_admission_run *run, const struct cel_program *p, struct cel_value *ret,
                uint64_t *ret_cost, struct err *err);

/* `variables` itself: has(variables.x) asks which there are. */
static struct cel_value all_variables(struct cel_admission_run *run)
{
    const struct cel_admission_env *env = run->env;
    struct str *names = arena_alloc(run->a, (env->n + 1) * sizeof(*names));
    struct cel_value *values = arena_alloc(run->a, (env->n + 1) * sizeof(*values));
    if (!names || !values) {
        return cel_error(STR_LIT("out of memory"));
    }
    for (uint32_t i = 0; i < env->n; i++) {
        names[i] = str_of(env->variables[i].name);
        values[i] = cel_error(STR_LIT("variables are read by their names only"));
    }
    return cel_map_of(run->a, names, values, env->n);
}

/* The value of a variable that is read for the first time; kept for the next. A variable sees those
 * before it only, and LIMIT_CEL_VARIABLE_DEPTH bounds how far that goes. */
static void read_variable(void *arg, uint32_t var, struct cel_value *ret)
{
    struct cel_admission_run *run = arg;
    struct err err = {0};
    uint64_t cost = 0;
    if (var == VAR_VARIABLES) {
        run->values[var] = all_variables(run);
        *ret = run->values[var];
        return;
    }
    const struct cel_admission_variable *v = &run->env->variables[var - VAR_NR];
    if (run->spent_on_variables >= run->left) {
        (void)err_set(&err, -E_LIMIT, "operation cancelled: actual cost limit exceeded");
        *ret = failed(run, v->name, &err);
        return;
    }
    if (run->depth >= LIMIT_CEL_VARIABLE_DEPTH) {
        (void)err_set(&err, -E_LIMIT, "variables refer to each other too deeply");
        *ret = failed(run, v->name, &err);
        return;
    }
    run->depth++;
    int rc = eval(run, v->program, ret, &cost, &err);
    run->depth--;
    run->spent_on_variables += cost;
    if (rc < 0) {
        *ret = failed(run, v->name, &err);
    }
    run->values[var] = *ret;
}

/* ---- evaluation ---- */

static int eval(struct cel_admission_run *run, const struct cel_program *p, struct cel_value *ret,
                uint64_t *ret_cost, struct err *err)
{
    struct cel_input in = {.arena = run->a, .vars = run->values, .lazy = read_variable, .arg = run};
    return cel_eval(p, &in, ret, ret_cost, NULL, err);
}

/* authorizer.requestResource: what the request itself is about. */
static struct cel_value request_resource(struct cel_admission_run *run,
                                         const struct cel_admission_input *in)
{
    const struct json *r = in->request;
    const struct cel_access q = {.path = "",
                                 .verb = "",
                                 .group = json_path_cstr(r, "requestResource.group", ""),
                                 .resource = json_path_cstr(r, "requestResource.resource", ""),
                                 .subresource = json_path_cstr(r, "requestSubResource", ""),
                                 .ns = json_path_cstr(r, "namespace", ""),
                                 .name = json_path_cstr(r, "name", ""),
                                 .field_selector = "",
                                 .label_selector = "",
                                 .account_ns = "",
                                 .account = ""};
    return cel_resource_check(run->a, in->authorizer, &q);
}

int cel_admission_start(struct cel_admission_run *run, const struct cel_admission_env *env,
                        struct arena *a, const struct cel_admission_input *in)
{
    uint32_t n = VAR_NR + env->n;
    struct cel_value absent = cel_error(STR_LIT("no such attribute(s): authorizer"));
    *run = (struct cel_admission_run){.env = env, .a = a, .left = CEL_COST_PER_POLICY};
    run->values = arena_alloc(a, n * sizeof(*run->values));
    if (!run->values) {
        return -E_NOMEM;
    }
    struct cel_value *v = run->values;
    v[VAR_OBJECT] = cel_from_json(json_get(in->request, "object"), env->vars[VAR_OBJECT].type);
    v[VAR_OLD_OBJECT] =
        cel_from_json(json_get(in->request, "oldObject"), env->vars[VAR_OBJECT].type);
    v[VAR_REQUEST] = cel_from_json(in->request, cel_admission_request_type);
    v[VAR_NAMESPACE] = cel_from_json(in->ns, cel_admission_namespace_type);
    v[VAR_PARAMS] = cel_from_json(in->params, env->vars[VAR_PARAMS].type);
    v[VAR_AUTHORIZER] = in->authorizer ? cel_authorizer(in->authorizer) : absent;
    v[VAR_RESOURCE] = in->authorizer ? request_resource(run, in) : absent;
    for (uint32_t i = VAR_VARIABLES; i < n; i++) {
        v[i] = cel_lazy();
    }
    return arena_failed(a) ? -E_NOMEM : 0;
}

void cel_admission_budget(struct cel_admission_run *run, uint64_t budget)
{
    run->left = budget;
}

int cel_admission_eval(struct cel_admission_run *run, const struct cel_program *p, struct str text,
                       struct cel_value *ret, struct err *err)
{
    uint64_t cost = 0;
    run->spent_on_variables = 0;
    int rc = eval(run, p, ret, &cost, err);
    cost += run->spent_on_variables;
    if (rc == -E_NOMEM) {
        return rc;
    }
    if (cost > run->left) {
        run->left = 0;
        return err_set(err, -E_LIMIT,
                       "validation failed due to running out of cost budget, no further "
                       "validation rules will be run");
    }
    run->left -= cost;
    if (rc < 0) {
        (void)err_wrap(err, rc, "expression '" STR_FMT "' resulted in error", STR_ARG(text));
        return -E_INVAL;
    }
    return 0;
}

/* ---- conditions ---- */

/* One condition; negative when it cannot tell. */
static int holds(struct cel_admission_run *run, const struct cel_program *p, struct str text,
                 bool *ret, struct err *err)
{
    struct cel_value v;
    int rc = cel_admission_eval(run, p, text, &v, err);
    if (rc == 0 && v.kind != CEL_BOOL) {
        return err_set(err, -E_INVAL, "expression '" STR_FMT "' must evaluate to bool",
                       STR_ARG(text));
    }
    if (rc == 0) {
        *ret = v.b;
    }
    return rc;
}

enum cel_match cel_admission_match(struct cel_admission_run *run, const struct json *conditions,
                                   struct cel_program *const *programs, struct err *err)
{
    enum cel_match result = CEL_MATCH_YES;
    size_t i = 0;
    JSON_FOR_EACH (c, conditions) {
        bool ok = false;
        struct err later, *to = result == CEL_MATCH_FAILED ? &later : err;
        int rc = holds(run, programs[i++], json_text(json_get(c, "expression")), &ok, to);
        if (rc == -E_LIMIT || rc == -E_NOMEM) {
            return CEL_MATCH_FAILED;
        }
        if (rc < 0) {
            result = CEL_MATCH_FAILED;
        } else if (!ok) {
            return CEL_MATCH_NO;
        }
    }
    return result;
}

/* They are compiled when they are needed: beside the call of a webhook that costs nothing. */
static enum cel_match compile_and_match(struct arena *a, const struct cel_admission_env *env,
                                        const struct json *conditions,
                                        const struct cel_admission_input *in,
                                        struct cel_program **programs, struct err *err)
{
    struct cel_admission_run run;
    size_t i = 0;
    JSON_FOR_EACH (c, conditions) {
        const char *problem = cel_admission_compile(
            env, a, true, json_text(json_get(c, "expression")), CEL_WANT_BOOL, &programs[i++]);
        if (problem) {
            (void)err_set(err, -E_INVAL, "%s", problem);
            return CEL_MATCH_FAILED;
        }
    }
    if (cel_admission_start(&run, env, a, in) < 0) {
        (void)err_set(err, -E_NOMEM, "out of memory");
        return CEL_MATCH_FAILED;
    }
    cel_admission_budget(&run, CEL_COST_PER_CONDITIONS);
    return cel_admission_match(&run, conditions, programs, err);
}

enum cel_match cel_match_conditions(struct arena *a, const struct json *conditions,
                                    const struct cel_admission_input *in, struct err *err)
{
    size_t n = json_len(conditions);
    if (n == 0) {
        return CEL_MATCH_YES;
    }
    CLEANUP(cel_admission_env_freep)
    struct cel_admission_env *env = cel_admission_env_new(&(struct cel_admission_opts){0});
    struct cel_program **programs = arena_zalloc(a, n * sizeof(*programs));
    if (!env || !programs) {
        (void)err_set(err, -E_NOMEM, "out of memory");
        return CEL_MATCH_FAILED;
    }
    enum cel_match result = compile_and_match(a, env, conditions, in, programs, err);
    for (size_t i = 0; i < n; i++) {
        cel_program_free(programs[i]);
    }
    return result;
}

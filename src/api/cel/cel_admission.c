/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions about a request. They are compiled when they are needed: beside the call of a webhook
 * that costs nothing. */
#include "cel_admission.h"

#include "base/mem.h"

enum { VAR_OBJECT, VAR_OLD_OBJECT, VAR_REQUEST, VAR_NR };

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

static const struct cel_var vars[VAR_NR] = {[VAR_OBJECT] = {"object", NULL},
                                            [VAR_OLD_OBJECT] = {"oldObject", NULL},
                                            [VAR_REQUEST] = {"request", &type_request}};

static int compile(struct str text, struct buf *issues, struct cel_program **ret, struct err *err)
{
    struct cel_compile_opts opts = {
        .vars = vars, .n_vars = VAR_NR, .flags = CEL_F_ALL, .issues = issues};
    return cel_compile(text, &opts, ret, err);
}

const char *cel_condition_problem(struct arena *a, struct str text)
{
    CLEANUP(cel_program_freep) struct cel_program *p = NULL;
    CLEANUP(buf_finip) struct buf issues = BUF_INIT;
    struct err err;
    int rc = compile(text, &issues, &p, &err);
    if (rc < 0) {
        const char *why = buf_len(&issues) ? arena_str(a, buf_str(&issues)) : err.text;
        return arena_printf(a, "compilation failed: %s", why);
    }
    enum cel_kind kind = cel_program_kind(p);
    return kind == CEL_BOOL || kind == CEL_DYN ? NULL : "must evaluate to bool";
}

/* One condition; -E_INVAL when it cannot tell. */
static int holds(struct arena *a, struct str text, const struct cel_value *values, bool *ret,
                 struct err *err)
{
    CLEANUP(cel_program_freep) struct cel_program *p = NULL;
    struct cel_input in = {.arena = a, .vars = values};
    struct cel_value v;
    int rc = compile(text, NULL, &p, err);
    if (rc == 0) {
        rc = cel_eval(p, &in, &v, NULL, NULL, err);
    }
    if (rc == 0 && v.kind != CEL_BOOL) {
        rc = err_set(err, -E_INVAL, "must evaluate to bool");
    }
    if (rc < 0) {
        return err_wrap(err, rc, "expression '" STR_FMT "' resulted in error", STR_ARG(text));
    }
    *ret = v.b;
    return 0;
}

enum cel_match cel_match_conditions(struct arena *a, const struct json *conditions,
                                    const struct json *request, struct err *err)
{
    enum cel_match result = CEL_MATCH_YES;
    const struct cel_value values[VAR_NR] = {
        [VAR_OBJECT] = cel_from_json(json_get(request, "object"), NULL),
        [VAR_OLD_OBJECT] = cel_from_json(json_get(request, "oldObject"), NULL),
        [VAR_REQUEST] = cel_from_json(request, &type_request)};
    JSON_FOR_EACH (c, conditions) {
        bool ok = false;
        struct err *first = result == CEL_MATCH_FAILED ? NULL : err;
        if (holds(a, json_text(json_get(c, "expression")), values, &ok, first) < 0) {
            result = CEL_MATCH_FAILED;
        } else if (!ok) {
            return CEL_MATCH_NO;
        }
    }
    return result;
}

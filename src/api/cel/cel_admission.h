/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions about a request: matchConditions of admission webhooks and everything in a
 * ValidatingAdmissionPolicy (kubernetes.io, "Dynamic Admission Control" and "Validating Admission
 * Policy").
 *
 *     object, oldObject              anything, or of a declared type; null where there is none
 *     request                        the fields of AdmissionReview's request
 *     namespaceObject                the namespace of the object, or null
 *     params                         where the policy has a paramKind
 *     authorizer, authorizer.requestResource
 *     variables.NAME                 expressions of the policy, evaluated when they are first read
 *
 * An environment holds what can be seen and the compiled variables; a run evaluates expressions of
 * one environment against one request, within one budget.
 */
#ifndef API_CEL_CEL_ADMISSION_H
#define API_CEL_CEL_ADMISSION_H

#include "cel.h"

/* ---- what expressions see ---- */

struct cel_admission_env;

struct cel_admission_opts {
    bool params;
    uint32_t max_variables;                      /* that will be declared */
    const struct cel_type *object, *params_type; /* NULL = anything; borrowed */
};

/* NULL when memory is short. */
struct cel_admission_env *cel_admission_env_new(const struct cel_admission_opts *opts);
void cel_admission_env_free(struct cel_admission_env *env); /* NULL is fine */
void cel_admission_env_freep(struct cel_admission_env **env);

/* Declares variables.NAME for what is compiled after it. NULL, or why not ("compilation failed:
 * ERROR: ..."), in the arena; a variable that does not compile is not there. */
const char *cel_admission_declare(struct cel_admission_env *env, struct arena *a, struct str name,
                                  struct str text);

enum cel_admission_want { CEL_WANT_BOOL, CEL_WANT_STRING, CEL_WANT_STRING_OR_NULL, CEL_WANT_ANY };

/* Compiles. NULL and *ret (which may be NULL: then it is only tried), or why not, in the arena.
 * authorizer: whether it is to be seen. */
const char *cel_admission_compile(const struct cel_admission_env *env, struct arena *a,
                                  bool authorizer, struct str text, enum cel_admission_want want,
                                  struct cel_program **ret);

/* Why the text cannot be a condition of a webhook, or NULL. In the arena. */
const char *cel_condition_problem(struct arena *a, struct str text);

/* ---- evaluation ---- */

/* What Kubernetes allows all expressions of a policy together, and its conditions. */
#define CEL_COST_PER_POLICY 10000000u
#define CEL_COST_PER_CONDITIONS 2500000u

struct cel_admission_input {
    const struct json *request;     /* AdmissionReview's request with object and oldObject in it */
    const struct json *params, *ns; /* NULL = null */
    const struct cel_authorizer *authorizer; /* NULL = reading it is an error */
};

struct cel_admission_run {
    /* private */
    const struct cel_admission_env *env;
    struct arena *a;
    struct cel_value *values;
    uint64_t left; /* of the budget */
    uint64_t spent_on_variables;
    unsigned depth;
};

/* 0 or -E_NOMEM. Everything is borrowed and must outlive the run. */
int cel_admission_start(struct cel_admission_run *run, const struct cel_admission_env *env,
                        struct arena *a, const struct cel_admission_input *in);
void cel_admission_budget(struct cel_admission_run *run, uint64_t budget);
/* Evaluates a program of the environment; text is its source, for messages. 0; -E_INVAL with
 * "expression '...' resulted in error: ..."; -E_LIMIT when the budget is used up: nothing more is
 * to be evaluated then; -E_NOMEM. */
int cel_admission_eval(struct cel_admission_run *run, const struct cel_program *p, struct str text,
                       struct cel_value *ret, struct err *err);

enum cel_match { CEL_MATCH_YES, CEL_MATCH_NO, CEL_MATCH_FAILED };

/* Conditions: the list of {name, expression}; programs of the same order. No when one is false;
 * failed, with err, when one could not be evaluated and none is false. */
enum cel_match cel_admission_match(struct cel_admission_run *run, const struct json *conditions,
                                   struct cel_program *const *programs, struct err *err);
/* The same of conditions that are not compiled yet, of a webhook; NULL and empty match. */
enum cel_match cel_match_conditions(struct arena *a, const struct json *conditions,
                                    const struct cel_admission_input *in, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ValidatingAdmissionPolicies (admissionregistration.k8s.io/v1): rules in CEL, put into force by
 * bindings. The plug-in is policy.c.
 *
 * policy_set.c keeps policies compiled and their bindings beside them, policy_params.c finds the
 * objects that parametrise a policy, policy.c asks and decides.
 */
#ifndef API_ADMISSION_POLICY_H
#define API_ADMISSION_POLICY_H

#include "api/admission/match.h"
#include "api/cel/cel_admission.h"

struct policy_set;

struct policy_binding {
    const char *name;
    const struct json *param_ref; /* NULL = none */
    struct admission_match match; /* narrows the policy's */
    bool narrowed;                /* match counts */
    bool deny, warn, audit;       /* validationActions */
};

struct policy {
    const char *name;
    const struct json *spec;
    struct admission_match match;
    bool ignore_failure; /* failurePolicy: Ignore */
    const char *problem; /* why it cannot be compiled (any more); NULL = fine */
    struct cel_admission_env *env;
    /* In the order of the spec's lists; an entry of messages is NULL where there is none. */
    struct cel_program **conditions, **validations, **messages, **annotations;
    struct policy_binding *bindings;
    size_t n_bindings;
};

/* Follows the store's policies and bindings. NULL with err. */
struct policy_set *policy_set_new(struct api_server *s, struct err *err);
void policy_set_free(struct policy_set *set); /* NULL is fine */
/* The policies that have bindings, by name; valid until the store is written. */
const struct policy *policy_set_all(struct policy_set *set, size_t *ret_n);

/* The objects with which a binding's policy is to be asked: NULL entries where it has none. They
 * lie in the operation's arena. 0; or -E_INVAL with why the binding is not in order. */
int policy_params(struct admission *ad, const struct policy *p, const struct policy_binding *b,
                  struct json ***ret, size_t *ret_n, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of expressions about a request: made by cel_admission.c, run by
 * cel_admission_run.c. */
#ifndef API_CEL_CEL_ADMISSION_PRIVATE_H
#define API_CEL_CEL_ADMISSION_PRIVATE_H

#include "base/limits.h"
#include "base/mem.h"
#include "cel_admission.h"

/* The places of variables; those of the policy follow. */
enum {
    VAR_OBJECT,
    VAR_OLD_OBJECT,
    VAR_REQUEST,
    VAR_NAMESPACE,
    VAR_PARAMS,
    VAR_AUTHORIZER,
    VAR_RESOURCE,
    VAR_VARIABLES,
    VAR_NR
};

struct cel_admission_variable {
    const char *name, *text;
    struct cel_program *program;
};

struct cel_admission_env {
    struct arena arena;
    struct cel_var *vars, *quiet; /* with authorizer, and without */
    struct cel_field *fields;     /* of the type of `variables` */
    struct cel_type type;
    struct cel_admission_variable *variables;
    uint32_t n, max;
};

extern const struct cel_type *const cel_admission_request_type, *const cel_admission_namespace_type;

#endif

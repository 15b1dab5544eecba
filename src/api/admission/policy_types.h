/* SPDX-License-Identifier: Apache-2.0 */
/* Type checking of admission policies: what the types of the objects that a policy is about say to
 * its expressions. Warnings only; at run time everything may be anything. */
#ifndef API_ADMISSION_POLICY_TYPES_H
#define API_ADMISSION_POLICY_TYPES_H

#include "base/arena.h"
#include "codec/json.h"

/* The list expressionWarnings of a policy's status.typeChecking; empty when nothing looks wrong.
 * In the arena; NULL when memory is short. Loop thread only: it reads the registry of kinds. */
struct json *policy_type_warnings(struct arena *a, const struct json *policy);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an openAPIV3Schema is structural, in Kubernetes' words (apiextensions/validation and
 * apiserver/schema): what must be said, what must not be said, and that defaults are valid.
 */
#ifndef API_CRD_CRD_STRUCTURAL_H
#define API_CRD_CRD_STRUCTURAL_H

#include "api/status.h"

/* Adds what is wrong, with paths below path. At most so many errors as struct field_errors keeps.
 */
void crd_structural_check(struct field_errors *e, const char *path, const struct json *schema);

#endif

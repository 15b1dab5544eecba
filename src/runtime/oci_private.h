/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the OCI specification builder. */
#ifndef RUNTIME_OCI_PRIVATE_H
#define RUNTIME_OCI_PRIVATE_H

#include "runtime/oci_spec.h"

struct json *oci_seccomp_default(struct arena *a, bool (*has_cap)(const void *arg, const char *cap),
                                 const void *arg);

#endif

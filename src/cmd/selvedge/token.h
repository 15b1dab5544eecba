/* SPDX-License-Identifier: Apache-2.0 */
/* Join tokens; see token.c for their form. */
#ifndef SELVEDGE_TOKEN_H
#define SELVEDGE_TOKEN_H

#include <stdint.h>

#include "base/err.h"

struct admin;

/* ttl_us 0 = never expires. The caller frees *ret (mem_free). */
int token_create(struct admin *admin, int64_t ttl_us, char **ret, struct err *err);

#endif

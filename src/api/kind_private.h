/* SPDX-License-Identifier: Apache-2.0 */
/* The generated table of kinds, for kind.c alone. */
#ifndef API_KIND_PRIVATE_H
#define API_KIND_PRIVATE_H

#include "api/kind.h"

extern const struct kind kind_table[];
extern const size_t kind_table_n;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of selectors share. */
#ifndef API_SELECTOR_PRIVATE_H
#define API_SELECTOR_PRIVATE_H

#include "selector.h"

int selector_new(struct arena *a, struct selector **ret); /* 0 or -E_NOMEM */
/* Appends a copy of t (its texts are borrowed). -E_LIMIT, -E_NOMEM with err. */
int selector_add(struct arena *a, struct selector *s, const struct selector_term *t,
                 struct err *err);

#endif

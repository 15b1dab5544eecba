/* SPDX-License-Identifier: Apache-2.0 */
/* The objects that plug-ins ask about, in their newest state. */
#ifndef API_ADMISSION_LOOKUP_H
#define API_ADMISSION_LOOKUP_H

#include "api/admission/admission.h"

struct lookup {
    struct json **v;
    size_t n;
};

/* The objects of a kind in ns (NULL = all); only those whose text holds `needle` are parsed, unless
 * it is NULL. Empty when memory is short (the arena is failed then). */
struct lookup lookup_all(struct api_server *s, struct arena *a, const struct kind *k,
                         const char *ns, const char *needle);

#endif

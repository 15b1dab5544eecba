/* SPDX-License-Identifier: Apache-2.0 */
/* Query strings; see http.h. */
#include "http.h"

#include "base/encode.h"

bool http_query_next(struct arena *a, struct str *at, const char **ret_name, const char **ret_value)
{
    while (at->n) {
        struct str pair, name, value;
        (void)str_cut(*at, '&', &pair, at);
        (void)str_cut(pair, '=', &name, &value);
        char *n = percent_decode(a, name, true), *v = percent_decode(a, value, true);
        if (pair.n && n && v) {
            *ret_name = n;
            *ret_value = v;
            return true;
        }
    }
    return false;
}

const char *http_query_get(struct arena *a, struct str query, const char *name)
{
    const char *n, *v;
    while (http_query_next(a, &query, &n, &v)) {
        if (cstr_eq(n, name)) {
            return v;
        }
    }
    return NULL;
}

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

bool http_query_valid(struct str query)
{
    for (size_t i = 0; i < query.n; i++) {
        if (query.p[i] == '%') {
            unsigned char byte;
            if (query.n - i < 3 || hex_decode(str_n(query.p + i + 1, 2), &byte, 1) != 1 ||
                byte == 0) {
                return false;
            }
            i += 2;
        } else if (query.p[i] == '\0') {
            return false;
        }
    }
    return true;
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of HTTP messages; see http_head.h. */
#include "http_head.h"

#include <errno.h>

struct str http_header_get(const struct http_headers *h, const char *name)
{
    for (size_t i = 0; i < h->n; i++) {
        if (str_iis(h->v[i].name, name)) {
            return h->v[i].value;
        }
    }
    return STR_NULL;
}

bool http_header_has(const struct http_headers *h, const char *name)
{
    return http_header_get(h, name).p != NULL;
}

bool http_header_has_token(const struct http_headers *h, const char *name, const char *token)
{
    for (size_t i = 0; i < h->n; i++) {
        struct str rest = h->v[i].value, item;
        if (!str_iis(h->v[i].name, name)) {
            continue;
        }
        while (rest.n) {
            (void)str_cut(rest, ',', &item, &rest);
            if (str_iis(str_trim(item), token)) {
                return true;
            }
        }
    }
    return false;
}

int http_header_add(struct arena *a, struct http_headers *h, struct str name, struct str value)
{
    /* Room for 8 more whenever the count is a multiple of 8. */
    if (h->n % 8 == 0) {
        struct http_header *v = arena_grow(a, h->v, h->n * sizeof *v, (h->n + 8) * sizeof *v);
        if (!v) {
            return -ENOMEM;
        }
        h->v = v;
    }
    char *n = arena_str(a, name), *v = arena_str(a, value);
    if (!n || !v) {
        return -ENOMEM;
    }
    h->v[h->n++] = (struct http_header){str_n(n, name.n), str_n(v, value.n)};
    return 0;
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].status == status) {
            return table[i].text;
        }
    }
    return "";
}

bool http_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c))) {
            return false;
        }
    }
    return s.n > 0;
}

bool http_is_field_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

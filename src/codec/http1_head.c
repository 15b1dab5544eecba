/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of an HTTP/1.1 head: request or status line, headers, and what they say about the
 * body (RFC 9112 sections 3 to 6). Every doubt about the body's length is a refusal.
 */
#include <errno.h>

#include "base/limits.h"
#include "http1_private.h"

#define CONTENT_LENGTH_MAX ((uint64_t)1 << 60)

/* The next line without its CRLF. Lines were checked to end in CRLF. */
static struct str take_line(struct str *text)
{
    struct str line, rest;
    (void)str_cut(*text, '\n', &line, &rest);
    *text = rest;
    if (line.n) {
        line.n--; /* the CR */
    }
    return line;
}

static bool visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == 0x7f) {
            return false;
        }
    }
    return s.n > 0;
}

static int parse_version(struct str s, int *ret)
{
    if (s.n != 8 || memcmp(s.p, "HTTP/", 5) != 0 || s.p[6] != '.' || s.p[5] < '0' || s.p[5] > '9' ||
        s.p[7] < '0' || s.p[7] > '9') {
        return 400;
    }
    if (s.p[5] != '1') {
        return 505;
    }
    *ret = s.p[7] == '0' ? 10 : 11;
    return 0;
}

static int parse_request_line(struct str line, struct http_head *h, const char **ret_error)
{
    struct str rest, version;
    *ret_error = "bad request line";
    if (!str_cut(line, ' ', &h->method, &rest) || !str_cut(rest, ' ', &h->target, &version) ||
        !http_is_token(h->method) || !visible(h->target)) {
        return 400;
    }
    int status = parse_version(version, &h->version);
    if (status) {
        *ret_error = status == 505 ? "HTTP version not supported" : "bad HTTP version";
        return status;
    }
    bool connect = str_is(h->method, "CONNECT");
    bool path = h->target.p[0] == '/' || (str_is(h->target, "*") && str_is(h->method, "OPTIONS"));
    bool absolute = str_starts(h->target, "http://") || str_starts(h->target, "https://");
    if (connect ? path || absolute : !path && !absolute) {
        *ret_error = "bad request target";
        return 400;
    }
    return 0;
}

static int parse_status_line(struct str line, struct http_head *h, const char **ret_error)
{
    struct str version, rest, code, phrase;
    *ret_error = "bad status line";
    (void)str_cut(line, ' ', &version, &rest);
    (void)str_cut(rest, ' ', &code, &phrase);
    if (parse_version(version, &h->version) != 0 || code.n != 3 || code.p[0] < '1' ||
        !http_is_field_value(phrase)) {
        return 400;
    }
    for (size_t i = 0; i < 3; i++) {
        if (code.p[i] < '0' || code.p[i] > '9') {
            return 400;
        }
        h->status = h->status * 10 + code.p[i] - '0';
    }
    return 0;
}

static int parse_headers(struct str text, struct arena *a, struct http_headers *h,
                         const char **ret_error)
{
    size_t cap = 0;
    while (text.n) {
        struct str line = take_line(&text), name, value;
        if (line.n == 0) {
            return 0; /* the blank line: the last one */
        }
        if (h->n == LIMIT_HEADER_COUNT) {
            *ret_error = "too many headers";
            return 431;
        }
        if (!str_cut(line, ':', &name, &value) || !http_is_token(name) ||
            !http_is_field_value(value)) {
            *ret_error = "bad header line";
            return 400;
        }
        if (h->n == cap) {
            struct http_header *v = arena_grow(a, h->v, cap * sizeof *v, (cap + 16) * sizeof *v);
            if (!v) {
                *ret_error = "out of memory";
                return 503;
            }
            h->v = v;
            cap += 16;
        }
        h->v[h->n++] = (struct http_header){name, str_trim(value)};
    }
    return 0;
}

/* All Content-Length lines and list items must be the same number (RFC 9112 section 6.3). */
static int read_length(const struct http_head *h, int64_t *ret)
{
    int64_t length = -1;
    for (size_t i = 0; i < h->headers.n; i++) {
        struct str rest = h->headers.v[i].value, item;
        if (!str_iis(h->headers.v[i].name, "content-length")) {
            continue;
        }
        do {
            uint64_t n;
            bool more = str_cut(rest, ',', &item, &rest);
            item = str_trim(item);
            if (str_u64(item, &n) < 0 || n > CONTENT_LENGTH_MAX || item.p[0] == '+' ||
                (length >= 0 && (uint64_t)length != n)) {
                return -EINVAL;
            }
            length = (int64_t)n;
            if (!more) {
                break;
            }
        } while (true);
    }
    *ret = length;
    return 0;
}

static size_t count(const struct http_headers *h, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        n += str_iis(h->v[i].name, name);
    }
    return n;
}

static int read_framing(enum http1_role role, bool no_body, struct http_head *h,
                        struct http1_framing *f, const char **ret_error)
{
    size_t codings = count(&h->headers, "transfer-encoding");
    if (read_length(h, &h->content_length) < 0) {
        *ret_error = "bad Content-Length";
        return 400;
    }
    if (codings && (h->content_length >= 0 || h->version == 10)) {
        *ret_error = "Transfer-Encoding with Content-Length or in HTTP/1.0";
        return 400;
    }
    if (codings > 1 ||
        (codings && !str_iis(http_header_get(&h->headers, "transfer-encoding"), "chunked"))) {
        *ret_error = "Transfer-Encoding other than chunked";
        return role == HTTP1_REQUEST ? 501 : 400;
    }
    bool bodiless = h->status / 100 == 1 || h->status == 204 || h->status == 304;
    if (role == HTTP1_RESPONSE && (bodiless || no_body)) {
        return 0;
    }
    f->chunked = codings == 1;
    f->length = h->content_length > 0 ? (uint64_t)h->content_length : 0;
    f->to_eof = role == HTTP1_RESPONSE && !f->chunked && h->content_length < 0;
    return 0;
}

static int check_host(struct http_head *h, const char **ret_error)
{
    size_t hosts = count(&h->headers, "host");
    h->authority = http_header_get(&h->headers, "host");
    if (hosts > 1 || (hosts == 0 && h->version == 11)) {
        *ret_error = "exactly one Host header is needed";
        return 400;
    }
    for (size_t i = 0; i < h->authority.n; i++) {
        if ((unsigned char)h->authority.p[i] <= 0x20 || strchr("/?#@\\", h->authority.p[i])) {
            *ret_error = "bad Host header";
            return 400;
        }
    }
    return 0;
}

/* "http://host/path" (section 3.2.2): the path is what counts, the host replaces the header. */
static void split_absolute(struct http_head *h)
{
    if (h->target.p[0] == '/' || str_is(h->target, "*") || str_is(h->method, "CONNECT")) {
        return;
    }
    size_t skip = str_starts(h->target, "http://") ? 7 : 8, at = skip;
    while (at < h->target.n && !strchr("/?", h->target.p[at])) {
        at++;
    }
    h->authority = str_n(h->target.p + skip, at - skip);
    h->target = at < h->target.n && h->target.p[at] == '/'
                    ? str_n(h->target.p + at, h->target.n - at)
                    : STR_LIT("/");
}

int http1_parse_head(enum http1_role role, bool no_body, struct str text, struct arena *a,
                     struct http_head *head, struct http1_framing *ret, struct http1_event *ev,
                     const char **ret_error)
{
    struct str line = take_line(&text);
    *head = (struct http_head){.content_length = -1};
    int status = role == HTTP1_REQUEST ? parse_request_line(line, head, ret_error)
                                       : parse_status_line(line, head, ret_error);
    status = status ? status : parse_headers(text, a, &head->headers, ret_error);
    if (status == 0 && role == HTTP1_REQUEST) {
        status = check_host(head, ret_error);
    }
    if (status == 0 && role == HTTP1_RESPONSE && no_body == false && head->status == 101) {
        no_body = true;
    }
    status = status ? status : read_framing(role, no_body, head, ret, ret_error);
    if (status) {
        return status;
    }
    if (role == HTTP1_REQUEST) {
        split_absolute(head);
        ev->expect_continue =
            head->version == 11 && http_header_has_token(&head->headers, "expect", "100-continue");
    }
    bool close = http_header_has_token(&head->headers, "connection", "close");
    bool keep = http_header_has_token(&head->headers, "connection", "keep-alive");
    ev->keep_alive = !close && !ret->to_eof && (head->version == 11 || keep);
    return 0;
}

bool http1_trailers_fine(struct str text)
{
    while (text.n) {
        struct str line = take_line(&text), name, value;
        if (line.n == 0) {
            return text.n == 0;
        }
        if (line.p[line.n] != '\r' || !str_cut(line, ':', &name, &value) || !http_is_token(name) ||
            !http_is_field_value(value)) {
            return false;
        }
    }
    return false;
}

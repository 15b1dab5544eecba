/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framing of HTTP/1.1: where heads, chunks and messages end. See http1.h; the content of a head
 * is checked in http1_head.c.
 *
 *     HEAD --head complete--> BODY (length) ---------------------------> HEAD
 *                         \-> SIZE -> CHUNK -> CHUNK_END -> SIZE ... TRAILER -> HEAD
 *                         \-> TO_EOF --eof--> done
 *     any --malformed--> BROKEN
 */
#include "http1.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "http1_private.h"

enum { HEAD, BODY, SIZE, CHUNK, CHUNK_END, TRAILER, TO_EOF, ENDED, BROKEN };

/* line_flags */
enum { SAW_CR = 1, IN_EXTENSION = 2, SAW_DIGIT = 4 };

void http1_init(struct http1_parser *p, enum http1_role role)
{
    *p = (struct http1_parser){.role = role};
}

void http1_fini(struct http1_parser *p)
{
    buf_fini(&p->partial);
}

void http1_expect_no_body(struct http1_parser *p)
{
    p->no_body = true;
}

bool http1_idle(const struct http1_parser *p)
{
    return p->state == HEAD && buf_len(&p->partial) == 0;
}

static enum http1_type broken(struct http1_parser *p, struct http1_event *ev, int status,
                              const char *text)
{
    p->state = BROKEN;
    buf_fini(&p->partial);
    ev->status = status;
    (void)err_set(&ev->err,
                  status == 503   ? -ENOMEM
                  : status == 431 ? -E_LIMIT
                                  : -E_PROTO,
                  "%s", text);
    return HTTP1_ERROR;
}

/* ---- heads ---- */

/*
 * Scans for the end of the head in bytes that follow `seen` earlier ones. Returns the count of
 * bytes up to and with the blank line, 0 when it is not there yet, or -1 on a CR or LF that stands
 * alone.
 */
static ssize_t scan_head(const char *all, size_t n, size_t from)
{
    /* A line break may straddle the border: look again at the last three bytes. */
    for (size_t i = from > 3 ? from - 3 : 0; i < n; i++) {
        if (all[i] == '\0') {
            return -1;
        }
        if (all[i] == '\n' && (i == 0 || all[i - 1] != '\r')) {
            return -1;
        }
        if (all[i] == '\r' && i + 1 < n && all[i + 1] != '\n') {
            return -1;
        }
        if (all[i] == '\n' && i >= 3 && all[i - 2] == '\n') {
            return (ssize_t)i + 1;
        }
    }
    return 0;
}

static void start_body(struct http1_parser *p, const struct http1_framing *f)
{
    p->to_eof = f->to_eof;
    p->chunked = f->chunked;
    p->left = f->length;
    p->line_n = 0;
    p->line_flags = 0;
    p->state = f->chunked ? SIZE : f->to_eof ? TO_EOF : f->length ? BODY : ENDED;
}

/* The head is complete in `text`. */
static enum http1_type take_head(struct http1_parser *p, struct str text, struct arena *a,
                                 struct http1_event *ev)
{
    struct http1_framing f = {0};
    char *copy = arena_dup(a, text.p, text.n);
    struct http_head *head = arena_zalloc(a, sizeof *head);
    if (!copy || !head) {
        return broken(p, ev, 503, "out of memory");
    }
    const char *text_error = NULL;
    int status =
        http1_parse_head(p->role, p->no_body, str_n(copy, text.n), a, head, &f, ev, &text_error);
    if (status) {
        return broken(p, ev, status, text_error);
    }
    ev->head = head;
    ev->chunked = f.chunked || f.to_eof;
    ev->has_body = f.chunked || f.to_eof || f.length;
    if (head->status / 100 == 1 && head->status != 101) {
        p->state = HEAD; /* an informational response: the real one follows */
        return HTTP1_HEAD;
    }
    p->no_body = false;
    start_body(p, &f);
    return HTTP1_HEAD;
}

static enum http1_type next_head(struct http1_parser *p, struct str *in, struct arena *a,
                                 struct http1_event *ev)
{
    size_t had = buf_len(&p->partial);
    /* RFC 9112 section 2.2: an empty line before a request line is passed over. */
    while (had == 0 && p->role == HTTP1_REQUEST && in->n >= 2 && memcmp(in->p, "\r\n", 2) == 0) {
        in->p += 2;
        in->n -= 2;
    }
    if (had == 0) {
        ssize_t end = scan_head(in->p, in->n, 0);
        if (end > 0 && end <= LIMIT_HEADERS) {
            struct str text = str_n(in->p, (size_t)end);
            in->p += end;
            in->n -= (size_t)end;
            return take_head(p, text, a, ev);
        }
    }
    size_t take = MIN_OF(in->n, (size_t)LIMIT_HEADERS + 1 - had);
    if (take && buf_append(&p->partial, in->p, take) < 0) {
        return broken(p, ev, 503, "out of memory");
    }
    while (p->role == HTTP1_REQUEST && str_starts(buf_str(&p->partial), "\r\n")) {
        buf_consume(&p->partial, 2); /* the same, cut in two */
        had = had > 2 ? had - 2 : 0;
    }
    ssize_t end = scan_head(buf_data(&p->partial), buf_len(&p->partial), had);
    if (end < 0) {
        return broken(p, ev, 400, "a line of the head does not end in CRLF");
    }
    if (end > LIMIT_HEADERS || (end == 0 && buf_len(&p->partial) > LIMIT_HEADERS)) {
        return broken(p, ev, 431, "the head is too large");
    }
    size_t over = end ? buf_len(&p->partial) - (size_t)end : 0;
    in->p += take - over;
    in->n -= take - over;
    if (end == 0) {
        return HTTP1_MORE;
    }
    struct buf text = p->partial;
    buf_init(&p->partial, 0);
    enum http1_type type = take_head(p, str_n(buf_data(&text), (size_t)end), a, ev);
    buf_fini(&text);
    return type;
}

/* ---- bodies ---- */

static enum http1_type take_bytes(struct http1_parser *p, struct str *in, struct http1_event *ev,
                                  int next_state)
{
    size_t n = (size_t)MIN_OF((uint64_t)in->n, p->left);
    if (n == 0) {
        return HTTP1_MORE;
    }
    ev->data = str_n(in->p, n);
    in->p += n;
    in->n -= n;
    p->left -= n;
    if (p->left == 0) {
        p->state = next_state;
    }
    return HTTP1_BODY;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One byte of a chunk's size line: hex digits, an extension, CRLF. Returns NULL or what is wrong.
 */
static const char *size_byte(struct http1_parser *p, char c, bool *ret_end)
{
    if (++p->line_n > LIMIT_CHUNK_LINE) {
        return "a chunk's size line is too long";
    }
    if (p->line_flags & SAW_CR) {
        *ret_end = c == '\n';
        return *ret_end && p->line_flags & SAW_DIGIT ? NULL : "bad end of a chunk's size line";
    }
    if (c == '\r') {
        p->line_flags |= SAW_CR;
        return NULL;
    }
    if (p->line_flags & IN_EXTENSION) {
        return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f ? "bad chunk extension" : NULL;
    }
    int digit = hex_digit(c);
    if (digit < 0) {
        p->line_flags |= IN_EXTENSION;
        return c == ';' && p->line_flags & SAW_DIGIT ? NULL : "bad chunk size";
    }
    if (p->left >> 58) {
        return "the chunk size is too large";
    }
    p->line_flags |= SAW_DIGIT;
    p->left = p->left << 4 | (uint64_t)digit;
    return NULL;
}

static enum http1_type next_size(struct http1_parser *p, struct str *in, struct http1_event *ev)
{
    bool end = false;
    while (in->n && !end) {
        const char *wrong = size_byte(p, *in->p, &end);
        in->p++;
        in->n--;
        if (wrong) {
            return broken(p, ev, 400, wrong);
        }
    }
    if (end) {
        p->line_n = 0;
        p->line_flags = 0;
        p->state = p->left ? CHUNK : TRAILER;
    }
    return HTTP1_MORE;
}

static enum http1_type next_chunk_end(struct http1_parser *p, struct str *in,
                                      struct http1_event *ev)
{
    while (in->n && p->line_n < 2) {
        if (*in->p != "\r\n"[p->line_n]) {
            return broken(p, ev, 400, "a chunk is longer than its size");
        }
        p->line_n++;
        in->p++;
        in->n--;
    }
    if (p->line_n == 2) {
        p->line_n = 0;
        p->left = 0;
        p->state = SIZE;
    }
    return HTTP1_MORE;
}

/* Trailers are gathered like a head, checked and dropped. */
static enum http1_type next_trailer(struct http1_parser *p, struct str *in, struct http1_event *ev)
{
    while (in->n) {
        if (buf_len(&p->partial) == LIMIT_CHUNK_LINE) {
            return broken(p, ev, 431, "the trailers are too large");
        }
        if (buf_append(&p->partial, in->p, 1) < 0) {
            return broken(p, ev, 503, "out of memory");
        }
        in->p++;
        in->n--;
        struct str t = buf_str(&p->partial);
        bool empty = t.n == 2 && memcmp(t.p, "\r\n", 2) == 0;
        if (!empty && (t.n < 4 || memcmp(t.p + t.n - 4, "\r\n\r\n", 4) != 0)) {
            continue;
        }
        if (!empty && !http1_trailers_fine(t)) {
            return broken(p, ev, 400, "bad trailers");
        }
        buf_fini(&p->partial);
        p->state = ENDED;
        break;
    }
    return HTTP1_MORE;
}

enum http1_type http1_next(struct http1_parser *p, struct str *in, struct arena *a,
                           struct http1_event *ev)
{
    *ev = (struct http1_event){.err.code = 0};
    for (;;) {
        int before = p->state;
        enum http1_type type = HTTP1_MORE;
        switch (p->state) {
        case HEAD:
            type = in->n ? next_head(p, in, a, ev) : HTTP1_MORE;
            break;
        case BODY:
            type = take_bytes(p, in, ev, ENDED);
            break;
        case SIZE:
            type = next_size(p, in, ev);
            break;
        case CHUNK:
            type = take_bytes(p, in, ev, CHUNK_END);
            break;
        case CHUNK_END:
            type = next_chunk_end(p, in, ev);
            break;
        case TRAILER:
            type = next_trailer(p, in, ev);
            break;
        case TO_EOF:
            p->left = UINT64_MAX;
            type = take_bytes(p, in, ev, TO_EOF);
            break;
        case ENDED:
            p->state = HEAD;
            return HTTP1_END;
        case BROKEN:
            return broken(p, ev, 400, "the connection is broken");
        }
        if (type != HTTP1_MORE || p->state == before) {
            return type;
        }
    }
}

enum http1_type http1_eof(struct http1_parser *p, struct http1_event *ev)
{
    *ev = (struct http1_event){.err.code = 0};
    if (p->state == TO_EOF || p->state == ENDED) {
        p->state = HEAD;
        return HTTP1_END;
    }
    if (http1_idle(p)) {
        return HTTP1_MORE;
    }
    return broken(p, ev, 400, "the message was cut off");
}

/* ---- writing ---- */

int http1_put_request(struct buf *out, struct str method, struct str target)
{
    for (size_t i = 0; i < target.n; i++) {
        if ((unsigned char)target.p[i] <= 0x20 || target.p[i] == 0x7f) {
            return -EINVAL;
        }
    }
    if (!http_is_token(method) || target.n == 0) {
        return -EINVAL;
    }
    (void)buf_append_str(out, method); /* failure is sticky */
    (void)buf_putc(out, ' ');
    (void)buf_append_str(out, target);
    return buf_puts(out, " HTTP/1.1\r\n");
}

int http1_put_status(struct buf *out, int status, int version)
{
    if (status < 100 || status > 999) {
        return -EINVAL;
    }
    return buf_printf(out, "HTTP/1.%d %d %s\r\n", version == 10 ? 0 : 1, status,
                      http_status_text(status));
}

int http1_put_header(struct buf *out, struct str name, struct str value)
{
    if (!http_is_token(name) || !http_is_field_value(value)) {
        return -EINVAL;
    }
    (void)buf_append_str(out, name); /* failure is sticky */
    (void)buf_puts(out, ": ");
    (void)buf_append_str(out, value);
    return buf_puts(out, "\r\n");
}

int http1_put_end(struct buf *out)
{
    return buf_puts(out, "\r\n");
}

size_t http1_chunk_head(char out[HTTP1_CHUNK_HEAD_SIZE], size_t n)
{
    return (size_t)snprintf(out, HTTP1_CHUNK_HEAD_SIZE, "%zx\r\n", n);
}

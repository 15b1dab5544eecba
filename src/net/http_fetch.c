/* SPDX-License-Identifier: Apache-2.0 */
/* A whole answer at once; see http_client.h. */
#include "base/buf.h"
#include "base/mem.h"
#include "http_client.h"

struct http_fetch {
    struct http_call *call;
    const struct http_response *response; /* lives as long as the call */
    struct buf body;
    size_t limit;
    http_fetch_fn *done;
    void *arg;
};

static void free_fetch(struct http_fetch *f)
{
    buf_fini(&f->body);
    mem_free(f);
}

static void finish(struct http_fetch *f, const struct err *err)
{
    f->done(f->arg, err ? err->code : 0, err ? NULL : f->response,
            err ? STR_NULL : buf_str(&f->body), err);
    free_fetch(f);
}

static void on_headers(struct http_call *c, void *arg, const struct http_response *r)
{
    struct http_fetch *f = arg;
    (void)c;
    f->response = r;
}

static void refuse(struct http_fetch *f, int code, const char *text)
{
    struct err err;
    (void)err_set(&err, code, "%s", text);
    http_call_cancel(f->call);
    finish(f, &err);
}

static void on_data(struct http_call *c, void *arg, struct str data)
{
    struct http_fetch *f = arg;
    (void)c;
    if (data.n > f->limit - MIN_OF(f->limit, buf_len(&f->body))) {
        refuse(f, -E_TOOBIG, "the answer is too large");
    } else if (buf_append_str(&f->body, data) < 0) {
        refuse(f, -ENOMEM, "out of memory");
    }
}

static void on_end(struct http_call *c, void *arg)
{
    struct http_fetch *f = arg;
    (void)c;
    if (buf_putc(&f->body, '\0') < 0) {
        struct err err;
        (void)err_set(&err, -ENOMEM, "out of memory");
        finish(f, &err);
        return;
    }
    struct str body = str_n(buf_data(&f->body), buf_len(&f->body) - 1);
    f->done(f->arg, 0, f->response, body, NULL);
    free_fetch(f);
}

static void on_error(struct http_call *c, void *arg, const struct err *err)
{
    (void)c;
    finish(arg, err);
}

static const struct http_call_ops ops = {
    .on_headers = on_headers,
    .on_data = on_data,
    .on_end = on_end,
    .on_error = on_error,
};

struct http_fetch *http_fetch(struct http_client *c, const struct http_call_request *req,
                              size_t limit, http_fetch_fn *done, void *arg)
{
    struct http_fetch *f = mem_zalloc(sizeof *f);
    if (!f) {
        return NULL;
    }
    f->limit = limit;
    f->done = done;
    f->arg = arg;
    f->call = http_call_start(c, req, &ops, f);
    if (!f->call) {
        free_fetch(f);
        return NULL;
    }
    return f;
}

void http_fetch_cancel(struct http_fetch *f)
{
    if (f) {
        http_call_cancel(f->call);
        free_fetch(f);
    }
}

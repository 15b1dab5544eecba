/* SPDX-License-Identifier: Apache-2.0 */
/* See store_test_util.h. */
#include "store_test_util.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "io/file.h"

void fixture_init(struct fixture *fx, bool on_disk)
{
    *fx = (struct fixture){.on_disk = on_disk};
    struct err err;
    assert_int_equal(loop_new(&fx->loop, &err), 0);
    (void)cstr_copy(fx->dir, sizeof fx->dir, "/tmp/store-test-XXXXXX"); /* fits */
    assert_non_null(mkdtemp(fx->dir));
    (void)snprintf(fx->path, sizeof fx->path, "%s/store.db", fx->dir);
}

int fixture_try_open(struct fixture *fx, struct err *err)
{
    fx->opts.path = fx->on_disk ? fx->path : NULL;
    return store_open(fx->loop, &fx->opts, &fx->s, err);
}

void fixture_open(struct fixture *fx)
{
    struct err err;
    if (fixture_try_open(fx, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

struct closing {
    bool done;
    int code;
};

static void on_closed(void *arg, int code)
{
    struct closing *c = arg;
    assert_false(c->done);
    *c = (struct closing){true, code};
}

int fixture_close(struct fixture *fx)
{
    struct closing c = {0};
    store_close(fx->s, on_closed, &c);
    assert_false(c.done);
    while (!c.done) {
        loop_run_once(fx->loop);
    }
    fx->s = NULL;
    return c.code;
}

void fixture_reopen(struct fixture *fx)
{
    assert_int_equal(fixture_close(fx), 0);
    fixture_open(fx);
}

void fixture_fini(struct fixture *fx)
{
    if (fx->s) {
        (void)fixture_close(fx); /* tests that care close by themselves */
    }
    loop_free(fx->loop);
    struct err err;
    assert_int_equal(tree_remove(fx->dir, &err), 0);
}

static void copy_file(const char *from, const char *to)
{
    char *data;
    size_t n;
    struct err err;
    if (file_read(from, (size_t)1 << 30, &data, &n, &err) == -ENOENT) {
        return;
    }
    assert_int_equal(file_write_replace(to, data, n, 0600, &err), 0);
    mem_free(data);
}

void fixture_open_crashed_copy(const struct fixture *fx, struct fixture *copy)
{
    char from[128], to[128];
    fixture_init(copy, true);
    copy_file(fx->path, copy->path);
    (void)snprintf(from, sizeof from, "%s-wal", fx->path);
    (void)snprintf(to, sizeof to, "%s-wal", copy->path);
    copy_file(from, to);
    copy->opts = fx->opts;
    fixture_open(copy);
}

/* ---- waiting ---- */

static void on_done(struct store_req *req, int code, const char *text)
{
    struct waiter *w = req->arg;
    assert_false(w->done);
    assert_true((text != NULL) == (code < 0));
    w->done = true;
    w->code = code;
    w->rev = req->rev;
    (void)cstr_copy(w->text, sizeof w->text, text ? text : "");
}

void waiter_init(struct waiter *w)
{
    *w = (struct waiter){.req = {.done = on_done, .arg = w}};
}

int waiter_wait(struct fixture *fx, struct waiter *w)
{
    while (!w->done) {
        loop_run_once(fx->loop);
    }
    return w->code;
}

static int finish(struct fixture *fx, struct waiter *w, int code)
{
    assert_false(w->done); /* never inside the submission */
    return code < 0 ? code : waiter_wait(fx, w);
}

int put_flags(struct fixture *fx, const char *key, const char *value, int64_t expected,
              unsigned flags)
{
    struct waiter w;
    waiter_init(&w);
    struct store_put_opts opts = {.expected_rev = expected, .flags = flags};
    return finish(fx, &w, store_put(fx->s, &w.req, str_of(key), str_of(value), &opts));
}

int put(struct fixture *fx, const char *key, const char *value, int64_t expected)
{
    return put_flags(fx, key, value, expected, 0);
}

int del(struct fixture *fx, const char *key, const char *last, int64_t expected)
{
    struct waiter w;
    waiter_init(&w);
    struct store_put_opts opts = {.expected_rev = expected};
    return finish(fx, &w, store_delete(fx->s, &w.req, str_of(key), str_of(last), &opts));
}

/* ---- texts ---- */

static const char *keep(struct buf *b)
{
    static char text[1 << 16];
    assert_false(buf_failed(b));
    (void)snprintf(text, sizeof text, STR_FMT, STR_ARG(buf_str(b)));
    buf_fini(b);
    return text;
}

static void print_item(struct buf *b, const struct store_item *it, bool with_rev)
{
    (void)buf_printf(b, STR_FMT "=" STR_FMT, STR_ARG(store_item_key(it)),
                     STR_ARG(store_item_value(it))); /* asked once, in keep() */
    if (with_rev) {
        (void)buf_printf(b, "@%" PRId64, it->rev);
    }
}

const char *list_text(struct fixture *fx, const struct store_list_opts *o, bool with_rev)
{
    struct store_list l;
    struct buf b = BUF_INIT;
    int code = store_list(fx->s, o, &l);
    if (code < 0) {
        (void)buf_printf(&b, "!%s", err_text(code));
        return keep(&b);
    }
    for (size_t i = 0; i < l.n; i++) {
        (void)buf_puts(&b, i ? " " : "");
        print_item(&b, l.items[i], with_rev);
    }
    if (l.remaining) {
        (void)buf_printf(&b, " +%zu", l.remaining);
    }
    store_list_fini(&l);
    return keep(&b);
}

const char *get_text(struct fixture *fx, const char *key)
{
    struct store_item *it = store_get(fx->s, str_of(key));
    struct buf b = BUF_INIT;
    (void)buf_append_str(&b, it ? store_item_value(it) : STR_LIT("-"));
    return keep(&b);
}

const char *watch_text(struct store_watch *w)
{
    struct buf b = BUF_INIT;
    struct store_event *ev;
    int rc;
    while ((rc = store_watch_next(w, &ev)) == 1) {
        (void)buf_puts(&b, buf_len(&b) ? " " : "");
        (void)buf_putc(&b, ev->type == STORE_DELETE ? '-' : ev->prev ? '~' : '+');
        print_item(&b, ev->item, true);
        assert_int_equal(ev->rev, ev->item->rev);
    }
    if (rc < 0) {
        (void)buf_printf(&b, "!%s", err_text(rc));
    }
    return keep(&b);
}

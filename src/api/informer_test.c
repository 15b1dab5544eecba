/* SPDX-License-Identifier: Apache-2.0 */
/* The informer against a client that is only pretended: pages, lost watches, expired revisions. */
#include "informer.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "client_private.h"
#include "io/loop.h"

/* ---- the pretended client ---- */

struct fake {
    struct api_client base;
    struct io_loop *loop;
    struct io_task answer;
    struct api_call *call; /* the list under way */
    char cont[32];         /* its continue token */
    int lists;
    /* what the next list says: one page an entry */
    const char *pages[3];
    int fail;  /* code of the next list, once */
    bool hold; /* do not answer */
    struct api_watch watch;
    const struct api_watch_ops *ops; /* NULL = no watch */
    void *arg;
    int64_t from;
    int watches;
};

static struct fake fake;
static struct informer *inf;
static char log_text[4096]; /* "+a1 ~a2 -a2 " */

static void answer(void *arg)
{
    struct fake *f = arg;
    struct api_call *call = f->call;
    struct json *j = NULL;
    f->call = NULL;
    if (f->fail) {
        int code = f->fail;
        f->fail = 0;
        (void)err_set(&call->err, code, "list failed");
        api_call_finish(call, code, NULL);
        return;
    }
    size_t page = f->cont[0] ? (size_t)(f->cont[0] - '0') : 0;
    char text[2048];
    (void)snprintf(text, sizeof(text), "%s", f->pages[page]);
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    assert_int_equal(json_parse(&call->arena, str_of(text), NULL, &j, NULL), 0);
    api_call_finish(call, 0, j);
}

static void call_start(struct api_client *c, struct api_call *call, const struct api_request *req)
{
    assert_int_equal(req->verb, API_LIST);
    assert_null(fake.call);
    (void)cstr_copy(fake.cont, sizeof(fake.cont), req->continue_token ? req->continue_token : "");
    fake.lists++;
    fake.call = call;
    if (!fake.hold) {
        loop_defer(fake.loop, &fake.answer);
    }
}

static void call_cancel(struct api_client *c, struct api_call *call)
{
    io_task_cancel(&fake.answer);
    fake.call = NULL;
}

static struct api_watch *watch_start(struct api_client *c, const struct kind *kind, const char *ns,
                                     const char *labels, const char *fields, int64_t from,
                                     const struct api_watch_ops *ops, void *arg)
{
    fake.ops = ops;
    fake.arg = arg;
    fake.from = from;
    fake.watches++;
    return &fake.watch;
}

static void watch_stop(struct api_watch *w)
{
    fake.ops = NULL;
}

static const struct api_client_ops fake_ops = {
    .name = "fake",
    .call_start = call_start,
    .call_cancel = call_cancel,
    .watch_start = watch_start,
    .watch_stop = watch_stop,
};

/* ---- helpers ---- */

static void changed(void *arg, struct api_item *old, struct api_item *item)
{
    size_t n = strlen(log_text);
    const struct api_item *it = item ? item : old;
    (void)snprintf(log_text + n, sizeof(log_text) - n, "%c%s%lld ",
                   !old    ? '+'
                   : !item ? '-'
                           : '~',
                   it->name, (long long)it->rev);
}

static void synced(void *arg)
{
    size_t n = strlen(log_text);
    (void)snprintf(log_text + n, sizeof(log_text) - n, "synced ");
}

static void run_until_watching(void)
{
    for (int i = 0; i < 1000 && !fake.ops; i++) {
        loop_run_once(fake.loop);
    }
    assert_non_null(fake.ops);
}

static void expect(const char *text)
{
    assert_string_equal(log_text, text);
    log_text[0] = '\0';
}

static void event(enum api_event type, const char *name, const char *uid, int64_t rev)
{
    struct arena a;
    arena_init(&a, 0);
    struct json *o = json_object(&a);
    struct json *meta = json_ensure_object(o, "metadata");
    json_set_str(meta, "namespace", "d");
    json_set_str(meta, "name", name);
    json_set_str(meta, "uid", uid);
    json_set(meta, "resourceVersion", json_printf(&a, "%lld", (long long)rev));
    struct api_item *item = type == API_BOOKMARK ? NULL : api_item_new(o);
    fake.ops->event(fake.arg, type, item, rev);
    api_item_unref(item);
    arena_fini(&a);
}

static void end_watch(int code)
{
    const struct api_watch_ops *ops = fake.ops;
    fake.ops = NULL;
    ops->end(fake.arg, code, "over");
}

#define OBJECT(name, uid, rev) \
    "{'metadata':{'namespace':'d','name':'" name "','uid':'" uid "','resourceVersion':'" rev "'}}"
#define PAGE(rev, next, items) \
    "{'metadata':{'resourceVersion':'" rev "','continue':'" next "'},'items':[" items "]}"

static int setup(void **state)
{
    struct err err;
    fake = (struct fake){.base = {&fake_ops}};
    log_text[0] = '\0';
    assert_int_equal(loop_new(&fake.loop, &err), 0);
    io_task_init(&fake.answer, answer, &fake);
    fake.pages[0] = PAGE("5", "1", OBJECT("a", "u1", "1"));
    fake.pages[1] = PAGE("5", "", OBJECT("b", "u2", "2"));
    struct informer_opts opts = {
        .kind = kind_find_api("v1", "ConfigMap"), .changed = changed, .synced = synced};
    inf = informer_new(&fake.base, fake.loop, &opts);
    return 0;
}

static int teardown(void **state)
{
    informer_free(inf);
    loop_free(fake.loop);
    return 0;
}

/* The order of a list is arbitrary. */
static void expect_first_list(void)
{
    assert_true(strcmp(log_text, "+a1 +b2 synced ") == 0 ||
                strcmp(log_text, "+b2 +a1 synced ") == 0);
    log_text[0] = '\0';
}

/* ---- tests ---- */

static void pages_are_gathered_before_anything_is_told(void **state)
{
    run_until_watching();
    expect_first_list();
    assert_int_equal(fake.lists, 2);
    assert_int_equal(fake.from, 5);
    assert_true(informer_synced(inf));
    assert_int_equal(informer_len(inf), 2);
    assert_string_equal(informer_get(inf, "d", "a")->uid, "u1");
    assert_null(informer_get(inf, "d", "c"));
    assert_int_equal(informer_rev(inf), 5);
}

static void events_change_the_copy(void **state)
{
    run_until_watching();
    expect_first_list();
    event(API_ADDED, "c", "u3", 6);
    event(API_MODIFIED, "a", "u1", 7);
    event(API_DELETED, "b", "u2", 8);
    event(API_BOOKMARK, "", "", 20);
    expect("+c6 ~a7 -b2 ");
    assert_int_equal(informer_rev(inf), 20);
    assert_int_equal(informer_len(inf), 2);
}

static void a_watch_that_ends_goes_on_where_it_was(void **state)
{
    run_until_watching();
    expect_first_list();
    event(API_BOOKMARK, "", "", 30);
    end_watch(0);
    run_until_watching();
    assert_int_equal(fake.from, 30);
    assert_int_equal(fake.lists, 2);
    end_watch(-E_CONNRESET);
    run_until_watching();
    assert_int_equal(fake.from, 30);
    expect("");
}

static void after_an_expired_revision_only_real_changes_are_told(void **state)
{
    run_until_watching();
    expect_first_list();
    fake.pages[0] = PAGE("50", "1", OBJECT("a", "u1", "1"));
    fake.pages[1] = PAGE("50", "", OBJECT("b", "u9", "40"));
    end_watch(-E_GONE);
    run_until_watching();
    /* a is the same, b was deleted and made again. */
    expect("-b2 +b40 ");
    assert_int_equal(fake.from, 50);
    fake.pages[0] = PAGE("60", "", "");
    end_watch(-E_GONE);
    run_until_watching();
    assert_int_equal(informer_len(inf), 0);
}

static void a_list_that_fails_is_tried_again_and_shows_no_half(void **state)
{
    run_until_watching();
    expect_first_list();
    fake.fail = -E_CONNREFUSED;
    end_watch(-E_GONE);
    run_until_watching();
    expect("");
    assert_int_equal(informer_len(inf), 2);
    assert_int_equal(fake.lists, 5);
}

static void freeing_in_the_middle_of_a_list_is_fine(void **state)
{
    fake.hold = true;
    while (!fake.call) {
        loop_run_ready(fake.loop);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_are_gathered_before_anything_is_told),
        TEST(events_change_the_copy),
        TEST(a_watch_that_ends_goes_on_where_it_was),
        TEST(after_an_expired_revision_only_real_changes_are_told),
        TEST(a_list_that_fails_is_tried_again_and_shows_no_half),
        TEST(freeing_in_the_middle_of_a_list_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, tables and rules of an API server over a Unix socket, all in one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/client.h"
#include "api/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"
#include "io/file.h"
#include "io/loop.h"
#include "net/http_server.h"
#include "sync/replica.h"

#define WAIT_US ((int64_t)30 * 1000000)

struct fixture {
    struct io_loop *loop;
    struct store *store;
    struct replica *replica;
    struct api_server *api;
    struct api_client *admin;
    struct http_server *http;
    struct data *data;
    char dir[64], socket[96];
};

/* ---- the API ---- */

static void on_exchange(struct http_exchange *x, void *arg)
{
    struct fixture *f = arg;
    api_server_handle(f->api, x);
}

static void api_open(struct fixture *f)
{
    const struct http_server_config cfg = {.loop = f->loop, .handler = on_exchange, .arg = f};
    assert_int_equal(http_server_new(&cfg, &f->http), 0);
    assert_int_equal(http_server_listen_unix(f->http, f->socket, 0600, NULL), 0);
}

struct done {
    struct api_call call;
    bool done;
    int code;
    struct err err;
};

static void on_done(struct api_call *call, int code, struct json *result)
{
    struct done *d = call->arg;
    (void)result;
    d->done = true;
    d->code = code;
    d->err = call->err;
}

/* kind: "stream", "table" or "rule"; spec with ' for ". */
static int request(struct fixture *f, enum api_verb verb, const char *kind, const char *ns,
                   const char *name, const char *spec)
{
    struct arena a;
    struct done d = {.call = {.done = on_done, .arg = &d}};
    bool space = cstr_eq(kind, "namespace");
    char plural[16], text[2000];
    struct json *body = NULL;
    arena_init(&a, 0);
    (void)snprintf(plural, sizeof(plural), "%ss", kind);
    (void)snprintf(text, sizeof(text), "{'metadata':{'name':'%s','namespace':'%s'},'spec':%s}",
                   name, ns, spec);
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    assert_int_equal(json_parse(&a, str_of(text), NULL, &body, NULL), 0);
    const struct api_request req = {.verb = verb,
                                    .kind =
                                        space ? kind_find("", "v1", plural)
                                              : kind_find("data.selvedge.dev", "v1alpha1", plural),
                                    .ns = ns,
                                    .name = verb == API_CREATE ? NULL : name,
                                    .body = verb == API_DELETE ? NULL : body,
                                    .patch = API_PATCH_MERGE};
    api_call_start(f->admin, &d.call, &req);
    while (!d.done) {
        loop_run_once(f->loop);
    }
    arena_fini(&a);
    if (d.code < 0) {
        print_error("%s\n", d.err.text);
    }
    return d.code;
}

static void make(struct fixture *f, const char *kind, const char *ns, const char *name,
                 const char *spec)
{
    assert_int_equal(request(f, API_CREATE, kind, ns, name, spec), 0);
}

static void change(struct fixture *f, const char *kind, const char *ns, const char *name,
                   const char *spec)
{
    assert_int_equal(request(f, API_PATCH, kind, ns, name, spec), 0);
}

static void drop(struct fixture *f, const char *kind, const char *ns, const char *name)
{
    assert_int_equal(request(f, API_DELETE, kind, ns, name, "{}"), 0);
}

/* ---- what is seen ---- */

static void no_op(void *arg)
{
    (void)arg; /* only ends the wait of a tick */
}

static void status_text(struct fixture *f, const char *key, char *out, size_t size)
{
    struct arena a;
    struct json *o = NULL;
    struct store_item *it = store_get(f->store, str_of(key));
    arena_init(&a, 0);
    if (it) {
        assert_int_equal(json_parse(&a, store_item_value(it), NULL, &o, NULL), 0);
    }
    const struct json *condition = json_at(json_path(o, "status.conditions"), 0);
    bool fresh = json_path_i64(condition, "observedGeneration", -1) ==
                 json_path_i64(o, "metadata.generation", 0);
    (void)snprintf(out, size, "%s %s %s", fresh ? "new" : "old",
                   json_path_cstr(o, "status.state", ""), json_path_cstr(condition, "message", ""));
    arena_fini(&a);
}

/* Until the object shows a state of its newest spec, with words in the message. */
static void shows(struct fixture *f, const char *key, const char *state, const char *words)
{
    int64_t end = mono_now().us + WAIT_US;
    char text[1500], wanted[64];
    struct io_timer tick;
    io_timer_init(f->loop, &tick, no_op, f);
    io_timer_start(&tick, 5, 5);
    (void)snprintf(wanted, sizeof(wanted), "new %s ", state);
    status_text(f, key, text, sizeof(text));
    while ((!str_starts(str_of(text), wanted) || !strstr(text, words)) && mono_now().us < end) {
        loop_run_once(f->loop);
        status_text(f, key, text, sizeof(text));
    }
    io_timer_stop(&tick);
    if (!str_starts(str_of(text), wanted) || !strstr(text, words)) {
        fail_msg("%s shows: %s; wanted: %s ... %s", key, text, state, words);
    }
}

static bool runs(struct fixture *f, const char *rule)
{
    const struct data_rule *r = data_rule_find(f->data, str_of(rule));
    return r && r->state == RULE_RUNNING;
}

static void turn(struct fixture *f, int64_t ms)
{
    int64_t end = mono_now().us + ms * 1000;
    while (mono_now().us < end) {
        loop_run_ready(f->loop);
    }
}

/* ---- frame ---- */

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err err;
    const struct store_opts store = {.index = &api_store_index, .history_count = 4096};
    const struct api_server_opts opts = {.no_namespaces = true};
    assert_int_equal(loop_new(&f->loop, &err), 0);
    (void)cstr_copy(f->dir, sizeof(f->dir), "/tmp/objects-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->socket, sizeof(f->socket), "%s/api.sock", f->dir);
    assert_int_equal(store_open(f->loop, &store, &f->store, &err), 0);
    assert_int_equal(replica_new(f->loop, f->store, "n1", &f->replica, &err), 0);
    f->api = api_server_new(f->loop, f->store, &opts, &err);
    assert_non_null(f->api);
    assert_int_equal(
        api_server_route(f->api, "/selvedge/v1/report", 0, replica_report_route, f->replica), 0);
    f->admin = api_client_local(f->api, "admin");
    api_open(f);
    make(f, "namespace", "", "default", "{}");
    make(f, "namespace", "", "farm", "{}");
    const struct data_config cfg = {.loop = f->loop, .api = f->socket};
    assert_int_equal(data_start(&cfg, &f->data, &err), 0);
    *state = f;
    return 0;
}

static void data_ended(void *arg)
{
    *(bool *)arg = true;
}

static void store_ended(void *arg, int code)
{
    (void)code; /* a store in memory */
    *(bool *)arg = true;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool done = false;
    data_stop(f->data, 0, data_ended, &done);
    while (!done) {
        loop_run_once(f->loop);
    }
    http_server_free(f->http);
    api_client_free(f->admin);
    api_server_free(f->api);
    replica_free(f->replica);
    done = false;
    store_close(f->store, store_ended, &done);
    while (!done) {
        loop_run_once(f->loop);
    }
    loop_free(f->loop);
    (void)tree_remove(f->dir, NULL);
    mem_free(f);
    return 0;
}

/* ---- tests ---- */

#define STREAM(name) \
    "{'sql':'CREATE STREAM " name " () WITH (TYPE=\\\"memory\\\", DATASOURCE=\\\"t\\\")'}"
#define RULE(sql) "{'sql':'" sql "','actions':[{'nop':{}}]}"

static void a_rule_before_its_stream_heals_itself(void **state)
{
    struct fixture *f = *state;
    make(f, "rule", "default", "r", RULE("SELECT a FROM s"));
    shows(f, "rules.data.selvedge.dev/default/r", "Failed", "fail to get stream s");
    assert_false(runs(f, "r"));
    make(f, "stream", "default", "anything", STREAM("s"));
    shows(f, "rules.data.selvedge.dev/default/r", "Running", "");
    shows(f, "streams.data.selvedge.dev/default/anything", "Defined", "");
    assert_true(runs(f, "r"));
}

static void what_does_not_work_any_more_does_not_run(void **state)
{
    struct fixture *f = *state;
    make(f, "stream", "default", "s", STREAM("s"));
    make(f, "rule", "default", "r", RULE("SELECT a FROM s"));
    shows(f, "rules.data.selvedge.dev/default/r", "Running", "");
    change(f, "rule", "default", "r", RULE("SELECT FROM"));
    shows(f, "rules.data.selvedge.dev/default/r", "Failed", "");
    assert_null(data_rule_find(f->data, STR_LIT("r")));
    change(f, "rule", "default", "r", "{'sql':'SELECT b FROM s','triggered':false}");
    shows(f, "rules.data.selvedge.dev/default/r", "Stopped", "");
    assert_false(runs(f, "r"));
    change(f, "rule", "default", "r", "{'triggered':true}");
    shows(f, "rules.data.selvedge.dev/default/r", "Running", "");
    change(f, "rule", "default", "r", "{'actions':[{'no-such':{}}]}");
    shows(f, "rules.data.selvedge.dev/default/r", "Failed", "no-such");
}

static void a_stream_that_goes_takes_its_rules_along_until_it_is_back(void **state)
{
    struct fixture *f = *state;
    make(f, "stream", "default", "s", STREAM("s"));
    make(f, "rule", "default", "r", RULE("SELECT a FROM s"));
    shows(f, "rules.data.selvedge.dev/default/r", "Running", "");
    change(f, "stream", "default", "s", STREAM("renamed"));
    shows(f, "rules.data.selvedge.dev/default/r", "Failed", "fail to get stream s");
    change(f, "stream", "default", "s", "{'sql':'CREATE STREAM s'}");
    shows(f, "streams.data.selvedge.dev/default/s", "Failed", "");
    change(f, "stream", "default", "s", STREAM("s"));
    shows(f, "rules.data.selvedge.dev/default/r", "Running", "");
    drop(f, "stream", "default", "s");
    shows(f, "rules.data.selvedge.dev/default/r", "Failed", "fail to get stream s");
    assert_null(engine_stream(f->data->engine, STR_LIT("s")));
    drop(f, "rule", "default", "r");
    turn(f, 100);
    assert_int_equal(map_len(&f->data->rules), 0);
}

static void namespaces_are_apart_and_see_the_streams_of_the_node(void **state)
{
    struct fixture *f = *state;
    make(f, "stream", "default", "s", STREAM("s"));
    make(f, "stream", "default", "common", STREAM("common"));
    make(f, "stream", "farm", "s", STREAM("s"));
    make(f, "rule", "default", "r", RULE("SELECT a FROM s"));
    make(f, "rule", "farm", "r", RULE("SELECT s.a FROM s"));
    make(f, "rule", "farm", "q", RULE("SELECT a FROM common"));
    shows(f, "rules.data.selvedge.dev/default/r", "Running", "");
    shows(f, "rules.data.selvedge.dev/farm/r", "Running", "");
    shows(f, "rules.data.selvedge.dev/farm/q", "Running", "");
    const struct data_rule *r = data_rule_find(f->data, STR_LIT("farm/r"));
    assert_string_equal(rule_stream(r->rule, 0), "farm/s");
    r = data_rule_find(f->data, STR_LIT("r"));
    assert_string_equal(rule_stream(r->rule, 0), "s");
    change(f, "rule", "farm", "r", RULE("SELECT s.b FROM s")); /* checked in its own scope, too */
    shows(f, "rules.data.selvedge.dev/farm/r", "Running", "");
    drop(f, "stream", "farm", "s");
    turn(f, 100);
    r = data_rule_find(f->data, STR_LIT("farm/r"));
    assert_string_equal(rule_stream(r->rule, 0), "s");
}

static void one_name_belongs_to_one_definition(void **state)
{
    struct fixture *f = *state;
    const char *name;
    struct data_rule *r;
    assert_int_equal(data_define(f->data,
                                 STR_LIT("CREATE STREAM rest () WITH (TYPE=\"memory\", "
                                         "DATASOURCE=\"t\")"),
                                 false, &name, NULL),
                     0);
    assert_int_equal(data_rule_define(f->data,
                                      STR_LIT("{\"id\":\"taken\",\"sql\":\"SELECT a FROM "
                                              "rest\",\"actions\":[{\"nop\":{}}]}"),
                                      STR_NULL, false, &r, NULL),
                     0);
    make(f, "stream", "default", "a", STREAM("s"));
    make(f, "stream", "default", "b", STREAM("s"));
    make(f, "stream", "default", "c", STREAM("rest"));
    make(f, "rule", "default", "taken", RULE("SELECT a FROM s"));
    shows(f, "streams.data.selvedge.dev/default/a", "Defined", "");
    shows(f, "streams.data.selvedge.dev/default/b", "Failed", "by Stream default/a");
    shows(f, "streams.data.selvedge.dev/default/c", "Failed", "by the REST interface");
    shows(f, "rules.data.selvedge.dev/default/taken", "Failed", "by the REST interface");
    drop(f, "stream", "default", "a");
    shows(f, "streams.data.selvedge.dev/default/b", "Defined", "");
}

static void while_the_api_is_away_all_goes_on(void **state)
{
    struct fixture *f = *state;
    make(f, "stream", "default", "s", STREAM("s"));
    make(f, "rule", "default", "stays", RULE("SELECT a FROM s"));
    make(f, "rule", "default", "goes", RULE("SELECT a FROM s"));
    shows(f, "rules.data.selvedge.dev/default/goes", "Running", "");
    shows(f, "rules.data.selvedge.dev/default/stays", "Running", "");
    http_server_free(TAKE_PTR(f->http));
    turn(f, 50);
    drop(f, "rule", "default", "goes");
    change(f, "rule", "default", "stays", RULE("SELECT b FROM s"));
    turn(f, 50);
    assert_true(runs(f, "stays") && runs(f, "goes"));
    api_open(f);
    shows(f, "rules.data.selvedge.dev/default/stays", "Running", "");
    turn(f, 100);
    assert_false(runs(f, "goes"));
}

static void tables_are_of_their_kind(void **state)
{
    struct fixture *f = *state;
    make(f, "table", "default", "t", STREAM("t"));
    shows(f, "tables.data.selvedge.dev/default/t", "Failed", "expect CREATE TABLE");
    change(f, "table", "default", "t",
           "{'sql':'CREATE TABLE t () WITH (TYPE=\\\"memory\\\", DATASOURCE=\\\"t\\\")'}");
    shows(f, "tables.data.selvedge.dev/default/t", "Defined", "");
    drop(f, "table", "default", "t");
    turn(f, 100);
    assert_null(engine_stream(f->data->engine, STR_LIT("t")));
}

static bool kept(struct fixture *f, const char *rule)
{
    return data_kept(f->data, "checkpoints", str_of(rule)).p != NULL;
}

static void restart_data(struct fixture *f)
{
    const struct data_config cfg = {.loop = f->loop, .api = f->socket, .dir = f->dir};
    bool done = false;
    data_stop(f->data, 0, data_ended, &done);
    while (!done) {
        loop_run_once(f->loop);
    }
    assert_int_equal(data_start(&cfg, &f->data, NULL), 0);
}

static void checkpoints_of_rules_that_went_meanwhile_go_as_well(void **state)
{
    struct fixture *f = *state;
    restart_data(f);
    make(f, "rule", "farm", "broken", RULE("SELECT a FROM none"));
    shows(f, "rules.data.selvedge.dev/farm/broken", "Failed", ""); /* this start has swept */
    data_keep(f->data, "checkpoints", STR_LIT("farm/broken"), STR_LIT("{}"), NULL, NULL);
    data_keep(f->data, "checkpoints", STR_LIT("farm/gone"), STR_LIT("{}"), NULL, NULL);
    restart_data(f);
    assert_true(kept(f, "farm/broken") && kept(f, "farm/gone"));
    int64_t end = mono_now().us + WAIT_US;
    while (kept(f, "farm/gone") && mono_now().us < end) {
        loop_run_once(f->loop);
    }
    assert_true(kept(f, "farm/broken"));
    assert_false(kept(f, "farm/gone"));
}

#define OBJECTS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OBJECTS_TEST(a_rule_before_its_stream_heals_itself),
        OBJECTS_TEST(what_does_not_work_any_more_does_not_run),
        OBJECTS_TEST(a_stream_that_goes_takes_its_rules_along_until_it_is_back),
        OBJECTS_TEST(namespaces_are_apart_and_see_the_streams_of_the_node),
        OBJECTS_TEST(one_name_belongs_to_one_definition),
        OBJECTS_TEST(while_the_api_is_away_all_goes_on),
        OBJECTS_TEST(tables_are_of_their_kind),
        OBJECTS_TEST(checkpoints_of_rules_that_went_meanwhile_go_as_well),
    };
    log_init("objects_test", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

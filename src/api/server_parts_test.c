/* SPDX-License-Identifier: Apache-2.0 */
/* Small parts of the server that stand alone: paths, content negotiation, framing of channels. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/node_stream.h"
#include "api/route.h"
#include "api/server_accept.h"
#include "base/limits.h"
#include "base/mem.h"

static void a_path_names_what_it_is_about(void **state)
{
    static const struct {
        const char *path;
        enum route_type type;
        const char *plural, *ns, *name, *sub;
    } cases[] = {
        {"/api/v1/pods", ROUTE_RESOURCE, "pods", "", "", ""},
        {"/api/v1/namespaces/a/pods/p", ROUTE_RESOURCE, "pods", "a", "p", ""},
        {"/api/v1/namespaces/a/pods/p/log", ROUTE_RESOURCE, "pods", "a", "p", "log"},
        {"/api/v1/namespaces/a", ROUTE_RESOURCE, "namespaces", "", "a", ""},
        {"/api/v1/namespaces/a/status", ROUTE_RESOURCE, "namespaces", "", "a", "status"},
        {"/api/v1/namespaces/a/finalize", ROUTE_RESOURCE, "namespaces", "", "a", "finalize"},
        {"/api/v1/nodes/n%2D1", ROUTE_RESOURCE, "nodes", "", "n-1", ""},
        {"/apis/apps/v1/namespaces/a/deployments/d/scale", ROUTE_RESOURCE, "deployments", "a", "d",
         "scale"},
        {"/api/v1/watch/namespaces/a/pods", ROUTE_RESOURCE, "pods", "a", "", ""},
        {"/api/v1/pods/p", ROUTE_NO_RESOURCE, NULL, "", "", ""},
        {"/api/v1/namespaces/a/nodes", ROUTE_NO_RESOURCE, NULL, NULL, NULL, NULL},
        {"/api/v1/namespaces/a/pods/p/nothing", ROUTE_NO_RESOURCE, NULL, NULL, NULL, NULL},
        {"/api/v1/namespaces/a/pods/p/log/more", ROUTE_NO_RESOURCE, NULL, NULL, NULL, NULL},
        {"/api", ROUTE_API, NULL, NULL, NULL, NULL},
        {"/apis/", ROUTE_APIS, NULL, NULL, NULL, NULL},
        {"/apis/apps", ROUTE_GROUP, NULL, NULL, NULL, NULL},
        {"/apis/apps/v1", ROUTE_GROUP_VERSION, NULL, NULL, NULL, NULL},
        {"/api/v1", ROUTE_GROUP_VERSION, NULL, NULL, NULL, NULL},
        {"/apis/apps/v2/deployments", ROUTE_OTHER, NULL, NULL, NULL, NULL},
        {"/apis/nothing/v1", ROUTE_OTHER, NULL, NULL, NULL, NULL},
        {"/apix", ROUTE_OTHER, NULL, NULL, NULL, NULL},
        {"/healthz", ROUTE_OTHER, NULL, NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena a;
        struct route r;
        arena_init(&a, 0);
        assert_int_equal(route_parse(&a, str_of(cases[i].path), &r), 0);
        if (r.type != cases[i].type) {
            fail_msg("%s", cases[i].path);
        }
        if (cases[i].plural) {
            assert_string_equal(r.kind->plural, cases[i].plural);
            assert_string_equal(r.ns, cases[i].ns);
            assert_string_equal(r.name, cases[i].name);
            assert_string_equal(r.subresource, cases[i].sub);
        }
        arena_fini(&a);
    }
}

static void a_bad_option_is_refused_with_a_sentence(void **state)
{
    static const char *const bad[] = {"limit=-1",          "limit=x",
                                      "watch=maybe",       "fieldValidation=Loud",
                                      "dryRun=Some",       "resourceVersionMatch=Newest",
                                      "timeoutSeconds=1s", "gracePeriodSeconds=1.5"};
    struct arena a;
    struct route_options o;
    struct err err;
    (void)state;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        err = (struct err){0};
        assert_true(route_options(&a, str_of(bad[i]), &o, &err) < 0);
        assert_true(err.text[0] != '\0');
    }
    assert_int_equal(
        route_options(&a, STR_LIT("watch=True&limit=5&unknown=x&timeout=32s&dryRun=All"), &o, &err),
        0);
    assert_true(o.watch && o.dry_run);
    assert_int_equal(o.limit, 5);
    arena_fini(&a);
}

static void the_first_form_that_can_be_served_is_chosen(void **state)
{
    static const struct {
        const char *accept;
        int code;
        enum accept_form form;
    } cases[] = {
        {"", 0, ACCEPT_JSON},
        {"*/*", 0, ACCEPT_JSON},
        {"application/vnd.kubernetes.protobuf,application/json", 0, ACCEPT_JSON},
        {"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", 0, ACCEPT_TABLE},
        {"application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", 0, ACCEPT_JSON},
        {"application/json; as=PartialObjectMetadataList; g=meta.k8s.io; v=v1", 0,
         ACCEPT_PARTIAL_LIST},
        {"application/json;q=0, */*", 0, ACCEPT_JSON},
        {"application/vnd.kubernetes.protobuf", -E_NOTACCEPT, 0},
        {"application/json;as=Chart;v=v1;g=meta.k8s.io", -E_NOTACCEPT, 0},
        {"text/html", -E_NOTACCEPT, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum accept_form form = ACCEPT_JSON;
        assert_int_equal(accept_choose(str_of(cases[i].accept), &form), cases[i].code);
        if (cases[i].code == 0) {
            assert_int_equal(form, cases[i].form);
        }
    }
}

static void frames_of_a_channel_come_out_as_they_went_in(void **state)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    uint8_t channel;
    struct str data;
    (void)state;
    assert_int_equal(channel_frame(&b, CHANNEL_STDOUT, STR_LIT("hello")), 0);
    assert_int_equal(channel_frame(&b, CHANNEL_CLOSE, STR_NULL), 0);
    for (size_t n = 0; n < CHANNEL_HEADER + 5; n++) {
        assert_int_equal(channel_next(str_n(buf_data(&b), n), &channel, &data), 0);
    }
    int64_t used = channel_next(buf_str(&b), &channel, &data);
    assert_int_equal(used, CHANNEL_HEADER + 5);
    assert_int_equal(channel, CHANNEL_STDOUT);
    assert_true(str_is(data, "hello"));
    buf_consume(&b, (size_t)used);
    assert_int_equal(channel_next(buf_str(&b), &channel, &data), CHANNEL_HEADER);
    assert_int_equal(channel, CHANNEL_CLOSE);
    assert_int_equal(data.n, 0);
}

static void a_frame_beyond_the_limit_is_refused(void **state)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    uint8_t channel;
    struct str data;
    (void)state;
    assert_int_equal(channel_next(STR_LIT("\1\377\377\377\377"), &channel, &data), -E_LIMIT);
    assert_int_equal(channel_frame(&b, 1, str_n("", (size_t)LIMIT_WS_MESSAGE + 1)), -E_LIMIT);
    assert_int_equal(buf_len(&b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_names_what_it_is_about),
        cmocka_unit_test(a_bad_option_is_refused_with_a_sentence),
        cmocka_unit_test(the_first_form_that_can_be_served_is_chosen),
        cmocka_unit_test(frames_of_a_channel_come_out_as_they_went_in),
        cmocka_unit_test(a_frame_beyond_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

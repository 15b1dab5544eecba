/* SPDX-License-Identifier: Apache-2.0 */
/* Tags, references and lines of the sync stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "digest.h"

static struct json *parse(struct arena *a, const char *text)
{
    struct json *j = NULL;
    struct err err;
    if (json_parse(a, str_of(text), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

static void the_order_of_members_does_not_change_a_hash(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    int64_t h = digest_hash(parse(&a, "{\"a\":1,\"b\":[1,2,{\"x\":true}],\"c\":null}"));
    assert_int_equal(h, digest_hash(parse(&a, "{\"b\":[1.0,2,{\"x\":true}],\"a\":1}")));
    assert_true(h > 0);
    const char *const others[] = {"{\"a\":1,\"b\":[2,1,{\"x\":true}]}",
                                  "{\"a\":2,\"b\":[1,2,{\"x\":true}]}",
                                  "{\"a\":1,\"b\":[1,2,{\"x\":false}]}",
                                  "{\"a\":\"1\",\"b\":[1,2,{\"x\":true}]}",
                                  "{\"b\":1,\"a\":[1,2,{\"x\":true}]}",
                                  "{}",
                                  "[]",
                                  "null",
                                  "\"\"",
                                  "0"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_int_not_equal(h, digest_hash(parse(&a, others[i])));
    }
    arena_fini(&a);
}

static void a_hash_is_the_same_in_every_process(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    /* Written once; if this fails, nodes and parents of different versions would not agree. */
    assert_int_equal(digest_hash(parse(&a, "{\"spec\":{\"n\":[1,2]}}")),
                     INT64_C(0xa7e4fc375a1dd88));
    arena_fini(&a);
}

static void a_status_is_no_part_of_a_tag(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    struct json *one =
        parse(&a, "{\"metadata\":{\"name\":\"p\",\"resourceVersion\":\"7\",\"managedFields\":[1]},"
                  "\"spec\":{\"x\":1},\"status\":{\"phase\":\"Pending\"}}");
    struct json *two = parse(&a, "{\"metadata\":{\"name\":\"p\",\"resourceVersion\":\"9\"},"
                                 "\"spec\":{\"x\":1},\"status\":{\"phase\":\"Running\"}}");
    struct json *three = parse(&a, "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"x\":2}}");
    int64_t tag = digest_strip(one);
    assert_int_equal(tag, digest_strip(two));
    assert_int_not_equal(tag, digest_strip(three));
    assert_null(json_path(one, "metadata.managedFields"));
    assert_null(json_path(one, "metadata.resourceVersion"));
    assert_string_equal(json_path_cstr(two, "status.phase", ""), "Running");
    arena_fini(&a);
}

struct keys {
    char text[2048];
};

static void add_key(void *arg, const char *key)
{
    struct keys *k = arg;
    size_t n = strlen(k->text);
    (void)snprintf(k->text + n, sizeof(k->text) - n, "%s\n", key);
}

static void a_pod_refers_to_what_it_cannot_live_without(void **state)
{
    struct arena a;
    struct keys k = {0};
    (void)state;
    arena_init(&a, 0);
    const struct json *pod = parse(
        &a,
        "{\"metadata\":{\"namespace\":\"n\",\"name\":\"p\"},\"spec\":{\"runtimeClassName\":\"rc\",\"serviceAccountName\":\"sa\","
        "\"imagePullSecrets\":[{\"name\":\"pull\"}],"
        "\"volumes\":[{\"configMap\":{\"name\":\"vm\"}},{\"secret\":{\"secretName\":\"vs\"}},{\"emptyDir\":{}},{\"persistentVolumeClaim\":{\"claimName\":\"vc\"}},"
        "{\"projected\":{\"sources\":[{\"configMap\":{\"name\":\"pm\"}},{\"secret\":{\"name\":\"ps\"}}]}}],"
        "\"initContainers\":[{\"envFrom\":[{\"configMapRef\":{\"name\":\"em\"}},{\"secretRef\":{\"name\":\"es\"}}]}],"
        "\"containers\":[{\"env\":[{\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"km\"}}},"
        "{\"valueFrom\":{\"secretKeyRef\":{\"name\":\"ks\"}}}]}]}}");
    digest_pod_refs(&a, pod, add_key, &k);
    assert_string_equal(
        k.text,
        "namespaces//n\nruntimeclasses.node.k8s.io//rc\nserviceaccounts/n/sa\nsecrets/n/pull\n"
        "configmaps/n/vm\nsecrets/n/vs\npersistentvolumeclaims/n/vc\nconfigmaps/n/pm\nsecrets/n/ps\nconfigmaps/n/em\n"
        "secrets/n/es\nconfigmaps/n/km\nsecrets/n/ks\n");
    k.text[0] = '\0';
    assert_string_equal(digest_claim_volume(&a, parse(&a, "{\"spec\":{\"volumeName\":\"v\"}}")),
                        "persistentvolumes//v");
    assert_null(digest_claim_volume(&a, parse(&a, "{\"spec\":{}}")));
    digest_pod_refs(&a, NULL, add_key, &k);
    digest_pod_refs(&a, parse(&a, "{\"spec\":[1],\"metadata\":3}"), add_key, &k);
    assert_string_equal(k.text, "");
    arena_fini(&a);
}

static void a_digest_reads_back_as_it_was_written(void **state)
{
    struct arena a;
    struct buf line = BUF_INIT;
    struct digest_entry *list;
    size_t n;
    char keys[50][64];
    int64_t tags[50];
    (void)state;
    arena_init(&a, 0);
    digest_begin(&line);
    for (size_t i = 0; i < 50; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "pods/ns-%zu/web-%llu", i,
                       (unsigned long long)random_below(1000000));
        tags[i] = (int64_t)random_below(INT64_MAX) - (i % 2 ? 0 : INT64_MAX / 2);
        struct digest_entry e = {.key = keys[i],
                                 .uid = "some \"uid\"",
                                 .tag = tags[i],
                                 .status = i % 3 ? (int64_t)i : 0};
        digest_add(&line, i, &e);
    }
    digest_end(&line);
    struct str text = buf_str(&line);
    assert_true(str_ends(text, "\n"));
    assert_int_equal(digest_parse(&a, str_n(text.p, text.n - 1), &list, &n, NULL), 0);
    assert_int_equal(n, 50);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(list[i].key, keys[i]);
        assert_string_equal(list[i].uid, "some \"uid\"");
        assert_int_equal(list[i].tag, tags[i]);
        assert_int_equal(list[i].status, i % 3 ? i : 0);
    }
    buf_fini(&line);
    arena_fini(&a);
}

static void what_is_no_digest_is_refused_with_a_sentence(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"objects\":[]}",
        "{\"objects\":{\"pods\":[\"u\",\"1\"]}}",
        "{\"objects\":{\"pods/n\":[\"u\",\"1\"]}}",
        "{\"objects\":{\"pods/n/\":[\"u\",\"1\"]}}",
        "{\"objects\":{\"/n/x\":[\"u\",\"1\"]}}",
        "{\"objects\":{\"pods/n/x/y\":[\"u\",\"1\"]}}",
        "{\"objects\":{\"pods/n/x\":[\"u\",\"one\"]}}",
        "{\"objects\":{\"pods/n/x\":[\"u\",\"1\",\"-\"]}}",
        "{\"objects\":{\"pods/n/x\\u0000\":[\"u\",\"1\"]}}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct arena a;
        struct digest_entry *list;
        size_t n;
        struct err err = {0};
        arena_init(&a, 0);
        assert_true(digest_parse(&a, str_of(bad[i]), &list, &n, &err) < 0);
        assert_true(strlen(err.text) > 8);
        arena_fini(&a);
    }
}

static void every_event_reads_back_as_it_was_written(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    struct json *object = parse(
        &a,
        "{\"metadata\":{\"namespace\":\"n\",\"name\":\"x\",\"uid\":\"u\"},\"data\":{\"a\":\"b\"}}");
    const struct digest_event events[] = {
        {.type = DIGEST_ADDED, .key = "configmaps/n/x", .uid = "u", .tag = 5, .object = object},
        {.type = DIGEST_MODIFIED, .key = "configmaps/n/x", .uid = "u", .tag = -1, .object = object},
        {.type = DIGEST_DELETED, .key = "pods/n/x", .uid = "u"},
        {.type = DIGEST_STATUS, .key = "nodes//x", .uid = "u"},
        {.type = DIGEST_BOOKMARK, .key = "", .uid = ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        struct buf line = BUF_INIT;
        struct digest_event e;
        assert_int_equal(digest_event_print(&line, &events[i]), 0);
        struct str text = buf_str(&line);
        assert_int_equal(digest_event_parse(&a, str_n(text.p, text.n - 1), &e, NULL), 0);
        assert_int_equal(e.type, events[i].type);
        assert_string_equal(e.key, events[i].key);
        assert_string_equal(e.uid, events[i].uid);
        assert_int_equal(e.tag, events[i].tag);
        assert_true(json_equal(e.object, events[i].object));
        buf_fini(&line);
    }
    arena_fini(&a);
}

static void an_event_whose_object_is_not_what_its_key_says_is_refused(void **state)
{
    static const char *const bad[] = {
        "{\"type\":\"OTHER\"}",
        "{\"type\":\"ADDED\",\"key\":\"pods/n/x\",\"tag\":\"1\"}",
        "{\"type\":\"ADDED\",\"key\":\"pods/n/x\",\"tag\":\"1\",\"object\":{\"metadata\":{\"namespace\":\"n\",\"name\":\"y\",\"uid\":\"u\"}}}",
        "{\"type\":\"ADDED\",\"key\":\"pods/n/x\",\"tag\":\"1\",\"object\":{\"metadata\":{\"namespace\":\"m\",\"name\":\"x\",\"uid\":\"u\"}}}",
        "{\"type\":\"ADDED\",\"key\":\"pods/n/x\",\"tag\":\"1\",\"object\":{\"metadata\":{\"namespace\":\"n\",\"name\":\"x\"}}}",
        "{\"type\":\"ADDED\",\"key\":\"outbox/n\",\"tag\":\"1\",\"object\":{}}",
        "{\"type\":\"DELETED\",\"uid\":\"u\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct arena a;
        struct digest_event e;
        arena_init(&a, 0);
        assert_true(digest_event_parse(&a, str_of(bad[i]), &e, NULL) < 0);
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_members_does_not_change_a_hash),
        cmocka_unit_test(a_hash_is_the_same_in_every_process),
        cmocka_unit_test(a_status_is_no_part_of_a_tag),
        cmocka_unit_test(a_pod_refers_to_what_it_cannot_live_without),
        cmocka_unit_test(a_digest_reads_back_as_it_was_written),
        cmocka_unit_test(what_is_no_digest_is_refused_with_a_sentence),
        cmocka_unit_test(every_event_reads_back_as_it_was_written),
        cmocka_unit_test(an_event_whose_object_is_not_what_its_key_says_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

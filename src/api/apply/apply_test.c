/* SPDX-License-Identifier: Apache-2.0 */
/* Server-side apply and managed fields: the golden sequences of several managers. */
#include "api/apply/managers.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/apply/field_set.h"
#include "api/apply/last_applied.h"
#include "api/apply/walk.h"
#include "api/object.h"

static struct arena arena;
static struct json *live;
static struct apply_conflicts conflicts;
static struct err err;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    live = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct json *parse(const char *text)
{
    struct json *j = NULL;
    char copy[4096];
    size_t n = 0;
    for (; text[n]; n++) {
        copy[n] = text[n] == '\'' ? '"' : text[n];
    }
    assert_int_equal(json_parse(&arena, str_n(copy, n), NULL, &j, &err), 0);
    return j;
}

static struct apply_request request(const char *manager, bool force)
{
    return (struct apply_request){.kind = kind_find("apps", "v1", "deployments"),
                                  .api_version = "apps/v1",
                                  .manager = manager,
                                  .subresource = "",
                                  .now = {1000000},
                                  .force = force};
}

static int apply(const char *manager, bool force, const char *config)
{
    struct apply_request r = request(manager, force);
    struct json *after = NULL;
    int code = apply_config(&arena, &r, live, parse(config), &after, &conflicts, &err);
    if (code == 0) {
        live = after;
    }
    return code;
}

static void update(const char *manager, const char *path, const char *value)
{
    struct apply_request r = request(manager, false);
    struct json *obj = json_clone(&arena, live), *at = obj;
    struct str rest = str_of(path), head;
    while (str_cut(rest, '.', &head, &rest)) {
        at = json_ensure_object(at, arena_str(&arena, head));
    }
    json_set(at, arena_str(&arena, head), parse(value));
    apply_track(&arena, &r, live, obj);
    live = obj;
}

static const char *owned_by(const char *manager)
{
    JSON_FOR_EACH (e, json_path(live, "metadata.managedFields")) {
        if (cstr_eq(json_path_cstr(e, "manager", ""), manager)) {
            struct buf b = BUF_INIT;
            assert_int_equal(json_print(&b, json_get(e, "fieldsV1")), 0);
            char *text = arena_strndup(&arena, buf_data(&b), buf_len(&b));
            buf_fini(&b);
            for (char *c = text; *c; c++) {
                *c = *c == '"' ? '\'' : *c;
            }
            return text;
        }
    }
    return "";
}

#define BASE "'kind':'Deployment','apiVersion':'apps/v1','metadata':{'name':'d'}"
#define CONTAINER(image) "{'name':'c','image':'" image "'}"

static void what_a_manager_applies_is_its_own(void **state)
{
    (void)state;
    assert_int_equal(
        apply("m1", false,
              "{" BASE ",'spec':{'replicas':1,'selector':{'matchLabels':{'a':'b'}},"
              "'template':{'metadata':{'labels':{'a':'b'}},'spec':{'containers':["
              "{'name':'c','image':'i1','args':['x'],'ports':[{'containerPort':80}]}]}}}}"),
        0);
    assert_string_equal(
        owned_by("m1"),
        "{'f:spec':{'f:replicas':{},'f:selector':{},'f:template':{'f:metadata':{'f:labels':{'f:a':{}}},"
        "'f:spec':{'f:containers':{'k:{\\'name\\':\\'c\\'}':{'.':{},'f:args':{},'f:image':{},'f:name':{},"
        "'f:ports':{'k:{\\'containerPort\\':80,\\'protocol\\':\\'TCP\\'}':{'.':{},'f:containerPort':{}}}}}}}}}");
}

static void two_managers_share_a_list_by_its_keys(void **state)
{
    (void)state;
    assert_int_equal(apply("m1", false,
                           "{" BASE
                           ",'spec':{'template':{'spec':{'containers':[" CONTAINER("i1") "]}}}}"),
                     0);
    assert_int_equal(
        apply("m2", false,
              "{" BASE ",'spec':{'replicas':3,'template':{'spec':{'containers':["
              "{'name':'c','env':[{'name':'B','value':'2'}]},{'name':'d','image':'i2'}]}}}}"),
        0);
    struct json *list = json_path(live, "spec.template.spec.containers");
    assert_int_equal(json_len(list), 2);
    assert_string_equal(json_path_cstr(json_at(list, 0), "image", ""), "i1");
    /* What m2 no longer names goes, what m1 has stays. */
    assert_int_equal(apply("m2", false, "{" BASE ",'spec':{'replicas':3}}"), 0);
    list = json_path(live, "spec.template.spec.containers");
    assert_int_equal(json_len(list), 1);
    assert_null(json_get(json_at(list, 0), "env"));
    assert_string_equal(owned_by("m2"), "{'f:spec':{'f:replicas':{}}}");
}

static void another_value_of_anothers_field_is_a_conflict(void **state)
{
    (void)state;
    assert_int_equal(apply("m1", false,
                           "{" BASE
                           ",'spec':{'replicas':1,'template':{'spec':{'containers':[" CONTAINER(
                               "i1") "],"
                                     "'tolerations':[{'key':'k1'}]}}}}"),
                     0);
    assert_int_equal(apply("m2", false,
                           "{" BASE ",'spec':{'template':{'spec':{'containers':[" CONTAINER(
                               "i2") "],"
                                     "'tolerations':[{'key':'k2'}]}}}}"),
                     -E_CONFLICT);
    assert_string_equal(apply_conflict_text(&arena, &conflicts),
                        "Apply failed with 2 conflicts: conflicts with \"m1\":\n"
                        "- .spec.template.spec.tolerations\n"
                        "- .spec.template.spec.containers[name=\"c\"].image");
    update("upd", "spec.replicas", "5");
    assert_string_equal(owned_by("upd"), "{'f:spec':{'f:replicas':{}}}");
    assert_int_equal(apply("m1", false, "{" BASE ",'spec':{'replicas':1}}"), -E_CONFLICT);
    assert_string_equal(
        apply_conflict_text(&arena, &conflicts),
        "Apply failed with 1 conflict: conflict with \"upd\" using apps/v1: .spec.replicas");
}

static void lists_are_merged_in_the_order_of_both(void **state)
{
    static const struct {
        const char *live, *config, *merged;
    } cases[] = {
        {"a", "b", "ab"},     {"ab", "c", "abc"},     {"abc", "cb", "acb"}, {"ab", "ca", "cab"},
        {"axb", "ba", "xba"}, {"ayb", "abc", "aybc"}, {"", "ab", "ab"},     {"ab", "", "ab"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *sides[2] = {json_object(&arena), json_object(&arena)};
        const char *texts[2] = {cases[i].live, cases[i].config};
        for (size_t side = 0; side < 2; side++) {
            struct json *spec = json_ensure_object(sides[side], "spec");
            spec = json_ensure_object(json_ensure_object(spec, "template"), "spec");
            struct json *list = json_set(spec, "containers", json_array(&arena));
            for (const char *c = texts[side]; *c; c++) {
                json_set(json_push(list, json_object(&arena)), "name",
                         json_string_n(&arena, str_n(c, 1)));
            }
        }
        struct apply_request r = request("m", false);
        struct json *out = walk_merge(&arena, r.kind, sides[0], sides[1]);
        char names[8] = "";
        size_t n = 0;
        JSON_FOR_EACH (item, json_path(out, "spec.template.spec.containers")) {
            names[n++] = json_cstr(json_get(item, "name"), "?")[0];
        }
        assert_string_equal(names, cases[i].merged);
    }
}

static void the_same_value_is_shared_and_force_takes(void **state)
{
    (void)state;
    assert_int_equal(apply("m1", false, "{" BASE ",'spec':{'replicas':1}}"), 0);
    assert_int_equal(apply("m2", false, "{" BASE ",'spec':{'replicas':1}}"), 0);
    assert_string_equal(owned_by("m1"), owned_by("m2"));
    assert_int_equal(apply("m2", true, "{" BASE ",'spec':{'replicas':2}}"), 0);
    assert_string_equal(owned_by("m1"), "");
    /* m1 lets go of what it has not: nothing changes. */
    assert_int_equal(apply("m1", false, "{" BASE "}"), 0);
    assert_int_equal(json_path_i64(live, "spec.replicas", 0), 2);
}

static void applying_again_changes_nothing(void **state)
{
    static const char config[] = "{" BASE ",'spec':{'replicas':1,'paused':false}}";
    (void)state;
    assert_int_equal(apply("m1", false, config), 0);
    struct json *before = live;
    assert_int_equal(apply("m1", false, config), 0);
    assert_true(json_equal(before, live));
}

static void a_zero_is_a_wish(void **state)
{
    (void)state;
    assert_int_equal(apply("m1", false, "{" BASE ",'spec':{'paused':true}}"), 0);
    assert_int_equal(apply("m1", false, "{" BASE ",'spec':{'paused':false}}"), 0);
    assert_false(json_path_true(live, "spec.paused", true));
}

static void what_nobody_tracked_belongs_to_before_first_apply(void **state)
{
    (void)state;
    live = parse("{" BASE ",'spec':{'replicas':4,'paused':true}}");
    assert_int_equal(apply("m1", false, "{" BASE ",'spec':{'replicas':5}}"), -E_CONFLICT);
    assert_string_equal(apply_conflict_text(&arena, &conflicts),
                        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using "
                        "apps/v1: .spec.replicas");
    assert_int_equal(apply("m1", true, "{" BASE ",'spec':{'replicas':5}}"), 0);
    assert_string_equal(owned_by("before-first-apply"), "{'f:spec':{'f:paused':{}}}");
}

static void a_list_without_its_keys_is_refused(void **state)
{
    (void)state;
    assert_int_equal(apply("m1", false,
                           "{" BASE
                           ",'spec':{'template':{'spec':{'containers':[{'image':'x'}]}}}}"),
                     -E_INVAL);
    assert_int_equal(apply("m1", false,
                           "{" BASE ",'spec':{'template':{'spec':{'containers':[" CONTAINER(
                               "a") "," CONTAINER("b") "]}}}}"),
                     -E_INVAL);
}

static void many_updaters_become_ancient_changes(void **state)
{
    (void)state;
    assert_int_equal(apply("m1", false, "{" BASE ",'spec':{'replicas':1}}"), 0);
    for (int i = 0; i < 14; i++) {
        char manager[16], path[40];
        (void)snprintf(manager, sizeof(manager), "u%02d", i);
        (void)snprintf(path, sizeof(path), "metadata.labels.l%02d", i);
        update(manager, path, "'x'");
    }
    assert_int_equal(json_len(json_path(live, "metadata.managedFields")), 1 + 10);
    assert_non_null(strstr(owned_by("ancient-changes"), "f:l00"));
}

/* An object that client-side apply made, with another value of replicas since. */
static void left_by_client_side_apply(const char *replicas)
{
    struct apply_request r = request("csa", false);
    struct json *obj = parse("{" BASE ",'spec':{'replicas':1,'minReadySeconds':3}}");
    struct buf b = BUF_INIT;
    assert_int_equal(json_print(&b, obj), 0);
    json_set_str(json_ensure_object(json_get(obj, "metadata"), "annotations"),
                 LAST_APPLIED_ANNOTATION, arena_str(&arena, buf_str(&b)));
    buf_fini(&b);
    apply_track(&arena, &r, NULL, obj);
    live = obj;
    update("csa", "spec.replicas", replicas);
}

static void kubectl_takes_over_what_client_side_apply_left(void **state)
{
    (void)state;
    left_by_client_side_apply("1");
    assert_int_equal(apply("other", false, "{" BASE ",'spec':{'replicas':2}}"), -E_CONFLICT);
    assert_int_equal(apply("kubectl", false, "{" BASE ",'spec':{'replicas':2}}"), 0);
    assert_int_equal(json_path_i64(live, "spec.replicas", 0), 2);
    assert_null(strstr(owned_by("csa"), "f:replicas"));
    assert_non_null(strstr(owned_by("csa"), "f:minReadySeconds"));
    /* Client-side apply may go on. */
    assert_string_equal(
        json_cstr(json_get(json_path(live, "metadata.annotations"), LAST_APPLIED_ANNOTATION), ""),
        "{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"name\":\"d\"},"
        "\"spec\":{\"replicas\":2}}\n");
}

static void kubectl_does_not_take_over_what_changed_since(void **state)
{
    (void)state;
    left_by_client_side_apply("7");
    assert_int_equal(apply("kubectl", false, "{" BASE ",'spec':{'replicas':2}}"), -E_CONFLICT);
    assert_int_equal(conflicts.n, 1);
}

/* ---- the recorded sequence ---- */

#define POD_TEMPLATE(spec) "'template':{'metadata':{'labels':{'a':'b'}},'spec':{" spec "}}"
#define RECORDED_C1(image)                                               \
    "{'name':'c1','image':'" image "','env':[{'name':'A','value':'1'}]," \
    "'ports':[{'containerPort':80}],'args':['xx','yy']}"
#define RECORDED_M1                                                                             \
    "{" BASE                                                                                    \
    ",'spec':{'selector':{'matchLabels':{'a':'b'}}," POD_TEMPLATE("'containers':[" RECORDED_C1( \
        "i1") "],'tolerations':[{'key':'k1','operator':'Exists'}]") "}}"

static void recorded_step(int step)
{
    switch (step) {
    case 1:
        assert_int_equal(apply("m1", false, RECORDED_M1), 0);
        break;
    case 2:
        assert_int_equal(
            apply("m2", false,
                  "{" BASE ",'spec':{'replicas':3,'template':{'spec':{'containers':["
                  "{'name':'c1','env':[{'name':'B','value':'2'}]},{'name':'c2','image':'i2'}]}}}}"),
            0);
        break;
    case 3:
        assert_int_equal(apply("m2", false,
                               "{" BASE ",'spec':{'template':{'spec':{'containers':["
                               "{'name':'c1','image':'x'}],'tolerations':[{'key':'k2'}]}}}}"),
                         -E_CONFLICT);
        break;
    case 4:
        assert_int_equal(apply("m2", false, "{" BASE ",'spec':{'replicas':3}}"), 0);
        break;
    case 6: {
        struct apply_request r = request("upd", false);
        struct json *obj = json_clone(&arena, live);
        json_set_str(json_at(json_path(obj, "spec.template.spec.containers"), 0), "image", "i5");
        apply_track(&arena, &r, live, obj);
        live = obj;
        break;
    }
    case 7:
        assert_int_equal(apply("m1", false, RECORDED_M1), -E_CONFLICT);
        break;
    default:
        break;
    }
}

/* `m1 Apply None {...}`: what the recorded server said that a manager owns. */
static void check_recorded_owner(struct str line)
{
    struct str name, rest, skipped;
    struct json *want = NULL, *found = NULL;
    assert_true(str_cut(line, ' ', &name, &rest));
    assert_true(str_cut(rest, ' ', &skipped, &rest) && str_cut(rest, ' ', &skipped, &rest));
    assert_int_equal(json_parse(&arena, rest, NULL, &want, &err), 0);
    JSON_FOR_EACH (e, json_path(live, "metadata.managedFields")) {
        if (str_is(name, json_path_cstr(e, "manager", ""))) { /* each has one entry */
            found = json_get(e, "fieldsV1");
        }
    }
    if (!set_equal(found, want)) {
        print_message("%.*s owns %s\n", STR_ARG(name), owned_by(arena_str(&arena, name)));
    }
    assert_true(set_equal(found, want));
}

static void the_recorded_sequence_has_the_same_owners_and_conflicts(void **state)
{
    const char *folder = getenv("SELVEDGE_DATA");
    const char *path = folder ? arena_printf(&arena, "%s/ssa_examples.txt", folder) : NULL;
    FILE *f = path ? fopen(path, "re") : NULL;
    char line[8192];
    size_t checked = 0;
    (void)state;
    if (!f) {
        print_message("skipped: the recorded sequence is not here ($SELVEDGE_DATA)\n");
        skip();
    }
    const char *text = "";
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        struct str s = str_trim(str_of(line));
        if (line[0] >= '1' && line[0] <= '9' && line[1] == ' ') {
            recorded_step(line[0] - '0');
            text = apply_conflict_text(&arena, &conflicts);
        } else if (str_starts(s, "MF ")) {
            check_recorded_owner(str_n(s.p + 3, s.n - 3));
            checked++;
        } else if (str_starts(s, "STATUS 409 Conflict ")) {
            size_t n = s.n - 20; /* the first line of the text */
            assert_true(n > 0);
            struct str said = str_of(text), first;
            (void)str_cut(said, '\n', &first, NULL);
            assert_memory_equal(s.p + 20, first.p, first.n);
            checked++;
        }
    }
    (void)fclose(f); /* it was only read */
    assert_true(checked > 6);
}

static void sets_obey_their_algebra(void **state)
{
    struct json *x = parse("{'f:a':{'.':{},'f:b':{}},'f:c':{}}");
    struct json *y = parse("{'f:a':{'f:b':{},'f:d':{}},'f:e':{}}");
    (void)state;
    struct json *both = set_intersection(&arena, x, y), *all = set_union(&arena, x, y);
    assert_true(set_equal(both, parse("{'f:a':{'f:b':{}}}")));
    assert_true(set_equal(all, parse("{'f:a':{'.':{},'f:b':{},'f:d':{}},'f:c':{},'f:e':{}}")));
    assert_true(set_equal(set_difference(&arena, x, y), parse("{'f:a':{},'f:c':{}}")));
    assert_true(set_equal(set_difference(&arena, all, all), NULL));
    assert_int_equal(set_count(all), 5);
    assert_false(set_valid(parse("{'a':{}}")));
    assert_false(set_valid(parse("{'f:a':1}")));
    assert_false(set_valid(parse("{'.':{'f:a':{}}}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_manager_applies_is_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(two_managers_share_a_list_by_its_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(another_value_of_anothers_field_is_a_conflict, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(lists_are_merged_in_the_order_of_both, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_value_is_shared_and_force_takes, setup, teardown),
        cmocka_unit_test_setup_teardown(applying_again_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_zero_is_a_wish, setup, teardown),
        cmocka_unit_test_setup_teardown(what_nobody_tracked_belongs_to_before_first_apply, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_list_without_its_keys_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(many_updaters_become_ancient_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(kubectl_takes_over_what_client_side_apply_left, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(kubectl_does_not_take_over_what_changed_since, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_recorded_sequence_has_the_same_owners_and_conflicts,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(sets_obey_their_algebra, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

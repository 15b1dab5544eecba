/* SPDX-License-Identifier: Apache-2.0 */
/* Structural schemas: pruning, defaulting, validation, and what is stored once. */
#include "api/crd/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"

struct fixture {
    struct arena a;
    struct crd_regexes regexes;
    const struct crd_schema *schema;
    struct json *obj, *old;
};

static struct json *parse(struct arena *a, const char *text)
{
    struct json *j = NULL;
    struct err err = {0};
    if (json_parse(a, str_of(text), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

static void open_fixture(struct fixture *f, const char *schema, const char *obj, const char *old)
{
    struct err err = {0};
    *f = (struct fixture){0};
    arena_init(&f->a, 0);
    if (crd_schema_compile(&f->a, parse(&f->a, schema), &f->regexes, &f->schema, &err) < 0) {
        fail_msg("%s: %s", schema, err.text);
    }
    f->obj = parse(&f->a, obj);
    f->old = old ? parse(&f->a, old) : NULL;
}

static void close_fixture(struct fixture *f)
{
    crd_regexes_fini(&f->regexes);
    arena_fini(&f->a);
}

/* All errors, "PATH: BODY" a line. */
static void expect_errors(const char *schema, const char *obj, const char *old, const char *wanted)
{
    struct fixture f;
    struct field_errors e;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    open_fixture(&f, schema, obj, old);
    field_errors_init(&e, &f.a);
    crd_check(&e, f.schema, f.obj, f.old);
    for (size_t i = 0; i < e.n; i++) {
        buf_printf(&out, "%s%s: %s", i ? "\n" : "", e.items[i].path, e.items[i].body);
    }
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), wanted);
    close_fixture(&f);
}

#define OBJECT(properties) "{\"type\":\"object\",\"properties\":{" properties "}}"

static void values_are_refused_in_the_words_of_kubernetes(void **state)
{
    (void)state;
    static const char schema[] = OBJECT(
        "\"s\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":4,\"pattern\":\"^a\"},"
        "\"n\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":5,\"multipleOf\":2},"
        "\"e\":{\"type\":\"string\",\"enum\":[\"x\",\"y\"]},"
        "\"b\":{\"type\":\"boolean\"},\"ios\":{\"x-kubernetes-int-or-string\":true},"
        "\"l\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":2,\"items\":{\"type\":\"string\"}},"
        "\"d\":{\"type\":\"string\",\"format\":\"date-time\"},"
        "\"o\":{\"type\":\"object\",\"required\":[\"must\"],\"properties\":{\"must\":{\"type\":"
        "\"string\"}}}");
    expect_errors(schema, "{\"s\":1}", NULL,
                  "s: Invalid value: \"integer\": s in body must be of type string: \"integer\"");
    expect_errors(schema, "{\"s\":null}", NULL,
                  "s: Invalid value: \"null\": s in body must be of type string: \"null\"");
    expect_errors(schema, "{\"s\":\"a\"}", NULL,
                  "s: Invalid value: \"a\": s in body should be at least 2 chars long");
    expect_errors(schema, "{\"s\":\"abcde\"}", NULL, "s: Too long: may not be more than 4 bytes");
    expect_errors(schema, "{\"s\":\"bc\"}", NULL,
                  "s: Invalid value: \"bc\": s in body should match '^a'");
    expect_errors(schema, "{\"n\":0}", NULL,
                  "n: Invalid value: 0: n in body should be greater than or equal to 1");
    expect_errors(schema, "{\"n\":6}", NULL,
                  "n: Invalid value: 6: n in body should be less than or equal to 5");
    expect_errors(schema, "{\"n\":3}", NULL,
                  "n: Invalid value: 3: n in body should be a multiple of 2");
    expect_errors(schema, "{\"n\":2.5}", NULL,
                  "n: Invalid value: \"number\": n in body must be of type integer: \"number\"\n"
                  "n: Invalid value: 2.5: n in body should be a multiple of 2");
    expect_errors(schema, "{\"e\":\"z\"}", NULL,
                  "e: Unsupported value: \"z\": supported values: \"x\", \"y\"");
    expect_errors(schema, "{\"b\":\"true\"}", NULL,
                  "b: Invalid value: \"string\": b in body must be of type boolean: \"string\"");
    expect_errors(
        schema, "{\"ios\":true}", NULL,
        "ios: Invalid value: \"boolean\": ios in body must be of type integer,string: \"boolean\"");
    expect_errors(schema, "{\"l\":[]}", NULL,
                  "l: Invalid value: 0: l in body should have at least 1 items");
    expect_errors(schema, "{\"l\":[\"a\",2,\"c\"]}", NULL,
                  "l[1]: Invalid value: \"integer\": l[1] in body must be of type string: "
                  "\"integer\"\nl: Too many: 3: must have at most 2 items");
    expect_errors(schema, "{\"o\":{}}", NULL, "o.must: Required value");
    expect_errors(schema, "{\"d\":\"now\"}", NULL,
                  "d: Invalid value: \"now\": d in body must be of type date-time: \"now\"");
    expect_errors(schema,
                  "{\"s\":\"ab\",\"n\":2,\"e\":\"x\",\"b\":false,\"ios\":\"5%\",\"l\":[\"a\"],"
                  "\"d\":\"2026-01-01T00:00:00Z\",\"o\":{\"must\":\"x\"}}",
                  NULL, "");
}

static void alternatives_are_told(void **state)
{
    (void)state;
    static const char schema[] =
        OBJECT("\"spec\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{"
               "\"type\":\"string\"}},\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}");
    expect_errors(schema, "{\"spec\":{\"a\":\"x\"}}", NULL, "");
    expect_errors(schema, "{\"spec\":{}}", NULL,
                  "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema "
                  "(oneOf). Found none valid\nspec.a: Required value");
    expect_errors(schema, "{\"spec\":{\"a\":\"x\",\"b\":\"y\"}}", NULL,
                  "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema "
                  "(oneOf). Found 2 valid alternatives");
    expect_errors("{\"type\":\"object\",\"not\":{\"required\":[\"x\"]}}", "{\"x\":1}", NULL,
                  "<nil>: Invalid value: \"\": \"\" must not validate the schema (not)");
}

static void items_of_sets_and_maps_are_unique(void **state)
{
    (void)state;
    static const char schema[] = OBJECT(
        "\"set\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\",\"items\":{\"type\":"
        "\"string\"}},"
        "\"map\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\","
        "\"x-kubernetes-list-map-keys\":[\"name\"],\"items\":{\"type\":\"object\","
        "\"properties\":{\"name\":{\"type\":\"string\"},\"v\":{\"type\":\"integer\",\"maximum\":5}}"
        "}}");
    expect_errors(schema, "{\"set\":[\"a\",\"b\",\"a\"]}", NULL, "set[2]: Duplicate value: \"a\"");
    expect_errors(schema, "{\"map\":[{\"name\":\"a\"},{\"name\":\"a\",\"v\":1}]}", NULL,
                  "map[1]: Duplicate value: map[string]interface {}{\"name\":\"a\"}");
    expect_errors(schema, "{\"map\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"set\":[\"a\"]}", NULL,
                  "");
}

static void what_has_not_changed_is_not_complained_of(void **state)
{
    (void)state;
    static const char schema[] =
        OBJECT("\"a\":{\"type\":\"string\",\"maxLength\":1},\"b\":{\"type\":\"integer\"},"
               "\"map\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\","
               "\"x-kubernetes-list-map-keys\":[\"name\"],\"items\":{\"type\":\"object\","
               "\"properties\":{\"v\":{\"type\":\"integer\",\"maximum\":5}}}}");
    expect_errors(schema, "{\"a\":\"long\",\"b\":2}", "{\"a\":\"long\",\"b\":1}", "");
    expect_errors(schema, "{\"a\":\"longer\"}", "{\"a\":\"long\"}",
                  "a: Too long: may not be more than 1 bytes");
    expect_errors(schema, "{\"map\":[{\"name\":\"n\"},{\"name\":\"x\",\"v\":9}]}",
                  "{\"map\":[{\"name\":\"x\",\"v\":9}]}", "");
}

static void expect_shape(const char *schema, const char *obj, const char *wanted,
                         const char *unknown)
{
    struct fixture f;
    CLEANUP(buf_finip) struct buf out = BUF_INIT, texts = BUF_INIT;
    open_fixture(&f, schema, obj, NULL);
    struct json *list = json_array(&f.a);
    crd_prune(&f.a, f.schema, f.obj, true, list);
    crd_defaults(&f.a, f.schema, f.obj, true);
    assert_int_equal(json_print(&out, f.obj), 0);
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), wanted);
    JSON_FOR_EACH (t, list) {
        buf_printf(&texts, "%s%s", buf_len(&texts) ? ", " : "", json_cstr(t, ""));
    }
    buf_putc(&texts, '\0');
    assert_string_equal(buf_data(&texts), unknown);
    close_fixture(&f);
}

static void unknown_members_go_and_defaults_come(void **state)
{
    (void)state;
    static const char schema[] = OBJECT(
        "\"spec\":{\"type\":\"object\",\"default\":{},\"properties\":{"
        "\"n\":{\"type\":\"integer\",\"default\":1},\"x\":{\"type\":\"string\",\"nullable\":true},"
        "\"l\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"p\":{\"type\":"
        "\"string\",\"default\":\"TCP\"}}}},"
        "\"any\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true},"
        "\"labels\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}},"
        "\"pod\":{\"type\":\"object\",\"x-kubernetes-embedded-resource\":true}}}");
    expect_shape(schema, "{\"kind\":\"X\",\"metadata\":{\"name\":\"x\"}}",
                 "{\"kind\":\"X\",\"metadata\":{\"name\":\"x\"},\"spec\":{\"n\":1}}", "");
    expect_shape(schema, "{\"spec\":{\"n\":null,\"x\":null,\"bad\":1},\"more\":2}",
                 "{\"spec\":{\"n\":1,\"x\":null}}",
                 "unknown field \"spec.bad\", unknown field \"more\"");
    expect_shape(schema, "{\"spec\":{\"l\":[{},{\"p\":\"UDP\",\"q\":1}]}}",
                 "{\"spec\":{\"l\":[{\"p\":\"TCP\"},{\"p\":\"UDP\"}],\"n\":1}}",
                 "unknown field \"spec.l[1].q\"");
    expect_shape(schema, "{\"spec\":{\"any\":{\"a\":{\"b\":1}},\"labels\":{\"k\":\"v\"},\"n\":2}}",
                 "{\"spec\":{\"any\":{\"a\":{\"b\":1}},\"labels\":{\"k\":\"v\"},\"n\":2}}", "");
    expect_shape(
        schema,
        "{\"spec\":{\"n\":1,\"pod\":{\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\"},\"z\":1}}}",
        "{\"spec\":{\"n\":1,\"pod\":{\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\"}}}}",
        "unknown field \"spec.pod.z\"");
}

static void equal_subtrees_are_stored_once(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f,
                 OBJECT("\"a\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"string\","
                        "\"pattern\":\"^a+$\"}}},\"b\":{\"type\":\"object\",\"properties\":{\"x\":{"
                        "\"type\":\"string\",\"pattern\":\"^a+$\"}}}"),
                 "{}", NULL);
    assert_ptr_equal(crd_schema_property(f.schema, str_of("a")),
                     crd_schema_property(f.schema, str_of("b")));
    assert_int_equal(f.regexes.n, 1);
    close_fixture(&f);
}

static void formats_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *format, *good, *bad;
    } cases[] = {
        {"uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"},
        {"uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"},
        {"ipv4", "10.0.0.1", "10.0.0"},
        {"ipv6", "fe80::1", "10.0.0.1"},
        {"cidr", "10.0.0.0/8", "10.0.0.0/40"},
        {"mac", "00:11:22:33:44:55", "00:11"},
        {"hostname", "a.example.com", "-a.example"},
        {"email", "me@example.com", "me"},
        {"uri", "https://example.com/x", "not a uri"},
        {"date", "2026-02-03", "2026-2-3"},
        {"date-time", "2026-02-03T04:05:06Z", "2026-02-03"},
        {"duration", "1h30m", "soon"},
        {"byte", "aGk=", "%%"},
        {"hexcolor", "#ff00aa", "red"},
        {"rgbcolor", "rgb(1, 2,255)", "rgb(1,2,256)"},
        {"isbn", "978-3-16-148410-0", "978-3-16-148410-1"},
        {"creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"},
        {"ssn", "123-45-6789", "12-3456789"},
        {"bsonobjectid", "507f1f77bcf86cd799439011", "507f1f77"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int good = 0; good < 2; good++) {
            struct fixture f;
            struct field_errors e;
            char schema[128], obj[128];
            (void)snprintf(schema, sizeof(schema),
                           OBJECT("\"v\":{\"type\":\"string\",\"format\":\"%s\"}"),
                           cases[i].format);
            (void)snprintf(obj, sizeof(obj), "{\"v\":\"%s\"}", good ? cases[i].good : cases[i].bad);
            open_fixture(&f, schema, obj, NULL);
            field_errors_init(&e, &f.a);
            crd_check(&e, f.schema, f.obj, NULL);
            if ((e.n == 0) != good) {
                fail_msg("%s as %s: %s", obj, cases[i].format, e.n ? e.items[0].body : "accepted");
            }
            close_fixture(&f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_refused_in_the_words_of_kubernetes),
        cmocka_unit_test(alternatives_are_told),
        cmocka_unit_test(items_of_sets_and_maps_are_unique),
        cmocka_unit_test(what_has_not_changed_is_not_complained_of),
        cmocka_unit_test(unknown_members_go_and_defaults_come),
        cmocka_unit_test(equal_subtrees_are_stored_once),
        cmocka_unit_test(formats_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

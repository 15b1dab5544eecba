/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of schemas: what they say to a decoder, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "protobuf_schema.h"
#include "protobuf_text.h"

static const char everything[] =
    "// a comment\n"
    "syntax = \"proto3\";\n"
    "package lab.v1;\n"
    "option java_package = \"x\";\n"
    "/* more */ message Reading {\n"
    "  option deprecated = true; reserved 50 to 60, 99; reserved \"old\";\n"
    "  int64 id = 1; repeated sint32 codes = 0x4 [packed = false, json_name=\"c\"];\n"
    "  map<string, Place> places = 6; optional bool ok = 7; Kind kind = 8;\n"
    "  oneof either { string name = 9; bytes raw = 10; };\n"
    "  message Place { float x = 1; .lab.v1.Reading.Place inner = 2; Kind kind = 3; }\n"
    "  Place place = 11; lab.v1.Other other = 12;\n"
    "}\n"
    "enum Kind { NONE = 0; SOME = -1 [deprecated = true]; }\n"
    "message Other { repeated double d = 1; enum Inner { A = 0; } Inner i = 2; }\n"
    "service S { rpc Get(Reading) returns (stream Other) { option x = {a: 1}; } }\n";

struct read {
    struct arena a;
    struct buf set;
    const struct schema_message *m;
};

static void read_text(struct read *r, const char *text, const char *message)
{
    struct err err = {0};
    *r = (struct read){.m = NULL};
    arena_init(&r->a, 0);
    if (protobuf_text_compile(str_of(text), &r->set, &err) < 0 ||
        schema_read(&r->a, buf_str(&r->set), str_of(message), &r->m, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

static void end(struct read *r)
{
    buf_fini(&r->set);
    arena_fini(&r->a);
}

static const struct schema_field *field(const struct schema_message *m, const char *name)
{
    for (uint32_t i = 0; i < m->n_fields; i++) {
        if (str_is(m->fields[i].name, name)) {
            return &m->fields[i];
        }
    }
    fail_msg("no field %s", name);
    return NULL;
}

static void a_text_says_what_a_descriptor_set_says(void **state)
{
    struct read r;
    (void)state;
    read_text(&r, everything, "Reading");
    assert_true(str_is(r.m->name, "lab.v1.Reading"));
    assert_int_equal(r.m->n_fields, 9);
    assert_true(field(r.m, "id")->implicit && field(r.m, "id")->type == SCHEMA_INT64);
    const struct schema_field *codes = field(r.m, "codes");
    assert_true(codes->number == 4 && codes->repeated && !codes->packed);
    const struct schema_message *entry = field(r.m, "places")->message;
    assert_true(entry->map_entry && str_is(entry->name, "lab.v1.Reading.PlacesEntry"));
    assert_true(str_is(entry->fields[1].message->name, "lab.v1.Reading.Place"));
    assert_true(entry->fields[1].message->fields[1].message == entry->fields[1].message);
    assert_int_equal(entry->fields[1].message->fields[2].type, SCHEMA_ENUM);
    assert_true(!field(r.m, "ok")->implicit && !field(r.m, "name")->implicit);
    assert_int_equal(field(r.m, "raw")->type, SCHEMA_BYTES);
    assert_true(field(r.m, "kind")->implicit && field(r.m, "kind")->type == SCHEMA_ENUM);
    assert_true(field(field(r.m, "other")->message, "d")->packed);
    end(&r);
}

static void a_text_without_syntax_is_proto2(void **state)
{
    struct read r;
    (void)state;
    read_text(&r, "message Book {required string title = 1; optional int32 price = 2;}", "Book");
    assert_false(field(r.m, "price")->implicit);
    assert_int_equal(field(r.m, "title")->number, 1);
    end(&r);
}

static void the_innermost_name_wins(void **state)
{
    struct read r;
    (void)state;
    read_text(&r,
              "syntax='proto3'; package p; message A { int32 x = 1; } message B { message A { "
              "string y = 1; } A a = 1; .p.A b = 2; p.A c = 3; }",
              "B");
    assert_int_equal(field(r.m, "a")->message->fields[0].type, SCHEMA_STRING);
    assert_int_equal(field(r.m, "b")->message->fields[0].type, SCHEMA_INT32);
    assert_int_equal(field(r.m, "c")->message->fields[0].type, SCHEMA_INT32);
    end(&r);
}

static void what_is_wrong_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *said;
    } wrong[] = {
        {"", "the schema has no message"},
        {"syntax = \"proto4\";", "line 1: expected \"proto3\" or \"proto2\", at 'proto4'"},
        {"import \"a.proto\";", "line 1: import is not supported"},
        {"syntax=\"proto3\";\nmessage A {\n int32 x 1; }", "line 3: expected '=', at '1'"},
        {"syntax=\"proto3\"; message A { int32 x = 1; ", "at the end"},
        {"syntax=\"proto3\"; message A { required int32 x = 1; }", "proto3 has no required"},
        {"message A { int32 x = 1; }", "expected required, optional or repeated"},
        {"message A { repeated group G = 1 { } }", "groups are not supported"},
        {"syntax=\"proto3\"; message A { B b = 1; }", "the type B is not defined"},
        {"syntax=\"proto3\"; message A { lab . B b = 1; }", "a name without blanks"},
        {"syntax=\"proto3\"; message A { int32 x = 0; }", "cannot have the number 0"},
        {"syntax=\"proto3\"; message A { int32 x = 19001; }", "cannot have the number 19001"},
        {"syntax=\"proto3\"; message A { int32 x = 99999999999; }", "expected a whole number"},
        {"syntax=\"proto3\"; message A { int32 x = 1; int32 y = 1; }", "the same number"},
        {"syntax=\"proto3\"; message A { int32 x = 1; int64 x = 2; }", "the same name"},
        {"syntax=\"proto3\"; message A { } enum A { X = 0; }", "A is defined twice"},
        {"syntax=\"proto3\"; message A { map<double, int32> m = 1; }", "a map's key"},
        {"syntax=\"proto3\"; message A { oneof o { repeated int32 x = 1; } }", "has no label"},
        {"syntax=\"proto3\"; message A { int32 x = 1 [packed; }", "expected ']'"},
        {"/* no end", "a comment does not end"},
        {"option a = \"no end\n\";", "a text does not end"},
        {"message \xff {}", "at '?'"},
        {"message A { extensions 4 to 9; extend B { } }", "extensions are not supported"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct buf set = BUF_INIT;
        struct err err = {0};
        if (protobuf_text_compile(str_of(wrong[i].text), &set, &err) == 0 ||
            !strstr(err.text, wrong[i].said)) {
            fail_msg("%s: %s", wrong[i].text, err.text);
        }
        buf_fini(&set);
    }
}

static void nesting_and_length_are_bounded(void **state)
{
    struct buf deep = BUF_INIT, set = BUF_INIT;
    struct err err = {0};
    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)buf_puts(&deep, "message A {"); /* sticky */
    }
    assert_int_equal(protobuf_text_compile(buf_str(&deep), &set, &err), -E_LIMIT);
    for (int i = 0; i < 300000; i++) {
        (void)buf_putc(&deep, ' ');
    }
    assert_int_equal(protobuf_text_compile(buf_str(&deep), &set, &err), -E_LIMIT);
    assert_non_null(strstr(err.text, "bytes is more than"));
    buf_fini(&deep);
    buf_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_says_what_a_descriptor_set_says),
        cmocka_unit_test(a_text_without_syntax_is_proto2),
        cmocka_unit_test(the_innermost_name_wins),
        cmocka_unit_test(what_is_wrong_is_refused_with_its_line),
        cmocka_unit_test(nesting_and_length_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

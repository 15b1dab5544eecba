/* SPDX-License-Identifier: Apache-2.0 */
/* Files of access rules and of users: what they grant, and which line is wrong. */
#include "mqtt_acl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/mem.h"
#include "mqtt_users.h"

static struct mqtt_acl *acl_of(const char *text)
{
    struct mqtt_acl *a = NULL;
    assert_int_equal(mqtt_acl_parse(str_of(text), "acl", &a, NULL), 0);
    return a;
}

static bool may(struct mqtt_acl *a, const char *user, const char *client, const char *topic,
                enum mqtt_access access)
{
    return mqtt_acl_allows(a, str_of(user), str_of(client), str_of(topic), access);
}

static void rules_grant_by_user_and_access(void **state)
{
    struct mqtt_acl *a =
        acl_of("topic read open/#\r\n# comment\n\nuser jo\ntopic jo/#\n"
               "topic write cmd/+\ntopic deny jo/x\nuser ann b\ntopic read a topic\n");
    assert_true(may(a, "", "c", "open/1", MQTT_READ));
    assert_false(may(a, "", "c", "open/1", MQTT_WRITE));
    assert_false(may(a, "jo", "c", "open/1", MQTT_READ));
    assert_true(may(a, "jo", "c", "jo/1/2", MQTT_WRITE));
    assert_true(may(a, "jo", "c", "cmd/1", MQTT_WRITE));
    assert_false(may(a, "jo", "c", "cmd/1", MQTT_READ));
    assert_false(may(a, "jo", "c", "jo/x", MQTT_READ));
    assert_true(may(a, "ann b", "c", "a topic", MQTT_READ));
    assert_false(may(a, "nobody", "c", "jo/1", MQTT_READ));
    mqtt_acl_free(a);
}

static void patterns_name_the_user_and_the_client(void **state)
{
    struct mqtt_acl *a = acl_of("pattern readwrite d/%u/#\npattern read c/%c\n");
    assert_true(may(a, "jo", "x", "d/jo/1", MQTT_WRITE));
    assert_false(may(a, "jo", "x", "d/ann/1", MQTT_WRITE));
    assert_false(may(a, "", "x", "d//1", MQTT_WRITE));
    assert_true(may(a, "", "x", "c/x", MQTT_READ));
    assert_false(may(a, "+", "x", "d/jo/1", MQTT_READ));
    assert_false(may(a, "#", "x", "d/jo", MQTT_READ));
    assert_false(may(a, "jo/1", "a/b", "c/a/b", MQTT_READ));
    mqtt_acl_free(a);
}

static void subscriptions_that_can_read_nothing_are_refused(void **state)
{
    struct mqtt_acl *a = acl_of("pattern readwrite a/#\npattern deny a/no/#\npattern write w\n");
    assert_true(may(a, "", "c", "#", MQTT_SUBSCRIBE));
    assert_true(may(a, "", "c", "a/+", MQTT_SUBSCRIBE));
    assert_false(may(a, "", "c", "a/no/x", MQTT_SUBSCRIBE));
    assert_false(may(a, "", "c", "$share/g/a/no/#", MQTT_SUBSCRIBE));
    assert_false(may(a, "", "c", "b/#", MQTT_SUBSCRIBE));
    assert_false(may(a, "", "c", "w", MQTT_SUBSCRIBE));
    mqtt_acl_free(a);
}

static void a_broken_line_is_named(void **state)
{
    static const char *const texts[] = {"topic a\nnonsense\n", "topic a\ntopic readd b\n",
                                        "topic a\ntopic a/#/b\n", "topic a\nuser\n",
                                        "topic a\ntopic\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct mqtt_acl *a = NULL;
        struct err err;
        assert_int_equal(mqtt_acl_parse(str_of(texts[i]), "acl", &a, &err), -E_PARSE);
        assert_memory_equal(err.text, "acl:2: ", 7);
    }
}

/* "secret", as mosquitto_passwd 2.0 wrote it, in both of its formats. */
#define HASH_7                                                               \
    "$7$101$tBtY3NxHm7cvID6B$fBWMq3bnEjR0snKI0P7JicwapYpImNZE9OHdQM4H1ZsXua" \
    "h9A2WacMZ2jAroeQpsk0KPz0iv3LjG0Qvp7SadHg=="
#define HASH_6                                                               \
    "$6$yBg6BbPpwCzBXRn0$rlURYh9hNuiqTeR8Ap5wh+2f3p9kI/GWQ12sJ4E+KeGt/UlUWI" \
    "YjvTl8yGLJtVx/XJEHJYJygWhMmnZLLrr1Qg=="

static void users_of_both_formats_are_read(void **state)
{
    struct mqtt_users *u = NULL;
    struct err err;
    assert_int_equal(
        mqtt_users_parse(STR_LIT("# c\n\njo:" HASH_7 "\r\nold:" HASH_6 "\n"), "users", &u, &err),
        0);
    assert_int_equal(mqtt_users_len(u), 2);
    assert_true(mqtt_users_check(u, STR_LIT("jo"), STR_LIT("secret")));
    assert_true(mqtt_users_check(u, STR_LIT("old"), STR_LIT("secret")));
    assert_false(mqtt_users_check(u, STR_LIT("old"), STR_LIT("Secret")));
    assert_false(mqtt_users_check(u, STR_LIT("jo"), STR_LIT("wrong")));
    assert_false(mqtt_users_check(u, STR_LIT("ann"), STR_LIT("secret")));
    assert_false(mqtt_users_check(u, STR_LIT("jo"), STR_NULL));
    mqtt_users_free(u);
}

static void a_broken_user_is_named(void **state)
{
    static const char *const texts[] = {"jo",
                                        ":x",
                                        "jo:plain",
                                        "jo:$5$a$b",
                                        "jo:$6$c2FsdA==$AAAA",
                                        "jo:$6$!$AAAA",
                                        "jo:$7$0$AAAA$AAAA",
                                        "jo:$7$99999999$AAAA$AAAA",
                                        "jo:$7$101$AAAA"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct mqtt_users *u = NULL;
        struct err err;
        assert_int_equal(mqtt_users_parse(str_of(texts[i]), "users", &u, &err), -E_PARSE);
        assert_memory_equal(err.text, "users:1: ", 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_grant_by_user_and_access),
        cmocka_unit_test(patterns_name_the_user_and_the_client),
        cmocka_unit_test(subscriptions_that_can_read_nothing_are_refused),
        cmocka_unit_test(a_broken_line_is_named),
        cmocka_unit_test(users_of_both_formats_are_read),
        cmocka_unit_test(a_broken_user_is_named),
    };
    return cmocka_run_group_tests_name("mqtt_acl", tests, NULL, NULL);
}

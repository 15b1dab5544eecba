/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT messages as records: there and back, and what is no record. */
#include "mqtt_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

static void make_record(const struct mqtt_event *e, struct buf *out)
{
    uint8_t head[MQTT_EVENT_HEAD];
    struct iovec pieces[MQTT_EVENT_PIECES];
    assert_int_equal(mqtt_event_pieces(e, head, pieces), 0);
    for (size_t i = 0; i < MQTT_EVENT_PIECES; i++) {
        assert_int_equal(buf_append(out, pieces[i].iov_base, pieces[i].iov_len), 0);
    }
}

static const struct mqtt_event sample = {
    .topic = {"a/b", 3},
    .payload = {"{\"x\":1}", 7},
    .client = {"c1", 2},
    .user = {"jo", 2},
    .properties = {"\1\0k\2\0vw\0\0\0\0", 11},
    .time_us = INT64_C(1774745999500000),
    .qos = 2,
    .retain = true,
};

static void a_message_comes_back_as_it_was(void **state)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    make_record(&sample, &b);
    struct mqtt_event e;
    assert_int_equal(mqtt_event_parse(buf_str(&b), &e), 0);
    assert_true(str_eq(e.topic, sample.topic));
    assert_true(str_eq(e.payload, sample.payload));
    assert_true(str_eq(e.client, sample.client));
    assert_true(str_eq(e.user, sample.user));
    assert_true(e.time_us == sample.time_us);
    assert_int_equal(e.qos, 2);
    assert_true(e.retain);
    struct str name, value;
    assert_true(mqtt_property_next(&e.properties, &name, &value));
    assert_true(str_is(name, "k") && str_is(value, "vw"));
    assert_true(mqtt_property_next(&e.properties, &name, &value));
    assert_true(name.n == 0 && value.n == 0);
    assert_false(mqtt_property_next(&e.properties, &name, &value));
}

static void every_shorter_or_longer_record_is_refused(void **state)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    make_record(&sample, &b);
    struct mqtt_event e;
    for (size_t n = 0; n < buf_len(&b); n++) {
        assert_int_equal(mqtt_event_parse(str_n(buf_data(&b), n), &e), -E_PROTO);
    }
    assert_int_equal(buf_putc(&b, 'x'), 0);
    assert_int_equal(mqtt_event_parse(buf_str(&b), &e), -E_PROTO);
}

static void lengths_that_overflow_are_refused(void **state)
{
    char record[MQTT_EVENT_HEAD + 8];
    memset(record, 0xff, sizeof(record));
    record[0] = 1;
    record[1] = 0;
    struct mqtt_event e;
    assert_int_equal(mqtt_event_parse(str_n(record, sizeof(record)), &e), -E_PROTO);
}

static void a_topic_that_is_too_long_is_refused(void **state)
{
    struct mqtt_event e = sample;
    e.topic.n = 65536;
    uint8_t head[MQTT_EVENT_HEAD];
    struct iovec pieces[MQTT_EVENT_PIECES];
    assert_int_equal(mqtt_event_pieces(&e, head, pieces), -E_TOOBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_as_it_was),
        cmocka_unit_test(every_shorter_or_longer_record_is_refused),
        cmocka_unit_test(lengths_that_overflow_are_refused),
        cmocka_unit_test(a_topic_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests_name("mqtt_event", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a record: what parses is the same record when it is written again. */
#include <assert.h>

#include "mqtt_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mqtt_event e;
    if (mqtt_event_parse(str_n((const char *)data, size), &e) < 0) {
        return 0;
    }
    uint8_t head[MQTT_EVENT_HEAD];
    struct iovec pieces[MQTT_EVENT_PIECES];
    assert(mqtt_event_pieces(&e, head, pieces) == 0);
    size_t at = 0;
    for (size_t i = 0; i < MQTT_EVENT_PIECES; i++) {
        assert(pieces[i].iov_len <= size - at);
        assert(memcmp(data + at, pieces[i].iov_base, pieces[i].iov_len) == 0);
        at += pieces[i].iov_len;
    }
    assert(at == size);
    struct str name, value;
    while (mqtt_property_next(&e.properties, &name, &value)) {
        assert(name.n + value.n <= size);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of filters, the last one a topic: a set and single filters agree. */
#include <assert.h>

#include "mqtt_topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_n((const char *)data, size), filters, topic;
    if (!str_rcut(rest, '\n', &filters, &topic) || !mqtt_topic_valid(topic)) {
        return 0;
    }
    struct mqtt_topic_set *set = mqtt_topic_set_new();
    bool want = false;
    for (bool more = set != NULL; more;) {
        struct str filter;
        more = str_cut(filters, '\n', &filter, &filters);
        if (mqtt_topic_set_add(set, filter) == 0) {
            want |= mqtt_filter_matches(filter, topic);
            assert(!mqtt_filter_matches(filter, topic) || mqtt_filter_overlaps(filter, topic));
        }
    }
    assert(!set || mqtt_topic_set_matches(set, topic) == want);
    mqtt_topic_set_free(set);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as access rules and as users. */
#include <assert.h>

#include "mqtt_acl.h"
#include "mqtt_users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_n((const char *)data, size);
    struct mqtt_acl *a = NULL;
    struct mqtt_users *u = NULL;
    if (mqtt_acl_parse(text, "acl", &a, NULL) == 0) {
        bool read = mqtt_acl_allows(a, STR_LIT("jo"), STR_LIT("c"), STR_LIT("a/b"), MQTT_READ);
        bool all = mqtt_acl_allows(a, STR_LIT("jo"), STR_LIT("c"), STR_LIT("a/b"), MQTT_SUBSCRIBE);
        assert(read == all); /* a topic without wildcards: to subscribe is to read */
    }
    if (mqtt_users_parse(text, "users", &u, NULL) == 0 && mqtt_users_len(u) < 4) {
        assert(!mqtt_users_check(u, STR_LIT("no such user"), STR_LIT("x")));
    }
    mqtt_acl_free(a);
    mqtt_users_free(u);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that MQTT sinks share: thousands of rules that publish to one broker as the same user
 * are one client of it. Sinks with a client id of their own have a connection of their own.
 *
 *      sink --user--\
 *      sink --user---+--> connection (net/mqtt.h) --> broker
 *      sink --user--/
 *
 * On the loop, like all that it stands on.
 */
#ifndef PART_DATA_MQTT_SHARE_H
#define PART_DATA_MQTT_SHARE_H

#include "net/mqtt.h"

struct data;
struct mqtt_user;

#define MQTT_USER_WINDOW 64 /* publishes of one user that are not done */

/* What became of a publish, as mqtt_done_fn. Never inside mqtt_user_publish(). */
typedef void mqtt_user_done_fn(void *arg, uint64_t sequence, int code);

/* A user of the connection that cfg describes, which is opened when there is none. Its callbacks
 * must not be set. -E_INVAL: the configuration is wrong. */
int mqtt_user_open(struct data *d, const struct mqtt_config *cfg, mqtt_user_done_fn *done,
                   void *arg, struct mqtt_user **ret, struct err *err);
/* No callback afterwards. The last user closes the connection. NULL is fine. */
void mqtt_user_close(struct mqtt_user *u);
/* As mqtt_publish(); no more than MQTT_USER_WINDOW at once. */
int mqtt_user_publish(struct mqtt_user *u, uint64_t sequence, const char *topic, struct str payload,
                      uint8_t qos, bool retain);
bool mqtt_user_connected(const struct mqtt_user *u);

#endif

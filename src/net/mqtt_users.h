/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users of an MQTT broker, in the format that mosquitto_passwd(1) writes, one a line:
 *
 *      NAME:$7$ITERATIONS$SALT$HASH     PBKDF2 with HMAC-SHA-512
 *      NAME:$6$SALT$HASH                SHA-512 of the password followed by the salt
 *
 * SALT and HASH are base64. Empty lines and lines that begin with '#' are skipped. Iterations are
 * bounded (MQTT_USERS_ITERATIONS), because the broker checks passwords on its one thread.
 */
#ifndef NET_MQTT_USERS_H
#define NET_MQTT_USERS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

#define MQTT_USERS_ITERATIONS 50000

struct mqtt_users;

/* The text of a file; its name is for errors: "NAME:LINE: what". Passwords are not stored. */
int mqtt_users_parse(struct str text, const char *name, struct mqtt_users **ret, struct err *err);
void mqtt_users_free(struct mqtt_users *u); /* NULL is fine */
size_t mqtt_users_len(const struct mqtt_users *u);
/* Takes the same time for a user that does not exist. */
bool mqtt_users_check(const struct mqtt_users *u, struct str name, struct str password);

#endif

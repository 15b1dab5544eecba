/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may read and write which topics of an MQTT broker: the format of mosquitto's acl_file.
 *
 *      topic [read|write|readwrite|deny] FILTER      of the user above; before any user: of clients
 *                                                    without a user name
 *      user NAME                                     what follows is about this user
 *      pattern [read|write|readwrite|deny] FILTER    of every client; a level that is %u is the
 *                                                    user's name, a level that is %c the client's
 * id
 *
 * Without an access word both are meant. Lines that begin with '#' and empty ones are skipped. What
 * no line grants is refused; deny goes before all others. Other than in mosquitto, subscriptions
 * are refused as well: where a deny line covers the whole filter, or where no line lets anything
 * through that the filter could match. $share/GROUP/ is left out of account.
 */
#ifndef NET_MQTT_ACL_H
#define NET_MQTT_ACL_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

enum mqtt_access { MQTT_READ = 1, MQTT_WRITE = 2, MQTT_SUBSCRIBE = 4 };

struct mqtt_acl;

/* The text of a file; its name is for errors: "NAME:LINE: what". */
int mqtt_acl_parse(struct str text, const char *name, struct mqtt_acl **ret, struct err *err);
void mqtt_acl_free(struct mqtt_acl *a); /* NULL is fine */
/* user: empty = a client without one. topic: a filter where access is MQTT_SUBSCRIBE. */
bool mqtt_acl_allows(struct mqtt_acl *a, struct str user, struct str client, struct str topic,
                     enum mqtt_access access);

#endif

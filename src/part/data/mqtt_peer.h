/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT options that sources and sinks share: which broker, as whom. */
#ifndef PART_DATA_MQTT_PEER_H
#define PART_DATA_MQTT_PEER_H

#include "codec/json.h"
#include "net/mqtt.h"

struct data;

/* server ("tcp://host:1883", "ssl://..."), clientid, username, password, protocolVersion ("3.1.1",
 * "5"), qos, insecureSkipVerify, certificationPath, privateKeyPath, rootCaPath. Without a server
 * the node's own broker is meant. Texts of *ret lie in the arena. -E_INVAL with the option. */
int mqtt_peer_read(struct data *d, struct arena *a, const struct json *conf,
                   struct mqtt_config *ret, struct err *err);

#endif

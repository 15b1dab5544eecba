/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT sources over the node's own broker: its events come through the ring, all at one place. */
#ifndef PART_DATA_SOURCE_MQTT_H
#define PART_DATA_SOURCE_MQTT_H

#include <stdbool.h>
#include <stddef.h>

struct mqtt_event;

/* broker_config.on_events; arg is the struct data. */
void mqtt_sources_take(void *arg, const struct mqtt_event *events, size_t n);
/* broker_config.ready */
bool mqtt_sources_ready(void *arg);

#endif

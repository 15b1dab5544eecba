/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics and topic filters of MQTT (5.0, section 4.7): levels between '/', '+' for one level, '#'
 * for the rest. A filter that begins with a wildcard does not match topics that begin with '$'.
 *
 * A topic set answers "does any of these filters match?" in the time of the topic's levels, not of
 * the number of filters.
 */
#ifndef CODEC_MQTT_TOPIC_H
#define CODEC_MQTT_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* 1 to 65535 bytes of UTF-8 without NUL; '+' and '#' alone in their level, '#' last. */
bool mqtt_filter_valid(struct str filter);
bool mqtt_topic_valid(struct str topic); /* no wildcards */
bool mqtt_filter_matches(struct str filter, struct str topic);
/* Whether every topic that b matches is matched by a. */
bool mqtt_filter_covers(struct str a, struct str b);
/* Whether some topic is matched by both. */
bool mqtt_filter_overlaps(struct str a, struct str b);
/* "$share/GROUP/FILTER" without its first two levels; anything else as it is. */
struct str mqtt_filter_unshared(struct str filter);

struct mqtt_topic_set;
struct mqtt_topic_set *mqtt_topic_set_new(void); /* NULL when memory is short */
void mqtt_topic_set_free(struct mqtt_topic_set *s);
/* -E_INVAL: no filter; -E_LIMIT: more than LIMIT_MQTT_FILTERS, or
 * more than LIMIT_MQTT_LEVELS levels; -E_NOMEM. Twice the same is fine. */
int mqtt_topic_set_add(struct mqtt_topic_set *s, struct str filter);
bool mqtt_topic_set_matches(const struct mqtt_topic_set *s, struct str topic);
size_t mqtt_topic_set_len(const struct mqtt_topic_set *s); /* different filters */

#endif

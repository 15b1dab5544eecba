/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time zones of the system's database, as offsets from UTC (RFC 8536, TZif version 2 and later,
 * with the footer's rule for times behind its table). Leap seconds are ignored, as POSIX does.
 *
 * A zone is immutable after it was loaded. No global state: the C library's zone is process-wide.
 */
#ifndef IO_ZONE_H
#define IO_ZONE_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct zone;

/* "Europe/Berlin", from /usr/share/zoneinfo; "UTC" needs no file. Free with zone_free(). -E_NOENT
 * with "unknown time zone NAME", -ENOMEM. Reads a small file: do not call it often. */
int zone_load(const char *name, struct zone **ret, struct err *err);
/* The same from the bytes of a file. -E_INVAL when they are none. */
int zone_parse(struct str bytes, struct zone **ret);
void zone_free(struct zone *z); /* NULL is fine */

/* Seconds to add to UTC at a moment (seconds since 1970, UTC); z NULL is UTC. */
int32_t zone_offset(const struct zone *z, int64_t at);

#endif

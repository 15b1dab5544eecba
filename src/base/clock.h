/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points in time. Wall time and monotonic time are different structs, so that they cannot be mixed.
 * Text is RFC 3339 in UTC: seconds (metav1.Time), microseconds (MicroTime) or nanoseconds (log
 * lines).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "str.h"

struct mono {
    int64_t us;
};
struct wall {
    int64_t us; /* since 1970-01-01T00:00:00Z */
};

struct mono mono_now(void);
struct wall wall_now(void);

#define TIME_TEXT_SIZE 32
/* "2026-11-20T23:02:21Z"; returns out. */
char *time_text(struct wall t, char out[TIME_TEXT_SIZE]);
/* "2026-11-20T23:02:21.856342Z" */
char *time_text_micro(struct wall t, char out[TIME_TEXT_SIZE]);
/* Any RFC 3339 text with an offset; fractions beyond microseconds are cut. 0 or -EINVAL. */
int time_parse(struct str s, struct wall *ret);
/* Kubernetes' short age of tables: "5s", "3m20s", "4h", "12d", "2y10d". Negative ages print "0s".
 */
#define AGE_TEXT_SIZE 24
char *age_text(int64_t seconds, char out[AGE_TEXT_SIZE]);
/* Go's time.ParseDuration: "1h15m30.5s", "300ms", "0"; microseconds. 0, -EINVAL or -ERANGE. */
int duration_parse(struct str s, int64_t *ret_us);

#endif

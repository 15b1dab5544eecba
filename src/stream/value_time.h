/* SPDX-License-Identifier: Apache-2.0 */
/* How values become points in time and points in time become text. */
#ifndef STREAM_VALUE_TIME_H
#define STREAM_VALUE_TIME_H

#include "value.h"

/* A time as it is, an integer or float as milliseconds since 1970, a text in one of the forms that
 * eKuiper reads (RFC 3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02", each with a
 * fraction where there is a clock time; no zone means UTC). 0 or -E_INVAL. */
int value_time_of(const struct value *v, struct wall *ret);
int value_time_parse(struct str s, struct wall *ret);
/* "2019-09-19T00:55:15.5Z": RFC 3339 with as many digits of a fraction as are needed. */
#define VALUE_TIME_TEXT 40
size_t value_time_print(char out[VALUE_TIME_TEXT], struct wall t);

#endif

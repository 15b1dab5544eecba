/* SPDX-License-Identifier: Apache-2.0 */
/* Where the part's HTTP server asks whether a request is an event. */
#ifndef PART_DATA_SOURCE_HTTP_PUSH_H
#define PART_DATA_SOURCE_HTTP_PUSH_H

#include <stdbool.h>

struct data;
struct http_exchange;

/* True: it was for a push source and is answered. False: nothing happened. */
bool http_push_handle(struct data *d, struct http_exchange *x);

#endif

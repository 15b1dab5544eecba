/* SPDX-License-Identifier: Apache-2.0 */
/* The address of the first Service and how a Service's fields hang together: for server_boot.c. */
#ifndef API_ADMISSION_SERVICE_H
#define API_ADMISSION_SERVICE_H

struct api_server;
struct err;
struct kind;
struct json;

/* For state.c: the table of addresses, from what the store holds. */
int service_state_start(struct api_server *s, struct err *err);
void service_state_wrote(struct api_server *s, const struct kind *k, const char *ns,
                         const char *name, const struct json *obj);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The objects that a server makes for itself at its start; it is not ready before they are there.
 */
#ifndef API_SERVER_BOOT_H
#define API_SERVER_BOOT_H

#include "api/handler.h"

/* Starts to make the namespaces that always exist, and the default roles (auth/rbac_defaults.h). */
int server_boot(struct api_server *s, struct err *err);
/* server_boot_service.c: the Service `kubernetes` and what it points to, where the opts have an
 * address; the system's priority classes. -E_NOMEM. */
int server_boot_service(struct api_server *s);
int server_boot_priorities(struct api_server *s);
/* Ends what is under way. */
void server_boot_cancel(struct api_server *s);

/* One write as the server itself (system:masters); a 409 is fine, another failure is logged. body
 * is cloned; its name is that of the object. -E_NOMEM. */
int server_boot_write(struct api_server *s, enum handler_verb verb, const struct kind *k,
                      const struct json *body);

/* The same for an object as it is to be stored (storage form), over the revision that it has. */
int server_boot_put(struct api_server *s, const struct kind *k, const struct json *obj,
                    int64_t expected);

#endif

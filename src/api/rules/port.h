/* SPDX-License-Identifier: Apache-2.0 */
/* Ports by number or name. */
#ifndef API_RULES_PORT_H
#define API_RULES_PORT_H

#include "api/status.h"

/* Why a text is no name of a port (IANA service name); NULL when it is one. */
const char *rule_port_name_error(struct str s);
/* A port number, or the name of a port; absent is fine. */
void rule_port_or_name(struct field_errors *e, const char *path, const struct json *v);

#endif

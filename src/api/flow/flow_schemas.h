/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FlowSchemas and PriorityLevelConfigurations (flowcontrol.apiserver.k8s.io/v1): which flow a
 * request belongs to, where somebody has said so.
 *
 * The schema of the lowest matchingPrecedence (then by name) that matches decides; one whose level
 * does not exist is passed over. A request that none matches belongs to the flow of flow_key_of().
 */
#ifndef API_FLOW_SCHEMAS_H
#define API_FLOW_SCHEMAS_H

#include "api/flow/flow.h"
#include "base/err.h"
#include "codec/json.h"

struct api_server;
struct flow_schemas;

struct flow_request {
    const struct api_user *user;
    const char *verb;             /* "get" ... */
    const char *group, *resource; /* "" = core; "pods" or "pods/status" */
    const char *ns;               /* "" for none */
};

/* Follows the store. NULL with err. */
struct flow_schemas *flow_schemas_new(struct api_server *s, struct err *err);
void flow_schemas_free(struct flow_schemas *f); /* NULL is fine */
struct flow_key flow_schemas_key(struct flow_schemas *f, const struct flow_request *q,
                                 char text[FLOW_NAME_SIZE]);

/* The weight of a level: 30 shares, the default, are 1; at most 16. 0 = exempt. For tests. */
unsigned flow_level_weight(const struct json *level_spec);
/* Whether one of a schema's rules is about the request. For tests. */
bool flow_schema_matches(const struct json *schema_spec, const struct flow_request *q);

#endif

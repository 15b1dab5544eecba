/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that check pod specs share. */
#ifndef API_VALIDATE_POD_PRIVATE_H
#define API_VALIDATE_POD_PRIVATE_H

#include "api/validate.h"
#include "base/map.h"

struct pod_check {
    struct field_errors *e;
    struct map containers; /* names of all containers so far */
    struct map volumes;    /* names of the volumes */
    struct map host_ports; /* "port/protocol/ip" */
    bool host_network;
};

/* The path of a field, in the arena; "" when that is full. */
const char *pod_at(struct pod_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Whether the key is there already; it is from now on. */
bool pod_seen(struct map *m, struct str key);
/* o.name is a DNS label that is not yet among names. */
void pod_check_name(struct pod_check *c, const char *path, const struct json *o, struct map *names);
void pod_check_required(struct pod_check *c, const char *path, const struct json *o,
                        const char *member);
/* validate_placement.c: affinity and spreading of a pod's spec. */
void pod_check_placement(struct pod_check *c, const char *path, const struct json *spec);
/* validate_container.c */
void pod_check_resources(struct pod_check *c, const char *path, const struct json *resources);
void pod_check_container(struct pod_check *c, const char *path, const struct json *o, bool init);

#endif

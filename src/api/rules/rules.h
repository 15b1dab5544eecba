/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of single kinds, one constant a kind: what the server fills, what a write may touch,
 * what an object must obey. strategy.c finds them by group and kind and calls them in order.
 *
 * Objects are in storage form, have passed their schema and have its defaults. Functions only add
 * field errors, or change obj; nothing here looks at other objects (that is admission's business).
 */
#ifndef API_RULES_RULES_H
#define API_RULES_RULES_H

#include "api/defaults.h"
#include "api/status.h"
#include "api/validate.h"

typedef void rule_validate_fn(struct field_errors *e, const struct json *obj,
                              const struct json *old);

struct strategy {
    const char *group, *kind;
    validate_name_fn *check_name; /* NULL: a DNS subdomain */
    /* Any of these may be NULL. create and update run before the object is checked; a create has
     * its name and uid. */
    void (*create)(struct arena *a, struct json *obj);
    void (*update)(struct arena *a, struct json *obj, const struct json *old, bool status);
    rule_validate_fn *validate;        /* old is NULL for a create */
    rule_validate_fn *validate_status; /* a write to /status */
    bool needs_version;                /* a PUT must say which version it replaces */
    bool status_moves_metadata;        /* a write of /status may change labels and annotations */
};

extern const struct strategy
    /* admission_policy.c */
    rules_admission_policy,
    rules_admission_policy_binding,
    /* apps.c */
    rules_controller_revision, rules_daemon_set, rules_stateful_set,
    /* autoscaling.c */
    rules_autoscaler,
    /* batch.c, cron_job.c */
    rules_job, rules_cron_job,
    /* certificates.c */
    rules_certificate_request,
    /* data.c */
    rules_rule, rules_stream, rules_table,
    /* endpoints.c, service.c */
    rules_endpoints, rules_endpoint_slice, rules_service,
    /* flow.c */
    rules_flow_schema, rules_priority_level,
    /* network.c */
    rules_ingress, rules_ingress_class, rules_network_policy,
    /* policy.c */
    rules_disruption_budget, rules_priority_class, rules_runtime_class,
    /* quota.c */
    rules_limit_range, rules_resource_quota,
    /* rbac.c */
    rules_role, rules_cluster_role, rules_role_binding, rules_cluster_role_binding,
    /* storage.c, volume.c */
    rules_storage_class, rules_csi_driver, rules_csi_node, rules_volume_attachment, rules_volume,
    rules_volume_claim,
    /* template.c */
    rules_pod_template,
    /* webhooks.c */
    rules_mutating_webhooks, rules_validating_webhooks;

/* ---- what they share (checks.c) ---- */

/* A path, or another text, in the arena of e; never NULL. */
const char *rule_path(struct field_errors *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "Required value" when the text at o.member is empty. True when it is there. */
bool rule_required(struct field_errors *e, const char *path, const struct json *o,
                   const char *member);
/* `value` at path must be what check allows. */
void rule_name(struct field_errors *e, const char *path, const struct json *value,
               validate_name_fn *check);
/* A port number, 1 to 65535; absent is fine. */
void rule_port(struct field_errors *e, const char *path, const struct json *n);
/* A whole number >= 0 or "25%". */
void rule_int_or_percent(struct field_errors *e, const char *path, const struct json *v,
                         bool at_most_100);
/* Whether v is 0 or "0%". */
bool rule_is_zero(const struct json *v);
/* An IPv4 or IPv6 address, or a range of them ("10.0.0.0/8"); ret_v6 may be NULL. */
bool rule_is_ip(const char *s, bool *ret_v6);
bool rule_is_cidr(const char *s);
/* A label selector that must be there and not be empty. */
void rule_selector(struct field_errors *e, const struct json *spec, const char *empty);
/* spec.template: its labels must match spec.selector; its pods must be allowed. */
void rule_template(struct field_errors *e, const struct json *spec, bool always_restart);
/* A map of amounts: each a quantity that is not negative. */
void rule_amounts(struct field_errors *e, const char *path, const struct json *amounts);
/* An empty status: what a client sends in a create does not count. */
void rule_status_reset(struct arena *a, struct json *obj);
/* Takes a member from old, or takes it away. */
void rule_keep(struct json *obj, const struct json *old, const char *member);

/* ---- defaults by type (defaults.c); NULL when a type has none ---- */
defaults_rule_fn *rules_defaults_find(const char *type_name);

#endif

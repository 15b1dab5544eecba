/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled rules of a schema: made by cel_rules.c, run by cel_rules_check.c. */
#ifndef API_CEL_CEL_RULES_PRIVATE_H
#define API_CEL_CEL_RULES_PRIVATE_H

#include "cel_private.h"
#include "cel_rules.h"

enum { VAR_SELF, VAR_OLD_SELF, VAR_NR };

struct rule {
    struct cel_program *program, *message_program; /* the second may be NULL */
    const char *text;                              /* of the rule, trimmed */
    const char *message;                           /* NULL = none */
    const char *field_path;                        /* ".a.b" as it is appended, NULL = none */
    enum cel_cause cause;
    bool transition;   /* reads oldSelf */
    bool optional_old; /* oldSelf is an optional, the rule runs on create too */
};

/* A node of the schema that has rules, or has nodes below that have. */
struct rule_node {
    const struct cel_type *type;
    const struct cel_type *old_type; /* optional_type(type) */
    const char *schema_type;         /* "object": shown as the value of problems */
    struct rule *rules;
    uint32_t n_rules, n_fields;
    struct rule_field {
        const char *name; /* as in JSON */
        struct rule_node *node;
    } * fields;
    struct rule_node *items;         /* of an array */
    struct rule_node *additional;    /* additionalProperties */
    bool map_list;                   /* items are matched with old ones by type->list_keys */
    const struct json *key_defaults; /* of list keys that may be left out; NULL = none */
};

struct cel_rules {
    struct arena a;
    struct rule_node *root;
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the REST interface share: one request, its answers, its waiting writes. */
#ifndef PART_DATA_REST_PRIVATE_H
#define PART_DATA_REST_PRIVATE_H

#include "part/data/data_private.h"
#include "net/http_server.h"
#include "rest.h"

/* A request with its body; lives until it is answered. */
struct rest_call {
    struct data *data;
    struct http_exchange *x; /* NULL: the peer went away; the work goes on */
    struct arena *arena;     /* of the exchange; not to be used once x is NULL */
    struct str method, path, query, body;
    struct str name; /* the path's variable, decoded; empty */
    /* An answer that waits for the store: the call outlives the exchange. */
    bool waits;
    int status;
    char *text;                        /* heap */
    void (*undo)(struct rest_call *c); /* the write failed: back to what was before */
    void *undo_arg;                    /* heap; freed with the call */
};

typedef void rest_fn(struct rest_call *c);

/* Each ends the call. */
void rest_text(struct rest_call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void rest_json(struct rest_call *c, int status, const struct json *j);
void rest_done(struct rest_call *c); /* the exchange was ended by other means */
/* {"error": 1000 (1002: not found), "message": "prefix: text"}; prefix may be NULL. */
void rest_error(struct rest_call *c, const char *prefix, const struct err *err);
/* What an object of the API defines is changed there: answers 409 and returns true when object (as
 * in struct data_rule) is not NULL. */
bool rest_owned(struct rest_call *c, const char *prefix, const char *object);
/* Keeps a definition (value.p NULL: deletes it), then answers with status; when it cannot be kept
 * calls undo and answers with the reason. */
void rest_keep(struct rest_call *c, int status, const char *group, struct str name,
               struct str value, void (*undo)(struct rest_call *c), void *undo_arg, const char *fmt,
               ...) __attribute__((format(printf, 8, 9)));
/* The body as JSON, or NULL after an answer was given. */
struct json *rest_body(struct rest_call *c);

rest_fn rest_streams_list, rest_streams_create, rest_stream_get, rest_stream_put,
    rest_stream_delete, rest_stream_details, rest_stream_schema;
rest_fn rest_tables_list, rest_table_get, rest_table_put, rest_table_delete, rest_table_details;
rest_fn rest_rules_list, rest_rules_create, rest_rule_get, rest_rule_put, rest_rule_delete,
    rest_rule_start, rest_rule_stop, rest_rule_restart, rest_rule_status, rest_rules_status,
    rest_rule_topo, rest_rule_explain, rest_rule_validate, rest_rule_reset;
rest_fn rest_schemas_list, rest_schemas_create, rest_schema_get, rest_schema_put,
    rest_schema_delete;
rest_fn rest_set_import, rest_set_export;
rest_fn rest_test_create, rest_test_start, rest_test_delete, rest_test_watch;

#endif

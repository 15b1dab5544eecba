/* SPDX-License-Identifier: Apache-2.0 */
/* What handler*.c share: refusing, committing, and the object at hand. */
#ifndef API_HANDLER_PRIVATE_H
#define API_HANDLER_PRIVATE_H

#include "api/apply/managers.h"
#include "api/handler.h"

#include "api/object.h"
#include "base/mem.h"

/* {group, resource, name} of the operation, for Status details. */
struct status_about handler_about(const struct handler_op *op);
/* The same with the kind ("Pod"), for a 422. */
struct status_about handler_about_kind(const struct handler_op *op, const char *name);

/* Each ends the operation: calls done. A NULL status means that memory was short. */
void handler_fail(struct handler_op *op, struct json *status);
void handler_fail_code(struct handler_op *op, int code, const char *message);
void handler_ok_tree(struct handler_op *op, int http, struct json *result);
void handler_ok_item(struct handler_op *op, int http, struct store_item *item);

/* Starts the operation again, from the newest state; authorization is not asked again. */
void handler_again(struct handler_op *op);

/* Whether the caller may do what op says. False when it has ended the operation (403). */
bool handler_allowed(struct handler_op *op);
/* The write guard and, for creates, the namespace. False when it has ended the operation. */
bool handler_guard(struct handler_op *op, enum server_write verb, const struct json *old);
bool handler_namespace_open(struct handler_op *op);

/* The newest state of op->ns/op->name in op->latest, op->old and op->old_rev. False when it has
 * ended the operation (404). */
bool handler_load(struct handler_op *op);

/* Sets resourceVersion, prints and submits obj (storage form). expected 0 = create. The answer is
 * the item with `http`, unless committed is given, which then ends the operation itself. */
void handler_put(struct handler_op *op, struct json *obj, int64_t expected, int http,
                 void (*committed)(struct handler_op *op));
/* The last state becomes the answer of the event. */
void handler_remove(struct handler_op *op, struct json *last, int64_t expected,
                    void (*committed)(struct handler_op *op));
/* Nothing to write: answers with what is there, once it is durable. */
void handler_unchanged(struct handler_op *op, struct store_item *item);
/* The answer of a dry run. */
void handler_dry(struct handler_op *op, int http, struct json *obj);

/* handler_pod.c: pods/ephemeralcontainers and pods/resize. */
void handler_pod_part(struct handler_op *op);
/* handler_answer.c: what code answers instead of the store. */
void handler_answer(struct handler_op *op);

/* handler_list.c */
void handler_list(struct handler_op *op);

/* handler_body.c */
/* The operation is on /status, or on /approval, which writes a part of it. */
bool handler_writes_status(const struct handler_op *op);
/* The kind in whose form an object is while it is worked on. */
const struct kind *handler_form(const struct handler_op *op);
/* Kind, name and namespace are the path's; absent ones are filled. Then the schema; then the rules
 * of the kind (old NULL: a create). Each ends the operation when it returns false. */
bool handler_check_identity(struct handler_op *op, struct json *body);
bool handler_check_schema(struct handler_op *op, struct json *body);
bool handler_check_rules(struct handler_op *op, const struct json *obj, const struct json *old);
/* Custom objects got theirs with handler_check_schema(). */
void handler_set_defaults(struct handler_op *op, struct json *obj);
/* A strategic merge patch whose result does not fit: the words of its conversion. */
void handler_fail_strategic(struct handler_op *op, const char *why);
/* What clients send in metadata and the server never keeps. */
void handler_drop_foreign(struct json *meta);
/* Who writes, for managedFields. */
struct apply_request handler_apply_request(const struct handler_op *op);
/* Notes what this write changes as its manager's; an applied object has its managers already. False
 * when it has ended the operation. */
bool handler_track(struct handler_op *op, struct json *obj);
/* handler_create.c */
void handler_create(struct handler_op *op);
/* handler_update.c */
void handler_update(struct handler_op *op);
void handler_patch(struct handler_op *op);
/* The steps of an update from the wanted object on, in served form. */
void handler_replace(struct handler_op *op, struct json *body);
/* What an update and a patch have in common at the end: obj is the wanted object, storage form. */
void handler_store_update(struct handler_op *op, struct json *obj);
/* Whether the op's patch applies to target; ends the operation otherwise. */
bool handler_apply_patch(struct handler_op *op, const struct schema_type *type,
                         const struct json *target, struct json **ret);
/* handler_apply.c */
/* The options of a create, update or patch make sense; ends the operation otherwise (422). */
bool handler_check_options(struct handler_op *op);
void handler_apply(struct handler_op *op);
/* handler_delete.c */
void handler_delete(struct handler_op *op);
void handler_delete_collection(struct handler_op *op);
void handler_collection_cancel(struct handler_op *op);
bool handler_last_gone(const struct json *obj); /* nothing keeps a deleted object any more */
/* handler_evict.c */
void handler_evict(struct handler_op *op);
/* handler_sub.c */
void handler_sub(struct handler_op *op); /* scale, binding, eviction, finalize */

#endif

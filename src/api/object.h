/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small helpers over Kubernetes objects that are JSON trees: metadata, labels, finalizers, owners,
 * conditions.
 *
 * Every function accepts NULL and half-built objects. Texts that are returned are borrowed from the
 * tree; a text that is absent is "" (never NULL), so that callers compare without asking first.
 */
#ifndef API_OBJECT_H
#define API_OBJECT_H

#include "base/clock.h"
#include "codec/json.h"

/* ---- metadata ---- */
const char *obj_kind(const struct json *o);
const char *obj_api_version(const struct json *o);
const char *obj_name(const struct json *o);
const char *obj_ns(const struct json *o);
const char *obj_uid(const struct json *o);
const char *obj_rv(const struct json *o);      /* metadata.resourceVersion as text */
int64_t obj_rev(const struct json *o);         /* the same as a number; 0 when it is none */
int64_t obj_generation(const struct json *o);  /* 0 when absent */
bool obj_deleting(const struct json *o);       /* deletionTimestamp is set */
struct wall obj_created(const struct json *o); /* us 0 when absent or malformed */
struct json *obj_meta(struct json *o);         /* metadata, made when absent */
/* "ns/name", or "name" when ns is "" or NULL; in the arena. */
char *obj_key(struct arena *a, const char *ns, const char *name);

const struct json *obj_labels(const struct json *o);
const struct json *obj_annotations(const struct json *o);
const char *obj_label(const struct json *o, const char *key);      /* "" when absent */
const char *obj_annotation(const struct json *o, const char *key); /* "" when absent */
void obj_set_label(struct json *o, const char *key, const char *value);
void obj_set_annotation(struct json *o, const char *key, const char *value);
/* Every member of `part` is a member of `whole` with the same text. An empty part matches. */
bool obj_labels_include(const struct json *whole, const struct json *part);

/* ---- finalizers ---- */
bool obj_has_finalizer(const struct json *o, const char *name);
bool obj_add_finalizer(struct json *o, const char *name); /* true when it was not there */
bool obj_del_finalizer(struct json *o, const char *name); /* true when it was there */

/* ---- owners ---- */
/* The ownerReference with controller: true, or NULL. */
const struct json *obj_controller_ref(const struct json *o);
/* The ownerReference with this uid, or NULL. */
const struct json *obj_owner_ref(const struct json *o, const char *uid);
bool obj_controlled_by(const struct json *o, const char *uid);
/* {apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true} that points to owner.
 * apiVersion and kind are given, for list items do not carry them. */
struct json *obj_controller_ref_new(struct arena *a, const struct json *owner,
                                    const char *api_version, const char *kind);

/* ---- conditions (status.conditions, merge key type) ---- */
struct json *obj_condition(const struct json *o, const char *type); /* NULL when absent */
const char *obj_condition_status(const struct json *o,
                                 const char *type); /* "True" "False" "Unknown" or "" */
bool obj_condition_true(const struct json *o, const char *type);
/* Sets a condition; lastTransitionTime moves only when status changes. A condition that equals what
 * is there in status, reason and message is not touched. True when something changed. */
bool obj_condition_set(struct json *o, const char *type, const char *status, const char *reason,
                       const char *message, struct wall now);
bool obj_condition_del(struct json *o, const char *type); /* true when it was there */
/* The same over a list of conditions that is not (or not yet) in an object's status. */
struct json *conditions_get(const struct json *conditions, const char *type);
bool conditions_set(struct json *conditions, const char *type, const char *status,
                    const char *reason, const char *message, struct wall now);

#endif

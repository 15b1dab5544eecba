/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversion of custom objects by a webhook (apiextensions.k8s.io/v1 ConversionReview).
 *
 * Objects go to the webhook in the version in which they are stored (or in which a client sent
 * them) and come back in another one. Of their metadata a webhook may change labels and annotations
 * alone. Loop thread only.
 */
#ifndef API_CRD_CRD_CONVERT_H
#define API_CRD_CRD_CONVERT_H

#include "api/handler.h"

struct crd_conversion;

/* Whether k's definition converts by webhook, and obj (an item) is of another version than
 * wanted. */
bool crd_object_foreign(const struct kind *k, const struct json *obj, const struct kind *wanted);
bool crd_item_foreign(const struct kind *k, const struct store_item *it);

/* code 0: objs[i] is what became of the i-th object, in the arena that was given. Else err is a
 * sentence in Kubernetes' words. Comes once, never inside the start. */
typedef void crd_converted_fn(void *arg, int code, struct json **objs, size_t n,
                              const struct err *err);

/* Converts objs (n > 0, trees in a) into wanted's version; those that have it already are kept. The
 * array is changed in place and, as a, must live until done. NULL on -E_NOMEM. */
struct crd_conversion *crd_convert_start(const struct kind *k, const struct kind *wanted,
                                         struct arena *a, struct json **objs, size_t n,
                                         crd_converted_fn *done, void *arg);
/* done will not come any more. NULL is fine. */
void crd_convert_cancel(struct crd_conversion *c);

/* ---- for handlers ---- */

/* Each takes the operation over and goes on with next when it is converted; a failure ends it.
 * handler_cancel() ends what is under way. */

/* obj, in op->kind's version, into the storage version. */
void crd_handler_to_storage(struct handler_op *op, struct json *obj,
                            void (*next)(struct handler_op *op, struct json *obj));
/* The stored object it into op->kind's version; it is kept as op->converted_item, the tree as
 * op->converted. */
void crd_handler_to_served(struct handler_op *op, struct store_item *it,
                           void (*next)(struct handler_op *op, struct json *obj));
/* The items of op->list into op->list.trees. */
void crd_handler_list(struct handler_op *op, void (*next)(struct handler_op *op));
void crd_handler_cancel(struct handler_op *op);

#endif

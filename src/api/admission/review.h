/* SPDX-License-Identifier: Apache-2.0 */
/* One write in the words of AdmissionReview, for webhooks and policies, and who may be asked what
 * its user may do. */
#ifndef API_ADMISSION_REVIEW_H
#define API_ADMISSION_REVIEW_H

#include "api/admission/admission.h"
#include "api/cel/cel.h"

/* "CREATE", "UPDATE", "DELETE" or "CONNECT". */
const char *admission_operation(const struct admission *ad);
/* The member request of an AdmissionReview, in the operation's arena: object and oldObject in the
 * form of kind `as`, which is the operation's own or another that shares its storage. uid may be
 * NULL. */
struct json *admission_request(const struct admission *ad, const struct kind *as, const char *uid);
/* Answers about the operation's user, by our own rules. The operation must outlive it. */
struct cel_authorizer admission_authorizer(struct handler_op *op);

#endif

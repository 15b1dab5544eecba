/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that are answered by thinking, nothing is stored: access reviews (authorization.k8s.io),
 * TokenReview and SelfSubjectReview (authentication.k8s.io), and the subresource token of
 * ServiceAccounts. Each ends the operation.
 */
#ifndef API_AUTH_REVIEW_H
#define API_AUTH_REVIEW_H

#include "api/handler.h"

/* Of type handler_answer_fn, for the table of handler_answer.c. */
void review_self_subject(struct handler_op *op);   /* SelfSubjectReview */
void review_token(struct handler_op *op);          /* TokenReview */
void review_self_access(struct handler_op *op);    /* SelfSubjectAccessReview */
void review_subject_access(struct handler_op *op); /* SubjectAccessReview */
void review_local_access(struct handler_op *op);   /* LocalSubjectAccessReview */
void review_self_rules(struct handler_op *op);     /* SelfSubjectRulesReview */
/* token_request.c: POST serviceaccounts/NAME/token. */
void token_request_run(struct handler_op *op);

/* {"username","uid","groups","extra"} of a user. */
struct json *review_user_info(struct arena *a, const struct api_user *u);

#endif

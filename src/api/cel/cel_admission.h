/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions about a request: matchConditions of admission webhooks (kubernetes.io, "Dynamic
 * Admission Control", section "Matching requests: matchConditions").
 *
 * They see object and oldObject (anything; null where there is none) and request, whose fields are
 * those of AdmissionReview's request. There is no authorizer.
 */
#ifndef API_CEL_CEL_ADMISSION_H
#define API_CEL_CEL_ADMISSION_H

#include "cel.h"

/* Why the text cannot be a condition ("compilation failed: ERROR: ...", "must evaluate to bool"),
 * or NULL. In the arena. */
const char *cel_condition_problem(struct arena *a, struct str text);

enum cel_match { CEL_MATCH_YES, CEL_MATCH_NO, CEL_MATCH_FAILED };

/* conditions: the list of {name, expression}, NULL and empty match; request: AdmissionReview's
 * request with object and oldObject in it. No when one is false; failed, with err, when one could
 * not be evaluated and none is false. */
enum cel_match cel_match_conditions(struct arena *a, const struct json *conditions,
                                    const struct json *request, struct err *err);

#endif

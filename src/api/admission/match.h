/* SPDX-License-Identifier: Apache-2.0 */
/* Which writes a webhook or a policy is about: rules, selectors and matchPolicy. */
#ifndef API_ADMISSION_MATCH_H
#define API_ADMISSION_MATCH_H

#include "api/admission/admission.h"
#include "api/selector.h"

struct admission_match {
    const struct json *rules, *exclude;    /* lists of NamedRuleWithOperations; borrowed */
    struct selector *namespaces, *objects; /* NULL = all */
    bool any;                              /* no rules match everything, else nothing */
    bool exact;                            /* matchPolicy: Exact */
};

/* Reads namespaceSelector, objectSelector, matchPolicy and the rules of member `rules` and of
 * excludeResourceRules. j must live as long as what is read; selectors lie in the arena. */
struct admission_match admission_match_read(struct arena *a, const struct json *j,
                                            const char *rules);
/* The kind under which it matches: the operation's own or, unless exact, another version of the
 * same objects. NULL when it does not match. */
const struct kind *admission_matches(const struct admission_match *m, const struct admission *ad);

#endif

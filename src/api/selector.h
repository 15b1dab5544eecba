/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label and field selectors: parsed once, matched often.
 *
 * A selector lives in the arena that it was parsed into and copies what it needs. A long-lived
 * holder (a watch) keeps an arena of its own for it. NULL, an empty text and an empty LabelSelector
 * object match everything; an absent LabelSelector (JSON NULL pointer) matches nothing, as in
 * Kubernetes: see selector_from_json().
 *
 * Errors are -E_INVAL with Kubernetes' text ("unable to parse requirement: ..."), -E_LIMIT over
 * LIMIT_SELECTOR_TERMS, -E_NOMEM.
 */
#ifndef API_SELECTOR_H
#define API_SELECTOR_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"

enum selector_op {
    SELECTOR_EQ, /* one value; also "==" */
    SELECTOR_NE, /* matches where the key is absent, too */
    SELECTOR_IN,
    SELECTOR_NOT_IN, /* matches where the key is absent, too */
    SELECTOR_EXISTS,
    SELECTOR_NOT_EXISTS,
    SELECTOR_GT, /* one integer; only node affinity uses them */
    SELECTOR_LT,
    SELECTOR_OP_NR,
};

struct selector_term {
    /* read-only */
    enum selector_op op;
    const char *key;
    const char **values; /* sorted for IN and NOT_IN */
    size_t n_values;
};

struct selector {
    /* read-only */
    struct selector_term *terms; /* all must match */
    size_t n;
    bool nothing; /* matches no object at all */
};

/* "a=b,c!=d,e in (x,y),f notin (z),g,!h" */
int selector_parse(struct arena *a, const char *text, struct selector **ret, struct err *err);
/* "metadata.name=x,status.phase!=Failed"; values may escape ',', '=' and '\' by '\'. Which names a
 * kind supports is for the caller to check (selector->terms), with "field label not supported:
 * NAME". */
int selector_parse_fields(struct arena *a, const char *text, struct selector **ret,
                          struct err *err);
/* A LabelSelector {matchLabels, matchExpressions}; j NULL or JSON null gives one that matches
 * nothing. */
int selector_from_json(struct arena *a, const struct json *j, struct selector **ret,
                       struct err *err);
/* A map of labels that must all be there (spec.nodeSelector, a ReplicationController's selector).
 */
int selector_from_map(struct arena *a, const struct json *labels, struct selector **ret,
                      struct err *err);
/* spec.selector of what owns pods: a LabelSelector, or the map of labels that a
 * ReplicationController has; what the members hold tells which. */
int selector_from_owner(struct arena *a, const struct json *j, struct selector **ret,
                        struct err *err);
/* One {key, operator, values} of a node selector term (In NotIn Exists DoesNotExist Gt Lt) or of
 * matchExpressions. */
int selector_term_from_json(struct arena *a, const struct json *expr, struct selector_term *ret,
                            struct err *err);

/* The value of a key, or NULL when it is absent. */
typedef const char *selector_get_fn(const void *arg, const char *key);
bool selector_match(const struct selector *s, selector_get_fn *get,
                    const void *arg); /* s NULL matches */
bool selector_term_match(const struct selector_term *t,
                         const char *value); /* value NULL = absent */
/* labels is a JSON object of texts (metadata.labels) or NULL. */
bool selector_match_labels(const struct selector *s, const struct json *labels);
/* A get over the fields of a whole object by path, "metadata.name"; booleans as "true" and "false".
 * An absent field is "" (fields always exist, unlike labels). */
const char *selector_field_get(const void *object, const char *path);

bool selector_empty(const struct selector *s); /* matches everything */
int selector_print(struct buf *out,
                   const struct selector *s); /* the text form that parses to the same */

#endif

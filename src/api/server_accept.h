/* SPDX-License-Identifier: Apache-2.0 */
/* Content negotiation: which of the forms that a client accepts is sent. */
#ifndef API_SERVER_ACCEPT_H
#define API_SERVER_ACCEPT_H

#include "base/err.h"
#include "base/str.h"

enum accept_form {
    ACCEPT_JSON,
    ACCEPT_TABLE,        /* as=Table, meta.k8s.io/v1 */
    ACCEPT_PARTIAL,      /* as=PartialObjectMetadata */
    ACCEPT_PARTIAL_LIST, /* as=PartialObjectMetadataList */
};

/* The first range of an Accept header that can be served; an absent header is JSON. 0, or
 * -E_NOTACCEPT. */
int accept_choose(struct str header, enum accept_form *ret);

/* A media type without its parameters, trimmed: "application/json; charset=utf-8" ->
 * "application/json". */
struct str media_type(struct str header);

#endif

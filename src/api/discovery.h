/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kubectl asks first: which groups, versions and resources there are. All answers are made
 * from the registry (kind.h) on request.
 *
 *   /api  /apis                       aggregated (apidiscovery.k8s.io/v2, v2beta1) when the Accept
 *                                     header asks for it, else the old APIVersions, APIGroupList
 *   /api/v1  /apis/GROUP  /apis/GROUP/VERSION      always in the old form
 */
#ifndef API_DISCOVERY_H
#define API_DISCOVERY_H

#include "base/arena.h"
#include "base/buf.h"

/* A hash of content for ETags and URLs: the same in every process of the same build, not a
 * cryptographic one. out gets 32 hex digits. */
#define CONTENT_HASH_SIZE 33
void content_hash(struct str content, char out[CONTENT_HASH_SIZE]);

struct discovery_reply {
    const char *content_type; /* constant text */
    /* With the quotes; "" when the answer has none. When it equals If-None-Match the caller answers
     * 304 without a body. Send "Vary: Accept" and "Cache-Control: public" beside it. */
    char etag[CONTENT_HASH_SIZE + 2];
};

/*
 * Answers a path (without the query). accept and host (the Host header, told to old clients as the
 * server's address) may be NULL. out gets the body. 0; -E_NOENT when the path is none of
 * discovery's or names a group or version that is not served; -E_NOMEM.
 */
int discovery_get(struct arena *a, const char *path, const char *accept, const char *host,
                  struct buf *out, struct discovery_reply *ret);

#endif

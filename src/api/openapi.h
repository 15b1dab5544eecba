/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAPI documents, written on request from the registry and the schemas; nothing of them stays in
 * memory but a hash a document.
 *
 *   /openapi/v3                    the index: every group and version with its URL and hash
 *   /openapi/v3/api/v1             a document; kubectl >= 1.27 reads it for apply, explain, diff
 *   /openapi/v3/apis/GROUP/VERSION
 *   /openapi/v2                    one document in the protobuf of gnostic (openapi.v2.Document)
 * for older kubectls, which ask with Accept:
 * application/com.github.proto-openapi.spec.v2@v1.0+protobuf
 *
 * Version 2 is served in that form alone: any other Accept is answered 406, never with JSON to one
 * who asked for protobuf (kubectl would fail to parse it).
 */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include "api/discovery.h"
#include "base/buf.h"

/* The Content-Type. Clients ask with "@v1.0", which Go cannot parse as a media type in an answer.
 */
#define OPENAPI_V2_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

/* All append to out and return 0, or -E_NOMEM; -E_NOENT when the group and version are not served.
 */
int openapi_v3_index(struct buf *out);
/* group "" = core. Send the hash as ETag (in quotes); a URL with ?hash= may be cached for good. */
int openapi_v3_document(const char *group, const char *version, struct buf *out,
                        char ret_hash[CONTENT_HASH_SIZE]);
int openapi_v2_document(struct buf *out, char ret_hash[CONTENT_HASH_SIZE]);

/* True when an Accept header admits the protobuf of version 2. NULL does not. */
bool openapi_v2_accepts(const char *accept);

#endif

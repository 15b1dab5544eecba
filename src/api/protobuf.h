/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes' protobuf bodies (Content-Type: application/vnd.kubernetes.protobuf), read into JSON
 * trees by the field numbers in kinds/. Clients since client-go 0.32 and kubelets send them;
 * answers are always JSON, which they accept.
 *
 *     "k8s\0"  Unknown {1: TypeMeta {1: apiVersion, 2: kind}, 2: raw, 3: contentEncoding,
 *                       4: contentType}          (apimachinery pkg/runtime/generated.proto)
 *
 * The encoder of Go (gogo) writes zero scalars of fields that are no pointers; they are left out as
 * JSON's omitempty does. Fields that we do not know are skipped, as newer clients may send them.
 */
#ifndef API_PROTOBUF_H
#define API_PROTOBUF_H

#include "api/schema.h"
#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"

/* True for a body that begins with the envelope's four bytes. */
bool protobuf_is_envelope(struct str body);

/*
 * Reads a body. Its type is found by the apiVersion and kind that it carries (kind_body_type());
 * *ret holds the object with both. -E_PROTO with a sentence when malformed or too deep,
 * -E_MEDIATYPE when the envelope holds something that is not protobuf, -E_INVAL for a type that is
 * unknown, -E_NOMEM.
 */
int protobuf_decode(struct arena *a, struct str body, struct json **ret, struct err *err);

/* Reads a bare message of a type. The same errors. */
int protobuf_decode_message(struct arena *a, const struct schema_type *t, struct str message,
                            struct json **ret, struct err *err);

#endif

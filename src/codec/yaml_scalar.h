/* SPDX-License-Identifier: Apache-2.0 */
/* What a YAML 1.1 scalar means, as go-yaml v2 resolves it; for yaml.c alone. */
#ifndef CODEC_YAML_SCALAR_H
#define CODEC_YAML_SCALAR_H

#include "base/arena.h"
#include "base/str.h"
#include "codec/json.h"

/* plain: written without quotes. tag may be NULL. Returns NULL and the node in *ret (NULL when the
 * arena failed), or what is wrong. */
const char *yaml_scalar(struct arena *a, struct str text, bool plain, const char *tag,
                        struct json **ret);

/* The text that a scalar gives as a key: true for yes, 8 for 010; NULL for null. */
struct json *yaml_key_text(struct arena *a, struct json *scalar);

#endif

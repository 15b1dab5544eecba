/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML 1.1 to JSON trees, as sigs.k8s.io/yaml reads manifests: y, yes, on and their kin are
 * booleans, octal numbers are numbers, mapping keys of any scalar type become strings.
 *
 * Everything is bounded: nesting (LIMIT_YAML_DEPTH), the number of values after aliases were
 * expanded (LIMIT_JSON_VALUES), and the arena's cap. Merge keys ("<<") are honoured. Tags other
 * than the core ones are refused.
 */
#ifndef CODEC_YAML_H
#define CODEC_YAML_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/json.h"

/* The first document; an empty text gives JSON null. *ret only on success. -E_PARSE with line and
 * column in err, -E_LIMIT, -ENOMEM. */
int yaml_parse(struct arena *a, struct str text, struct json **ret, struct err *err);

/* Called for every document that is not empty; nonzero stops the iteration and is returned. */
typedef int yaml_document_fn(void *arg, struct json *doc, struct err *err);

/* All documents of a stream ("---" between them). */
int yaml_parse_all(struct arena *a, struct str text, yaml_document_fn *fn, void *arg,
                   struct err *err);

#endif

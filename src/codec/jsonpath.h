/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSONPath as Kubernetes has it (k8s.io/client-go/util/jsonpath), one path without the braces of
 * templates: printer columns, `kubectl wait`-like conditions, paths of subresources.
 *
 *     .spec.replicas   .status.conditions[?(@.type=="Ready")].status   ['a.b']  [0] [-1] [1:3] [*]
 *     .metadata.annotations.example\.com/x   ..name   .*   [0,2]
 *
 * Filters compare (== != < <= > >=) two operands or ask whether a path exists. A path may begin
 * with
 * '$' or '@'; the first '.' may be missing.
 */
#ifndef CODEC_JSONPATH_H
#define CODEC_JSONPATH_H

#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"

struct jsonpath;

#define JSONPATH_FOUND_MAX 1000

/* Compiles into the arena. -E_INVAL with a sentence, -E_LIMIT when it is too long or too deep,
 * -E_NOMEM. *ret only on success. */
int jsonpath_compile(struct arena *a, struct str text, const struct jsonpath **ret,
                     struct err *err);
/* A path of plain names alone (".spec.replicas"), as subresources and selectable fields need it. */
bool jsonpath_is_simple(const struct jsonpath *p);
/* What the path finds in root, in document order, at most JSONPATH_FOUND_MAX values, as an array of
 * pointers in the arena; *ret_n its length. Missing members are no error. NULL with *ret_n 0 when
 * nothing is found or memory is short. */
const struct json **jsonpath_find(struct arena *a, const struct jsonpath *p,
                                  const struct json *root, size_t *ret_n);
/* The first of them, or NULL. */
const struct json *jsonpath_first(struct arena *a, const struct jsonpath *p,
                                  const struct json *root);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON paths over values, in the dialect of eKuiper (which follows Goessner's article):
 *
 *      $            the value                       .name  ["name"]  ['name']  [name]
 *      [3] [-1]     items, from the end             [1:4] [::2]   slices
 *      .* [*]       all members or items            [0,2] ["a","b"]   several
 *      ..name ..*   at any depth                    [? @.age > 60]  [?(@.a == 1 && !@.b)]
 *
 * A filter knows == != < <= > >= && || ! + - * / %, numbers, texts, true, false, null, @ and $.
 * A path alone as a filter asks whether it is there and is neither false nor null.
 */
#ifndef STREAM_FN_PATH_H
#define STREAM_FN_PATH_H

#include "stream/value.h"

struct path;

/* Into the arena. -E_INVAL with the byte and what was wrong, -E_NOMEM. */
int path_parse(struct arena *a, struct str text, const struct path **ret, struct err *err);
/* Whether it leads to one place at most: no wildcards, slices, filters, lists. */
bool path_definite(const struct path *p);
/* A definite path gives the value at its place, -E_NOENT with a text when there is none; others
 * give an array of all they lead to. Borrowed from `v` and the arena. -E_LIMIT, -E_NOMEM. */
int path_eval(const struct path *p, struct arena *a, const struct value *v, struct value *ret,
              struct err *err);

#endif

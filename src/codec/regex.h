/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions in RE2's syntax, in linear time.
 *
 * The syntax is that of Go's regexp package, which Kubernetes uses for schema patterns and for
 * CEL's matches(): no back-references and no look-around, therefore no input that explodes. A
 * match costs at most (size of the program) x (length of the text) steps and no allocation.
 * Patterns and texts are UTF-8; a byte that is none matches as U+FFFD.
 *
 * A struct regex carries its own working memory: use it from one thread, one call at a time.
 */
#ifndef CODEC_REGEX_H
#define CODEC_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

struct regex;

/* -E_INVAL with Go's words ("error parsing regexp: missing closing ]: `[a`"), -E_LIMIT when the
 * program would be too large (LIMIT_REGEX_PROGRAM), -ENOMEM. *ret only on success. */
int regex_compile(struct str pattern, struct regex **ret, struct err *err);
void regex_free(struct regex *re);
void regex_freep(struct regex **re); /* for CLEANUP() */

/* True when the pattern matches somewhere in text; anchor it with ^ and $ to match the whole. */
bool regex_match(struct regex *re, struct str text);

struct regex_span {
    size_t start, end; /* bytes; start == REGEX_NONE: the group took no part */
};
#define REGEX_NONE ((size_t)-1)

/* The leftmost match (of Perl's preference) that starts at or after byte `from`; ^ and \b see the
 * text before it. spans[0] is the whole match, spans[i] group i; those beyond the pattern's groups
 * or LIMIT_REGEX_GROUPS are none. n_spans >= 1. 1, 0 when there is no match, or -ENOMEM (the first
 * call allocates). */
int regex_find(struct regex *re, struct str text, size_t from, struct regex_span *spans,
               size_t n_spans);
unsigned regex_groups(const struct regex *re); /* capturing groups, without the whole */

#endif

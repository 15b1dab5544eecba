/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of service accounts, asked from the parent as the node (TokenRequest, bound to a pod).
 * Loop thread only.
 */
#ifndef SYNC_CHILD_TOKEN_H
#define SYNC_CHILD_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct sync_child;
struct child_token;

/* Texts are copied. */
struct child_token_ask {
    const char *ns, *account;
    const char *pod, *uid;
    const char *audience; /* "" = the parent itself */
    int64_t seconds;      /* of life */
};

/* code: 0 with the token and its end (microseconds since 1970), borrowed; else a sentence in err:
 * -E_NOENT, -E_ACCESS and the like are the parent's word, others say that it was not reached. */
typedef void child_token_fn(void *arg, int code, const char *token, int64_t end_us,
                            const struct err *err);

/* The parent can be asked: the link is up, or just coming up. NULL is not. */
bool child_token_possible(const struct sync_child *c);
/* done comes once, never inside; not after child_token_cancel(). NULL when the parent cannot be
 * asked now, or memory is short. */
struct child_token *child_token_start(struct sync_child *c, const struct child_token_ask *ask,
                                      child_token_fn *done, void *arg);
void child_token_cancel(struct child_token *t); /* NULL is fine */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The decision of the garbage collector (Kubernetes pkg/controller/garbagecollector
 * attemptToDeleteItem). */
#include "garbage.h"

enum garbage_verdict garbage_decide(const struct garbage_in *in)
{
    size_t count[OWNER_UNVERIFIED + 1] = {0};
    for (size_t i = 0; i < in->n; i++) {
        count[in->owners[i]]++;
    }
    if (in->deleting || in->n == 0) {
        return GARBAGE_KEEP;
    }
    if (count[OWNER_UNVERIFIED] > 0) {
        return GARBAGE_VERIFY;
    }
    if (count[OWNER_SOLID] > 0) {
        return count[OWNER_ABSENT] + count[OWNER_WAITING] > 0 ? GARBAGE_UNLINK : GARBAGE_KEEP;
    }
    if (count[OWNER_WAITING] > 0 && in->has_dependents) {
        return GARBAGE_DELETE_FOREGROUND;
    }
    return in->orphan       ? GARBAGE_DELETE_ORPHAN
           : in->foreground ? GARBAGE_DELETE_FOREGROUND
                            : GARBAGE_DELETE_BACKGROUND;
}

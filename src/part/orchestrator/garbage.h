/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision of the garbage collector about one object, from what is known of its owners. Pure.
 */
#ifndef ORCHESTRATOR_GARBAGE_H
#define ORCHESTRATOR_GARBAGE_H

#include <stdbool.h>
#include <stddef.h>

enum owner_state {
    OWNER_SOLID,   /* it exists (or its kind is not known here: it gets the benefit of the doubt) */
    OWNER_ABSENT,  /* verified: gone, or another object has its name */
    OWNER_WAITING, /* it exists and waits for its dependents to go (foreground deletion) */
    OWNER_UNVERIFIED, /* not in the copy; the server must be asked */
};

enum garbage_verdict {
    GARBAGE_KEEP,
    GARBAGE_VERIFY, /* ask for the unverified owners first */
    GARBAGE_UNLINK, /* keep it; drop the references to owners that are absent or waiting */
    GARBAGE_DELETE_BACKGROUND,
    GARBAGE_DELETE_FOREGROUND,
    GARBAGE_DELETE_ORPHAN,
};

struct garbage_in {
    const enum owner_state *owners;
    size_t n;
    bool deleting;
    bool orphan, foreground; /* finalizers of the object itself */
    bool has_dependents;
};

enum garbage_verdict garbage_decide(const struct garbage_in *in);

#endif

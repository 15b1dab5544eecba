/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table-driven state machine: the states, their names and the allowed moves are data. Every move is
 * checked (a forbidden one is a bug and asserts) and traced at debug level.
 *
 *     static const struct sm_state states[] = {
 *         [POD_NEW] = {"new", SM_TO(POD_STARTING) | SM_TO(POD_DEAD)}, ...
 *     };
 */
#ifndef BASE_SM_H
#define BASE_SM_H

#include <stdint.h>

struct sm_state {
    const char *name;
    uint64_t to; /* bit set of allowed next states */
};

#define SM_TO(state) (UINT64_C(1) << (state))

struct sm {
    /* read-only */
    const struct sm_state *states;
    int n;
    int state;
    /* private */
    char label[64];
};

/* label names this machine in traces ("pod default/web-1"); copied, cut when longer. */
void sm_init(struct sm *m, const struct sm_state *states, int n, int start, const char *label);
void sm_move(struct sm *m, int to);
const char *sm_name(const struct sm *m);

#endif

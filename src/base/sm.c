/* SPDX-License-Identifier: Apache-2.0 */
/* Table-driven state machine; see sm.h. */
#include "sm.h"

#include "log.h"
#include "mem.h"

void sm_init(struct sm *m, const struct sm_state *states, int n, int start, const char *label)
{
    assert(n > 0 && n <= 64 && start >= 0 && start < n);
    *m = (struct sm){.states = states, .n = n, .state = start};
    (void)cstr_copy(m->label, sizeof(m->label), label); /* cutting is allowed */
}

void sm_move(struct sm *m, int to)
{
    assert(to >= 0 && to < m->n);
    assert(m->states[m->state].to & SM_TO(to));
    log_debug("%s: %s -> %s", m->label, m->states[m->state].name, m->states[to].name);
    m->state = to;
}

const char *sm_name(const struct sm *m)
{
    return m->states[m->state].name;
}

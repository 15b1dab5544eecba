/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rolling updates of DaemonSets, in two ways: without surge an old pod goes and the next step makes
 * the new one; with surge the new one comes first and the old one goes once it is available.
 */
#include <string.h>

#include "base/mem.h"
#include "daemonset_private.h"
#include "orchestrator_private.h"
#include "workload.h"

bool daemon_is_new(const struct daemon *d, const struct pod_facts *p)
{
    return cstr_eq(pod_label(p, REVISION_HASH_LABEL), d->hash);
}

bool daemon_is_going(const struct daemon *d, const struct pod_facts *p)
{
    return p->deleting || (d->in->is_going && d->in->is_going(d->in->going_arg, p));
}

bool daemon_available(struct daemon *d, const struct pod_facts *p)
{
    return pod_available(p, d->min_ready, d->in->now, &d->wait_ms);
}

void daemon_delete(struct daemon *d, const struct pod_facts *p)
{
    workload_delete(d->plan, p, d->set, known_kinds()->daemon_set, "Deleted pod: %s")->wave = 2;
}

/* The new and the old pod of a node. False when there are several of a sort, or one is on its way
 * out: they are sorted out first. */
static bool find_two(struct daemon *d, const struct daemon_place *place, struct pod_facts **fresh,
                     struct pod_facts **old)
{
    *fresh = *old = NULL;
    for (size_t i = 0; i < place->n; i++) {
        struct pod_facts *p = place->pods[i];
        struct pod_facts **slot = daemon_is_new(d, p) ? fresh : old;
        if (daemon_is_going(d, p)) {
            continue;
        }
        if (*slot) {
            return false;
        }
        *slot = p;
    }
    return true;
}

/* Places in the rolling update: those that should run a pod and can be reached. */
static bool takes_part(const struct daemon_place *place)
{
    return place->wanted && !place->cut;
}

/* Old pods that do not work go at once, the others as long as there is room. */
static void replace_in_place(struct daemon *d)
{
    struct pod_facts **candidates = arena_alloc(d->arena, (d->n_places + 1) * sizeof(*candidates));
    int64_t unavailable = 0;
    size_t n = 0;
    for (size_t i = 0; candidates && i < d->n_places; i++) {
        struct daemon_place *place = &d->places[i];
        struct pod_facts *fresh, *old;
        if (!takes_part(place)) {
            continue;
        }
        if (place->busy || !find_two(d, place, &fresh, &old) || !fresh == !old) {
            unavailable++;
        } else if (fresh) {
            unavailable += !daemon_available(d, fresh);
        } else if (daemon_available(d, old)) {
            candidates[n++] = old;
        } else {
            daemon_delete(d, old);
            unavailable++;
        }
    }
    for (size_t i = 0; i < n && unavailable < d->unavailable; i++, unavailable++) {
        daemon_delete(d, candidates[i]);
    }
}

static void replace_with_surge(struct daemon *d)
{
    struct daemon_place **candidates =
        arena_alloc(d->arena, (d->n_places + 1) * sizeof(*candidates));
    int64_t surge = 0;
    size_t n = 0;
    for (size_t i = 0; candidates && i < d->n_places; i++) {
        struct daemon_place *place = &d->places[i];
        struct pod_facts *fresh, *old;
        if (!takes_part(place) || place->busy || !find_two(d, place, &fresh, &old) || !old) {
            continue;
        }
        if (!fresh && !daemon_available(d, old)) {
            place->create = true;
            surge++;
        } else if (!fresh) {
            candidates[n++] = place;
        } else if (daemon_available(d, fresh)) {
            daemon_delete(d, old);
        } else {
            surge++;
        }
    }
    for (size_t i = 0; i < n && surge < d->surge; i++, surge++) {
        candidates[i]->create = true;
    }
}

void daemon_roll(struct daemon *d)
{
    if (d->surge > 0) {
        replace_with_surge(d);
    } else {
        replace_in_place(d);
    }
}

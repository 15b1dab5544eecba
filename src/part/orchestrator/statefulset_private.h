/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the StatefulSet step share. */
#ifndef ORCHESTRATOR_STATEFULSET_PRIVATE_H
#define ORCHESTRATOR_STATEFULSET_PRIVATE_H

#include "revision.h"
#include "statefulset.h"

/* What stands in which wave of the plan; a new revision comes before all. */
enum { STS_WAVE_STATUS = 1, STS_WAVE_CLAIMS, STS_WAVE_PODS };

/* One ordinal that is wanted, or a pod that is one too many. */
struct replica {
    int64_t ordinal;
    struct pod_facts *pod; /* NULL: not made yet */
    bool leaving;          /* being deleted, or asked to go */
};

struct sts {
    const struct statefulset_in *in;
    struct plan *plan;
    struct arena *arena;
    struct json *set;
    const char *name;
    int64_t replicas, start, min_ready, partition;
    bool ordered, rolling, has_rolling;
    struct revisions revisions;
    const char *current, *update; /* names of revisions */
    const struct json *current_template;
    struct replica *wanted; /* replicas of them, by ordinal */
    struct replica *extra;  /* highest ordinal first */
    size_t n_extra;
    int64_t wait_ms;
};

/* ---- statefulset_pods.c ---- */

/* Plans the pod of an ordinal and what it lacks of its claims. */
void sts_create(struct sts *s, int64_t ordinal);
/* Makes the claims of an existing pod that waits for them. */
void sts_create_claims(struct sts *s, int64_t ordinal);
/* Brings the owners of the ordinal's claims in line with the retention policy. pod NULL: it is
 * wanted, else the pod that is about to go. */
void sts_sync_claims(struct sts *s, int64_t ordinal, const struct pod_facts *pod);
bool sts_has_claims(const struct sts *s);

#endif

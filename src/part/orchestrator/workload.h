/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reconcile steps of all kinds that make pods share: pods from templates, adopting and
 * releasing, counters of a status. Pure.
 */
#ifndef ORCHESTRATOR_WORKLOAD_H
#define ORCHESTRATOR_WORKLOAD_H

#include "api/selector.h"
#include "plan.h"
#include "pod_index.h"

/* The most pods that one step creates or deletes, as in Kubernetes. */
#define WORKLOAD_BURST 500

/* A pod of a template, owned by owner, in its namespace, without a name. */
struct json *workload_pod(struct arena *a, const struct json *pod_template,
                          const struct json *owner, const struct kind *kind);

/* The owner's reference is put into, or taken out of, an object without reading it. Absent objects
 * are passed over. */
void workload_adopt(struct plan *plan, const struct kind *kind, const char *ns, const char *name,
                    const char *uid, const struct json *owner, const struct kind *owner_kind);
void workload_release(struct plan *plan, const struct kind *kind, const char *ns, const char *name,
                      const char *uid, const struct json *owner);

/*
 * The pods that count for owner: those that it controls and that match, and those that nobody
 * controls, match and are adopted by the plan; pods that do not match any more are released by the
 * plan. Returns a list in the plan's arena, NULL when it failed.
 */
struct pod_facts **workload_claim(struct plan *plan, const struct json *owner,
                                  const struct kind *owner_kind, const struct selector *selector,
                                  struct pod_facts **pods, size_t n, size_t *ret_n);

/* The action's events are about owner: reason ok_reason with text on success, ("%s" is the name),
 * bad_reason on failure ("%s" is why). */
void workload_events(struct action *a, const struct kind *owner_kind, const struct json *owner,
                     const char *ok_reason, const char *ok_text, const char *bad_reason,
                     const char *bad_text);
/* Deletes a pod with the events SuccessfulDelete and FailedDelete of the owner. */
struct action *workload_delete(struct plan *plan, const struct pod_facts *p,
                               const struct json *owner, const struct kind *owner_kind,
                               const char *ok_text);

/* A counter of a status: zero is left out, as Kubernetes does for most. */
void workload_count(struct json *status, const char *field, int64_t n);
/* A number, or a percentage of total (rounded up or down). */
int64_t workload_scaled(const struct json *j, int64_t total, bool up, int64_t def);
/* Wave of the i-th of many creations: 1, 2, 4, ... as long as all goes well, so that a bad template
 * or a quota wastes little; later waves are large. */
unsigned workload_wave(size_t i);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service account tokens of a pod's projected volumes: asked from the parent, kept in the
 * node's store (so that they survive the agent and the power), renewed when four fifths of their
 * life are over.
 *
 * Nothing waits long for the parent: a pod that starts asks once and gives it a moment; without an
 * answer it starts without the file, which comes when the link is back.
 */
#ifndef INFRA_POD_TOKENS_H
#define INFRA_POD_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

struct infra;
struct pod;

/* Learns which tokens the pod's volumes want, and what the store has of them; asks for what is
 * missing or due. Wakes the pod when there is something new (pod->refresh is set). Cheap when
 * nothing is due. */
void pod_tokens_step(struct pod *p);
/* A pod that is about to start should wait a little: a token, or the cluster's CA, is on its way.
 * It is woken. */
bool pod_tokens_wait(struct pod *p);
/* The text of a token; NULL when there is none yet. */
const char *pod_tokens_get(struct pod *p, const char *audience, int64_t seconds);
/* Forgets them; erase: in the store, too (the pod is gone). */
void pod_tokens_free(struct pod *p, bool erase);

/* Erases what the store has of pods that this node does not know. */
void pod_tokens_sweep(struct infra *inf);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The generated table of kinds, for kind.c; and how custom kinds enter the registry, for crd/. */
#ifndef API_KIND_PRIVATE_H
#define API_KIND_PRIVATE_H

#include "api/kind.h"

extern const struct kind kind_table[];
extern const size_t kind_table_n;

/*
 * A set of custom kinds that somebody (one API server) serves. Kinds are looked up in the compiled
 * table first, then in the sets in the order in which they were made.
 */
struct kind_set {
    struct list link; /* private */
    /* Pointers to what is served, sorted with kind_cmp(); and what is only stored. Owned by the
     * set's maker, who calls kinds_changed() after every change. */
    const struct kind **served;
    size_t n_served;
    const struct kind **stored; /* every kind that stores objects, served or not */
    size_t n_stored;
};

void kind_set_add(struct kind_set *set);
void kind_set_remove(struct kind_set *set);
/* Rebuilds the list of all kinds and tells the listeners. 0 or -ENOMEM (the list is then the old
 * one). */
int kinds_changed(void);

/* The one struct of a custom kind's identity, made when it is new and never freed; its content is
 * the caller's to fill. NULL when memory is short. group, version, api_version and plural are set.
 */
struct kind *kind_shell(const char *group, const char *version, const char *plural);
/* Room for its subresources, which lives as long: [0] is status, [1] is scale. */
struct kind_subresource *kind_shell_subs(struct kind *k);

/* kind_convert_scaler.c: HorizontalPodAutoscalers of version 2 as version 1, and back into `to`.
 * New trees in the arena; NULL when it failed. */
struct json *kind_scaler_to_v1(struct arena *a, const struct json *obj);
struct json *kind_scaler_to_v2(struct arena *a, const struct kind *to, const struct json *obj);

/* Discovery's order: group, then version (v2 before v1 before v1beta1), then plural. */
int kind_cmp(const struct kind *a, const struct kind *b);
/* Kubernetes' order of versions: > 0 when a comes before b. */
int kind_version_priority(const char *a, const char *b);

#endif

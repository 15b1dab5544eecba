/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of custom kinds share. */
#ifndef API_CRD_CRD_PRIVATE_H
#define API_CRD_CRD_PRIVATE_H

#include "api/cel/cel_rules.h"
#include "api/crd/crd.h"
#include "api/handler.h"
#include "api/kind_private.h"
#include "base/map.h"
#include "io/loop.h"

#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

/* ---- the compiled content of a definition ---- */

struct crd_body {
    /* read-only */
    struct arena arena;
    struct crd_regexes regexes;
    const char *group, *plural, *singular, *kind, *list_kind;
    const char *const *short_names, *const *categories;
    bool namespaced, webhook;
    const struct json *conversion; /* spec.conversion */
    struct crd_version *versions;
    struct kind **kinds;                /* the shells, in the order of versions */
    struct kind *fresh;                 /* what they get when the body is published */
    struct kind_subresource (*subs)[2]; /* and their subresources */
    size_t n, n_read;                   /* n_read: versions that may hold rules */
    size_t storage;                     /* index of the storage version */
    int64_t since; /* items with a greater revision were written under this body */
};

/* crd_object.c: a problem of rules (struct cel_problem) as a field error; arg is the struct
 * field_errors. */
void crd_rule_problem(void *arg, const struct cel_problem *problem);

/* crd_body.c. 0 and *ret, or a negative code with err: the definition is not valid (it came past
 * validation: from an edge's parent or an older program) or memory is short. */
int crd_body_new(struct crd *crd, const struct json *obj, struct crd_body **ret, struct err *err);
void crd_body_free(struct crd_body *b); /* NULL is fine */
/* Fills the shells. terminating: nothing new is created any more. */
void crd_body_publish(struct crd_body *b, bool terminating);
/* Empties the shells that next (may be NULL) does not have. */
void crd_body_retire(struct crd_body *b, const struct crd_body *next);

/* ---- a definition ---- */

struct crd {
    struct crd_set *set;
    char *name; /* "foos.example.com" */
    int64_t rev, generation;
    char uid[40];
    struct crd_body *body;  /* NULL when it does not compile */
    struct crd_body *shown; /* the body that is in the registry; NULL or body */
    bool accepted;          /* its names are its own */
    bool terminating;
    struct crd_writer *writer; /* what is being written about it; NULL = nothing */
    struct io_timer retry;     /* of the cleaning and of failed writes */
};

struct crd_set {
    struct api_server *server;
    struct store *store;
    struct map all; /* name -> struct crd */
    struct store_watch *watch;
    struct kind_set kinds;
    struct webhook_pool *webhooks; /* that convert */
};

/* crd_status.c: what the definition's status should be under a body; true when obj's status was
 * changed. Decides crd->accepted. */
bool crd_status_decide(struct crd *crd, const struct crd_body *b, struct json *obj);

/* crd_writer.c: one step of what is to be written; its end calls crd_poke() from the loop. */
void crd_writer_status(struct crd *crd, const struct json *obj);
/* Of a definition that is being deleted; obj is changed. */
void crd_writer_clean(struct crd *crd, struct json *obj);
void crd_writer_stop(struct crd *crd);

/* crd.c: looks at a definition anew; arg is the struct crd. */
void crd_poke(void *arg);
/* The definition's newest published state, parsed; NULL when it is gone or memory is short. */
struct json *crd_read(struct arena *a, const struct crd *crd);
const char *crd_key(struct arena *a, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admission: what is done to an object, and asked about it, between the kind's own defaults and the
 * store, as kube-apiserver's admission plug-ins do.
 *
 *     body -> schema, defaults, strategy -> mutate plug-ins -> mutating webhooks
 *          -> validation of the kind -> validating webhooks -> validate plug-ins -> store
 *
 * Plug-ins are synchronous. The validate plug-ins and the write that follows happen in one go on
 * the loop thread, on the latest state: a quota that holds when it is asked holds when the object
 * is written. Webhooks wait for another server; when the stored object changed meanwhile, the
 * operation starts again from the newest state.
 *
 * A new plug-in: one file admission/<name>.c with one `const struct admission_plugin`, declared
 * below and entered into the table of admission.c, whose order is the order in which they run.
 */
#ifndef API_ADMISSION_H
#define API_ADMISSION_H

#include "api/handler.h"

/* One write as a plug-in sees it. */
struct admission {
    /* read-only, but for obj's content in mutate */
    struct handler_op *op; /* server, arena, user, name, opt.dry_run; ask handler.h */
    enum server_write verb;
    const struct kind *kind; /* as stored */
    const char *subresource; /* "" for the object itself */
    struct json *obj;        /* the object to be stored, storage form; NULL for a delete */
    const struct json *old;  /* the stored object; NULL for a create */
    /* private */
    struct json *refusal;
};

struct admission_plugin {
    const char *name; /* Kubernetes' name: "LimitRanger" */
    /* Either may be NULL. False after admission_forbid() or admission_refuse(). A member of obj
     * that is added must live in op->arena; ask arena_failed() is not needed. */
    bool (*mutate)(struct admission *ad);
    bool (*validate)(struct admission *ad);
};

extern const struct admission_plugin escalation_plugin; /* auth/escalation.c */
extern const struct admission_plugin service_account_plugin;

/* Refuses with a 403 in Kubernetes' form, `pods "x" is forbidden: WHY`. Returns false. */
bool admission_forbid(struct admission *ad, const char *why);
/* Refuses with a Status of one's own (NULL = memory was short). Returns false. */
bool admission_refuse(struct admission *ad, struct json *status);
/* A text for the response header Warning. */
void admission_warn(struct admission *ad, const char *text);
/* An object of the store as it is now, also when it is not durable yet, parsed into the operation's
 * arena; NULL when there is none (or memory was short). ns "" for cluster-scoped kinds. */
struct json *admission_get(struct admission *ad, const struct kind *k, const char *ns,
                           const char *name);

/* ---- for handler*.c ---- */

/* Called when the step is through, inside the call when nothing had to be waited for. A refusal
 * ends the operation instead. */
typedef void admission_next_fn(struct handler_op *op, struct json *obj);

/* The mutating half; obj is changed in place or replaced (next gets the one to go on with). */
void admission_mutate(struct handler_op *op, struct json *obj, admission_next_fn *next);
/* The validating half; obj NULL for a delete. next must write at once. */
void admission_validate(struct handler_op *op, struct json *obj, admission_next_fn *next);

/* A connection to a pod, service or node (exec, attach, portforward, proxy): options is the object
 * that is asked about (PodExecOptions ...), next gets the one to go on with. Webhooks and policies
 * are asked, no other plug-in. */
void admission_connect(struct handler_op *op, struct json *options, admission_next_fn *next);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds of one API server: what its CustomResourceDefinitions declare, kept in the
 * registry of kinds (kind.h) for as long as they are served.
 *
 *     store: customresourcedefinitions --watch--> struct crd --> struct crd_body (compiled)
 *                                                    |                |
 *                              status, finalizer <---+                +--> kinds in the registry
 *
 * crd_set_new() reads them all before it returns, so that a server that starts serves its custom
 * kinds at once. Loop thread only.
 *
 * Objects: a custom object is stored in the storage version, pruned and with defaults. An item that
 * was written since the definition was compiled is therefore served as it lies; an older one goes
 * through crd_to_served(), which prunes, sets defaults and converts anew. What a conversion webhook
 * must do needs waiting: crd_convert.h.
 */
#ifndef API_CRD_CRD_H
#define API_CRD_CRD_H

#include "api/crd/schema.h"
#include "api/kind.h"
#include "api/selector.h"
#include "api/status.h"
#include "store/store.h"

struct api_server;
struct cel_rules;
struct crd;
struct crd_set;

/* 0 and *ret, or -E_NOMEM. The server's store and loop must live longer. */
int crd_set_new(struct api_server *s, struct crd_set **ret);
/* Retires its kinds; NULL is fine. */
void crd_set_free(struct crd_set *set);

/* One version of one definition; reached through kind->crd. */
struct crd_version {
    /* read-only */
    struct crd *crd;
    const char *name; /* "v1" */
    const struct crd_schema *schema;
    struct cel_rules *rules; /* NULL = none */
    const char *warning;     /* of a deprecated version; else NULL */
    bool served, storage, has_status;
};

/* ---- objects; k is a custom kind ---- */

/* Brings a body into k's form: metadata checked and normalised, unknown members dropped (each a
 * text in unknown, an array), defaults set. 0; -E_INVAL with Go's text for metadata of a wrong
 * type. */
int crd_decode(struct arena *a, const struct kind *k, struct json *body, struct json *unknown,
               struct err *err);
/* `Foo in version "v1" cannot be handled as a Foo: ` before err's text. Returns err->code. */
int crd_wrap_body_error(const struct kind *k, struct err *err);
/* Schema and rules; old NULL for a create. */
void crd_validate_object(struct field_errors *e, const struct kind *k, const struct json *obj,
                         const struct json *old);
/* Whether the bytes of an item are what k serves. */
bool crd_item_plain(const struct kind *k, const struct store_item *it);
/* An object as it was stored, as k serves it: pruned and with defaults by the schema of its own
 * version, then converted. A conversion that needs a webhook is not made: the object keeps the
 * version in which it is stored. */
struct json *crd_to_served(struct arena *a, const struct kind *k, struct json *obj);
/* The storage version's apiVersion is set (unless a webhook must convert). */
struct json *crd_to_storage(struct arena *a, const struct kind *k, struct json *obj);
/* Matches selectable fields, for which there is no index, by parsing the item. */
bool crd_match_fields(const struct kind *k, const struct store_item *it,
                      const struct selector *fields);

/* ---- definitions ---- */

bool crd_is_definition(const struct kind *k); /* k is CustomResourceDefinition itself */
/* What strategy.c asks: defaults and the status of a new definition, what an update keeps, and all
 * rules in Kubernetes' words. */
void crd_definition_defaults(struct arena *a, struct json *obj);
void crd_definition_create(struct arena *a, struct json *obj);
void crd_definition_update(struct arena *a, struct json *obj, const struct json *old, bool status);
void crd_definition_validate(struct field_errors *e, const struct json *obj,
                             const struct json *old);
/* The first deletion: the finalizer and the condition Terminating. */
void crd_definition_deleted(struct json *obj);

/* Appends what tells the content of a custom kind's definition from any other's: its uid and
 * generation. */
void crd_identity(const struct kind *k, struct buf *out);
/* The stored JSON schema of a custom kind, for OpenAPI: parsed into the arena; NULL when it is gone
 * or memory is short. */
struct json *crd_schema_json(struct arena *a, const struct kind *k);

#endif

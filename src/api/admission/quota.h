/* SPDX-License-Identifier: Apache-2.0 */
/* What the quota plug-in remembers, for state.c: the sums of namespaces that have quotas. */
#ifndef API_ADMISSION_QUOTA_H
#define API_ADMISSION_QUOTA_H

#include <stdint.h>

struct api_server;
struct json;
struct kind;
struct quota_ledger;

struct quota_ledger *quota_ledger_new(struct api_server *s); /* NULL on -ENOMEM */
void quota_ledger_free(struct quota_ledger *l);              /* NULL is fine */
void quota_ledger_wrote(struct quota_ledger *l, const struct kind *k, const char *ns,
                        const char *name, const struct json *obj, int64_t rev);
void quota_ledger_lost(struct quota_ledger *l, const struct kind *k, const char *ns,
                       const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A node's key, its certificate and its parent's CA, in files; the key never leaves its file's mode
 * of 0600. */
#ifndef SYNC_PKI_H
#define SYNC_PKI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct pki {
    /* read-only; PEM texts, NULL when there is none yet (the key is always there) */
    char *key, *cert, *ca;
    int64_t not_before, not_after; /* of cert; 0 without */
    char *dir;
};

/* Loads what is there; makes the folder and the key when they are absent. */
int pki_open(const char *dir, struct pki *ret, struct err *err);
void pki_fini(struct pki *p);
/* A request for a certificate of this node; heap. */
int pki_csr(const struct pki *p, const char *node, char **ret, struct err *err);
/* Checks that cert is for our key and by ca, then keeps both. */
int pki_store(struct pki *p, const char *cert, const char *ca, struct err *err);
bool pki_expired(const struct pki *p, int64_t now_s);
bool pki_due(const struct pki *p, int64_t now_s); /* two thirds of its life are over */

/* "id.secret[@sha256:hex]": bearer is heap, hash gets 64 hex digits or "". */
int pki_token_parse(const char *token, char **ret_bearer, char ret_hash[65], struct err *err);

#endif

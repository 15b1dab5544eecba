/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates of one API server: a CA that signs its server certificate, the admin's
 * certificate and, at a center, those of nodes; the admin's kubeconfig with embedded certificates
 * (mode 0600); and the keys that sign the tokens of service accounts.
 *
 * All are made at the first start and kept in a folder (0700). The server's certificate is made
 * anew when its addresses change, and each when two thirds of its life are over. Blocks for files
 * and keys: for the start, and for a look twice a day.
 */
#ifndef API_SERVER_PKI_H
#define API_SERVER_PKI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct server_pki_opts {
    const char *dir;        /* made when it is absent */
    const char *kubeconfig; /* path of the file */
    const char *name;       /* of the cluster, the context, and in the CA's name */
    const char *host; /* where the server listens; "" or a wildcard: every address of the machine */
    uint16_t port;
    const char *extra_sans; /* NULL, or further names and addresses, comma-separated */
    bool token_keys;        /* a center: it signs tokens of service accounts */
};

/* The address at which others reach a server that listens on host: host itself, or where that is a
 * wildcard the machine's first IPv4 address. False when there is none. */
#define SERVER_ADDRESS_SIZE 64
bool server_pki_address(const char *host, char out[SERVER_ADDRESS_SIZE]);

enum { SERVER_PKI_TOKEN_KEYS = 8 };

struct server_pki {
    /* read-only; PEM texts */
    char *ca_cert, *ca_key;
    char *server_cert, *server_key;
    char *server_chain; /* server_cert and ca_cert: what a server sends, so that a node can pin the
                           CA */
    /* Keys of service account tokens, NULL-terminated: sa.key, which signs, then those of files
     * named sa-*.key, which only verify. To exchange the key rename sa.key to such a name and start
     * anew; remove the old one when its last token has ended. */
    char *token_keys[SERVER_PKI_TOKEN_KEYS + 1];
};

int server_pki_open(const struct server_pki_opts *opts, struct server_pki *ret, struct err *err);
void server_pki_fini(struct server_pki *p); /* a zeroed one is fine */

#endif

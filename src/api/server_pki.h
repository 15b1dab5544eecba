/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates of one API server: a CA that signs its server certificate, the admin's
 * certificate and, at a center, those of nodes; and the admin's kubeconfig with embedded
 * certificates (mode 0600).
 *
 * All are made at the first start and kept in a folder (0700). The server's certificate is made
 * anew when its addresses change, and each when two thirds of its life are over. Blocks for files
 * and keys: for the start, and for a look twice a day.
 */
#ifndef API_SERVER_PKI_H
#define API_SERVER_PKI_H

#include <stdint.h>

#include "base/err.h"

struct server_pki_opts {
    const char *dir;        /* made when it is absent */
    const char *kubeconfig; /* path of the file */
    const char *name;       /* of the cluster, the context, and in the CA's name */
    const char *host; /* where the server listens; "" or a wildcard: every address of the machine */
    uint16_t port;
    const char *extra_sans; /* NULL, or further names and addresses, comma-separated */
};

struct server_pki {
    /* read-only; PEM texts */
    char *ca_cert, *ca_key;
    char *server_cert, *server_key;
    char *server_chain; /* server_cert and ca_cert: what a server sends, so that a node can pin the
                           CA */
};

int server_pki_open(const struct server_pki_opts *opts, struct server_pki *ret, struct err *err);
void server_pki_fini(struct server_pki *p); /* a zeroed one is fine */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The center's certificates: a CA that signs its server certificate, the admin's certificate and
 * those of nodes. All made at the first start, kept in DATA/pki; the server's is made anew when its
 * addresses change or two thirds of its life are over. The admin's kubeconfig with embedded
 * certificates is DATA/kubeconfig (mode 0600).
 */
#ifndef CENTER_PKI_H
#define CENTER_PKI_H

#include <stdint.h>

#include "base/err.h"

struct center_pki {
    /* read-only; PEM texts */
    char *ca_cert, *ca_key;
    char *server_cert, *server_key;
};

/* host, port: where the server listens; a wildcard stands for every address of the machine.
 * extra_sans is NULL or a comma-separated list of further names and addresses. */
int center_pki_open(const char *data_dir, const char *host, uint16_t port, const char *extra_sans,
                    struct center_pki *ret, struct err *err);
void center_pki_fini(struct center_pki *p); /* a zeroed one is fine */

#endif

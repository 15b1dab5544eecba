/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking connection to an API server with the credentials of a kubeconfig file, for the command
 * line: every call runs the loop until its answer is there.
 */
#ifndef SELVEDGE_ADMIN_H
#define SELVEDGE_ADMIN_H

#include "api/client.h"
#include "base/arena.h"
#include "base/err.h"

struct admin;
struct io_loop;
struct http_client;

/* Reads current-context's cluster and user: embedded or referenced certificates. Does not
 * connect yet. */
int admin_open(const char *kubeconfig, struct admin **ret, struct err *err);
const char *admin_default_kubeconfig(void); /* $KUBECONFIG, else "run/kubeconfig" */
void admin_close(struct admin *a);          /* NULL is fine */

/* One API call; *ret_object (may be NULL) lives in the arena. */
int admin_call(struct admin *a, const struct api_request *req, struct arena *arena,
               struct json **ret_object, struct err *err);
/* GET path; 0 when the answer's status is 200, its body then lies in the arena. */
int admin_get(struct admin *a, const char *path, struct arena *arena, struct str *ret_body,
              struct err *err);
/* The certificates that the cluster's server is trusted by, PEM; lives as long as the admin. */
const char *admin_ca_pem(const struct admin *a);
/* For measurements: the loop, and one more HTTP/1.1 connection to the same server
 * (http_client_free). */
struct io_loop *admin_loop(struct admin *a);
int admin_connection(struct admin *a, struct http_client **ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST interface of LF Edge eKuiper (version 2), so that its tools, its managers and its users'
 * scripts work unchanged: streams, tables, rules, rule tests, rule sets. Texts of answers and the
 * form of errors ({"error": 1000, "message": "..."}) are eKuiper's. What is not there (native
 * plugins, external services, uploads) answers 501 with a sentence.
 */
#ifndef PART_DATA_REST_H
#define PART_DATA_REST_H

#include "base/err.h"
#include "base/str.h"

struct data;
struct http_exchange;
struct json;

void rest_handle(struct data *d, struct http_exchange *x);
bool rest_has_path(struct str path);  /* whether some route is of this path: "/rules" */
void rest_tests_free(struct data *d); /* trial runs that are left */

#endif

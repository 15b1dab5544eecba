/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes' rules for names, label keys and label values, with its own words for what is wrong.
 * Each function returns NULL when the text is fine, else the message of Kubernetes' field error (a
 * constant).
 */
#ifndef API_NAME_H
#define API_NAME_H

#include "base/str.h"

const char *
name_check_dns_label(struct str s); /* RFC 1123 label, at most 63: namespaces, containers */
const char *
name_check_dns_subdomain(struct str s);       /* RFC 1123 subdomain, at most 253: most objects */
const char *name_check_dns1035(struct str s); /* RFC 1035 label: services */
const char *
name_check_qualified(struct str s); /* "[prefix/]name": keys of labels, annotations, taints */
const char *name_check_label_value(struct str s);  /* may be empty, at most 63 */
const char *name_check_path_segment(struct str s); /* anything that fits into a URL: roles */

#endif

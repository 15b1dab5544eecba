/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the command line: --name VALUE, --name=VALUE, flags, and at most one plain argument (a
 * verb). */
#ifndef SELVEDGE_OPTIONS_H
#define SELVEDGE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct option_spec {
    const char *name;   /* without the dashes */
    const char **value; /* NULL for a flag */
    bool *flag;         /* NULL for a value */
};

/* 0 = go on; 1 = --help was printed; -1 = a message was printed. verb NULL = no plain argument is
 * allowed. */
int options_parse(int argc, char **argv, const struct option_spec *specs, size_t n,
                  const char *usage, const char **verb);
const char *options_kubeconfig(void); /* $KUBECONFIG, else "run/kubeconfig" */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a command line: --name VALUE, --name=VALUE, flags, and at most one plain argument (a
 * verb). Prints its messages itself: this is for main() and its commands only.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct option_spec {
    const char *name;   /* without the dashes; one letter is written with one dash */
    const char **value; /* NULL for a flag */
    bool *flag;         /* NULL for a value */
};

/* 0 = go on; 1 = --help was printed; -1 = a message was printed. verb NULL = no plain argument is
 * allowed. */
int options_parse(const char *program, int argc, char **argv, const struct option_spec *specs,
                  size_t n, const char *usage, const char **verb);

/* "ADDRESS:PORT" or "[ADDRESS]:PORT". *ret_host is on the heap, without brackets. -E_INVAL with a
 * sentence that names the option, -ENOMEM. */
int options_address(const char *option, const char *text, char **ret_host, uint16_t *ret_port,
                    struct err *err);

/* Starts the log of a program at a level by name; -E_INVAL with a sentence about --log-level. */
int options_log(const char *program, const char *level, struct err *err);

#endif

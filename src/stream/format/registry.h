/* SPDX-License-Identifier: Apache-2.0 */
/* The formats that there are, and options that a decoder or an encoder keeps. */
#ifndef STREAM_FORMAT_REGISTRY_H
#define STREAM_FORMAT_REGISTRY_H

#include "format.h"

struct format_entry {
    const char *name; /* lower case */
    const struct decoder_ops *decode;
    const struct encoder_ops *encode;
};

/* By name in any case, empty = json. NULL with err set when there is no such format. */
const struct format_entry *format_find(struct str name, struct err *err);

/* A copy whose texts are its own; the name of the format and what CSV borrows are as they were.
 * 0 or -ENOMEM; format_options_fini() in both cases. */
int format_options_copy(struct format_options *to, const struct format_options *from,
                        struct err *err);
void format_options_fini(struct format_options *o);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets of all formats share. */
#ifndef STREAM_FORMAT_FORMAT_FUZZ_H
#define STREAM_FORMAT_FORMAT_FUZZ_H

#include "format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes the bytes as one payload, plain, as whole events and with declared types; all that comes
 * out is written as JSON and must be JSON. Returns whether all of the payload was events. */
bool fuzz_format(const struct format_options *opts, struct str bytes);

#endif

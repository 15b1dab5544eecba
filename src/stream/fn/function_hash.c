/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes, encodings and compression. */
#include "function.h"

const struct function_family function_hash = {.functions = NULL, .n = 0};

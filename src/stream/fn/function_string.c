/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of text. */
#include "function.h"

const struct function_family function_string = {.functions = NULL, .n = 0};

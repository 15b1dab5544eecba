/* SPDX-License-Identifier: Apache-2.0 */
/* Mathematical functions. */
#include "function.h"

const struct function_family function_math = {.functions = NULL, .n = 0};

/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of dates and times. */
#include "function.h"

const struct function_family function_time = {.functions = NULL, .n = 0};

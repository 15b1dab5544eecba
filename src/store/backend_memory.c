/* SPDX-License-Identifier: Apache-2.0 */
/* The backend that keeps nothing: what is published is all there is. */
#include "backend.h"

const struct store_backend_ops store_backend_memory = {.name = "memory"};

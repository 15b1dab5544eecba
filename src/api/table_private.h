/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cells of tables that need code: what `kubectl get` shows of a kind and no single field holds
 * (printers/internalversion). The kinds' columns name them through kind_cells.def.
 */
#ifndef API_TABLE_PRIVATE_H
#define API_TABLE_PRIVATE_H

#include "api/kind.h"
#include "base/clock.h"
#include "codec/json.h"

struct cell_input {
    struct arena *arena;
    const struct json *obj;
    struct wall now;
};

/* Never NULL unless the arena failed. */
typedef struct json *cell_fn(const struct cell_input *in);

/* NULL for KIND_CELL_PATH. */
cell_fn *table_cell_find(enum kind_cell cell);

/* "5m", or "<unknown>" when the time is absent. */
struct json *cell_age(const struct cell_input *in, const struct json *time);
struct json *cell_text(const struct cell_input *in, const char *text); /* "" becomes "<none>" */

struct json *cell_pod_ready(const struct cell_input *in);
struct json *cell_pod_status(const struct cell_input *in);
struct json *cell_pod_restarts(const struct cell_input *in);
struct json *cell_pod_gates(const struct cell_input *in);

#endif

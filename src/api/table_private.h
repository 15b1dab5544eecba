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

/* NULL for KIND_CELL_PATH: the value at the column's path; dates become an age. */
cell_fn *table_cell_find(enum kind_cell cell);

/* "5m", or "<unknown>" when the time is absent. */
struct json *cell_age_of(const struct cell_input *in, const struct json *time);
struct json *cell_text(const struct cell_input *in, const char *text); /* "" becomes "<none>" */

/* Labels sorted, "a=b,c=d", or "<none>"; a LabelSelector the same way. */
struct json *cell_labels(const struct cell_input *in, const struct json *labels);
struct json *cell_label_selector(const struct cell_input *in, const struct json *selector);
/* One member of every object of a list (NULL: the items themselves), joined by commas. */
const char *cell_join(struct arena *a, const struct json *list, const char *member);

/* cell_<name>() of every cell of the list. */
#define KIND_CELL(id, name, what) cell_fn cell_##name;
#include "api/kind_cells.def"
#undef KIND_CELL

#endif

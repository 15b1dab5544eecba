/* SPDX-License-Identifier: Apache-2.0 */
/* A parsed JSON path. */
#ifndef STREAM_FN_PATH_PRIVATE_H
#define STREAM_FN_PATH_PRIVATE_H

#include "path.h"

enum selector_kind { SELECT_NAME, SELECT_INDEX, SELECT_SLICE, SELECT_ALL, SELECT_FILTER };

struct path_selector {
    enum selector_kind kind;
    struct str name;
    bool has_from, has_to;
    int64_t from, to, step; /* an index is in from */
    const struct filter *filter;
    struct path_selector *next;
};

struct path_segment {
    bool deep; /* .. */
    struct path_selector *selectors;
    struct path_segment *next;
};

struct path {
    bool definite;
    bool root; /* inside a filter: begins with $ rather than @ */
    struct path_segment *segments;
};

enum filter_kind { FILTER_VALUE, FILTER_PATH, FILTER_NOT, FILTER_MINUS, FILTER_OP };

struct filter {
    enum filter_kind kind;
    enum value_op op;
    struct value value;
    const struct path *path;
    const struct filter *a, *b;
};

#endif

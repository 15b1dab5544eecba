/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: path, query and the selectors in it. Whatever is parsed must be whole. */
#include "api/handler.h"
#include "api/selector.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct str path, query;
    struct route r;
    struct route_options o = {0};
    struct selector *labels = NULL, *fields = NULL;
    struct err err;
    arena_init(&a, 8 << 20);
    (void)str_cut(str_n((const char *)data, size), '?', &path, &query);
    if (route_parse(&a, path, &r) == 0) {
        assert(r.ns && r.name && r.subresource && r.group && r.version);
        assert((r.type == ROUTE_RESOURCE) == (r.kind != NULL));
        assert(!r.sub || *r.name);
    }
    if (route_options(&a, query, &o, &err) == 0 && r.kind) {
        int code = handler_selectors(&a, r.kind, &o, &labels, &fields, &err);
        assert(code <= 0);
    }
    arena_fini(&a);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a configuration is applied to a live object, both from outside ("LIVE\nCONFIG" in
 * JSON). What must hold: applying again changes nothing, and every field set that is written can be
 * read.
 */
#include <assert.h>
#include <string.h>

#include "api/apply/field_set.h"
#include "api/apply/managers.h"
#include "api/object.h"

static void check(struct arena *a, const struct kind *k, struct json *live, struct json *config)
{
    struct apply_request r = {.kind = k,
                              .api_version = k->api_version,
                              .manager = "fuzz",
                              .subresource = "",
                              .force = true};
    struct apply_conflicts conflicts;
    struct json *once = NULL, *twice = NULL;
    struct err err;
    if (apply_config(a, &r, live, config, &once, &conflicts, &err) < 0) {
        return;
    }
    JSON_FOR_EACH (e, json_path(once, "metadata.managedFields")) {
        assert(set_valid(json_get(e, "fieldsV1")));
    }
    int code = apply_config(a, &r, once, config, &twice, &conflicts, &err);
    assert(code == 0 || arena_failed(a));
    assert(arena_failed(a) || json_equal(once, twice));
    apply_track(a, &r, live, once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json *live = NULL, *config = NULL;
    struct str first, rest;
    arena_init(&a, 16 << 20);
    if (str_cut(str_n((const char *)data, size), '\n', &first, &rest) &&
        json_parse(&a, rest, NULL, &config, NULL) == 0 && json_is(config, JSON_OBJECT)) {
        if (json_parse(&a, first, NULL, &live, NULL) < 0 || !json_is(live, JSON_OBJECT)) {
            live = NULL;
        }
        check(&a, kind_find("apps", "v1", "deployments"), live, config);
        check(&a, kind_find("", "v1", "services"), live, config);
    }
    arena_fini(&a);
    return 0;
}

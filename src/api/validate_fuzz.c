/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body on its way into the store, without the store: schema, defaults, strategy, validation,
 * table. The first byte chooses the kind. What is valid must print and parse to the same tree, and
 * have a row.
 */
#include "api/defaults.h"
#include "api/schema_check.h"
#include "api/strategy.h"
#include "api/table.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_valid(struct arena *a, const struct kind *k, struct json *obj)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct json *again = NULL;
    if (json_print(&b, obj) == 0 && json_parse(a, buf_str(&b), NULL, &again, NULL) == 0) {
        assert(json_equal(obj, again));
    }
    struct json *table = table_new(a, k, NULL, true);
    table_add(a, table, k, obj, TABLE_METADATA, (struct wall){0});
    assert(arena_failed(a) || json_len(json_get(table, "rows")) == 1);
}

static void update(struct arena *a, const struct kind *k, struct json *obj)
{
    struct field_errors e;
    struct json *old = json_clone(a, obj);
    strategy_update(a, k, obj, old, kind_has_status(k));
    field_errors_init(&e, a);
    strategy_validate(&e, k, obj, old, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n;
    const struct kind *const *all = kinds_all(&n);
    struct arena a;
    struct json *obj = NULL;
    struct field_errors e;
    if (size < 1 || n == 0) {
        return 0;
    }
    const struct kind *k = kind_storage(all[data[0] % n]);
    arena_init(&a, 16 << 20);
    if (json_parse(&a, str_n((const char *)data + 1, size - 1), NULL, &obj, NULL) == 0 &&
        json_is(obj, JSON_OBJECT) && schema_check(&a, k->type, obj, NULL, NULL) == 0) {
        schema_defaults(&a, k->type, obj);
        strategy_create(&a, k, obj);
        field_errors_init(&e, &a);
        strategy_validate(&e, k, obj, NULL, false);
        if (e.n == 0 && !arena_failed(&a)) {
            check_valid(&a, k, obj);
        } else {
            (void)status_invalid(&a, &(struct status_about){.kind = k->kind, .name = "x"}, &e);
        }
        update(&a, k, obj);
    }
    arena_fini(&a);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a quantity: what parses prints to a text that parses to the same amount. */
#include <assert.h>
#include <stdint.h>

#include "quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct quantity q, again;
    char out[QUANTITY_TEXT_SIZE];
    if (quantity_parse(str_n((const char *)data, size), &q, NULL) == 0) {
        assert(quantity_parse(str_of(quantity_print(q, out)), &again, NULL) == 0);
        assert(quantity_cmp(q, again) == 0);
        (void)quantity_value(q);
        (void)quantity_milli(quantity_add(q, q));
        assert(quantity_is_zero(quantity_sub(q, q)));
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The format binary: the payload is one event, {self: bytes}; a result is the bytes of its first
 * column. */
#include "base/mem.h"
#include "decoder_private.h"
#include "encoder_private.h"

static int decode(struct decoder *d)
{
    struct fill *f = &d->fill;
    struct str bytes = d->payload->bytes;
    struct arena *a = &f->b->arena;
    const char *copy = d->payload->stable ? bytes.p : arena_dup(a, bytes.p, bytes.n);
    struct value_member *self = arena_alloc(a, sizeof(*self));
    if (!self || (!copy && bytes.n)) {
        return -E_LIMIT;
    }
    self->key = STR_LIT("self");
    self->value = (struct value){.type = VALUE_BYTES, .n = (uint32_t)bytes.n, .s = copy};
    fill_row(f);
    uint32_t slot = fill_slot(f, self->key);
    if (slot != FILL_NOWHERE) {
        fill_value(f, slot, &self->value);
    }
    int rc = decoder_end_row(d, &(struct value){.type = VALUE_OBJECT, .n = 1, .members = self});
    return rc < 0 ? rc : 1;
}

const struct decoder_ops decode_binary = {
    .size = sizeof(struct decoder),
    .decode = decode,
};

static int encode(struct encoder *e, uint32_t first, uint32_t n, bool array, struct buf *out,
                  struct err *err)
{
    for (uint32_t row = first; row < first + n; row++) {
        struct value v = batch_object(&e->scratch, e->batch, row, /* nulls= */ false);
        if (v.n == 0) {
            return err_set(err, -E_INVAL, "the format binary wants a result with a column");
        }
        (void)encoder_text(out, &v.members[0].value); /* a failure sticks */
    }
    return 0;
}

const struct encoder_ops encode_binary = {
    .size = sizeof(struct encoder),
    .encode = encode,
};

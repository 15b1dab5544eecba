/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of all encoders; see format.h. */
#include "base/mem.h"
#include "encoder_private.h"
#include "registry.h"

int encoder_new(const struct format_options *opts, struct encoder **ret, struct err *err)
{
    const struct format_entry *format = format_find(opts->format, err);
    if (!format) {
        return -E_INVAL;
    }
    const struct encoder_ops *ops = format->encode;
    struct encoder *e = mem_zalloc(ops->size);
    if (!e) {
        return err_set(err, -ENOMEM, "no memory for an encoder");
    }
    e->ops = ops;
    arena_init(&e->scratch, 0);
    int rc = format_options_copy(&e->opts, opts, err);
    if (rc == 0 && ops->init) {
        rc = ops->init(e, err);
    }
    if (rc < 0) {
        encoder_free(e);
        return rc;
    }
    *ret = e;
    return 0;
}

void encoder_free(struct encoder *e)
{
    if (!e) {
        return;
    }
    if (e->ops->fini) {
        e->ops->fini(e);
    }
    arena_fini(&e->scratch);
    format_options_fini(&e->opts);
    mem_free(e);
}

bool encoder_spreads(const struct batch *b)
{
    for (uint32_t i = 0; i < b->n_columns; i++) {
        if (b->shape->fields[i].spread) {
            return true;
        }
    }
    return false;
}

int encoder_text(struct buf *out, const struct value *v)
{
    return value_is_null(v) ? 0 : value_print_text(out, v);
}

int encoder_encode(struct encoder *e, const struct batch *b, uint32_t first, uint32_t n, bool array,
                   bool nulls, struct buf *out, struct err *err)
{
    e->batch = b;
    e->nulls = nulls;
    int rc = e->ops->encode(e, first, n, array, out, err);
    e->batch = NULL;
    arena_clear(&e->scratch);
    return rc < 0 || !buf_failed(out) ? rc : err_set(err, -ENOMEM, "no memory for a result");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of all decoders: options, payload after payload, what is told; see format.h. */
#include "base/limits.h"
#include "base/mem.h"
#include "decoder_private.h"
#include "registry.h"

int decoder_new(const struct format_options *opts, const struct shape *shape, struct decoder **ret,
                struct err *err)
{
    const struct format_entry *format = format_find(opts->format, err);
    if (!format) {
        return -E_INVAL;
    }
    const struct decoder_ops *ops = format->decode;
    struct decoder *d = mem_zalloc(ops->size);
    if (!d) {
        return err_set(err, -ENOMEM, "no memory for a decoder");
    }
    d->ops = ops;
    d->shape = shape;
    fill_init(&d->fill, &d->opts, shape);
    int rc = format_options_copy(&d->opts, opts, err);
    if (rc == 0 && ops->init) {
        rc = ops->init(d, err);
    }
    if (rc < 0) {
        decoder_free(d);
        return rc;
    }
    *ret = d;
    return 0;
}

void decoder_free(struct decoder *d)
{
    if (!d) {
        return;
    }
    if (d->ops->fini) {
        d->ops->fini(d);
    }
    fill_fini(&d->fill);
    format_options_fini(&d->opts);
    mem_free(d);
}

void decoder_refuse(struct decoder *d, const struct err *err)
{
    if (!d->told && d->on_error) {
        d->on_error(d->arg, d->payload, err);
    }
    d->told = true;
}

int decoder_end_row(struct decoder *d, const struct value *whole)
{
    struct err err;
    int rc = fill_end_row(&d->fill, d->payload, whole, &err);
    if (rc == 0 || rc == -E_LIMIT) {
        return rc;
    }
    decoder_refuse(d, &err);
    return 0;
}

static int decode_payload(struct decoder *d)
{
    if (d->payload->bytes.n > LIMIT_EVENT_BYTES) {
        struct err err;
        err_set(&err, -E_LIMIT, "a payload of %zu bytes is more than %d", d->payload->bytes.n,
                LIMIT_EVENT_BYTES);
        decoder_refuse(d, &err);
        return 1;
    }
    return d->ops->decode(d);
}

static void next_payload(struct decoder *d, uint32_t *at)
{
    d->inside = 0;
    d->told = false;
    ++*at;
}

int decoder_decode(struct decoder *d, const struct payload *payloads, uint32_t n, uint32_t *at,
                   struct batch *b, decoder_error_fn *on_error, void *arg)
{
    int rc = fill_begin(&d->fill, b);
    d->on_error = on_error;
    d->arg = arg;
    if (rc == 0 && d->ops->begin) {
        d->ops->begin(d);
    }
    while (rc == 0 && *at < n && !decoder_full(d)) {
        d->payload = &payloads[*at];
        rc = decode_payload(d);
        if (rc <= 0) {
            break;
        }
        rc = 0;
        next_payload(d, at);
    }
    fill_finish(&d->fill);
    if (rc == -E_LIMIT && b->rows == 0) { /* a new batch would not help */
        struct err err;
        err_set(&err, rc, "the event needs more memory than a batch may have");
        decoder_refuse(d, &err);
        next_payload(d, at);
    }
    d->on_error = NULL;
    return MIN_OF(rc, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of all encoders; see format.h. */
#include "base/mem.h"
#include "encoder_private.h"

static const struct encoder_ops *const formats[] = {&encode_batch,     &encode_binary,
                                                    &encode_delimited, &encode_json,
                                                    &encode_protobuf,  &encode_urlencoded};

static const struct encoder_ops *find_format(struct str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if (str_iis(name.n ? name : STR_LIT("json"), formats[i]->name)) {
            return formats[i];
        }
    }
    return NULL;
}

static bool copy_option(struct str *s)
{
    s->p = s->n ? mem_strndup(s->p, s->n) : NULL;
    return s->n == 0 || s->p;
}

int encoder_new(const struct format_options *opts, struct encoder **ret, struct err *err)
{
    const struct encoder_ops *ops = find_format(opts->format);
    if (!ops) {
        return err_set(err, -E_INVAL, "format " STR_FMT " is not supported", STR_ARG(opts->format));
    }
    struct encoder *e = mem_zalloc(ops->size);
    if (!e) {
        return err_set(err, -ENOMEM, "no memory for an encoder");
    }
    e->ops = ops;
    e->opts = (struct format_options){.delimiter = opts->delimiter,
                                      .header = opts->header,
                                      .schema = opts->schema,
                                      .message = opts->message};
    arena_init(&e->scratch, 0);
    bool copied = copy_option(&e->opts.schema);
    copied = copy_option(&e->opts.message) && copied;
    int rc = copied ? 0 : err_set(err, -ENOMEM, "no memory for an encoder");
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
    mem_free((char *)e->opts.schema.p);
    mem_free((char *)e->opts.message.p);
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

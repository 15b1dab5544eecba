/* SPDX-License-Identifier: Apache-2.0 */
/* The table of formats; see registry.h. */
#include "registry.h"

#include "base/mem.h"
#include "decoder_private.h"
#include "encoder_private.h"

static const struct format_entry formats[] = {
    {"batch", &decode_batch, &encode_batch},
    {"binary", &decode_binary, &encode_binary},
    {"delimited", &decode_delimited, &encode_delimited},
    {"json", &decode_json, &encode_json},
    {"protobuf", &decode_protobuf, &encode_protobuf},
    {"urlencoded", &decode_urlencoded, &encode_urlencoded},
};

const struct format_entry *format_find(struct str name, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if (str_iis(name.n ? name : STR_LIT("json"), formats[i].name)) {
            return &formats[i];
        }
    }
    (void)err_set(err, -E_INVAL, "format " STR_FMT " is not supported", STR_ARG(name));
    return NULL;
}

static bool copy_text(struct str *s)
{
    s->p = s->n ? mem_strndup(s->p, s->n) : NULL;
    return s->n == 0 || s->p;
}

int format_options_copy(struct format_options *to, const struct format_options *from,
                        struct err *err)
{
    *to = *from;
    bool ok = copy_text(&to->schema);
    ok = copy_text(&to->message) && ok;
    ok = copy_text(&to->timestamp) && ok;
    ok = copy_text(&to->timestamp_format) && ok;
    return ok ? 0 : err_set(err, -ENOMEM, "no memory for the options of a format");
}

void format_options_fini(struct format_options *o)
{
    mem_free((char *)o->schema.p);
    mem_free((char *)o->message.p);
    mem_free((char *)o->timestamp.p);
    mem_free((char *)o->timestamp_format.p);
}

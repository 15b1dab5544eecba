/* SPDX-License-Identifier: Apache-2.0 */
/* Sinks without a peer: log (to be read by people), nop (to measure), memory (to other rules). */
#include "base/log.h"
#include "base/mem.h"
#include "part/data/data_private.h"
#include "sink.h"
#include "part/data/topics.h"

static int open_nothing(struct sink *s, struct err *err)
{
    (void)s;
    (void)err;
    return 0;
}

static void close_nothing(struct sink *s)
{
    (void)s; /* it owns nothing */
}

static void log_send(struct sink *s, const struct sink_message *m)
{
    log_info("rule %s: " STR_FMT, s->rule, STR_ARG(m->bytes));
    sink_done(s, m->sequence, 0, NULL);
}

const struct sink_ops sink_log_kind = {.type = "log",
                                       .size = sizeof(struct sink),
                                       .open = open_nothing,
                                       .close = close_nothing,
                                       .send = log_send};

static void nop_send(struct sink *s, const struct sink_message *m)
{
    sink_done(s, m->sequence, 0, NULL);
}

const struct sink_ops sink_nop = {.type = "nop",
                                  .size = sizeof(struct sink),
                                  .open = open_nothing,
                                  .close = close_nothing,
                                  .send = nop_send};

/* ---- memory ---- */

static int memory_open(struct sink *s, struct err *err)
{
    const char *topic = json_cstr(json_get(s->conf, "topic"), "");
    if (!*topic || strpbrk(topic, "+#")) {
        return err_set(err, -E_INVAL, "topic: a memory topic without wildcards is required");
    }
    return json_text(json_get(s->conf, "rowkindField")).n > 0 &&
                   json_text(json_get(s->conf, "keyField")).n == 0
               ? err_set(err, -E_INVAL, "keyField is required when rowkindField is set")
               : 0;
}

/* What a row does to the lookup tables of the topic: 1 deletes, 0 adds or replaces, or -E_INVAL. */
static int row_kind(const struct value *row, struct str field, const char **ret_why)
{
    static const char *const kinds[] = {"insert", "update", "upsert"};
    const struct value *v = field.n > 0 ? value_get(row, field) : NULL;
    if (!v) {
        return 0;
    }
    if (v->type != VALUE_STRING) {
        *ret_why = "the rowkind field is not a string";
        return -E_INVAL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (str_is(value_text(v), kinds[i])) {
            return 0;
        }
    }
    *ret_why = "invalid rowkind: it is insert, update, upsert or delete";
    return str_is(value_text(v), "delete") ? 1 : -E_INVAL;
}

static int publish(struct sink *s, const struct value *row, const char **ret_why)
{
    const char *topic = json_cstr(json_get(s->conf, "topic"), "");
    struct str kind_field = json_text(json_get(s->conf, "rowkindField"));
    const struct value *key = value_get(row, json_text(json_get(s->conf, "keyField")));
    int kind = row_kind(row, kind_field, ret_why);
    if (kind >= 0 && kind_field.n > 0 && !key) {
        *ret_why = "the key field is not in the row";
        kind = -E_INVAL;
    }
    return kind < 0    ? kind
           : kind == 1 ? topics_delete(s->data->topics, topic, row, key)
                       : topics_publish(s->data->topics, topic, row);
}

static void memory_send(struct sink *s, const struct sink_message *m)
{
    const char *why = NULL;
    int rc = 0;
    if (m->object->type == VALUE_ARRAY) {
        for (uint32_t i = 0; i < m->object->n; i++) {
            int code = publish(s, &m->object->items[i], &why);
            rc = rc < 0 ? rc : code; /* the rows behind it count all the same */
        }
    } else {
        rc = publish(s, m->object, &why);
    }
    sink_done(s, m->sequence, rc, why);
}

const struct sink_ops sink_memory = {.type = "memory",
                                     .size = sizeof(struct sink),
                                     .values = true,
                                     .reads_conf = true,
                                     .open = memory_open,
                                     .close = close_nothing,
                                     .send = memory_send};

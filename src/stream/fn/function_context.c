/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that read where they stand: the window, the event, the rule. Times are milliseconds
 * since 1970, as eKuiper gives them. meta() and mqtt() are planned as member look-ups; their rows
 * are here for their names, their numbers of arguments and their checks.
 */
#include "base/encode.h"
#include "base/map.h"
#include "family.h"
#include "stream/sql/ast.h"

#define CONTEXT FUNCTION_F_CONTEXT

/* ---- window and event ---- */

static int in_ms(const struct eval *ev, size_t offset, struct value *ret)
{
    int64_t us = 0;
    if (ev->range) {
        us = *(const int64_t *)(const void *)((const char *)ev->range + offset);
    }
    *ret = value_int(us / 1000);
    return 0;
}

static int window_start(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    return in_ms(ev, offsetof(struct window_range, start), ret);
}

static int window_end(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    return in_ms(ev, offsetof(struct window_range, end), ret);
}

static int window_correction(struct eval *ev, const struct value *args, unsigned argc,
                             struct value *ret, struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_int(ev->range ? ev->range->correction : 0);
    return 0;
}

static int window_trigger(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    return in_ms(ev, offsetof(struct window_range, trigger), ret);
}

/* Of joined rows: the latest. */
static int event_time(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = VALUE_OF_NULL;
    for (uint32_t i = 0; ev->tuple && i < ev->tuple->n; i++) {
        const struct row *r = ev->tuple->rows[i];
        if (r && (value_is_null(ret) || ret->i < r->time_us / 1000)) {
            *ret = value_int(r->time_us / 1000);
        }
    }
    return 0;
}

static int tstamp(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                  struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_int(ev->now_us / 1000);
    return 0;
}

static int row_number(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_int(ev->row_number);
    return 0;
}

/* ---- the rule ---- */

static int rule_id(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                   struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = ev->rule ? value_string(ev->rule->id) : VALUE_OF_NULL;
    return 0;
}

static int rule_start(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = ev->rule ? value_int(ev->rule->started_us / 1000) : VALUE_OF_NULL;
    return 0;
}

static int last_hit_count(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_int(ev->rule ? ev->rule->hits : 0);
    return 0;
}

static int last_hit_time(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_int(ev->rule ? ev->rule->last_hit_us / 1000 : 0);
    return 0;
}

static int last_agg_hit_count(struct eval *ev, const struct value *args, unsigned argc,
                              struct value *ret, struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_int(ev->rule ? ev->rule->agg_hits : 0);
    return 0;
}

static int last_agg_hit_time(struct eval *ev, const struct value *args, unsigned argc,
                             struct value *ret, struct err *err)
{
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_int(ev->rule ? ev->rule->last_agg_hit_us / 1000 : 0);
    return 0;
}

/* ---- what was kept for the rule ---- */

static int type_of(struct str name, enum value_type *ret)
{
    static const enum value_type types[] = {VALUE_INT, VALUE_FLOAT, VALUE_STRING, VALUE_BOOL,
                                            VALUE_TIME};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (str_is(name, value_type_name(types[i]))) {
            *ret = types[i];
            return 0;
        }
    }
    return -E_INVAL;
}

static int bad_type(struct err *err)
{
    return err_set(err, -E_INVAL,
                   "expect one of following value for the 2nd parameter: bigint, float, string, "
                   "boolean, datetime");
}

static int check_keyed_state(const struct ast_expr *call, struct err *err)
{
    enum value_type t;
    const struct value *type = function_constant(call, 1);
    if (!function_expect_string(call, 1, err)) {
        return -E_INVAL;
    }
    return type && type_of(value_text(type), &t) < 0 ? bad_type(err) : 0;
}

/* get_keyed_state(key, type, otherwise) */
static int get_keyed_state(struct eval *ev, const struct value *args, unsigned argc,
                           struct value *ret, struct err *err)
{
    enum value_type t = VALUE_NULL;
    struct str key;
    (void)argc;
    if (args[1].type != VALUE_STRING || type_of(value_text(&args[1]), &t) < 0) {
        return bad_type(err);
    }
    int rc = function_text(ev->arena, &args[0], &key, err);
    const struct value *found =
        rc == 0 && ev->rule && ev->rule->keyed_state ? map_get(ev->rule->keyed_state, key) : NULL;
    *ret = args[2];
    return rc < 0 || !found ? rc : value_cast(ev->arena, found, t, ret, err);
}

static int props(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                 struct err *err)
{
    struct str key;
    int rc = function_text(ev->arena, &args[0], &key, err);
    const char *found =
        rc == 0 && ev->rule && ev->rule->props ? map_get(ev->rule->props, key) : NULL;
    (void)argc;
    *ret = found ? value_string(str_of(found)) : VALUE_OF_NULL;
    return rc;
}

/* ---- metadata ---- */

static int meta_reference(const struct ast_expr *call, struct err *err)
{
    const struct ast_expr *e = call->args[0];
    while (e->kind == AST_ARROW) {
        e = e->a;
    }
    return e->kind == AST_FIELD || e->kind == AST_WILDCARD
               ? 0
               : err_set(err, -E_INVAL, "Expect meta reference type for parameter 1");
}

static int check_mqtt(const struct ast_expr *call, struct err *err)
{
    int rc = meta_reference(call, err);
    struct str name = call->args[0]->kind == AST_FIELD ? call->args[0]->name : STR_NULL;
    if (rc == 0 && !str_iis(name, "topic") && !str_iis(name, "messageid")) {
        rc = err_set(err, -E_INVAL, "Parameter of mqtt function can be only topic or messageid.");
    }
    return rc;
}

static int first_argument(struct eval *ev, const struct value *args, unsigned argc,
                          struct value *ret, struct err *err)
{
    (void)ev;
    (void)argc;
    (void)err;
    *ret = args[0];
    return 0;
}

/* ---- others ---- */

static int newuuid(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                   struct err *err)
{
    char text[UUID_TEXT_SIZE];
    uuid_make(text);
    char *copy = arena_strdup(ev->arena, text);
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_string(str_of(copy));
    return copy ? 0 : -E_NOMEM;
}

/* A rule that sleeps would hold up every other rule of its node. */
static int refuse_delay(const struct ast_expr *call, struct err *err)
{
    (void)call;
    return err_set(err, -E_INVAL,
                   "delay() is not supported, as it would hold up all rules: use a sliding window "
                   "with a delay, SLIDINGWINDOW(unit, length, delay)");
}

static const struct function functions[] = {
    SCALAR("bypass", 1, 1, FUNCTION_F_NULLS, NULL, first_argument, "Its argument, as it is."),
    SCALAR("delay", 2, 2, 0, refuse_delay, first_argument, "Not supported: holds up all rules."),
    SCALAR("event_time", 0, 0, CONTEXT, NULL, event_time, "The time of the event."),
    SCALAR("get_keyed_state", 3, 3, CONTEXT | FUNCTION_F_NULLS, check_keyed_state, get_keyed_state,
           "A kept value by its key, as the type named, or the third argument."),
    SCALAR("last_agg_hit_count", 0, 0, CONTEXT, NULL, last_agg_hit_count,
           "How many emissions passed HAVING before."),
    SCALAR("last_agg_hit_time", 0, 0, CONTEXT, NULL, last_agg_hit_time,
           "When an emission last passed HAVING."),
    SCALAR("last_hit_count", 0, 0, CONTEXT, NULL, last_hit_count,
           "How many events met WHERE before."),
    SCALAR("last_hit_time", 0, 0, CONTEXT, NULL, last_hit_time, "When an event last met WHERE."),
    SCALAR("meta", 1, 1, CONTEXT | FUNCTION_F_NULLS, meta_reference, first_argument,
           "A member of the event's metadata."),
    SCALAR("mqtt", 1, 1, CONTEXT | FUNCTION_F_NULLS, check_mqtt, first_argument,
           "The topic or the message id of an MQTT message."),
    SCALAR("newuuid", 0, 0, 0, NULL, newuuid, "A new UUID."),
    SCALAR("props", 1, 1, CONTEXT, NULL, props, "A property of the rule's environment."),
    {.name = "row_number",
     .kind = FUNCTION_ROW,
     .flags = CONTEXT,
     .eval = row_number,
     .help = "The number of the row in its emission, from 1."},
    SCALAR("rule_id", 0, 0, CONTEXT, NULL, rule_id, "The name of the rule."),
    SCALAR("rule_start", 0, 0, CONTEXT, NULL, rule_start, "When the rule was started."),
    SCALAR("tstamp", 0, 0, CONTEXT, NULL, tstamp, "Now."),
    SCALAR("window_correction", 0, 0, CONTEXT, NULL, window_correction,
           "0 when the window fired in time; n when late rows made it fire for the n-th time."),
    SCALAR("window_end", 0, 0, CONTEXT, NULL, window_end, "Where the window ends."),
    SCALAR("window_start", 0, 0, CONTEXT, NULL, window_start, "Where the window begins."),
    SCALAR("window_trigger", 0, 0, CONTEXT, NULL, window_trigger, "When the window fired."),
};

const struct function_family function_context = {functions, ARRAY_SIZE(functions)};

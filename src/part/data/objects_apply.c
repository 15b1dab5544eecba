/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the engine what the objects say, in one pass over all of them: what is gone goes, then
 * streams and tables, then rules. An object whose text did not change costs a comparison.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "objects_private.h"
#include "stream/sql/sql.h"

/* ---- names ---- */

/* The namespace `default` shares the names of REST; others are scopes of their own. */
static struct str scope_of(const struct object *obj)
{
    return cstr_eq(obj->ns, "default") ? STR_NULL : str_of(obj->ns);
}

/* The name of a rule in the engine; heap. */
static char *rule_name(const struct object *obj)
{
    struct str scope = scope_of(obj);
    return mem_printf(STR_FMT "%s%s", STR_ARG(scope), scope.n ? "/" : "", obj->name);
}

static void set_trouble(struct object *obj, const char *text)
{
    if (text && !cstr_eq(obj->trouble, text)) {
        log_warn("%s: %s", obj->shown, text);
    }
    char *copy = mem_strdup(text);
    mem_free(obj->trouble);
    obj->trouble = copy;
}

static void set_defined(struct object *obj, const char *name)
{
    char *copy = mem_strdup(name);
    mem_free(obj->defined);
    obj->defined = copy;
    obj->applied = name ? hash_bytes(obj->text, strlen(obj->text)) : 0;
}

static bool is_applied(const struct object *obj)
{
    return obj->defined && !obj->trouble &&
           obj->applied == hash_bytes(obj->text, strlen(obj->text));
}

/* ---- rules ---- */

static struct data_rule *rule_of(const struct object *obj)
{
    return obj->defined ? data_rule_find(obj->objects->data, str_of(obj->defined)) : NULL;
}

/* for_good: its checkpoint goes as well. */
static void undefine_rule(struct object *obj, bool for_good)
{
    struct data_rule *r = rule_of(obj);
    if (r && for_good) {
        data_rule_drop(r);
    } else if (r) {
        data_rule_take_out(r);
    }
    set_defined(obj, NULL);
}

/* 0, or why the name cannot be had. */
static int check_free(const struct object *obj, const char *what, const char *name,
                      const char *owner, struct err *err)
{
    return owner == obj->shown ? 0
                               : err_set(err, -E_EXISTS, "%s %s is defined already, by %s", what,
                                         name, owner ? owner : "the REST interface of the node");
}

static int define_rule(struct object *obj, struct err *err)
{
    struct data *d = obj->objects->data;
    CLEANUP(mem_freep) char *name = rule_name(obj);
    struct data_rule *r = name ? data_rule_find(d, str_of(name)) : NULL;
    int rc = !name ? err_sys(err, -E_NOMEM, "define %s", obj->shown)
             : r   ? check_free(obj, "rule", name, r->object, err)
                   : 0;
    if (rc < 0) {
        return rc;
    }
    rc = data_rule_define(d, str_of(obj->text), str_of(name), true, &r, err);
    if (rc < 0) {
        undefine_rule(obj, false);
        return rc;
    }
    r->object = obj->shown;
    set_defined(obj, name);
    return 0;
}

static void apply_rule(struct object *obj)
{
    struct err err;
    int rc = is_applied(obj) ? 0 : define_rule(obj, &err);
    struct data_rule *r = rc == 0 ? rule_of(obj) : NULL;
    if (r) {
        bool stopped = r->state == RULE_STOPPED || r->state == RULE_FAILED;
        r->triggered = obj->triggered;
        if (obj->triggered && stopped) {
            rc = data_rule_start(r, &err);
        } else if (!obj->triggered && !stopped) {
            data_rule_stop(r, "spec.triggered is false");
        }
    }
    set_trouble(obj, rc < 0 ? err.text : NULL);
}

/* ---- streams and tables ---- */

/* Rules of objects that read the stream are taken out; apply_rule() defines them anew. */
static void free_readers(struct objects *o, const char *stream)
{
    MAP_FOR_EACH (slot, &o->known) {
        struct object *obj = slot->value;
        const struct data_rule *r = obj->type == OBJECT_RULE ? rule_of(obj) : NULL;
        const char *name;
        for (uint32_t i = 0; r && r->rule && (name = rule_stream(r->rule, i)); i++) {
            if (cstr_eq(name, stream)) {
                undefine_rule(obj, false);
                break;
            }
        }
    }
}

static int undefine_stream(struct object *obj, struct err *err)
{
    struct data *d = obj->objects->data;
    free_readers(obj->objects, obj->defined);
    int rc = data_drop(d, str_of(obj->defined), obj->type == OBJECT_TABLE, err);
    if (rc == 0 || rc == -E_NOENT) {
        set_defined(obj, NULL);
        return 0;
    }
    return rc; /* a rule of REST reads it */
}

/* The name that the text defines, as the engine has it; heap. */
static int name_of(const struct object *obj, char **ret, struct err *err)
{
    struct arena a;
    struct ast_statement *st;
    struct str scope = scope_of(obj);
    bool table = obj->type == OBJECT_TABLE;
    arena_init(&a, 0);
    int rc = sql_parse(&a, str_of(obj->text), &st, err);
    if (rc == 0 && (st->kind != AST_CREATE || st->table != table)) {
        rc = err_set(err, -E_INVAL, "expect CREATE %s", table ? "TABLE" : "STREAM");
    }
    if (rc == 0) {
        *ret =
            mem_printf(STR_FMT "%s" STR_FMT, STR_ARG(scope), scope.n ? "/" : "", STR_ARG(st->name));
        rc = *ret ? 0 : err_sys(err, -E_NOMEM, "define %s", obj->shown);
    }
    arena_fini(&a);
    return rc;
}

static int define_stream(struct object *obj, struct err *err)
{
    struct data *d = obj->objects->data;
    CLEANUP(mem_freep) char *name = NULL;
    const char *defined;
    int rc = name_of(obj, &name, err);
    if (obj->defined && (rc < 0 || !cstr_eq(obj->defined, name))) {
        struct err busy;
        int freed = undefine_stream(obj, rc < 0 ? &busy : err);
        rc = rc < 0 ? rc : freed;
    }
    struct data_stream *s = rc == 0 ? map_get(&d->streams, str_of(name)) : NULL;
    rc = s ? check_free(obj, "stream", name, s->object, err) : rc;
    if (rc < 0) {
        return rc;
    }
    rc = data_define_in(d, scope_of(obj), str_of(obj->text), s, &defined, err);
    if (rc < 0 && s) { /* a rule may not fit what is new, or it does not work: the old goes */
        struct err busy;
        free_readers(obj->objects, name);
        rc = data_define_in(d, scope_of(obj), str_of(obj->text), true, &defined, err);
        if (rc < 0) {
            (void)undefine_stream(obj, &busy); /* what is wrong is said by err */
        }
    }
    if (rc == 0) {
        s = map_get(&d->streams, str_of(name));
        s->object = obj->shown;
        set_defined(obj, name);
    }
    return rc;
}

/* Whether something is defined that was not before. */
static bool apply_stream(struct object *obj)
{
    struct err err;
    if (is_applied(obj)) {
        return false;
    }
    int rc = define_stream(obj, &err);
    set_trouble(obj, rc < 0 ? err.text : NULL);
    return rc == 0;
}

/* ---- all ---- */

/* Streams and tables before rules; the older before the younger. */
static int by_turn(const void *a, const void *b)
{
    const struct object *const *x = a, *const *y = b;
    int order = ((*x)->type == OBJECT_RULE) - ((*y)->type == OBJECT_RULE);
    order = order ? order : strcmp((*x)->made, (*y)->made);
    return order ? order : strcmp((*x)->resource, (*y)->resource);
}

static struct object **in_order(struct objects *o, size_t *ret_n)
{
    struct object **list = mem_alloc((map_len(&o->known) + 1) * sizeof(struct object *));
    size_t n = 0;
    MAP_FOR_EACH (slot, &o->known) {
        struct object *obj = slot->value;
        if (list && obj->made && obj->uid) {
            list[n++] = obj;
        }
    }
    if (list) {
        qsort(list, n, sizeof(struct object *), by_turn);
    }
    *ret_n = n;
    return list;
}

/* Whether nothing of it is left. */
static bool remove_object(struct object *obj)
{
    struct err err;
    if (obj->type == OBJECT_RULE) {
        undefine_rule(obj, true);
    } else if (obj->defined && undefine_stream(obj, &err) < 0) {
        set_trouble(obj, err.text); /* once nobody reads it any more it goes */
        return false;
    }
    (void)map_del(&obj->objects->known, str_of(obj->resource)); /* it is obj */
    object_free(obj);
    return true;
}

/* Rules of REST that could not be planned may read what is there now. */
static void retry_rest_rules(struct data *d)
{
    MAP_FOR_EACH (slot, &d->rules) {
        struct data_rule *r = slot->value;
        struct err err;
        if (!r->object && r->triggered && r->state == RULE_FAILED) {
            (void)data_rule_start(r, &err); /* told by the rule's state */
        }
    }
}

void objects_apply(struct objects *o)
{
    size_t n;
    struct object **list = in_order(o, &n);
    bool fresh = false;
    for (int rules = 1; rules >= 0; rules--) { /* what is gone: rules before what they read */
        for (size_t i = 0; list && i < n; i++) {
            if (list[i] && !list[i]->text && (list[i]->type == OBJECT_RULE) == (rules == 1)) {
                list[i] = remove_object(list[i]) ? NULL : list[i];
            }
        }
    }
    for (size_t i = 0; list && i < n; i++) {
        if (!list[i] || !list[i]->text) {
            continue;
        }
        if (list[i]->type == OBJECT_RULE) {
            apply_rule(list[i]);
        } else {
            fresh |= apply_stream(list[i]);
        }
    }
    if (fresh) {
        retry_rest_rules(o->data);
    }
    mem_free(list);
}

static bool names_rule(struct objects *o, struct str name)
{
    MAP_FOR_EACH (slot, &o->known) {
        const struct object *obj = slot->value;
        CLEANUP(mem_freep) char *own = obj->type == OBJECT_RULE ? rule_name(obj) : NULL;
        if (own && str_is(name, own)) {
            return true;
        }
    }
    return false;
}

static void sweep_one(struct data *d, struct str name, struct str value)
{
    (void)value;
    if (!data_rule_find(d, name) && !names_rule(d->objects, name)) {
        data_keep(d, "checkpoints", name, STR_NULL, NULL, NULL);
    }
}

void objects_sweep(struct objects *o)
{
    data_kept_each(o->data, "checkpoints", sweep_one);
}

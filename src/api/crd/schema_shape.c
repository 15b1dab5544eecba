/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pruning and defaulting: what of an object stays, and what is filled.
 *
 * Members to be removed are marked with a NULL value and swept out at once, so that an object with
 * very many of them costs no more than one with few. The depth of the walk is that of the object,
 * which the JSON parser bounds.
 */
#include "api/crd/schema.h"

#include "api/schema_check.h"
#include "base/mem.h"

struct place {
    const struct place *up;
    struct str key; /* a member */
    size_t index;   /* an item, when key.p is NULL */
};

struct prune {
    struct arena *a;
    struct json *unknown; /* NULL when nobody asks */
};

/* Takes out the members whose value is NULL. */
static void sweep(struct arena *a, struct json *obj)
{
    struct json *kept = json_object(a);
    JSON_FOR_EACH_MEMBER (m, obj) {
        json_set_n(kept, str_n(m->key, m->key_n), m->value); /* ignores NULL */
    }
    if (kept && !arena_failed(a)) {
        *obj = *kept;
    }
}

/* ---- pruning ---- */

static bool print_place(struct buf *out, const struct place *at)
{
    const struct place *chain[64]; /* deeper ones are shown by their last members */
    size_t n = 0;
    for (; at && n < ARRAY_SIZE(chain); at = at->up) {
        chain[n++] = at;
    }
    while (n-- > 0) {
        if (!chain[n]->key.p) {
            buf_printf(out, "[%zu]", chain[n]->index);
        } else {
            buf_printf(out, "%s" STR_FMT, buf_len(out) ? "." : "", STR_ARG(chain[n]->key));
        }
    }
    return !buf_failed(out);
}

static void report(struct prune *p, const struct place *at)
{
    CLEANUP(buf_finip) struct buf path = BUF_INIT;
    if (p->unknown && json_len(p->unknown) < SCHEMA_REPORT_MAX && print_place(&path, at)) {
        json_push(p->unknown,
                  json_printf(p->a, "unknown field \"" STR_FMT "\"", STR_ARG(buf_str(&path))));
    }
}

static bool of_metadata(struct str key)
{
    return str_is(key, "apiVersion") || str_is(key, "kind") || str_is(key, "metadata");
}

static void prune(struct prune *p, const struct crd_schema *s, struct json *j, bool embedded,
                  const struct place *at);

static void prune_members(struct prune *p, const struct crd_schema *s, struct json *j,
                          bool embedded, const struct place *at)
{
    bool preserve = s && (s->flags & CRD_F_PRESERVE), removed = false;
    JSON_FOR_EACH_MEMBER (m, j) {
        struct str key = str_n(m->key, m->key_n);
        struct place here = {.up = at, .key = key};
        const struct crd_schema *below = crd_schema_member(s, key);
        if (embedded && of_metadata(key)) {
            continue;
        }
        if (below) {
            prune(p, below, m->value, below->flags & CRD_F_EMBEDDED, &here);
        } else if (s && (s->flags & CRD_F_ANY_MEMBER) && !preserve) {
            prune(p, NULL, m->value, false, &here);
        } else if (!preserve) {
            report(p, &here);
            m->value = NULL;
            removed = true;
        }
    }
    if (removed) {
        sweep(p->a, j);
    }
}

static void prune(struct prune *p, const struct crd_schema *s, struct json *j, bool embedded,
                  const struct place *at)
{
    if (json_is(j, JSON_OBJECT)) {
        prune_members(p, s, j, embedded, at);
    } else if (json_is(j, JSON_ARRAY)) {
        bool preserve = s && (s->flags & CRD_F_PRESERVE);
        const struct crd_schema *items = s && s->type != CRD_OBJECT ? s->items : NULL;
        struct place here = {.up = at};
        if (preserve && !items) {
            return;
        }
        JSON_FOR_EACH (item, j) {
            prune(p, items, item, items && (items->flags & CRD_F_EMBEDDED), &here);
            here.index++;
        }
    }
}

void crd_prune(struct arena *a, const struct crd_schema *s, struct json *obj, bool root,
               struct json *unknown)
{
    struct prune p = {.a = a, .unknown = unknown};
    prune(&p, s, obj, root || (s && (s->flags & CRD_F_EMBEDDED)), NULL);
}

/* ---- defaulting ---- */

static bool bad_null(const struct crd_schema *s, const struct json *j)
{
    return s && json_is(j, JSON_NULL) && !(s->flags & CRD_F_NULLABLE);
}

static void defaults(struct arena *a, const struct crd_schema *s, struct json *j);

/* Nulls where null is no value become the default, or go. */
static void replace_nulls(struct arena *a, const struct crd_schema *s, struct json *j)
{
    bool removed = false;
    JSON_FOR_EACH_MEMBER (m, j) {
        const struct crd_schema *below = crd_schema_member(s, str_n(m->key, m->key_n));
        if (bad_null(below, m->value)) {
            const struct json *def = crd_schema_default(below);
            m->value = def ? json_clone(a, def) : NULL;
            removed |= m->value == NULL;
        }
    }
    if (removed) {
        sweep(a, j);
    }
}

static void default_members(struct arena *a, const struct crd_schema *s, struct json *j, bool root)
{
    replace_nulls(a, s, j);
    for (size_t i = 0; (s->flags & CRD_F_HAS_DEFAULTS) && i < s->n_properties; i++) {
        const struct json *def = crd_schema_default(s->properties[i].schema);
        if (def && !json_get(j, s->properties[i].name)) {
            json_set(j, s->properties[i].name, json_clone(a, def));
        }
    }
    JSON_FOR_EACH_MEMBER (m, j) {
        struct str key = str_n(m->key, m->key_n);
        if (!(root && of_metadata(key))) {
            defaults(a, crd_schema_member(s, key), m->value);
        }
    }
}

static void defaults(struct arena *a, const struct crd_schema *s, struct json *j)
{
    if (!s) {
        return;
    }
    if (json_is(j, JSON_OBJECT)) {
        default_members(a, s, j, false);
    } else if (json_is(j, JSON_ARRAY)) {
        const struct crd_schema *items = s->type != CRD_OBJECT ? s->items : NULL;
        size_t i = 0;
        JSON_FOR_EACH (item, j) {
            const struct json *def = crd_schema_default(items);
            if (bad_null(items, item) && def) {
                json_replace(j, i, json_clone(a, def));
            }
            defaults(a, items, json_at(j, i));
            i++;
        }
    }
}

void crd_defaults(struct arena *a, const struct crd_schema *s, struct json *obj, bool root)
{
    if (s && json_is(obj, JSON_OBJECT)) {
        default_members(a, s, obj, root);
    }
}

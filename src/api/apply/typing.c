/* SPDX-License-Identifier: Apache-2.0 */
/* The view over both kinds of schemas: see typing.h. */
#include "api/apply/typing.h"

#include "api/crd/schema.h"
#include "base/mem.h"

struct typing typing_root(const struct kind *k)
{
    return (struct typing){.root = k};
}

static struct typing of_field(const struct schema_field *f)
{
    struct typing t = {.field = f};
    if (f && f->shape == SCHEMA_ONE && f->value == SCHEMA_OBJECT && !(f->flags & SCHEMA_F_ATOMIC)) {
        t = (struct typing){.type = schema_field_type(f)};
    }
    return t;
}

static const struct schema_type *meta_type(const struct kind *k)
{
    return k->custom ? k->type : schema_field_type(schema_field_get(k->type, "metadata"));
}

struct typing typing_member(struct typing t, struct str name, bool *ret_field)
{
    bool field = false;
    struct typing out = {0};
    if (t.root && str_is(name, "metadata")) {
        field = true;
        out.type = meta_type(t.root);
    } else if (t.root && !t.root->custom) {
        const struct schema_field *f = schema_field_find(t.root->type, name);
        field = f != NULL;
        out = of_field(f);
    } else if (t.root || t.custom) {
        const struct crd_schema *s = t.root ? t.root->custom : t.custom;
        field = crd_schema_property(s, name) != NULL;
        out.custom = crd_schema_member(s, name);
    } else if (t.type) {
        const struct schema_field *f = schema_field_find(t.type, name);
        field = f != NULL;
        out = of_field(f);
    } else if (t.field && t.field->shape == SCHEMA_MAP) {
        out.type = schema_field_type(t.field);
    }
    if (ret_field) {
        *ret_field = field;
    }
    return out;
}

struct typing typing_item(struct typing t)
{
    if (t.field) {
        return (struct typing){.type = schema_field_type(t.field)};
    }
    return (struct typing){.custom = t.custom ? t.custom->items : NULL};
}

static enum typing_class class_of_field(const struct schema_field *f, const struct json *v)
{
    if (f->flags & SCHEMA_F_ATOMIC) {
        return TYPING_LEAF;
    }
    if (v->type == JSON_OBJECT) {
        return f->shape == SCHEMA_MAP || f->value == SCHEMA_RAW || f->value == SCHEMA_ANY
                   ? TYPING_MAP
                   : TYPING_LEAF;
    }
    return f->flags & SCHEMA_F_LIST_MAP ? TYPING_KEYED
           : f->flags & SCHEMA_F_SET    ? TYPING_SET
                                        : TYPING_LEAF;
}

static enum typing_class class_of_custom(const struct crd_schema *s, const struct json *v)
{
    if (s->merge == CRD_MERGE_ATOMIC) {
        return TYPING_LEAF;
    }
    if (v->type == JSON_OBJECT) {
        return s->n_properties > 0 ? TYPING_STRUCT : TYPING_MAP;
    }
    return s->merge == CRD_MERGE_MAP   ? TYPING_KEYED
           : s->merge == CRD_MERGE_SET ? TYPING_SET
                                       : TYPING_LEAF;
}

enum typing_class typing_class_of(struct typing t, const struct json *v)
{
    if (!v || (v->type != JSON_OBJECT && v->type != JSON_ARRAY)) {
        return TYPING_LEAF;
    }
    if (t.field) {
        return class_of_field(t.field, v);
    }
    if (t.custom) {
        return class_of_custom(t.custom, v);
    }
    if (v->type == JSON_ARRAY) {
        return TYPING_LEAF;
    }
    if (t.type) {
        return t.type->flags & SCHEMA_T_ATOMIC ? TYPING_LEAF : TYPING_STRUCT;
    }
    return t.root ? TYPING_STRUCT : TYPING_MAP;
}

/* ---- names of items ---- */

static void put_key(struct arena *a, struct json *keys, const struct json *item, struct str key,
                    const struct json *def, bool *complete)
{
    struct json *v = json_get_n(item, key);
    if (!v && def) {
        v = json_clone(a, def);
    }
    if (v && v->type != JSON_OBJECT && v->type != JSON_ARRAY) {
        json_set_n(keys, key, v);
    } else {
        *complete = false;
    }
}

static const struct json *default_of(struct arena *a, const struct schema_type *t, struct str key)
{
    const struct schema_field *f = schema_field_find(t, key);
    const char *text = f ? schema_field_default(f) : "";
    struct json *def = NULL;
    return *text && json_parse(a, str_of(text), NULL, &def, NULL) == 0 ? def : NULL;
}

/* The keys that identify an item, sorted by their names; NULL when one is missing. */
static struct json *keys_of(struct arena *a, struct typing list, const struct json *item)
{
    struct json *keys = json_object(a);
    bool complete = json_is(item, JSON_OBJECT);
    if (list.field) {
        const struct schema_type *t = schema_field_type(list.field);
        struct str rest = str_of(schema_field_keys(list.field)), key;
        for (bool more = rest.n > 0; more && complete;) {
            more = str_cut(rest, ',', &key, &rest);
            const struct json *def = json_get_n(item, key) ? NULL : default_of(a, t, key);
            put_key(a, keys, item, key, def, &complete);
        }
    } else {
        const char *const *names = crd_schema_keys(list.custom);
        for (size_t i = 0; names[i] && complete; i++) {
            struct str key = str_of(names[i]);
            const struct crd_schema *s = crd_schema_member(list.custom->items, key);
            put_key(a, keys, item, key, crd_schema_default(s), &complete);
        }
    }
    return complete && json_len(keys) > 0 ? keys : NULL;
}

struct str typing_item_name(struct arena *a, struct typing list, enum typing_class class,
                            const struct json *item)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    const struct json *what = class == TYPING_KEYED ? keys_of(a, list, item) : item;
    if (!what) {
        return STR_NULL;
    }
    /* More than one key: in the order of their names. */
    struct json *sorted = json_len(what) > 1 && what->type == JSON_OBJECT ? json_object(a) : NULL;
    while (sorted && json_len(sorted) < json_len(what)) {
        const struct json_member *least = NULL;
        JSON_FOR_EACH_MEMBER (m, what) {
            if (!json_get(sorted, m->key) && (!least || strcmp(m->key, least->key) < 0)) {
                least = m;
            }
        }
        if (arena_failed(a) || !least) {
            return STR_NULL;
        }
        json_set(sorted, least->key, least->value);
    }
    if (buf_puts(&b, class == TYPING_KEYED ? "k:" : "v:") < 0 ||
        json_print(&b, sorted ? sorted : what) < 0) {
        return STR_NULL;
    }
    char *text = arena_str(a, buf_str(&b));
    return text ? str_n(text, buf_len(&b)) : STR_NULL;
}

bool typing_is_inherent(struct typing parent, struct str name)
{
    static const char *const names[] = {"spec",        "status",         "metadata",
                                        "template",    "strategy",       "containers",
                                        "jobTemplate", "updateStrategy", "volumeClaimTemplates"};
    if (parent.custom || (parent.root && parent.root->custom) || (!parent.root && !parent.type)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (str_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Items, events and resources: the things that the other files of the store move around. */
#include "store_private.h"

#include "base/limits.h"

bool key_ok(struct str key)
{
    if (key.n < 2 || key.p[0] == '/' || memchr(key.p, '\0', key.n)) {
        return false;
    }
    return memchr(key.p, '/', key.n) != NULL;
}

bool key_in(struct str key, struct str prefix)
{
    return key.n >= prefix.n && (prefix.n == 0 || memcmp(key.p, prefix.p, prefix.n) == 0);
}

/* ---- items ---- */

int item_new(const struct store_index_ops *index_ops, struct str key, struct str value,
             struct store_item **ret)
{
    struct store_item *it = *ret = mem_alloc(sizeof *it + key.n + value.n + 2);
    if (!it) {
        return -ENOMEM;
    }
    *it = (struct store_item){.refs = 1, .index_ops = index_ops};
    it->key_n = (uint32_t)key.n;
    it->value_n = (uint32_t)value.n;
    memcpy(it->bytes, key.p, key.n);
    it->bytes[key.n] = '\0';
    if (value.n) {
        memcpy(it->bytes + key.n + 1, value.p, value.n);
    }
    it->bytes[key.n + 1 + value.n] = '\0';
    int code = 0;
    if (index_ops) {
        code =
            index_ops->make(index_ops->arg, store_item_key(it), store_item_value(it), &it->index);
        if (code < 0) {
            it->index = NULL;
        }
    }
    return code;
}

size_t item_size(const struct store_item *it)
{
    return sizeof *it + it->key_n + it->value_n + 2;
}

struct store_item *store_item_ref(struct store_item *it)
{
    it->refs++;
    return it;
}

void store_item_unref(struct store_item *it)
{
    if (!it) {
        return;
    }
    assert(it->refs > 0);
    if (--it->refs == 0) {
        if (it->index) {
            it->index_ops->free(it->index);
        }
        mem_free(it);
    }
}

/* ---- events ---- */

struct store_event *event_new(void)
{
    struct store_event *ev = mem_zalloc(sizeof *ev);
    if (ev) {
        ev->refs = 1;
        list_init(&ev->link);
        list_init(&ev->resource_link);
    }
    return ev;
}

struct store_event *store_event_ref(struct store_event *ev)
{
    ev->refs++;
    return ev;
}

void store_event_unref(struct store_event *ev)
{
    if (!ev) {
        return;
    }
    assert(ev->refs > 0);
    if (--ev->refs > 0) {
        return;
    }
    if (ev->cache_free) {
        ev->cache_free(ev->cache);
    }
    store_item_unref(ev->item);
    store_item_unref(ev->prev);
    mem_free(ev);
}

/* ---- resources ---- */

/* "pods/" of "pods/default/web-1"; empty when there is no '/'. */
static struct str resource_name(struct str key)
{
    const char *slash = key.n ? memchr(key.p, '/', key.n) : NULL;
    return str_n(key.p, slash ? (size_t)(slash - key.p) + 1 : 0);
}

struct store_resource *resource_find(const struct store *s, struct str key)
{
    struct str name = resource_name(key);
    return name.n ? map_get(&s->resources, name) : NULL;
}

struct store_resource *resource_get(struct store *s, struct str key)
{
    struct store_resource *r = resource_find(s, key);
    if (r) {
        return r;
    }
    struct str name = resource_name(key);
    r = mem_zalloc(sizeof *r + name.n);
    if (!r || map_put(&s->resources, name, r, NULL) < 0) {
        mem_free(r);
        return NULL;
    }
    list_init(&r->events);
    list_init(&r->watches);
    r->floor_rev = s->base_floor_rev;
    r->name_n = name.n;
    memcpy(r->name, name.p, name.n);
    return r;
}

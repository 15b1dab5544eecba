/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of lookup tables by their keys; see lookup.h. */
#include "lookup.h"

#include "base/limits.h"
#include "base/mem.h"

struct entry {
    struct list link;
    struct row *row;
};

/* ---- keys ---- */

#define WHOLE_MAX 9007199254740992.0 /* 2^53: whole floats up to it are the same as integers */

/* A text that equal keys have in common; false where a value cannot be a key. */
static bool key_text(const struct value *v, struct buf *out)
{
    bool whole = v->type == VALUE_FLOAT && v->f >= -WHOLE_MAX && v->f <= WHOLE_MAX &&
                 v->f == (double)(int64_t)v->f;
    switch (v->type) {
    case VALUE_INT:
        (void)buf_printf(out, "i%lld", (long long)v->i); /* sticky, as below */
        break;
    case VALUE_FLOAT:
        (void)(whole ? buf_printf(out, "i%lld", (long long)v->f) : buf_printf(out, "f%a", v->f));
        break;
    case VALUE_BOOL:
        (void)buf_puts(out, v->b ? "true" : "false");
        break;
    case VALUE_STRING:
        (void)buf_putc(out, 's');
        (void)buf_append(out, v->s, v->n);
        break;
    default:
        return false;
    }
    return !buf_failed(out);
}

static struct entry *find_entry(const struct lookup *l, const struct value *key)
{
    struct buf text = BUF_INIT;
    struct entry *e = key_text(key, &text) ? map_get(&l->by_key, buf_str(&text)) : NULL;
    buf_fini(&text);
    return e;
}

/* ---- rows ---- */

struct row *row_in_shape(const struct row *r, const struct shape *shape)
{
    struct value *cells = mem_alloc((shape->n + 1) * sizeof(*cells));
    if (!cells) {
        return NULL;
    }
    for (uint32_t i = 0; i < shape->n; i++) {
        const struct value *found = i < r->n_cells && r->cells[i].type != VALUE_ABSENT
                                        ? &r->cells[i]
                                        : value_get(&r->whole, shape->fields[i].name);
        cells[i] = found ? *found : (struct value){.type = VALUE_ABSENT};
    }
    struct row *out = row_new(cells, shape->n, &r->whole, &r->meta, r->time_us, r->sequence);
    mem_free(cells);
    return out;
}

void lookup_init(struct lookup *l, struct str key)
{
    l->key = key;
    map_init(&l->by_key);
    list_init(&l->entries);
}

static void free_entry(void *p)
{
    struct entry *e = p;
    list_del(&e->link);
    row_unref(e->row);
    mem_free(e);
}

void lookup_fini(struct lookup *l)
{
    map_fini(&l->by_key, free_entry);
}

void lookup_move(struct lookup *to, struct lookup *from)
{
    to->by_key = from->by_key;
    map_init(&from->by_key);
    while (!list_empty(&from->entries)) {
        struct list *first = from->entries.next;
        list_del(first);
        list_push_back(&to->entries, first);
    }
}

static int add(struct lookup *l, struct str key, struct row *r, struct err *err)
{
    if (map_len(&l->by_key) >= LIMIT_TABLE_ROWS) {
        return err_set(err, -E_LIMIT, "the table has %d rows already", LIMIT_TABLE_ROWS);
    }
    struct entry *e = mem_alloc(sizeof(*e));
    if (!e || map_put(&l->by_key, key, e, NULL) < 0) {
        mem_free(e);
        return err_sys(err, -E_NOMEM, "keep a row");
    }
    e->row = r;
    list_push_back(&l->entries, &e->link);
    return 0;
}

int lookup_put(struct lookup *l, struct row *r, struct err *err)
{
    const struct value *key = value_get(&r->whole, l->key);
    struct buf text = BUF_INIT;
    int rc = 0;
    if (!key || !key_text(key, &text)) {
        rc = err_set(err, -E_INVAL, "value not found for key " STR_FMT, STR_ARG(l->key));
    } else {
        struct entry *e = map_get(&l->by_key, buf_str(&text));
        if (e) {
            row_unref(e->row);
            e->row = r;
        } else {
            rc = add(l, buf_str(&text), r, err);
        }
    }
    buf_fini(&text);
    if (rc < 0) {
        row_unref(r);
    }
    return rc;
}

void lookup_delete(struct lookup *l, const struct value *key)
{
    struct buf text = BUF_INIT;
    struct entry *e = key_text(key, &text) ? map_del(&l->by_key, buf_str(&text)) : NULL;
    buf_fini(&text);
    if (e) {
        free_entry(e);
    }
}

static const struct row *current(struct entry *e, const struct shape *shape)
{
    if (e->row->n_cells < shape->n) { /* the shape has grown since */
        struct row *r = row_in_shape(e->row, shape);
        if (!r) {
            return NULL;
        }
        row_unref(e->row);
        e->row = r;
    }
    return e->row;
}

int lookup_find(struct lookup *l, const struct shape *shape, const struct value *key,
                const struct row **ret)
{
    struct entry *e = find_entry(l, key);
    *ret = e ? current(e, shape) : NULL;
    return e && !*ret ? -E_NOMEM : 0;
}

int lookup_all_rows(struct lookup *l, const struct shape *shape, struct arena *a,
                    const struct row ***ret, uint32_t *ret_n)
{
    const struct row **rows = arena_alloc(a, (map_len(&l->by_key) + 1) * sizeof(*rows));
    uint32_t n = 0;
    LIST_FOR_EACH (at, &l->entries) {
        const struct row *r = rows ? current(CONTAINER_OF(at, struct entry, link), shape) : NULL;
        if (!r) {
            return -E_NOMEM;
        }
        rows[n++] = r;
    }
    *ret = rows;
    *ret_n = n;
    return rows ? 0 : -E_NOMEM;
}

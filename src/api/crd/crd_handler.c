/* SPDX-License-Identifier: Apache-2.0 */
/* How an operation waits for a conversion webhook: see crd_convert.h. */
#include "api/crd/crd.h"
#include "api/crd/crd_convert.h"
#include "api/handler_private.h"

struct crd_waiting {
    struct crd_conversion *conversion;
    struct store_item *item; /* referenced; to be op->converted_item */
    struct json **objs;
    size_t *places; /* of a list: the indexes of objs */
    size_t n;
    void (*next)(struct handler_op *op, struct json *obj);
    void (*next_list)(struct handler_op *op);
};

static struct crd_waiting *waiting_new(struct handler_op *op, size_t n)
{
    struct crd_waiting *w = arena_zalloc(op->arena, sizeof(*w));
    if (w) {
        w->objs = arena_zalloc(op->arena, n * sizeof(struct json *));
        w->places = arena_zalloc(op->arena, n * sizeof(size_t));
    }
    if (!w || !w->objs || !w->places) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return NULL;
    }
    return w;
}

static void start(struct handler_op *op, struct crd_waiting *w, const struct kind *wanted,
                  crd_converted_fn *done)
{
    op->conversion = w;
    w->conversion = crd_convert_start(op->kind, wanted, op->arena, w->objs, w->n, done, op);
    if (!w->conversion) {
        op->conversion = NULL;
        store_item_unref(w->item);
        handler_fail_code(op, -E_NOMEM, "out of memory");
    }
}

void crd_handler_cancel(struct handler_op *op)
{
    struct crd_waiting *w = op->conversion;
    op->conversion = NULL;
    if (w) {
        crd_convert_cancel(w->conversion);
        store_item_unref(w->item);
    }
}

/* ---- one object ---- */

static void one_converted(void *arg, int code, struct json **objs, size_t n, const struct err *err)
{
    struct handler_op *op = arg;
    struct crd_waiting *w = op->conversion;
    (void)n;
    op->conversion = NULL;
    if (code < 0) {
        store_item_unref(w->item);
        handler_fail_code(op, code, err->text);
        return;
    }
    if (w->item) {
        store_item_unref(op->converted_item);
        op->converted_item = w->item;
        op->converted = objs[0];
    }
    w->next(op, objs[0]);
}

void crd_handler_to_storage(struct handler_op *op, struct json *obj,
                            void (*next)(struct handler_op *op, struct json *obj))
{
    struct crd_waiting *w = waiting_new(op, 1);
    if (w) {
        w->objs[w->n++] = obj;
        w->next = next;
        start(op, w, op->kind->storage, one_converted);
    }
}

void crd_handler_to_served(struct handler_op *op, struct store_item *it,
                           void (*next)(struct handler_op *op, struct json *obj))
{
    struct crd_waiting *w = waiting_new(op, 1);
    if (!w) {
        return;
    }
    struct json *obj = handler_item_tree(op->arena, op->kind, it);
    if (!obj) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    w->objs[w->n++] = obj;
    w->next = next;
    w->item = store_item_ref(it);
    start(op, w, op->kind, one_converted);
}

/* ---- a list ---- */

static void list_converted(void *arg, int code, struct json **objs, size_t n, const struct err *err)
{
    struct handler_op *op = arg;
    struct crd_waiting *w = op->conversion;
    op->conversion = NULL;
    if (code < 0) {
        handler_fail_code(op, code, err->text);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        op->list.trees[w->places[i]] = objs[i];
    }
    w->next_list(op);
}

void crd_handler_list(struct handler_op *op, void (*next)(struct handler_op *op))
{
    struct crd_waiting *w = waiting_new(op, op->list.n);
    if (!w) {
        return;
    }
    op->list.trees = arena_zalloc(op->arena, op->list.n * sizeof(struct json *));
    for (size_t i = 0; i < op->list.n; i++) {
        if (crd_item_foreign(op->kind, op->list.items[i])) {
            w->places[w->n] = i;
            w->objs[w->n++] = handler_item_tree(op->arena, op->kind, op->list.items[i]);
        }
    }
    w->next_list = next;
    if (arena_failed(op->arena)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    start(op, w, op->kind, list_converted);
}

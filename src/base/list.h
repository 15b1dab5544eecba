/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly-linked circular list. A struct list is both the head and the link in an element;
 * an element that is on no list points to itself, so list_del() may be called on it again.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>

#include "mem.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_insert_(struct list *at, struct list *item)
{
    item->prev = at;
    item->next = at->next;
    at->next->prev = item;
    at->next = item;
}
static inline void list_push_back(struct list *head, struct list *item)
{
    list_insert_(head->prev, item);
}
static inline void list_push_front(struct list *head, struct list *item)
{
    list_insert_(head, item);
}
static inline void list_del(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}
static inline struct list *list_pop_front(struct list *head)
{
    struct list *l = head->next;
    if (l == head) {
        return NULL;
    }
    list_del(l);
    return l;
}
/* Moves all elements of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (!list_empty(from)) {
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
    }
}

#define LIST_FOR_EACH(pos, head) \
    for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
/* The body may remove pos (and only pos). */
#define LIST_FOR_EACH_SAFE(pos, head)                                             \
    for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head); \
         pos = pos##_next, pos##_next = pos->next)

#endif

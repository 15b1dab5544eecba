/* SPDX-License-Identifier: Apache-2.0 */
/* Memory topics; see topics.h. */
#include "topics.h"

#include "base/mem.h"
#include "base/str.h"
#include "codec/mqtt_topic.h"
#include "io/loop.h"

#define WAITING_MAX 100000 /* messages */
#define WAITING_BYTES_MAX ((size_t)64 << 20)
#define BURST 1024 /* messages a tick */
#define LOOK 64    /* messages between two looks whether all subscribers are ready */

struct message {
    struct list link;
    struct arena arena; /* of the event */
    struct value event;
    struct value deleted; /* the key; VALUE_ABSENT: nothing is deleted */
    size_t bytes;
    char topic[];
};

struct topics {
    struct io_loop *loop;
    struct io_task task;
    struct list subscribers;
    struct list messages;
    size_t waiting, bytes;
    uint64_t dropped;
    struct list *next; /* of the subscribers, while a message is handed on */
};

/* The oldest message, off the list: what a subscriber publishes may drop others. */
static struct message *take_first(struct topics *t)
{
    struct message *m = CONTAINER_OF(t->messages.next, struct message, link);
    list_del(&m->link);
    t->waiting--;
    t->bytes -= m->bytes;
    return m;
}

static void free_message(struct message *m)
{
    arena_fini(&m->arena);
    mem_free(m);
}

/* A subscriber may leave, or another come, inside a callback. */
static void hand_on(struct topics *t, const struct message *m)
{
    for (struct list *at = t->subscribers.next; at != &t->subscribers; at = t->next) {
        struct topic_subscriber *s = CONTAINER_OF(at, struct topic_subscriber, link);
        t->next = at->next;
        if (mqtt_filter_matches(str_of(s->filter), str_of(m->topic))) {
            s->fn(s->arg, m->topic, &m->event,
                  m->deleted.type == VALUE_ABSENT ? NULL : &m->deleted);
        }
    }
    t->next = NULL;
}

static bool all_ready(const struct topics *t)
{
    bool ready = true;
    for (const struct list *at = t->subscribers.next; at != &t->subscribers; at = at->next) {
        const struct topic_subscriber *s = CONTAINER_OF(at, struct topic_subscriber, link);
        ready = (!s->ready || s->ready(s->arg)) && ready;
    }
    return ready;
}

static void on_turn(void *arg)
{
    struct topics *t = arg;
    for (int i = 0; i < BURST && !list_empty(&t->messages); i++) {
        if (i % LOOK == 0 && !all_ready(t)) {
            return; /* until topics_resume() */
        }
        struct message *m = take_first(t);
        hand_on(t, m);
        free_message(m);
    }
    if (!list_empty(&t->messages)) {
        loop_defer(t->loop, &t->task);
    }
}

struct topics *topics_new(struct io_loop *l)
{
    struct topics *t = mem_zalloc(sizeof(*t));
    if (t) {
        t->loop = l;
        io_task_init(&t->task, on_turn, t);
        list_init(&t->subscribers);
        list_init(&t->messages);
    }
    return t;
}

void topics_free(struct topics *t)
{
    if (!t) {
        return;
    }
    assert(list_empty(&t->subscribers));
    io_task_cancel(&t->task);
    while (!list_empty(&t->messages)) {
        free_message(take_first(t));
    }
    mem_free(t);
}

int topics_subscribe(struct topics *t, struct topic_subscriber *s, const char *filter)
{
    s->filter = mem_strdup(filter);
    if (!s->filter) {
        return -E_NOMEM;
    }
    list_push_back(&t->subscribers, &s->link);
    return 0;
}

void topics_unsubscribe(struct topics *t, struct topic_subscriber *s)
{
    if (s->filter) {
        if (t->next == &s->link) {
            t->next = s->link.next;
        }
        list_del(&s->link);
        mem_free(TAKE_PTR(s->filter));
    }
}

static int publish(struct topics *t, const char *topic, const struct value *event,
                   const struct value *deleted)
{
    size_t n = strlen(topic) + 1;
    struct message *m = mem_alloc(sizeof(*m) + n);
    if (!m) {
        return -E_NOMEM;
    }
    memcpy(m->topic, topic, n);
    arena_init_small(&m->arena, 0);
    m->event = value_copy(&m->arena, event);
    m->deleted = value_copy(&m->arena, deleted);
    m->bytes = sizeof(*m) + n + value_size(event);
    if (arena_failed(&m->arena)) {
        arena_fini(&m->arena);
        mem_free(m);
        return -E_NOMEM;
    }
    list_push_back(&t->messages, &m->link);
    t->waiting++;
    t->bytes += m->bytes;
    while (t->waiting > WAITING_MAX || (t->bytes > WAITING_BYTES_MAX && t->waiting > 1)) {
        free_message(take_first(t));
        t->dropped++;
    }
    loop_defer(t->loop, &t->task);
    return 0;
}

int topics_publish(struct topics *t, const char *topic, const struct value *event)
{
    return publish(t, topic, event, &(struct value){.type = VALUE_ABSENT});
}

int topics_delete(struct topics *t, const char *topic, const struct value *event,
                  const struct value *key)
{
    return publish(t, topic, event, key);
}

void topics_resume(struct topics *t)
{
    loop_defer(t->loop, &t->task);
}

uint64_t topics_dropped(const struct topics *t)
{
    return t->dropped;
}

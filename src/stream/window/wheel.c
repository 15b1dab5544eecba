/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timing wheels: four levels of 256 slots, of 1 ms, 256 ms, 65.5 s and 4.66 h; what lies further
 * away (49 days and more) waits on a list of its own. When a level wraps, the next slot of the
 * level above is spread over it. `ms` is the next millisecond that was not fired yet.
 *
 * Invariants:
 * 1. A timer of level k lies in a slot that level k reaches before it wraps.
 * 2. bits[k] has the bit of each slot that may hold timers; an empty slot may still have its bit.
 */
#include "wheel.h"

#include "base/mem.h"

#define LEVELS 4
#define SLOT_BITS 8
#define SLOTS (1u << SLOT_BITS)

struct wheel {
    int64_t ms;
    bool turning;
    uint64_t bits[LEVELS][SLOTS / 64];
    struct list slots[LEVELS][SLOTS];
    struct list far;
    struct list past; /* armed by a callback for a time that was: the next turn fires them */
};

static int64_t floor_ms(int64_t us)
{
    return us >= 0 ? us / 1000 : -((-us + 999) / 1000);
}

static int64_t ceil_ms(int64_t us)
{
    return us >= 0 ? us / 1000 + (us % 1000 != 0) : -(-us / 1000);
}

struct wheel *wheel_new(int64_t now_us)
{
    struct wheel *w = mem_zalloc(sizeof(*w));
    if (!w) {
        return NULL;
    }
    w->ms = floor_ms(now_us);
    for (unsigned k = 0; k < LEVELS; k++) {
        for (unsigned i = 0; i < SLOTS; i++) {
            list_init(&w->slots[k][i]);
        }
    }
    list_init(&w->far);
    list_init(&w->past);
    return w;
}

static void forget(struct list *head)
{
    struct list *l;
    while ((l = list_pop_front(head))) {
        CONTAINER_OF(l, struct wheel_timer, node)->armed = false;
    }
}

void wheel_free(struct wheel *w)
{
    if (!w) {
        return;
    }
    for (unsigned k = 0; k < LEVELS; k++) {
        for (unsigned i = 0; i < SLOTS; i++) {
            forget(&w->slots[k][i]);
        }
    }
    forget(&w->far);
    forget(&w->past);
    mem_free(w);
}

/* The level whose current turn holds `due`: the lowest one where all higher digits agree. */
static void put(struct wheel *w, struct wheel_timer *t)
{
    uint64_t due = (uint64_t)MAX_OF(ceil_ms(t->due_us), w->ms);
    uint64_t now = (uint64_t)w->ms;
    for (unsigned k = 0; k < LEVELS; k++) {
        unsigned above = (k + 1) * SLOT_BITS;
        if (due >> above == now >> above) {
            unsigned slot = (unsigned)(due >> (k * SLOT_BITS)) & (SLOTS - 1);
            w->bits[k][slot / 64] |= UINT64_C(1) << (slot % 64);
            list_push_back(&w->slots[k][slot], &t->node);
            return;
        }
    }
    list_push_back(&w->far, &t->node);
}

static void place(struct wheel *w, struct wheel_timer *t)
{
    if (w->turning && ceil_ms(t->due_us) <= w->ms) {
        list_push_back(&w->past, &t->node);
    } else {
        put(w, t);
    }
}

void wheel_arm(struct wheel *w, struct wheel_timer *t, int64_t due_us, wheel_fn *fire)
{
    wheel_cancel(w, t);
    t->due_us = due_us;
    t->fire = fire;
    t->armed = true;
    place(w, t);
}

void wheel_cancel(struct wheel *w, struct wheel_timer *t)
{
    (void)w;
    if (t->armed) {
        list_del(&t->node);
        t->armed = false;
    }
}

/* The first slot >= from of a level that may hold timers; SLOTS = none. Clears the bits of slots
 * that turned out to be empty. */
static unsigned next_slot(struct wheel *w, unsigned k, unsigned from)
{
    for (unsigned word = from / 64; word < SLOTS / 64; word++) {
        uint64_t bits = w->bits[k][word];
        if (word == from / 64) {
            bits &= ~UINT64_C(0) << (from % 64);
        }
        while (bits) {
            unsigned slot = word * 64 + (unsigned)__builtin_ctzll(bits);
            if (!list_empty(&w->slots[k][slot])) {
                return slot;
            }
            bits &= bits - 1;
            w->bits[k][word] &= ~(UINT64_C(1) << (slot % 64));
        }
    }
    return SLOTS;
}

/* The earliest millisecond at which a slot must be looked at; INT64_MAX = none. */
static int64_t next_ms(struct wheel *w)
{
    uint64_t now = (uint64_t)w->ms;
    for (unsigned k = 0; k < LEVELS; k++) {
        unsigned shift = k * SLOT_BITS;
        unsigned slot = next_slot(w, k, (unsigned)(now >> shift) & (SLOTS - 1));
        if (slot < SLOTS) {
            uint64_t turn = now >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
            return MAX_OF((int64_t)(turn + ((uint64_t)slot << shift)), w->ms);
        }
    }
    if (list_empty(&w->far)) {
        return INT64_MAX;
    }
    unsigned top = LEVELS * SLOT_BITS;
    return (int64_t)(((now >> top) + 1) << top);
}

/* Time is `ms`: what waited on higher levels for this turn comes down. */
static void settle(struct wheel *w)
{
    struct list moved;
    list_init(&moved);
    uint64_t now = (uint64_t)w->ms;
    if ((now & ((UINT64_C(1) << (LEVELS * SLOT_BITS)) - 1)) == 0) {
        list_splice(&moved, &w->far);
    }
    for (unsigned k = LEVELS - 1; k > 0; k--) {
        list_splice(&moved, &w->slots[k][(now >> (k * SLOT_BITS)) & (SLOTS - 1)]);
    }
    struct list *l;
    while ((l = list_pop_front(&moved))) {
        put(w, CONTAINER_OF(l, struct wheel_timer, node));
    }
}

static void fire_slot(struct wheel *w, int64_t now_us)
{
    struct list due;
    list_init(&due);
    list_splice(&due, &w->slots[0][(uint64_t)w->ms & (SLOTS - 1)]);
    struct list *l;
    while ((l = list_pop_front(&due))) {
        struct wheel_timer *t = CONTAINER_OF(l, struct wheel_timer, node);
        t->armed = false;
        t->fire(t, now_us);
    }
}

void wheel_turn(struct wheel *w, int64_t now_us)
{
    int64_t until = floor_ms(now_us);
    w->turning = true;
    for (;;) {
        int64_t at = next_ms(w);
        if (at > until) {
            break;
        }
        w->ms = at;
        settle(w);
        fire_slot(w, now_us);
    }
    w->turning = false;
    w->ms = MAX_OF(w->ms, until);
    struct list *l;
    while ((l = list_pop_front(&w->past))) {
        put(w, CONTAINER_OF(l, struct wheel_timer, node));
    }
}

int64_t wheel_next(const struct wheel *w)
{
    /* next_ms() only clears bits of empty slots. */
    int64_t ms = next_ms((struct wheel *)(uintptr_t)w);
    return ms == INT64_MAX ? INT64_MAX : ms * 1000;
}

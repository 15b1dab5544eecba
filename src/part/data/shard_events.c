/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries on their way to the shards; see shard_events.h. */
#include "shard_events.h"

#include "base/limits.h"
#include "base/mem.h"

/* One block for all texts: a delivery may be as large as a source makes it. */
static struct shard_events *make(uint32_t n, size_t bytes)
{
    struct shard_events *ev = mem_zalloc(sizeof(*ev));
    if (ev) {
        ev->refs = 1;
        ev->n = n;
        ev->bytes = sizeof(*ev) + bytes;
        arena_init_small(&ev->arena, ARENA_CAP_DEFAULT + bytes);
    }
    return ev;
}

static struct shard_events *made(struct shard_events *ev)
{
    if (ev && arena_failed(&ev->arena)) {
        shard_events_unref(ev);
        return NULL;
    }
    return ev;
}

/* The metadata of all events of a file is one: it is copied once. */
static struct value copy_meta(struct shard_events *ev, const struct payload *from, uint32_t i)
{
    bool same =
        i > 0 && from[i].meta.type == VALUE_OBJECT && from[i - 1].meta.type == VALUE_OBJECT &&
        from[i].meta.members == from[i - 1].meta.members && from[i].meta.n == from[i - 1].meta.n;
    return same ? ev->payloads[i - 1].meta : value_copy(&ev->arena, &from[i].meta);
}

struct shard_events *shard_events_payloads(const struct payload *payloads, uint32_t n)
{
    size_t bytes = n * sizeof(*payloads);
    for (uint32_t i = 0; i < n; i++) {
        bytes += payloads[i].bytes.n;
    }
    struct shard_events *ev = make(n, bytes);
    char *at = ev ? arena_alloc(&ev->arena, bytes) : NULL;
    if (!at) {
        return made(ev);
    }
    ev->payloads = (struct payload *)(void *)at;
    at += n * sizeof(*payloads);
    for (uint32_t i = 0; i < n; i++) {
        ev->payloads[i] = payloads[i];
        ev->payloads[i].stable = false;
        ev->payloads[i].bytes = str_n(at, payloads[i].bytes.n);
        ev->payloads[i].meta = copy_meta(ev, payloads, i);
        if (payloads[i].bytes.n > 0) {
            memcpy(at, payloads[i].bytes.p, payloads[i].bytes.n);
        }
        at += payloads[i].bytes.n;
    }
    return made(ev);
}

static struct value *copy_all(struct arena *a, const struct value *from, uint32_t n)
{
    struct value *out = arena_alloc(a, n * sizeof(*out));
    for (uint32_t i = 0; out && i < n; i++) {
        out[i] = value_copy(a, &from[i]);
    }
    return out;
}

struct shard_events *shard_events_values(const struct value *events, const struct value *meta,
                                         int64_t arrival_us, uint32_t n)
{
    size_t bytes = n * sizeof(*events);
    for (uint32_t i = 0; i < n; i++) {
        bytes += value_size(&events[i]);
    }
    struct shard_events *ev = make(n, bytes);
    if (!ev) {
        return NULL;
    }
    ev->values = copy_all(&ev->arena, events, n);
    ev->meta = meta ? copy_all(&ev->arena, meta, n) : NULL;
    ev->arrival = arena_alloc(&ev->arena, n * sizeof(*ev->arrival));
    for (uint32_t i = 0; ev->arrival && i < n; i++) {
        ev->arrival[i] = arrival_us;
    }
    return made(ev);
}

struct shard_events *shard_events_ref(struct shard_events *ev)
{
    (void)__atomic_add_fetch(&ev->refs, 1, __ATOMIC_RELAXED);
    return ev;
}

void shard_events_unref(struct shard_events *ev)
{
    if (ev && __atomic_sub_fetch(&ev->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        arena_fini(&ev->arena);
        mem_free(ev);
    }
}

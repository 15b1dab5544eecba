/* SPDX-License-Identifier: Apache-2.0 */
/* The writing side of a ring: copies a record in, publishes it, rings the bell of a sleeper. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "ring.h"
#include "ring_private.h"

struct ring_writer {
    int bell;
    size_t capacity;
    struct ring_page_reader *theirs;
    struct ring_page_writer *mine;
    char *data;
    uint64_t written;
};

/* The size comes from the file, which is sealed; what the pages say must agree with it. */
static int check(int fd, size_t *ret_capacity, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return err_sys(err, -errno, "ring: descriptor %d", fd);
    }
    uint64_t size = (uint64_t)st.st_size;
    int seals = fcntl(fd, F_GET_SEALS);
    uint64_t capacity = size > RING_DATA ? size - RING_DATA : 0;
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || capacity < RING_PAGE ||
        capacity > LIMIT_RING_BYTES || (capacity & (capacity - 1)) != 0) {
        return err_set(err, -E_INVAL, "ring: descriptor %d is no ring", fd);
    }
    *ret_capacity = (size_t)capacity;
    return 0;
}

/* Continues where the last writer was, if that is possible, else where the reader is. */
static void continue_at(struct ring_writer *w)
{
    uint64_t written = atomic_load(&w->mine->written);
    uint64_t read = atomic_load(&w->theirs->read);
    if (written - read > w->capacity || written % 8 != 0) {
        written = ring_round(read);
        atomic_store(&w->mine->written, written);
    }
    w->written = written;
    (void)atomic_fetch_add(&w->mine->generation, 1); /* the old value tells nothing here */
}

int ring_writer_open(int fd, int bell, struct ring_writer **ret, struct err *err)
{
    size_t capacity = 0;
    int code = check(fd, &capacity, err);
    if (code < 0) {
        return code;
    }
    struct ring_writer *w = mem_zalloc(sizeof(*w));
    char *base = w ? ring_map(fd, capacity) : NULL;
    if (!base) {
        code = w ? -errno : -E_NOMEM;
        mem_free(w);
        return err_sys(err, code, "ring: cannot map %zu bytes", capacity);
    }
    w->bell = bell;
    w->capacity = capacity;
    w->theirs = (struct ring_page_reader *)base;
    w->mine = (struct ring_page_writer *)(base + RING_PAGE);
    w->data = base + RING_DATA;
    if (w->theirs->magic != RING_MAGIC || w->theirs->version != 1 ||
        w->theirs->capacity != capacity) {
        ring_writer_close(w);
        return err_set(err, -E_INVAL, "ring: descriptor %d is no ring of this version", fd);
    }
    continue_at(w);
    *ret = w;
    return 0;
}

void ring_writer_close(struct ring_writer *w)
{
    if (w) {
        ring_unmap(w->theirs, w->capacity);
        mem_free(w);
    }
}

static void put_head(struct ring_writer *w, uint64_t at, uint32_t length)
{
    uint32_t head[2] = {length, RING_RECORD};
    memcpy(w->data + at % w->capacity, head, sizeof(head));
}

/* After `written` was stored: of that store with this load here, and the store of `asleep` with the
 * load of `written` in ring_sleep(), at least one load sees the other side's store. */
static void ring_bell(struct ring_writer *w)
{
    if (atomic_load(&w->theirs->asleep) && atomic_exchange(&w->theirs->asleep, 0)) {
        uint64_t one = 1;
        (void)!write(w->bell, &one, sizeof(one)); /* full = it rings already */
    }
}

int ring_write(struct ring_writer *w, const struct iovec *pieces, size_t n)
{
    uint64_t length = 0;
    for (size_t i = 0; i < n; i++) {
        length += pieces[i].iov_len;
    }
    uint64_t size = RING_HEAD + ring_round(length);
    uint64_t read = atomic_load_explicit(&w->theirs->read, memory_order_acquire);
    if (length > w->capacity / 2 || w->written - read > w->capacity ||
        size > w->capacity - (w->written - read)) {
        (void)atomic_fetch_add_explicit(&w->mine->dropped, 1, memory_order_relaxed);
        return length > w->capacity / 2 ? -E_TOOBIG : -E_AGAIN;
    }
    uint64_t at = w->written;
    put_head(w, at, (uint32_t)length);
    char *to = w->data + at % w->capacity + RING_HEAD;
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].iov_len > 0) {
            memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
            to += pieces[i].iov_len;
        }
    }
    w->written = at + size;
    atomic_store(&w->mine->written, w->written);
    ring_bell(w);
    return 0;
}

uint64_t ring_control(const struct ring_writer *w)
{
    return atomic_load_explicit(&w->theirs->control, memory_order_acquire);
}

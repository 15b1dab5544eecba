/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading side of a ring, which also makes it. What lies in the memory is outside bytes: the
 * position is kept here, a stretch of the ring is copied out before anything in it is looked at,
 * and where a position or a length is impossible the reader goes on at the writer's position.
 */
#include "ring.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "ring_private.h"

#define STRETCH ((size_t)1 << 20) /* copied at a time, unless one record is larger */

struct ring_reader {
    int fd, bell;
    size_t capacity;
    struct ring_page_reader *mine;
    struct ring_page_writer *theirs;
    const char *data;
    uint64_t read;      /* up to here, out of the writer's reach */
    uint64_t published; /* what the writer was told: the last whole chunk */
    char *copy;         /* a stretch of the ring */
    size_t copy_cap;    /* of it */
    size_t at, end;     /* records of the copy that were not handed out yet */
    uint64_t records, bytes, broken;
};

/* Puts a part of the file at a place that was reserved before. */
static bool place(char *at, size_t n, int fd, size_t from)
{
    return mmap(at, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)from) == at;
}

void *ring_map(int fd, size_t capacity)
{
    size_t total = RING_DATA + 2 * capacity;
    /* Reserves the room; all of it is replaced. */
    char *base = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    if (!place(base, RING_DATA + capacity, fd, 0) ||
        !place(base + RING_DATA + capacity, capacity, fd, RING_DATA)) {
        int saved = errno;
        (void)munmap(base, total); /* cannot fail on what was just mapped */
        errno = saved;
        return NULL;
    }
    return base;
}

void ring_unmap(void *base, size_t capacity)
{
    if (base) {
        (void)munmap(base, RING_DATA + 2 * capacity); /* as above */
    }
}

static size_t capacity_of(size_t wanted)
{
    size_t capacity = (size_t)64 << 10;
    while (capacity < wanted && capacity < LIMIT_RING_BYTES) {
        capacity *= 2;
    }
    return capacity;
}

/* The memory cannot shrink under either side's feet, or a broken peer could kill the other. */
static int make_memory(size_t capacity)
{
    CLEANUP(fd_closep) int fd = memfd_create("selvedge-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)(RING_DATA + capacity)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        return -errno;
    }
    return TAKE_FD(fd);
}

int ring_reader_new(size_t capacity, struct ring_reader **ret, struct err *err)
{
    struct ring_reader *r = mem_zalloc(sizeof(*r));
    if (!r) {
        return err_set(err, -E_NOMEM, "ring: out of memory");
    }
    r->capacity = capacity_of(capacity);
    r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->fd = make_memory(r->capacity);
    char *base = r->fd >= 0 ? ring_map(r->fd, r->capacity) : NULL;
    if (!base || r->bell < 0) {
        int code = r->fd < 0 ? r->fd : -errno;
        ring_unmap(base, r->capacity);
        ring_reader_free(r);
        return err_sys(err, code, "ring: cannot make shared memory of %zu bytes", capacity);
    }
    r->mine = (struct ring_page_reader *)base;
    r->theirs = (struct ring_page_writer *)(base + RING_PAGE);
    r->data = base + RING_DATA;
    r->mine->version = 1;
    r->mine->capacity = r->capacity;
    r->mine->magic = RING_MAGIC;
    *ret = r;
    return 0;
}

void ring_reader_free(struct ring_reader *r)
{
    if (!r) {
        return;
    }
    ring_unmap(r->mine, r->capacity);
    fd_closep(&r->fd);
    fd_closep(&r->bell);
    mem_free(r->copy);
    mem_free(r);
}

int ring_reader_fd(const struct ring_reader *r)
{
    return r->fd;
}

int ring_reader_bell(const struct ring_reader *r)
{
    return r->bell;
}

/* Gives what was read back to the writer, in whole chunks that cost no memory any more. */
static void publish(struct ring_reader *r)
{
    uint64_t chunk = ring_chunk(r->capacity), to = r->read & ~(chunk - 1);
    for (uint64_t at = r->published; at < to; at += chunk) {
        /* A hole that cannot be made costs memory alone. */
        (void)fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t)(RING_DATA + at % r->capacity), (off_t)chunk);
    }
    if (to != r->published) {
        r->published = to;
        atomic_store_explicit(&r->mine->read, to, memory_order_release);
    }
}

/* Where the writer is; what is no position of a record is taken for the last one before it. */
static uint64_t written_at(struct ring_reader *r)
{
    return atomic_load(&r->theirs->written) & ~(uint64_t)7;
}

/* Goes on where the writer says it is; forgets what lies between, without holes. */
static void skip_broken(struct ring_reader *r, uint64_t written)
{
    r->broken++;
    r->at = r->end = 0;
    r->read = written;
    r->published = written & ~(ring_chunk(r->capacity) - 1);
    atomic_store_explicit(&r->mine->read, r->published, memory_order_release);
}

/* How many bytes can be read; skips what is impossible. */
static size_t readable(struct ring_reader *r)
{
    uint64_t written = written_at(r);
    uint64_t n = written - r->read;
    if (n > r->capacity) {
        skip_broken(r, written);
        return 0;
    }
    return (size_t)n;
}

struct head {
    uint32_t length, kind;
};

/* The head at p, of which n bytes may be looked at. The size of the record with its head and fill,
 * or 0 when it is impossible in a ring with `bound` readable bytes. */
static size_t record_size(const char *p, size_t n, size_t bound, struct head *ret)
{
    if (n < RING_HEAD) {
        return 0;
    }
    memcpy(ret, p, sizeof(*ret));
    uint64_t size = RING_HEAD + ring_round(ret->length);
    return ret->kind == RING_RECORD && size <= bound ? (size_t)size : 0;
}

static bool copy_room(struct ring_reader *r, size_t n)
{
    if (r->copy_cap >= n && (r->copy_cap <= STRETCH || n > STRETCH)) {
        return true;
    }
    size_t cap = n > 64 << 10 ? MAX_OF(n, STRETCH) : 64 << 10;
    mem_free(r->copy);
    r->copy = mem_alloc(cap);
    r->copy_cap = r->copy ? cap : 0;
    return r->copy != NULL;
}

/* Copies the next stretch out. False when there is nothing, or no memory for it. */
static bool next_stretch(struct ring_reader *r)
{
    size_t n = readable(r);
    if (n == 0) {
        return false;
    }
    const char *from = r->data + r->read % r->capacity;
    struct head head;
    size_t first = record_size(from, n, n, &head);
    if (first == 0) {
        skip_broken(r, r->read + n);
        return false;
    }
    size_t take = MIN_OF(n, MAX_OF(first, STRETCH));
    if (!copy_room(r, take)) {
        return false;
    }
    memcpy(r->copy, from, take);
    r->at = 0;
    r->end = take;
    return true;
}

/* The next record of the copy. False when the copy holds no further whole one. */
static bool next_record(struct ring_reader *r, struct str *ret)
{
    if (r->end - r->at >= RING_HEAD) {
        struct head head;
        size_t left = r->end - r->at;
        size_t size = record_size(r->copy + r->at, left, r->capacity, &head);
        if (size == 0) {
            skip_broken(r, written_at(r));
            return false;
        }
        if (size > left) { /* the stretch ends within it */
            r->at = r->end = 0;
            return false;
        }
        const char *bytes = r->copy + r->at + RING_HEAD;
        r->at += size;
        r->read += size;
        *ret = str_n(bytes, head.length);
        r->records++;
        r->bytes += head.length;
        return true;
    }
    r->at = r->end = 0;
    return false;
}

size_t ring_read(struct ring_reader *r, struct str *ret_records, size_t max)
{
    size_t n = 0;
    while (n == 0 && max > 0) {
        if (r->at == r->end && !next_stretch(r)) {
            return 0;
        }
        while (n < max && next_record(r, &ret_records[n])) {
            n++;
        }
    }
    publish(r);
    return n;
}

bool ring_sleep(struct ring_reader *r)
{
    atomic_store(&r->mine->asleep, 1); /* before `written` is read: see ring_bell() */
    if (r->at == r->end && written_at(r) == r->read) {
        return true;
    }
    atomic_store_explicit(&r->mine->asleep, 0, memory_order_relaxed);
    return false;
}

void ring_bell_clear(struct ring_reader *r)
{
    uint64_t count;
    (void)!read(r->bell, &count, sizeof(count)); /* nothing to clear is as well */
}

void ring_reader_stats(struct ring_reader *r, struct ring_stats *ret)
{
    *ret = (struct ring_stats){
        .records = r->records,
        .bytes = r->bytes,
        .dropped = atomic_load_explicit(&r->theirs->dropped, memory_order_relaxed),
        .broken = r->broken,
        .generation = atomic_load_explicit(&r->theirs->generation, memory_order_relaxed),
    };
}

void ring_control_set(struct ring_reader *r, uint64_t value)
{
    atomic_store_explicit(&r->mine->control, value, memory_order_release);
}

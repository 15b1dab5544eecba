/* SPDX-License-Identifier: Apache-2.0 */
/* Segments, records, recovery; the format stands in sink_log.h. */
#include "sink_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "sink_log_private.h"

#define SEGMENT_BYTES ((uint64_t)4 << 20)
#define HEAD 16
#define RECORD_MAX ((uint32_t)LIMIT_EVENT_BYTES * 2)
#define SEGMENTS_MAX 100000

static void put32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (unsigned char)(v >> (8 * i));
    }
}

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const unsigned char *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

char *sink_log_path(const struct sink_log *l, uint64_t first)
{
    return mem_printf("%s/%020" PRIu64 ".log", l->folder, first);
}

/* ---- segments ---- */

static struct segment *add_segment(struct sink_log *l, uint64_t first, uint64_t bytes)
{
    struct segment *s = mem_zalloc(sizeof(*s));
    if (s) {
        s->first = first;
        s->bytes = bytes;
        list_push_back(&l->segments, &s->link);
        l->bytes += bytes;
    }
    return s;
}

struct segment *sink_log_last(const struct sink_log *l)
{
    return list_empty(&l->segments) ? NULL : CONTAINER_OF(l->segments.prev, struct segment, link);
}

struct segment *sink_log_first(const struct sink_log *l)
{
    return list_empty(&l->segments) ? NULL : CONTAINER_OF(l->segments.next, struct segment, link);
}

static struct segment *segment_after(const struct sink_log *l, const struct segment *s)
{
    return s->link.next == &l->segments ? NULL : CONTAINER_OF(s->link.next, struct segment, link);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* what was to be durable was synced before */
    }
    *fd = -EBADF;
}

void sink_log_close_fds(struct sink_log *l)
{
    close_fd(&l->fd);
    close_fd(&l->read_fd);
    l->read_segment = NULL;
}

void sink_log_remove(struct sink_log *l, struct segment *s)
{
    CLEANUP(mem_freep) char *path = sink_log_path(l, s->first);
    if (path) {
        (void)unlink(path); /* one that stays is found, and removed, at the next opening */
    }
    if (l->read_segment == s) {
        l->read_segment = NULL;
        close_fd(&l->read_fd);
    }
    l->bytes -= s->bytes;
    list_del(&s->link);
    mem_free(s);
}

int sink_log_sync_folder(const struct sink_log *l, struct err *err)
{
    CLEANUP(fd_closep) int fd = open(l->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        return err_sys(err, -errno, "sync '%s'", l->folder);
    }
    return 0;
}

/* ---- records ---- */

/* Reads the record at an offset: 1 with its sequence, and its bytes in out (which may be NULL); 0
 * at the end; -E_PARSE: what stands there is no whole record; or the failure of reading. */
static int read_record(int fd, uint64_t at, uint64_t end, struct buf *out, uint64_t *ret_sequence,
                       uint64_t *ret_size)
{
    unsigned char head[HEAD];
    struct buf own = BUF_INIT;
    struct buf *b = out ? out : &own;
    if (at + HEAD > end) {
        return at == end ? 0 : -E_PARSE;
    }
    if (pread(fd, head, HEAD, (off_t)at) != HEAD) {
        return -E_IO;
    }
    uint32_t n = get32(head);
    if (n > RECORD_MAX || at + HEAD + n > end) {
        return -E_PARSE;
    }
    buf_clear(b);
    char *to = buf_reserve(b, (size_t)n + 1); /* an empty message is one, too */
    int rc = to ? 1 : -E_NOMEM;
    if (rc == 1 && n > 0 && pread(fd, to, n, (off_t)(at + HEAD)) != (ssize_t)n) {
        rc = -E_IO;
    }
    if (rc == 1 && crc32c(crc32c(0, head + 8, 8), to, n) != get32(head + 4)) {
        rc = -E_PARSE;
    }
    if (rc == 1) {
        buf_commit(b, n);
        *ret_sequence = get64(head + 8);
        *ret_size = HEAD + n;
    }
    buf_fini(&own);
    return rc;
}

/* Whether the head at an offset can be that of a record of a later sequence: looked at before the
 * bytes behind it are read, so that a damaged segment costs a walk, not a walk for each byte. */
static bool plausible(int fd, uint64_t at, uint64_t end, uint64_t after)
{
    unsigned char head[HEAD];
    if (pread(fd, head, HEAD, (off_t)at) != HEAD) {
        return false;
    }
    uint64_t sequence = get64(head + 8);
    return get32(head) <= end - at - HEAD && sequence > after && sequence - after < (1u << 30);
}

/* The offset of the next whole record after damage whose sequence is above `after`; end when there
 * is none. Byte by byte: damage is rare. */
static uint64_t next_record(int fd, uint64_t at, uint64_t end, uint64_t after)
{
    uint64_t sequence, size;
    for (at++; at + HEAD <= end; at++) {
        if (plausible(fd, at, end, after) &&
            read_record(fd, at, end, NULL, &sequence, &size) == 1) {
            return at;
        }
    }
    return end;
}

int sink_log_end_of(const struct sink_log *l, const struct segment *s, uint64_t sequence,
                    uint64_t *ret_offset, struct err *err)
{
    CLEANUP(mem_freep) char *path = sink_log_path(l, s->first);
    CLEANUP(fd_closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -ENOMEM;
    if (fd < 0) {
        return err_sys(err, path ? -errno : -E_NOMEM, "open '%s'", path ? path : l->folder);
    }
    uint64_t at = 0, found = 0, size = 0;
    int rc;
    *ret_offset = 0;
    while ((rc = read_record(fd, at, s->bytes, NULL, &found, &size)) != 0) {
        if (rc == -E_PARSE) {
            at = next_record(fd, at, s->bytes, found);
            continue;
        }
        if (rc < 0) {
            return err_sys(err, rc, "read '%s'", path);
        }
        if (found > sequence) {
            break;
        }
        at += size;
        *ret_offset = at;
    }
    return 0;
}

/* ---- opening ---- */

/* Walks the last segment: its end is where whole records end; a torn tail is cut off. */
static int recover_tail(struct sink_log *l, struct segment *s, struct err *err)
{
    CLEANUP(mem_freep) char *path = sink_log_path(l, s->first);
    CLEANUP(fd_closep) int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -ENOMEM;
    if (fd < 0) {
        return err_sys(err, path ? -errno : -E_NOMEM, "open '%s'", path ? path : l->folder);
    }
    uint64_t at = 0, good = 0, sequence, size, last = s->first - 1;
    for (;;) {
        int rc = read_record(fd, at, s->bytes, NULL, &sequence, &size);
        if (rc == 1) {
            at += size;
            good = at;
            last = sequence;
        } else if (rc == -E_PARSE) { /* torn, or damaged with good records behind it */
            at = next_record(fd, at, s->bytes, last);
        } else if (rc < 0) {
            return err_sys(err, rc, "read '%s'", path);
        }
        if (rc == 0 || at >= s->bytes) {
            break;
        }
    }
    l->next = last + 1;
    if (good < s->bytes) {
        log_warn("'%s': %" PRIu64 " bytes of a torn record, cut off", path, s->bytes - good);
        if (ftruncate(fd, (off_t)good) < 0) {
            return err_sys(err, -errno, "cut '%s'", path);
        }
        l->bytes -= s->bytes - good;
        s->bytes = good;
    }
    return 0;
}

static int find_segments(struct sink_log *l, struct err *err)
{
    CLEANUP(mem_freep) char **names = NULL;
    size_t n = 0;
    int rc = dir_list(l->folder, SEGMENTS_MAX, &names, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct str stem, suffix;
        uint64_t first;
        struct stat st;
        CLEANUP(mem_freep) char *path = mem_printf("%s/%s", l->folder, names[i]);
        if (!str_cut(str_of(names[i]), '.', &stem, &suffix) || !str_is(suffix, "log") ||
            str_u64(stem, &first) < 0 || first == 0 || !path || stat(path, &st) < 0) {
            continue;
        }
        if (!add_segment(l, first, (uint64_t)st.st_size)) { /* names are sorted, so are sequences */
            rc = err_sys(err, -E_NOMEM, "open '%s'", l->folder);
        }
    }
    return rc;
}

int sink_log_open(const char *folder, uint64_t max_bytes, struct sink_log **ret, struct err *err)
{
    struct sink_log *l = mem_zalloc(sizeof(*l));
    if (!l) {
        return err_sys(err, -E_NOMEM, "open '%s'", folder);
    }
    list_init(&l->segments);
    l->fd = l->read_fd = l->mark_fd = -EBADF;
    l->max_bytes = max_bytes;
    l->next = 1;
    l->folder = mem_strdup(folder);
    int rc = l->folder ? dir_make(folder, 0700, err) : err_sys(err, -E_NOMEM, "open '%s'", folder);
    rc = rc < 0 ? rc : find_segments(l, err);
    if (rc == 0) {
        rc = sink_log_read_mark(l, err);
        rc = rc == 0 && sink_log_last(l) ? recover_tail(l, sink_log_last(l), err) : rc;
    }
    if (rc < 0) {
        sink_log_close(l);
        return rc;
    }
    l->next = MAX_OF(l->next, l->acknowledged + 1);
    sink_log_tidy(l);
    *ret = l;
    return 0;
}

/* ---- writing ---- */

static int start_segment(struct sink_log *l, struct err *err)
{
    CLEANUP(mem_freep) char *path = sink_log_path(l, l->next);
    int rc = 0;
    if (l->fd >= 0 && fdatasync(l->fd) < 0) {
        return err_sys(err, -errno, "sync '%s'", l->folder);
    }
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0) {
        return err_sys(err, path ? -errno : -E_NOMEM, "make '%s'", path ? path : l->folder);
    }
    if (!add_segment(l, l->next, 0)) {
        (void)close(fd);
        (void)unlink(path); /* empty; it would be taken up at the next opening */
        return err_sys(err, -E_NOMEM, "make '%s'", path);
    }
    close_fd(&l->fd);
    l->fd = fd;
    l->synced = false;
    return rc;
}

/* After an opening the last segment goes on. */
static int reopen_last(struct sink_log *l, struct err *err)
{
    struct segment *s = sink_log_last(l);
    CLEANUP(mem_freep) char *path = s ? sink_log_path(l, s->first) : NULL;
    if (!s || s->bytes >= SEGMENT_BYTES) {
        return start_segment(l, err);
    }
    l->fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    return l->fd >= 0 ? 0 : err_sys(err, path ? -errno : -E_NOMEM, "open '%s'", l->folder);
}

static void drop_oldest(struct sink_log *l)
{
    while (l->max_bytes && l->bytes > l->max_bytes && sink_log_first(l) != sink_log_last(l)) {
        struct segment *s = sink_log_first(l), *next = segment_after(l, s);
        uint64_t from = MAX_OF(s->first, l->acknowledged + 1);
        l->dropped += next->first > from ? next->first - from : 0;
        l->acknowledged = MAX_OF(l->acknowledged, next->first - 1);
        sink_log_remove(l, s);
    }
}

/* All of it or nothing: what a full disk took of a record is cut off again. */
static int write_record(struct sink_log *l, struct segment *s, struct str bytes, struct err *err)
{
    unsigned char head[HEAD];
    put32(head, (uint32_t)bytes.n);
    put32(head + 8, (uint32_t)l->next);
    put32(head + 12, (uint32_t)(l->next >> 32));
    put32(head + 4, crc32c(crc32c(0, head + 8, 8), bytes.p, bytes.n));
    struct buf b = BUF_INIT;
    (void)buf_append(&b, head, HEAD); /* sticky */
    (void)buf_append(&b, bytes.p, bytes.n);
    ssize_t wanted = (ssize_t)buf_len(&b);
    ssize_t n = buf_failed(&b) ? -2 : write(l->fd, buf_data(&b), (size_t)wanted);
    int code = n == -2 ? -E_NOMEM : n < 0 ? -errno : -E_NOSPACE;
    buf_fini(&b);
    if (n == wanted) {
        s->bytes += (uint64_t)n;
        l->bytes += (uint64_t)n;
        return 0;
    }
    if (n > 0 && ftruncate(l->fd, (off_t)s->bytes) < 0) {
        log_warn("cut '%s': %s, ignoring: the reader skips it", l->folder, err_text(-errno));
    }
    return err_sys(err, code, "write to '%s'", l->folder);
}

/* When all is acknowledged the last segment goes, too: the next append begins another. */
static bool make_room(struct sink_log *l)
{
    struct segment *s = sink_log_last(l);
    if (!s || s->bytes == 0 || l->acknowledged + 1 != l->next || sink_log_settle(l, NULL) < 0) {
        return false;
    }
    sink_log_close_fds(l);
    sink_log_remove(l, s);
    return true;
}

static bool is_full(struct sink_log *l, size_t more)
{
    return l->refuse && l->max_bytes && l->bytes > 0 && l->bytes + HEAD + more > l->max_bytes;
}

static int append_record(struct sink_log *l, struct str bytes, struct err *err)
{
    int rc = 0;
    if (l->fd < 0) {
        rc = reopen_last(l, err);
    } else if (sink_log_last(l)->bytes >= SEGMENT_BYTES) {
        rc = start_segment(l, err);
    }
    return rc < 0 ? rc : write_record(l, sink_log_last(l), bytes, err);
}

int sink_log_append(struct sink_log *l, struct str bytes, uint64_t *ret_sequence, struct err *err)
{
    if (bytes.n > RECORD_MAX) {
        return err_set(err, -E_TOOBIG, "a message of %zu bytes is too large", bytes.n);
    }
    if (is_full(l, bytes.n) && !make_room(l)) {
        return err_set(err, -E_NOSPACE, "the queue '%s' is full (%" PRIu64 " bytes)", l->folder,
                       l->bytes);
    }
    int rc = append_record(l, bytes, err);
    if (rc == -E_NOSPACE && make_room(l)) { /* of the disk */
        rc = append_record(l, bytes, err);
    }
    if (rc == 0) {
        *ret_sequence = l->next++;
        drop_oldest(l);
    }
    return rc;
}

int sink_log_sync(struct sink_log *l, struct err *err)
{
    if (l->fd >= 0 && fdatasync(l->fd) < 0) {
        return err_sys(err, -errno, "sync '%s'", l->folder);
    }
    if (l->fd >= 0 && !l->synced) {
        int rc = sink_log_sync_folder(l, err);
        l->synced = rc == 0;
        return rc;
    }
    return 0;
}

/* ---- reading ---- */

static int open_for_reading(struct sink_log *l, struct segment *s, struct err *err)
{
    CLEANUP(mem_freep) char *path = sink_log_path(l, s->first);
    close_fd(&l->read_fd);
    l->read_fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (l->read_fd < 0) {
        l->read_segment = NULL;
        return err_sys(err, path ? -errno : -E_NOMEM, "open '%s'", path ? path : l->folder);
    }
    l->read_segment = s;
    l->read_at = 0;
    l->read_next = s->first;
    return 0;
}

/* The segment that holds the sequence, or the first one after it. */
static struct segment *segment_of(const struct sink_log *l, uint64_t sequence)
{
    struct segment *s = sink_log_first(l), *next;
    while (s && (next = segment_after(l, s)) && next->first <= sequence) {
        s = next;
    }
    return s;
}

static int step(struct sink_log *l, struct buf *out, uint64_t *ret_sequence, struct err *err)
{
    uint64_t sequence, size;
    struct segment *s = l->read_segment;
    int rc = read_record(l->read_fd, l->read_at, s->bytes, out, &sequence, &size);
    if (rc == 1) {
        l->read_at += size;
        l->read_next = sequence + 1;
        *ret_sequence = sequence;
        return 1;
    }
    if (rc == -E_PARSE) {
        uint64_t to = next_record(l->read_fd, l->read_at, s->bytes, l->read_next - 1);
        log_warn("'%s': a damaged record at byte %" PRIu64 ", skipping %" PRIu64 " bytes",
                 l->folder, l->read_at, to - l->read_at);
        l->damaged++;
        l->read_at = to;
        return -E_AGAIN;
    }
    if (rc < 0) {
        return err_sys(err, rc, "read '%s'", l->folder);
    }
    struct segment *next = segment_after(l, s);
    if (!next) {
        return 0;
    }
    rc = open_for_reading(l, next, err);
    return rc < 0 ? rc : -E_AGAIN;
}

int sink_log_read(struct sink_log *l, uint64_t sequence, struct buf *out, uint64_t *ret_sequence,
                  struct err *err)
{
    struct segment *s = segment_of(l, sequence);
    if (!s || sequence >= l->next) {
        return 0;
    }
    if (!l->read_segment || l->read_next > sequence || l->read_segment->first < s->first) {
        int rc = open_for_reading(l, s, err);
        if (rc < 0) {
            return rc;
        }
    }
    for (;;) {
        uint64_t found = 0;
        int rc = step(l, out, &found, err);
        if (rc == 1 && found >= sequence) {
            *ret_sequence = found;
            return 1;
        }
        if (rc != 1 && rc != -E_AGAIN) {
            return rc;
        }
    }
}

/* ---- the end ---- */

void sink_log_close(struct sink_log *l)
{
    if (!l) {
        return;
    }
    if (l->mark_fd >= 0 && l->acknowledged != l->acknowledged_on_disk) {
        (void)sink_log_settle(l, NULL); /* else some messages are sent again */
    }
    if (l->fd >= 0) {
        (void)fdatasync(l->fd); /* what was acknowledged to others was synced before */
    }
    sink_log_close_fds(l);
    close_fd(&l->mark_fd);
    while (!list_empty(&l->segments)) {
        struct segment *s = sink_log_first(l);
        list_del(&s->link);
        mem_free(s);
    }
    mem_free(l->note);
    mem_free(l->folder);
    mem_free(l);
}

void sink_log_destroy(struct sink_log *l)
{
    CLEANUP(mem_freep) char *folder = l ? mem_strdup(l->folder) : NULL;
    sink_log_close(l);
    if (folder) {
        (void)tree_remove(folder, NULL); /* what stays is taken up again, no harm */
    }
}

void sink_log_stats(const struct sink_log *l, struct sink_log_stats *ret)
{
    *ret = (struct sink_log_stats){.first = l->acknowledged + 1,
                                   .next = l->next,
                                   .bytes = l->bytes,
                                   .dropped = l->dropped,
                                   .damaged = l->damaged,
                                   .epoch = l->epoch};
}

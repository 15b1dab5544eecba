/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a durable queue is done with, and where a transaction ends; see sink_log.h.
 *
 * Two slots are written in turn, so that one that a power cut tears leaves the one before it.
 */
#include "sink_log_private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"

#define SLOT 4096
#define ACK_EVERY_US INT64_C(1000000)

struct mark {
    uint64_t generation, acknowledged, epoch, held_from;
    struct str note;
};

/* ---- the file ---- */

static bool take_number(struct str *text, uint64_t *ret)
{
    struct str word;
    return str_cut(*text, ' ', &word, text) && str_u64(word, ret) == 0;
}

/* "crc generation acknowledged epoch held_from note", padded with spaces. */
static bool parse_slot(struct str slot, struct mark *ret)
{
    uint64_t crc;
    struct str text = slot;
    if (slot.n != SLOT || !take_number(&text, &crc) || crc32c(0, text.p, text.n) != crc) {
        return false;
    }
    bool ok = take_number(&text, &ret->generation) && take_number(&text, &ret->acknowledged) &&
              take_number(&text, &ret->epoch) && take_number(&text, &ret->held_from);
    ret->note = str_trim(text);
    return ok;
}

static int write_slot(struct sink_log *l, uint64_t generation, struct str note, struct err *err)
{
    char text[SLOT], slot[SLOT];
    memset(slot, ' ', sizeof(slot));
    memset(text, ' ', sizeof(text));
    int n = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " ",
                     generation, l->acknowledged, l->epoch, l->held_from);
    if (note.n > SLOT - 160) {
        return err_set(err, -E_TOOBIG, "a note of %zu bytes is too long", note.n);
    }
    if (note.n > 0) {
        memcpy(text + n, note.p, note.n);
    }
    text[n + (int)note.n] = ' ';
    /* The checksum has ten digits, so that what it covers begins at 11. */
    uint32_t crc = crc32c(0, text, SLOT - 11);
    (void)snprintf(slot, sizeof(slot), "%010" PRIu32, crc);
    slot[10] = ' ';
    memcpy(slot + 11, text, SLOT - 11);
    off_t at = generation % 2 == 0 ? 0 : SLOT;
    ssize_t done = pwrite(l->mark_fd, slot, SLOT, at);
    if (done != SLOT || fdatasync(l->mark_fd) < 0) {
        return err_sys(err, done >= 0 && done != SLOT ? -E_NOSPACE : -errno,
                       "write '%s/acknowledged'", l->folder);
    }
    l->generation = generation;
    l->acknowledged_on_disk = l->acknowledged;
    return 0;
}

static int make_mark(struct sink_log *l, struct err *err)
{
    uint64_t epoch;
    random_bytes(&epoch, sizeof(epoch));
    l->epoch = (epoch >> 11) | 1;
    l->note = mem_strdup("");
    int rc = l->note ? 0 : err_sys(err, -E_NOMEM, "open '%s'", l->folder);
    rc = rc < 0 ? rc : write_slot(l, 1, STR_LIT(""), err);
    rc = rc < 0 ? rc : write_slot(l, 2, STR_LIT(""), err);
    return rc < 0 ? rc : sink_log_sync_folder(l, err);
}

int sink_log_read_mark(struct sink_log *l, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/acknowledged", l->folder);
    char slots[2][SLOT];
    struct mark best = {0}, m;
    bool found = false;
    l->mark_fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (l->mark_fd < 0) {
        return err_sys(err, path ? -errno : -E_NOMEM, "open '%s/acknowledged'", l->folder);
    }
    for (int i = 0; i < 2; i++) {
        ssize_t n = pread(l->mark_fd, slots[i], SLOT, (off_t)i * SLOT);
        if (n == SLOT && parse_slot(str_n(slots[i], SLOT), &m) &&
            (!found || m.generation > best.generation)) {
            best = m;
            found = true;
        }
    }
    if (!found) {
        return make_mark(l, err);
    }
    l->generation = best.generation;
    l->acknowledged = l->acknowledged_on_disk = best.acknowledged;
    l->epoch = best.epoch;
    l->held_from = best.held_from;
    l->note = mem_strndup(best.note.p, best.note.n);
    return l->note ? 0 : err_sys(err, -E_NOMEM, "open '%s'", l->folder);
}

/* ---- acknowledgement ---- */

void sink_log_tidy(struct sink_log *l)
{
    for (;;) {
        struct segment *s = sink_log_first(l);
        if (!s || s == sink_log_last(l) ||
            CONTAINER_OF(s->link.next, struct segment, link)->first > l->acknowledged_on_disk + 1) {
            return;
        }
        sink_log_remove(l, s);
    }
}

/* What is acknowledged with the note that belongs to it. */
static int write_mark(struct sink_log *l, struct err *err)
{
    struct buf note = BUF_INIT;
    int rc = l->on_note ? l->on_note(l->on_note_arg, &note, err) : buf_puts(&note, l->note);
    if (rc == 0 && buf_failed(&note)) {
        rc = err_sys(err, -E_NOMEM, "write '%s/acknowledged'", l->folder);
    }
    rc = rc < 0 ? rc : write_slot(l, l->generation + 1, buf_str(&note), err);
    buf_fini(&note);
    return rc;
}

int sink_log_settle(struct sink_log *l, struct err *err)
{
    struct err own;
    l->acknowledged_at = mono_now();
    int rc = write_mark(l, err ? err : &own);
    if (rc == 0) {
        sink_log_tidy(l);
    }
    return rc;
}

void sink_log_acknowledge(struct sink_log *l, uint64_t sequence)
{
    struct segment *s = sink_log_first(l);
    struct err err;
    if (sequence <= l->acknowledged) {
        return;
    }
    l->acknowledged = MIN_OF(sequence, l->next - 1);
    bool segment_done = s && s != sink_log_last(l) &&
                        CONTAINER_OF(s->link.next, struct segment, link)->first <= sequence + 1;
    bool due = mono_now().us - l->acknowledged_at.us >= ACK_EVERY_US;
    if ((segment_done || due) && sink_log_settle(l, &err) < 0) {
        log_warn("%s, ignoring: some messages are sent again after a crash", err.text);
    }
}

void sink_log_notes(struct sink_log *l, sink_log_note_fn *fn, void *arg)
{
    l->on_note = fn;
    l->on_note_arg = arg;
}

const char *sink_log_note(const struct sink_log *l)
{
    return l->note;
}

void sink_log_refuse(struct sink_log *l)
{
    l->refuse = true;
}

/* ---- transactions ---- */

int sink_log_hold(struct sink_log *l, struct err *err)
{
    if (l->held_from > 0) {
        return 0;
    }
    l->held_from = l->next;
    int rc = write_slot(l, l->generation + 1, str_of(l->note), err);
    if (rc < 0) {
        l->held_from = 0;
    }
    return rc;
}

static int cut_segment(struct sink_log *l, struct segment *s, uint64_t sequence, struct err *err)
{
    uint64_t end;
    int rc = sink_log_end_of(l, s, sequence, &end, err);
    if (rc < 0 || end == s->bytes) {
        return rc;
    }
    CLEANUP(mem_freep) char *path = sink_log_path(l, s->first);
    CLEANUP(fd_closep) int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (fd < 0 || ftruncate(fd, (off_t)end) < 0 || fsync(fd) < 0) {
        return err_sys(err, path ? -errno : -E_NOMEM, "cut '%s'", path ? path : l->folder);
    }
    l->bytes -= s->bytes - end;
    s->bytes = end;
    return 0;
}

int sink_log_cut(struct sink_log *l, uint64_t sequence, struct err *err)
{
    struct segment *s;
    uint64_t last = MAX_OF(sequence, l->acknowledged);
    last = MAX_OF(last, l->held_from > 0 ? l->held_from - 1 : 0);
    sink_log_close_fds(l);
    while ((s = sink_log_last(l)) && s->first > last) {
        sink_log_remove(l, s);
    }
    int rc = s ? cut_segment(l, s, last, err) : 0;
    rc = rc < 0 ? rc : sink_log_sync_folder(l, err);
    if (rc == 0) {
        l->next = last + 1;
    }
    return rc;
}

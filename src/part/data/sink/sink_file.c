/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file sink: messages appended to a file, one a line (fileType lines or csv) or as one JSON
 * array (json). A file is closed and a new one begun by size, count or age (rollingSize bytes,
 * rollingCount messages, rollingInterval ms), named with the time by rollingNamePattern (prefix,
 * suffix, none).
 *
 * With a cache (sink.h) each message is in the files exactly once: beside what is acknowledged the
 * queue notes how long the file was then, "BYTES MESSAGES INODE PATH", and after a crash the file
 * is cut back to that before the rest is sent again. A new file is noted before its first message.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "sink.h"

enum file_type { FILE_LINES, FILE_CSV, FILE_JSON };

struct file {
    struct sink sink;
    enum file_type type;
    int fd;
    char *path; /* of the open file; heap */
    uint64_t bytes, messages;
    uint64_t inode;
    bool noted; /* what is acknowledged stands with a note of this file */
    struct wall opened;
    int64_t roll_bytes, roll_count, roll_ms;
    const char *pattern;
};

static int open_now(struct file *f, struct err *err)
{
    const char *path = json_cstr(json_get(f->sink.conf, "path"), "");
    struct str dir, name = str_of(path);
    bool nested = str_rcut(str_of(path), '/', &dir, &name);
    bool rolls = f->roll_bytes || f->roll_count || f->roll_ms;
    long long ms = (long long)(wall_now().us / 1000);
    struct stat st;
    mem_free(f->path);
    f->path = !rolls || cstr_eq(f->pattern, "none") ? mem_strdup(path)
              : cstr_eq(f->pattern, "prefix")
                  ? mem_printf(STR_FMT "%s%lld-" STR_FMT, STR_ARG(nested ? dir : STR_LIT("")),
                               nested ? "/" : "", ms, STR_ARG(name))
                  : mem_printf("%s-%lld", path, ms);
    f->fd = f->path ? open(f->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (f->fd < 0 || fstat(f->fd, &st) < 0) {
        int code = f->path ? -errno : -E_NOMEM;
        return err_sys(err, code, "open '%s'", f->path ? f->path : path);
    }
    f->bytes = (uint64_t)st.st_size;
    f->inode = (uint64_t)st.st_ino;
    f->messages = 0;
    f->noted = false;
    f->opened = wall_now();
    return 0;
}

/* ---- the note ---- */

static int file_note(struct sink *s, struct buf *out, struct err *err)
{
    struct file *f = (struct file *)s;
    if (f->fd < 0) { /* between two files: the next is noted when it is there */
        return buf_puts(out, sink_note(s));
    }
    if (fdatasync(f->fd) < 0) {
        return err_sys(err, -errno, "sync '%s'", f->path);
    }
    f->noted = true;
    return buf_printf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s", f->bytes, f->messages,
                      f->inode, f->path);
}

static bool take_number(struct str *text, uint64_t *ret)
{
    struct str word;
    return str_cut(*text, ' ', &word, text) && str_u64(word, ret) == 0;
}

/* Whether a path can be that of a file that this sink made. */
static bool is_mine(const struct file *f, struct str path)
{
    const char *own = json_cstr(json_get(f->sink.conf, "path"), "");
    const char *slash = strrchr(own, '/');
    return str_is(path, own) ||
           ((f->roll_bytes || f->roll_count || f->roll_ms) &&
            (str_starts(path, own) || str_ends(path, slash ? slash + 1 : own)));
}

/* Takes up the file where the queue's note left it; false: it is another file now, or none. */
static bool resume(struct file *f)
{
    uint64_t bytes, messages, inode;
    struct str text = str_of(sink_note(&f->sink));
    struct stat st;
    if (!take_number(&text, &bytes) || !take_number(&text, &messages) ||
        !take_number(&text, &inode) || !is_mine(f, text)) {
        return false;
    }
    f->path = mem_strndup(text.p, text.n);
    f->fd = f->path ? open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    bool same = f->fd >= 0 && fstat(f->fd, &st) == 0 && (uint64_t)st.st_ino == inode &&
                (uint64_t)st.st_size >= bytes && ftruncate(f->fd, (off_t)bytes) == 0;
    if (!same) {
        log_warn("rule %s: file '" STR_FMT "' was replaced, cut or removed: it goes on as it is",
                 f->sink.rule, STR_ARG(text));
        (void)(f->fd >= 0 ? close(f->fd) : 0);
        f->fd = -EBADF;
        return false;
    }
    f->bytes = bytes;
    f->messages = messages;
    f->inode = inode;
    f->noted = true;
    f->opened = wall_now();
    return true;
}

/* ---- life ---- */

static void close_now(struct file *f)
{
    if (f->fd >= 0) {
        if (f->type == FILE_JSON && f->messages > 0) {
            (void)!write(f->fd, "]\n", 2); /* the reader sees that the end is missing */
        }
        (void)close(f->fd);
    }
    f->fd = -EBADF;
}

static int file_open(struct sink *s, struct err *err)
{
    struct file *f = (struct file *)s;
    const char *type = json_cstr(json_get(s->conf, "fileType"), "lines");
    f->fd = -EBADF;
    f->roll_bytes = json_i64(json_get(s->conf, "rollingSize"), 0);
    f->roll_count = json_i64(json_get(s->conf, "rollingCount"), 0);
    f->roll_ms = json_i64(json_get(s->conf, "rollingInterval"), 0);
    f->pattern = json_cstr(json_get(s->conf, "rollingNamePattern"), "suffix");
    if (*json_cstr(json_get(s->conf, "path"), "") == '\0') {
        return err_set(err, -E_INVAL, "path is required");
    }
    if (cstr_eq(type, "csv")) {
        f->type = FILE_CSV;
    } else if (cstr_eq(type, "json")) {
        f->type = FILE_JSON;
    } else if (!cstr_eq(type, "lines")) {
        return err_set(err, -E_INVAL, "fileType '%s' is not lines, csv or json", type);
    }
    if (f->roll_bytes < 0 || f->roll_count < 0 || f->roll_ms < 0) {
        return err_set(err, -E_INVAL, "rollingSize, rollingCount, rollingInterval: not below 0");
    }
    return resume(f) ? 0 : open_now(f, err);
}

static void file_close(struct sink *s)
{
    struct file *f = (struct file *)s;
    (void)sink_settle(s, NULL); /* before a list is closed; else the tail is written again */
    close_now(f);
    mem_free(f->path);
}

static bool due(const struct file *f)
{
    return f->messages > 0 && ((f->roll_bytes && (int64_t)f->bytes >= f->roll_bytes) ||
                               (f->roll_count && (int64_t)f->messages >= f->roll_count) ||
                               (f->roll_ms && wall_now().us - f->opened.us >= f->roll_ms * 1000));
}

/* All or nothing: what a full disk took of a message is cut off again. */
static int append(struct file *f, struct str head, struct str text, struct str tail)
{
    struct buf b = BUF_INIT;
    (void)buf_append_str(&b, head); /* sticky */
    (void)buf_append_str(&b, text);
    (void)buf_append_str(&b, tail);
    ssize_t wanted = (ssize_t)buf_len(&b);
    ssize_t n = buf_failed(&b) ? -1 : write(f->fd, buf_data(&b), (size_t)wanted);
    int rc = n == wanted ? 0 : buf_failed(&b) ? -E_NOMEM : n < 0 ? -errno : -E_NOSPACE;
    buf_fini(&b);
    if (rc == 0) {
        f->bytes += (uint64_t)wanted;
        f->messages++;
    } else if (n > 0) {
        (void)!ftruncate(f->fd, (off_t)f->bytes); /* else a piece of a line stays */
    }
    return rc;
}

static void file_send(struct sink *s, const struct sink_message *m)
{
    struct file *f = (struct file *)s;
    struct err err;
    int rc = 0;
    if (due(f)) {
        close_now(f);
    }
    if (f->fd < 0) {
        rc = open_now(f, &err);
    }
    if (rc == 0 && !f->noted) {
        rc = sink_settle(s, &err);
    }
    if (rc == 0) {
        bool json = f->type == FILE_JSON;
        bool first = f->messages == 0;
        bool ended = m->bytes.n > 0 && m->bytes.p[m->bytes.n - 1] == '\n';
        rc = append(f, json ? (first ? STR_LIT("[") : STR_LIT(",")) : STR_LIT(""), m->bytes,
                    json || ended ? STR_LIT("") : STR_LIT("\n"));
        if (rc < 0) {
            (void)err_sys(&err, rc, "write to '%s'", f->path);
        }
    }
    sink_done(s, m->sequence, rc, rc < 0 ? err.text : NULL);
}

const struct sink_ops sink_file = {.type = "file",
                                   .size = sizeof(struct file),
                                   .reads_conf = true,
                                   .open = file_open,
                                   .close = file_close,
                                   .send = file_send,
                                   .note = file_note};

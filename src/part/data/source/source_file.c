/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file source: a file, or the files of a folder in order of their names, once; DATASOURCE is
 * its path, under the option `path` where that is given.
 *
 *   fileType  json: one JSON document (an object or a list); lines: one JSON object a line;
 *             csv: a line an event, decoded by FORMAT = "delimited"
 *   interval, sendInterval   milliseconds between two events; 0 = as fast as rules take them
 *   replay    name of a field with the time in ms: events come at the pace at which they were made
 *   speed     of replay: 10 = ten times faster
 *   loop      again from the start when all is read
 *   actionAfterRead  0 keep, 1 remove, 2 move to the folder moveTo; where rules read it with qos >
 * 0 when the checkpoints of all of them are behind the file
 *
 * It can go back (source_ops.seek): a place is a file of the folder, known by its inode, and a byte
 * in it. Rules with qos > 0 whose sinks cannot take more hold it up.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "part/data/data_private.h"
#include "io/file.h"
#include "source.h"

#define FILE_MAX ((size_t)1 << 30)
#define FILES_MAX 100000

#define CONGESTED_MS 20

enum file_type { FILE_JSON, FILE_LINES, FILE_CSV };

struct finished { /* a file that is read, and waits to be covered */
    struct list link;
    char *name;
    struct source_place end;
};

struct file {
    struct source source;
    enum file_type type;
    char *path;
    char **names; /* of a folder; heap block */
    size_t n_names, next_name;
    char *name; /* of the open file; heap */
    char *text;
    size_t n, at; /* of the open file */
    int64_t interval_ms;
    const char *replay;
    double speed;
    int64_t replay_first_ms, replay_started_us;
    bool replaying, loop, done;
    int64_t after_read;
    const char *move_to;
    struct source_place here;
    struct list finished;
    struct io_timer timer;
    struct io_task task;
};

static void go_on(struct file *f, int64_t ms)
{
    if (ms > 0) {
        io_timer_start(&f->timer, ms, 0);
    } else {
        loop_defer(f->source.loop, &f->task);
    }
}

/* ---- files ---- */

static void put_away(const struct file *f, const char *name)
{
    char target[4096];
    if (f->after_read == 1) {
        (void)unlink(name); /* one that stays is read again after a restart */
    } else if (f->after_read == 2) {
        struct str base = str_of(name);
        (void)str_rcut(base, '/', NULL, &base);
        (void)snprintf(target, sizeof(target), "%s/" STR_FMT, f->move_to, STR_ARG(base));
        (void)rename(name, target); /* as above */
    }
}

static void free_finished(struct finished *e)
{
    list_del(&e->link);
    mem_free(e->name);
    mem_free(e);
}

static void finish_file(struct file *f)
{
    const struct data_stream *ds = engine_stream_data(f->source.stream);
    bool wait = f->name && f->after_read != 0 && ds && ds->keepers > 0;
    struct finished *e = wait ? mem_zalloc(sizeof(*e)) : NULL;
    mem_free(TAKE_PTR(f->text));
    if (e) {
        e->name = TAKE_PTR(f->name);
        e->end = f->here;
        list_push_back(&f->finished, &e->link);
    } else if (f->name && !wait) { /* without memory it stays, and is read again */
        put_away(f, f->name);
    }
    mem_free(TAKE_PTR(f->name));
}

static uint64_t identity_of(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* 1 = a file is open, 0 = there is none left. */
static int next_file(struct file *f, struct err *err)
{
    struct stat st;
    if (f->names && f->next_name == f->n_names) {
        return 0;
    }
    if (!f->names && f->next_name > 0) {
        return 0;
    }
    f->name = f->names ? mem_printf("%s/%s", f->path, f->names[f->next_name]) : mem_strdup(f->path);
    f->next_name++;
    if (!f->name) {
        return err_sys(err, -E_NOMEM, "read '%s'", f->path);
    }
    if (stat(f->name, &st) == 0 && S_ISDIR(st.st_mode)) {
        mem_free(TAKE_PTR(f->name));
        return next_file(f, err); /* as often as there are names */
    }
    f->at = 0;
    f->here.event = f->here.byte = 0;
    f->here.identity = identity_of(f->name);
    if (f->names) {
        (void)cstr_copy(f->here.file, sizeof(f->here.file), f->names[f->next_name - 1]); /* fits */
    }
    int rc = file_read(f->name, FILE_MAX, &f->text, &f->n, err);
    return rc < 0 ? rc : 1;
}

static int start_over(struct file *f, struct err *err)
{
    struct stat st;
    f->next_name = 0;
    mem_free(TAKE_PTR(f->names));
    if (stat(f->path, &st) < 0) {
        return err_sys(err, -errno, "open '%s'", f->path);
    }
    return S_ISDIR(st.st_mode) ? dir_list(f->path, FILES_MAX, &f->names, &f->n_names, err) : 0;
}

/* ---- events ---- */

/* The next event's bytes; false at the end of the file. */
static bool next_event(struct file *f, struct str *ret)
{
    if (f->type == FILE_JSON) {
        *ret = str_n(f->text, f->n);
        bool first = f->at == 0;
        f->at = f->n;
        return first && f->n > 0;
    }
    while (f->at < f->n) {
        const char *start = f->text + f->at;
        const char *end = memchr(start, '\n', f->n - f->at);
        size_t n = end ? (size_t)(end - start) : f->n - f->at;
        f->at += n + (end != NULL);
        *ret = str_trim(str_n(start, n > 0 && start[n - 1] == '\r' ? n - 1 : n));
        if (ret->n > 0) {
            return true;
        }
    }
    return false;
}

static struct value meta_of(const struct file *f, struct value_member *m)
{
    *m = (struct value_member){STR_LIT("file"), value_string(str_of(f->name))};
    return (struct value){.type = VALUE_OBJECT, .n = 1, .members = m};
}

/* When a replayed event is due, in milliseconds from now. */
static int64_t due_in(struct file *f, struct str event)
{
    struct arena a;
    struct json *j = NULL;
    arena_init(&a, 0);
    int64_t now = wall_now().us, ms = 0;
    if (json_parse(&a, event, NULL, &j, NULL) == 0 && json_get(j, f->replay)) {
        int64_t at = json_i64(json_get(j, f->replay), 0);
        if (!f->replaying) {
            f->replaying = true;
            f->replay_first_ms = at;
            f->replay_started_us = now;
        }
        double offset = (double)(at - f->replay_first_ms) / f->speed;
        ms = f->replay_started_us / 1000 + (int64_t)offset - now / 1000;
    }
    arena_fini(&a);
    return ms;
}

static void end_or_again(struct file *f)
{
    struct err err;
    finish_file(f);
    int rc = next_file(f, &err);
    if (rc == 0 && f->loop) {
        f->replaying = false;
        f->here.round++;
        f->here.file[0] = '\0';
        rc = start_over(f, &err);
        rc = rc < 0 ? rc : next_file(f, &err);
    }
    if (rc < 0) {
        source_told(&f->source, false, err.text);
        go_on(f, 1000);
        return;
    }
    f->done = rc == 0;
    if (!f->done) {
        go_on(f, f->loop && f->interval_ms == 0 ? 1 : f->interval_ms);
    }
}

static void deliver(struct file *f, const struct payload *payloads, uint32_t n)
{
    if (n > 0) {
        source_deliver(&f->source, payloads, n);
        f->here.event += n;
        f->here.byte = f->at;
    }
}

/* One event each `interval`, or as many as a turn of the loop may take. */
static void step(struct file *f)
{
    struct payload payloads[256];
    struct value_member member;
    uint32_t n = 0, most = f->interval_ms > 0 ? 1 : 256;
    if (!f->text) {
        end_or_again(f);
        return;
    }
    if (source_congested(&f->source)) {
        go_on(f, CONGESTED_MS);
        return;
    }
    if (!source_ready(&f->source)) {
        return; /* until file_resume() */
    }
    struct value meta = meta_of(f, &member);
    size_t before = f->at;
    struct str event;
    while (n < most && next_event(f, &event)) {
        int64_t wait = f->replay ? due_in(f, event) : 0;
        if (wait > 0) {
            f->at = before; /* this one comes later */
            deliver(f, payloads, n);
            go_on(f, wait);
            return;
        }
        before = f->at;
        payloads[n++] = (struct payload){.bytes = event, .arrival_us = wall_now().us, .meta = meta};
    }
    deliver(f, payloads, n);
    if (f->at >= f->n) {
        end_or_again(f);
    } else {
        go_on(f, f->interval_ms);
    }
}

static void on_step(void *arg)
{
    step(arg);
}

/* ---- life ---- */

static int read_conf(struct file *f, struct err *err)
{
    const struct json *c = f->source.conf;
    const char *type =
        json_cstr(json_get(c, "filetype"), json_cstr(json_get(c, "fileType"), "json"));
    const char *folder = json_cstr(json_get(c, "path"), NULL);
    f->type = cstr_eq(type, "lines") ? FILE_LINES : cstr_eq(type, "csv") ? FILE_CSV : FILE_JSON;
    if (f->type == FILE_JSON && !cstr_eq(type, "json")) {
        return err_set(err, -E_INVAL, "fileType '%s' is not json, lines or csv", type);
    }
    f->interval_ms = json_i64(json_get(c, "sendInterval"), json_i64(json_get(c, "interval"), 0));
    f->replay = json_cstr(json_get(c, "replay"), NULL);
    f->speed = json_double(json_get(c, "speed"), 1);
    f->loop = json_true(json_get(c, "loop"), false);
    f->after_read = json_i64(json_get(c, "actionAfterRead"), 0);
    f->move_to = json_cstr(json_get(c, "moveTo"), NULL);
    if (f->interval_ms < 0 || !(f->speed > 0) || f->after_read < 0 || f->after_read > 2 ||
        (f->after_read == 2 && !f->move_to)) {
        return err_set(err, -E_INVAL, "interval, speed, actionAfterRead or moveTo is wrong");
    }
    if (f->replay && f->type == FILE_CSV) {
        return err_set(err, -E_NOTSUP, "replay needs fileType lines");
    }
    f->path = folder ? mem_printf("%s/%s", folder, f->source.datasource)
                     : mem_strdup(f->source.datasource);
    return f->path ? 0 : err_sys(err, -E_NOMEM, "read the options");
}

static void file_close(struct source *s)
{
    struct file *f = (struct file *)s;
    io_timer_stop(&f->timer);
    io_task_cancel(&f->task);
    mem_free(TAKE_PTR(f->text));
    mem_free(TAKE_PTR(f->name));
    mem_free(TAKE_PTR(f->names));
    mem_free(TAKE_PTR(f->path));
    LIST_FOR_EACH_SAFE (l, &f->finished) {
        free_finished(CONTAINER_OF(l, struct finished, link));
    }
}

static int file_open(struct source *s, struct err *err)
{
    struct file *f = (struct file *)s;
    list_init(&f->finished);
    io_timer_init(s->loop, &f->timer, on_step, f);
    io_task_init(&f->task, on_step, f);
    int rc = read_conf(f, err);
    rc = rc < 0 ? rc : start_over(f, err);
    rc = rc < 0 ? rc : next_file(f, err);
    if (rc < 0) {
        file_close(s);
        return rc;
    }
    source_told(s, true, NULL);
    if (rc == 1) {
        go_on(f, f->interval_ms);
    }
    return 0;
}

/* ---- going back ---- */

static void file_place(const struct source *s, struct source_place *ret)
{
    *ret = ((const struct file *)s)->here;
}

/* The first name that is not below; n_names = none. */
static size_t name_from(const struct file *f, const char *file)
{
    size_t i = 0;
    while (i < f->n_names && strcmp(f->names[i], file) < 0) {
        i++;
    }
    return i;
}

static int file_check(struct source *s, const struct source_place *p, struct err *err)
{
    const struct file *f = (const struct file *)s;
    struct stat st;
    if (!f->names != (p->file[0] == '\0')) {
        return err_set(err, -E_NOENT, "'%s' was %s", f->path, f->names ? "a file" : "a folder");
    }
    size_t i = f->names ? name_from(f, p->file) : 0;
    if (f->names && (i == f->n_names || !cstr_eq(f->names[i], p->file))) {
        return 0; /* that file was put away: the place is the next one's beginning */
    }
    CLEANUP(mem_freep)
    char *name = f->names ? mem_printf("%s/%s", f->path, p->file) : mem_strdup(f->path);
    if (!name || stat(name, &st) < 0 || (uint64_t)st.st_ino != p->identity ||
        (uint64_t)st.st_size < p->byte) {
        return err_set(err, -E_NOENT, "'%s' was replaced or cut", name ? name : f->path);
    }
    return 0;
}

static void file_seek(struct source *s, const struct source_place *to)
{
    struct file *f = (struct file *)s;
    struct err err;
    mem_free(TAKE_PTR(f->text));
    mem_free(TAKE_PTR(f->name));
    f->next_name = f->names ? name_from(f, to->file) : 0;
    int rc = next_file(f, &err);
    if (rc == 1 && (!f->names || cstr_eq(f->here.file, to->file))) {
        f->at = MIN_OF((size_t)to->byte, f->n);
        f->here = *to;
    }
    f->here.round = to->round;
    f->replaying = false;
    if (rc < 0) {
        source_told(s, false, err.text);
    }
    go_on(f, f->interval_ms);
}

static void file_resume(struct source *s)
{
    go_on((struct file *)s, 0);
}

static void file_covered(struct source *s, const struct source_place *upto)
{
    struct file *f = (struct file *)s;
    LIST_FOR_EACH_SAFE (l, &f->finished) {
        struct finished *e = CONTAINER_OF(l, struct finished, link);
        if (source_place_compare(&e->end, upto) <= 0) {
            put_away(f, e->name);
            free_finished(e);
        }
    }
}

const struct source_ops source_file = {.type = "file",
                                       .size = sizeof(struct file),
                                       .open = file_open,
                                       .close = file_close,
                                       .place = file_place,
                                       .check = file_check,
                                       .seek = file_seek,
                                       .covered = file_covered,
                                       .resume = file_resume};

/* SPDX-License-Identifier: Apache-2.0 */
/* The program `data`, when the node needs it; see data_child.h. */
#include "data_child.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/process.h"
#include "store/store.h"
#include "sync/placed.h"

#define ARGS_MAX 64
#define BACKOFF_FIRST_MS 500
#define BACKOFF_MAX_MS 30000
#define HEALTHY_US ((int64_t)60 * 1000000)
#define LINGER_MS 2000 /* the last object went: another may come */
#define END_POLL_MS 20
#define END_KILL_MS 10000
#define COMMAND_LINE_MAX ((size_t)64 << 10)

struct data_child {
    struct data_child_opts opts;
    char *program, *dir;
    struct buf words; /* the command line, each word with its zero */
    struct store_watch *watches[PLACED_KINDS];
    struct io_task look;
    struct io_timer again, linger;
    struct io_process *process; /* ours */
    struct io_pidwatch *found;  /* of an edge before us */
    struct mono started;
    int64_t backoff_ms;
    bool stopping;
};

bool data_child_running(const struct data_child *c)
{
    return c->process || c->found;
}

static bool wanted(const struct data_child *c)
{
    size_t n = 0;
    for (size_t i = 0; i < PLACED_KINDS; i++) {
        n += store_count(c->opts.store, str_of(placed_prefixes[i]));
    }
    return n > 0 && !c->stopping;
}

/* ---- the command line ---- */

static void add_word(struct data_child *c, struct str word)
{
    (void)buf_append(&c->words, word.p, word.n); /* sticky, asked at the end */
    (void)buf_putc(&c->words, '\0');
}

static void add_option(struct data_child *c, const char *name, const char *fmt, const char *value)
{
    CLEANUP(mem_freep) char *text = mem_printf(fmt, value);
    add_word(c, str_of(name));
    add_word(c, str_of(text));
}

static int make_words(struct data_child *c, struct err *err)
{
    struct str rest = str_of(c->opts.args), word;
    add_word(c, str_of(c->program));
    add_option(c, "--state-dir", "%s", c->dir);
    add_option(c, "--api", "unix:%s/run/api.sock", c->opts.state_dir);
    add_option(c, "--listen", "unix:%s/rest.sock", c->dir);
    add_option(c, "--log-level", "%s", c->opts.log_level);
    while (rest.n > 0) {
        (void)str_cut(rest, ' ', &word, &rest); /* the last has no space behind it */
        if (word.n > 0) {
            add_word(c, word);
        }
    }
    return buf_failed(&c->words) ? err_sys(err, -ENOMEM, "--data-args") : 0;
}

static int make_argv(struct data_child *c, const char *argv[ARGS_MAX + 1], struct err *err)
{
    const char *at = buf_data(&c->words), *end = at + buf_len(&c->words);
    size_t n = 0;
    for (; at < end && n < ARGS_MAX; at += strlen(at) + 1) {
        argv[n++] = at;
    }
    argv[n] = NULL;
    return at == end ? 0 : err_set(err, -E_LIMIT, "--data-args: more than %d words", ARGS_MAX);
}

/* ---- one that runs already ---- */

/* The process that holds the state in a folder; 0: nobody does. */
static pid_t holder(const char *dir)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CLEANUP(mem_freep) char *path = mem_printf("%s/lock", dir);
    CLEANUP(fd_closep) int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    return fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
}

static bool same_command(const struct data_child *c, pid_t pid)
{
    CLEANUP(mem_freep) char *path = mem_printf("/proc/%d/cmdline", (int)pid);
    CLEANUP(mem_freep) char *text = NULL;
    size_t n = 0;
    return path && file_read(path, COMMAND_LINE_MAX, &text, &n, NULL) == 0 &&
           str_eq(str_n(text, n), buf_str(&c->words));
}

/* ---- life ---- */

static void look(void *arg);

static void ended(struct data_child *c, const char *how)
{
    bool healthy = mono_now().us - c->started.us > HEALTHY_US;
    c->backoff_ms = healthy || c->backoff_ms == 0
                        ? BACKOFF_FIRST_MS
                        : MIN_OF(c->backoff_ms * 2, (int64_t)BACKOFF_MAX_MS);
    if (wanted(c)) {
        log_warn("data ended: %s, starting it again in %lld ms", how, (long long)c->backoff_ms);
        io_timer_start(&c->again, c->backoff_ms, 0);
    } else {
        log_info("data ended: %s", how);
    }
}

static void on_exit_of_ours(void *arg, int status)
{
    struct data_child *c = arg;
    char how[64];
    (void)snprintf(how, sizeof(how), WIFSIGNALED(status) ? "signal %d" : "exit code %d",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    io_process_close(TAKE_PTR(c->process));
    ended(c, how);
}

static void on_found_gone(void *arg)
{
    struct data_child *c = arg;
    io_pidwatch_close(TAKE_PTR(c->found));
    ended(c, "it was started by an edge before");
}

static int take_over(struct data_child *c, pid_t pid, struct err *err)
{
    int rc = io_pidwatch_new(c->opts.loop, pid, process_start_time(pid), on_found_gone, c,
                             &c->found, err);
    if (rc == 0 && !same_command(c, pid)) {
        log_info("data runs with other options, ending it pid=%d", (int)pid);
        (void)io_pidwatch_kill(c->found, SIGTERM); /* gone already is as well */
    } else if (rc == 0) {
        log_info("data runs already pid=%d", (int)pid);
    }
    return rc;
}

static int spawn(struct data_child *c, struct err *err)
{
    const char *argv[ARGS_MAX + 1];
    const struct io_process_config cfg = {
        .argv = argv,
        .stdio = {{.how = STDIO_NULL}, {.how = STDIO_INHERIT}, {.how = STDIO_INHERIT}}};
    int rc = make_argv(c, argv, err);
    rc = rc < 0 ? rc : io_process_spawn(c->opts.loop, &cfg, on_exit_of_ours, c, &c->process, err);
    if (rc == 0) {
        log_info("data is started pid=%d", (int)io_process_pid(c->process));
    }
    return rc;
}

static void start(struct data_child *c)
{
    struct err err;
    pid_t pid = holder(c->dir);
    c->started = mono_now();
    int rc = pid > 0 ? take_over(c, pid, &err) : spawn(c, &err);
    if (rc < 0) {
        log_error("start data: %s", err.text);
        ended(c, "it could not be started");
    }
}

static void end(struct data_child *c)
{
    if (c->process) {
        (void)io_process_kill(c->process, SIGTERM); /* gone already is as well */
    } else if (c->found) {
        (void)io_pidwatch_kill(c->found, SIGTERM);
    }
}

static void on_linger(void *arg)
{
    struct data_child *c = arg;
    if (!wanted(c)) {
        end(c);
    }
}

static void look(void *arg)
{
    struct data_child *c = arg;
    bool want = wanted(c);
    if (want && !data_child_running(c) && !io_timer_active(&c->again)) {
        start(c);
    } else if (!want && data_child_running(c) && !io_timer_active(&c->linger)) {
        io_timer_start(&c->linger, LINGER_MS, 0);
    }
}

/* ---- the store ---- */

static void on_ready(struct store_watch *w, void *arg)
{
    struct data_child *c = arg;
    (void)w;
    loop_defer(c->opts.loop, &c->look);
}

static void open_watch(struct data_child *c, size_t i)
{
    struct store *s = c->opts.store;
    if (store_watch_open(s, str_of(placed_prefixes[i]), store_rev(s), on_ready, c, &c->watches[i]) <
        0) {
        log_error("data: cannot watch %s: out of memory", placed_prefixes[i]);
    }
}

/* Only a wake-up: what counts is how many there are. */
static void drain_and_look(void *arg)
{
    struct data_child *c = arg;
    for (size_t i = 0; i < PLACED_KINDS; i++) {
        struct store_event *ev;
        int rc = 0;
        do {
            rc = c->watches[i] ? store_watch_next(c->watches[i], &ev) : 0;
        } while (rc == 1);
        if (rc < 0) {
            store_watch_close(TAKE_PTR(c->watches[i]));
        }
        if (rc == -E_GONE) { /* fell behind; otherwise the store is closing */
            open_watch(c, i);
        }
    }
    look(c);
}

/* ---- lifetime ---- */

/* `data` in the folder of this program; heap. */
static char *program_beside(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    return slash ? mem_printf("%.*s/data", (int)(slash - path), path) : NULL;
}

int data_child_new(const struct data_child_opts *opts, struct data_child **ret, struct err *err)
{
    struct data_child *c = mem_zalloc(sizeof(*c));
    if (!c) {
        return err_sys(err, -ENOMEM, "open the supervisor of data");
    }
    c->opts = *opts;
    buf_init(&c->words, 0);
    io_task_init(&c->look, drain_and_look, c);
    io_timer_init(opts->loop, &c->again, look, c);
    io_timer_init(opts->loop, &c->linger, on_linger, c);
    c->program = opts->program ? mem_strdup(opts->program) : program_beside();
    c->dir = mem_printf("%s/data", opts->state_dir);
    int rc = c->program && c->dir ? make_words(c, err)
                                  : err_sys(err, -ENOMEM, "open the supervisor of data");
    const char *argv[ARGS_MAX + 1];
    rc = rc < 0 ? rc : make_argv(c, argv, err);
    if (rc < 0) {
        data_child_free(c);
        return rc;
    }
    for (size_t i = 0; i < PLACED_KINDS; i++) {
        open_watch(c, i);
    }
    if (wanted(c) || holder(c->dir) > 0) { /* one that is not needed any more is ended */
        start(c);
    }
    loop_defer(opts->loop, &c->look);
    *ret = c;
    return 0;
}

void data_child_stop(struct data_child *c)
{
    c->stopping = true;
    io_timer_stop(&c->again);
    end(c);
}

void data_child_free(struct data_child *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; i < PLACED_KINDS; i++) {
        store_watch_close(c->watches[i]);
    }
    io_task_cancel(&c->look);
    io_timer_stop(&c->again);
    io_timer_stop(&c->linger);
    io_process_close(c->process);
    io_pidwatch_close(c->found);
    buf_fini(&c->words);
    mem_free(c->program);
    mem_free(c->dir);
    mem_free(c);
}

void data_child_end_left(const char *state_dir)
{
    CLEANUP(mem_freep) char *dir = mem_printf("%s/data", state_dir);
    pid_t pid;
    for (int waited = 0; dir && (pid = holder(dir)) > 0; waited += END_POLL_MS) {
        if (waited % END_KILL_MS == 0) {                      /* first it may save its state */
            (void)kill(pid, waited == 0 ? SIGTERM : SIGKILL); /* gone meanwhile is as well */
        }
        (void)poll(NULL, 0, END_POLL_MS);
    }
}

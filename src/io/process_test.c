/* SPDX-License-Identifier: Apache-2.0 */
/* Children, watched processes and files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "file.h"
#include "loop.h"
#include "process.h"

static struct io_loop *loop;

struct result {
    bool done;
    int code, status;
    char out[4096], err[4096];
};

static int setup(void **state)
{
    (void)state;
    return loop_new(&loop, NULL);
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void until(const bool *done)
{
    for (int i = 0; i < 10000 && !*done; i++) {
        loop_run_ready(loop);
        (void)usleep(500);
    }
    assert_true(*done);
}

static void on_run(void *arg, int code, int status, struct str out, struct str err_text)
{
    struct result *r = arg;
    r->done = true;
    r->code = code;
    r->status = status;
    (void)snprintf(r->out, sizeof r->out, STR_FMT, STR_ARG(out));
    (void)snprintf(r->err, sizeof r->err, STR_FMT, STR_ARG(err_text));
}

static void run(const struct io_process_config *cfg, struct str input, int64_t timeout_ms,
                struct result *r)
{
    struct io_run *handle;
    struct err err;
    *r = (struct result){.done = false};
    assert_int_equal(io_run_start(loop, cfg, input, 1000, timeout_ms, on_run, r, &handle, &err), 0);
    until(&r->done);
}

static void shell(const char *script, struct str input, int64_t timeout_ms, struct result *r)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    const struct io_process_config cfg = {.argv = argv};
    run(&cfg, input, timeout_ms, r);
}

static void a_program_gets_its_input_and_gives_its_output(void **state)
{
    struct result r;
    (void)state;
    shell("cat; echo oops >&2; exit 7", STR_LIT("hello"), 0, &r);
    assert_int_equal(r.code, 0);
    assert_true(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 7);
    assert_string_equal(r.out, "hello");
    assert_string_equal(r.err, "oops\n");
    shell("yes | head -c 100000", STR_NULL, 0, &r);
    assert_int_equal(strlen(r.out), 1000); /* the limit */
}

static void a_program_that_takes_too_long_is_killed(void **state)
{
    struct result r;
    (void)state;
    shell("exec sleep 100", STR_NULL, 50, &r);
    assert_int_equal(r.code, -ETIMEDOUT);
    assert_true(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGKILL);
}

static void a_grandchild_that_keeps_the_pipe_is_not_waited_for(void **state)
{
    struct result r;
    (void)state;
    shell("sleep 5 & echo started", STR_NULL, 0, &r);
    assert_string_equal(r.out, "started\n");
}

static void a_missing_program_is_an_error_sentence(void **state)
{
    const char *const argv[] = {"no-such-program", NULL}, *const argv2[] = {"/no/such", NULL};
    struct io_process_config cfg = {.argv = argv};
    struct io_process *p;
    struct err err;
    (void)state;
    assert_int_equal(io_process_spawn(loop, &cfg, NULL, NULL, &p, &err), -ENOENT);
    assert_non_null(strstr(err.text, "start 'no-such-program': no such program in "));
    cfg.argv = argv2;
    assert_int_equal(io_process_spawn(loop, &cfg, NULL, NULL, &p, &err), -ENOENT);
    assert_string_equal(err.text, "start '/no/such': execute: No such file or directory");
    cfg.argv = (const char *const[]){"true", NULL};
    cfg.cwd = "/no/such";
    assert_int_equal(io_process_spawn(loop, &cfg, NULL, NULL, &p, &err), -ENOENT);
}

static void a_child_has_a_clean_environment(void **state)
{
    const char *const argv[] = {"sh", "-c", "env; pwd; ls /proc/self/fd | wc -l", NULL};
    const char *const env[] = {"A=b", "PATH=/bin:/usr/bin", NULL};
    const struct io_process_config cfg = {.argv = argv, .env = env, .cwd = "/tmp"};
    struct result r;
    (void)state;
    int leaky = open("/dev/null", O_RDONLY); /* not close-on-exec */
    run(&cfg, STR_NULL, 0, &r);
    (void)close(leaky);
    assert_non_null(strstr(r.out, "A=b\n"));
    assert_null(strstr(r.out, "HOME="));
    assert_non_null(strstr(r.out, "/tmp\n4\n")); /* 0, 1, 2 and the folder that ls reads */
}

static void extra_descriptors_arrive_where_they_are_wanted(void **state)
{
    const char *const argv[] = {"sh", "-c", "cat <&3; cat <&4", NULL};
    int a[2], b[2];
    struct result r;
    (void)state;
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    assert_int_equal(write(a[1], "four", 4), 4);
    assert_int_equal(write(b[1], "three", 5), 5);
    (void)close(a[1]);
    (void)close(b[1]);
    const struct io_process_fd fds[] = {{a[0], 4}, {b[0], 3}};
    const struct io_process_config cfg = {.argv = argv, .fds = fds, .n_fds = 2};
    run(&cfg, STR_NULL, 0, &r);
    (void)close(a[0]);
    (void)close(b[0]);
    assert_string_equal(r.out, "threefour");
}

static void a_child_may_have_a_terminal(void **state)
{
    const char *const argv[] = {"sh", "-c", "tty >/dev/null && echo yes; ps -o tty= -p $$", NULL};
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct io_process_config cfg = {.argv = argv, .tty = true};
    for (int i = 0; i < 3; i++) {
        cfg.stdio[i].how = STDIO_FD;
        cfg.stdio[i].fd = slave;
    }
    struct io_process *p;
    assert_int_equal(io_process_spawn(loop, &cfg, NULL, NULL, &p, NULL), 0);
    (void)close(slave);
    char text[64] = "";
    ssize_t n = read(master, text, sizeof text - 1);
    assert_true(n > 0);
    assert_non_null(strstr(text, "yes"));
    io_process_close(p);
    (void)close(master);
}

static void on_exit_flag(void *arg, int status)
{
    struct result *r = arg;
    r->done = true;
    r->status = status;
}

static void kill_hits_only_the_child(void **state)
{
    const char *const argv[] = {"sleep", "100", NULL};
    const struct io_process_config cfg = {.argv = argv};
    struct io_process *p;
    struct result r = {.done = false};
    (void)state;
    assert_int_equal(io_process_spawn(loop, &cfg, on_exit_flag, &r, &p, NULL), 0);
    assert_int_equal(io_process_kill(p, SIGTERM), 0);
    until(&r.done);
    assert_true(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGTERM);
    assert_int_equal(io_process_kill(p, SIGTERM), -ESRCH);
    io_process_close(p);
}

static void a_child_that_nobody_waits_for_is_reaped(void **state)
{
    const char *const argv[] = {"true", NULL};
    const struct io_process_config cfg = {.argv = argv};
    struct io_process *p;
    (void)state;
    assert_int_equal(io_process_spawn(loop, &cfg, on_exit_flag, NULL, &p, NULL), 0);
    pid_t pid = io_process_pid(p);
    io_process_close(p);
    for (int i = 0; i < 5000 && kill(pid, 0) == 0; i++) {
        loop_run_ready(loop);
        (void)usleep(500);
    }
    assert_int_equal(kill(pid, 0), -1);
}

static void on_gone(void *arg)
{
    *(bool *)arg = true;
}

static void a_foreign_process_is_watched(void **state)
{
    struct io_pidwatch *w;
    bool gone = false;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    uint64_t start = process_start_time(pid);
    assert_true(start > 0);
    assert_int_equal(io_pidwatch_new(loop, pid, start, on_gone, &gone, &w, NULL), 0);
    loop_run_ready(loop);
    assert_false(gone);
    assert_int_equal(io_pidwatch_kill(w, SIGKILL), 0);
    until(&gone);
    assert_int_equal(io_pidwatch_kill(w, SIGKILL), -ESRCH);
    io_pidwatch_close(w);
    (void)waitpid(pid, NULL, 0);

    gone = false; /* one that is gone already, and a pid that belongs to somebody else now */
    assert_int_equal(io_pidwatch_new(loop, pid, start, on_gone, &gone, &w, NULL), 0);
    assert_false(gone);
    until(&gone);
    io_pidwatch_close(w);
    gone = false;
    assert_int_equal(io_pidwatch_new(loop, getpid(), 1, on_gone, &gone, &w, NULL), 0);
    until(&gone);
    io_pidwatch_close(w);
}

/* ---- files ---- */

static void files_are_written_whole_and_read_within_a_limit(void **state)
{
    char dir[] = "/tmp/io-test-XXXXXX", *path, *text, **names;
    size_t n;
    struct err err;
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(dir));
    path = mem_printf("%s/f", dir);
    assert_int_equal(file_write_atomic(path, "first", 5, 0600, NULL), 0);
    assert_int_equal(file_write_atomic(path, "second", 6, 0600, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(file_read(path, 6, &text, &n, NULL), 0);
    assert_string_equal(text, "second");
    mem_free(text);
    assert_int_equal(file_read(path, 5, &text, &n, &err), -E_TOOBIG);
    assert_int_equal(file_read("/proc/self/status", 1 << 20, &text, &n, NULL), 0);
    assert_true(n > 100);
    mem_free(text);
    assert_int_equal(dir_list(dir, 10, &names, &n, NULL), 0);
    assert_int_equal(n, 1); /* no temporary file is left */
    assert_string_equal(names[0], "f");
    mem_free(names);
    assert_int_equal(file_write_atomic("/no/such/f", "x", 1, 0600, &err), -E_NOENT);
    assert_string_equal(err.text, "write '/no/such/f': No such file or directory");
    mem_free(path);
    assert_int_equal(tree_remove(dir, NULL), 0);
}

static void a_tree_is_removed_but_not_what_links_point_to(void **state)
{
    char top[] = "/tmp/io-test-XXXXXX", *outside, *deep, *link;
    (void)state;
    assert_non_null(mkdtemp(top));
    outside = mem_printf("%s/keep/file", top);
    deep = mem_printf("%s/tree/a/b/c/d/e", top);
    link = mem_printf("%s/tree/a/link", top);
    char *keep = mem_printf("%s/keep", top), *tree = mem_printf("%s/tree", top);
    assert_int_equal(dir_make(keep, 0755, NULL), 0);
    assert_int_equal(dir_make(deep, 0755, NULL), 0);
    assert_int_equal(dir_make(deep, 0755, NULL), 0);
    assert_int_equal(file_write_replace(outside, "x", 1, 0600, NULL), 0);
    assert_int_equal(symlink(keep, link), 0);
    for (int i = 0; i < 50; i++) {
        char *f = mem_printf("%s/%d", deep, i);
        assert_int_equal(file_write_replace(f, "x", 1, 0600, NULL), 0);
        mem_free(f);
    }
    assert_int_equal(tree_remove(tree, NULL), 0);
    assert_false(file_exists(tree));
    assert_true(file_exists(outside));
    assert_int_equal(tree_remove(tree, NULL), 0); /* nothing there is fine */
    assert_int_equal(tree_remove("/tmp/.", NULL), -EINVAL);
    assert_int_equal(tree_remove(top, NULL), 0);
    mem_free(outside);
    mem_free(deep);
    mem_free(link);
    mem_free(keep);
    mem_free(tree);
}

static void a_very_deep_tree_is_removed(void **state)
{
    char top[] = "/tmp/io-test-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(top));
    int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 1100; i++) { /* deeper than a process has descriptors */
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(fd);
        fd = next;
    }
    (void)close(fd);
    assert_int_equal(tree_remove(top, NULL), 0);
    assert_false(file_exists(top));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_program_gets_its_input_and_gives_its_output),
        T(a_program_that_takes_too_long_is_killed),
        T(a_grandchild_that_keeps_the_pipe_is_not_waited_for),
        T(a_missing_program_is_an_error_sentence),
        T(a_child_has_a_clean_environment),
        T(extra_descriptors_arrive_where_they_are_wanted),
        T(a_child_may_have_a_terminal),
        T(kill_hits_only_the_child),
        T(a_child_that_nobody_waits_for_is_reaped),
        T(a_foreign_process_is_watched),
        T(files_are_written_whole_and_read_within_a_limit),
        T(a_tree_is_removed_but_not_what_links_point_to),
        T(a_very_deep_tree_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that holds a pod's shared PID namespace:
 *
 *   <sandbox>/pid     the namespace, mounted over an empty file
 *   <sandbox>/pause   "<pid> <start time>": which process is its first
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/process.h"
#include "runtime/fs.h"
#include "runtime/runtime_private.h"
#include "runtime/sandbox_private.h"

#define NAME "/pause"

/* ---- the child: between fork and exec, so only plain system calls ---- */

static void child(const char *program, int report)
{
    static char *const argv[] = {(char *)(uintptr_t)NAME, NULL};
    static char *const env[] = {NULL};
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail */
    (void)setsid();                              /* cannot fail for a new process */
    for (int fd = 0; fd < 3; fd++) {
        (void)dup2(null, fd); /* it uses none of them */
    }
    (void)syscall(SYS_close_range, 3, UINT_MAX, 1u << 2); /* CLOSE_RANGE_CLOEXEC; all are anyway */
    (void)execve(program, argv, env);
    int problem = errno;
    (void)!write(report, &problem, sizeof(problem)); /* its end is seen in any case */
    _exit(127);
}

static int spawn(const char *program, pid_t *ret, struct err *err)
{
    int fds[2], problem = 0;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return err_sys(err, -errno, "start %s", program);
    }
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        child(program, fds[1]);
    }
    int rc = pid < 0 ? -errno : 0;
    (void)close(fds[1]);
    if (rc == 0 && read(fds[0], &problem, sizeof(problem)) > 0) {
        (void)waitpid(pid, NULL, 0); /* it has ended */
        rc = -problem;
    }
    (void)close(fds[0]);
    *ret = pid;
    return rc < 0 ? err_sys(err, rc, "start %s", program) : 0;
}

/* ---- the record ---- */

static pid_t recorded(const char *dir, uint64_t *ret_start)
{
    char path[PATH_MAX];
    struct arena a;
    struct str pid_text, start_text;
    uint64_t pid = 0, start = 0;
    arena_init(&a, 0);
    (void)snprintf(path, sizeof(path), "%s/pause", dir);
    char *text = fs_read_text(&a, path, 64);
    if (!text || !str_cut(str_of(text), ' ', &pid_text, &start_text) ||
        str_u64(pid_text, &pid) < 0 || str_u64(start_text, &start) < 0 || pid > INT_MAX) {
        pid = 0;
    }
    arena_fini(&a);
    *ret_start = start;
    return (pid_t)pid;
}

bool sandbox_pause_alive(const char *dir)
{
    uint64_t start;
    pid_t pid = recorded(dir, &start);
    return pid > 0 && process_start_time(pid) == start;
}

void sandbox_pause_end(const char *dir)
{
    uint64_t start;
    pid_t pid = recorded(dir, &start);
    if (pid > 0 && process_start_time(pid) == start) {
        (void)kill(pid, SIGKILL);    /* it may have ended meanwhile */
        (void)waitpid(pid, NULL, 0); /* not ours when an earlier agent started it */
    }
}

int sandbox_pause_start(struct runtime *rt, const char *dir, struct err *err)
{
    char from[64], to[PATH_MAX], record[PATH_MAX], text[64];
    pid_t pid = 0;
    int rc = rt->pause ? spawn(rt->pause, &pid, err)
                       : err_set(err, -E_NOENT, "the program pause is not installed");
    if (rc < 0) {
        return rc;
    }
    (void)snprintf(record, sizeof(record), "%s/pause", dir);
    int n = snprintf(text, sizeof(text), "%d %llu", (int)pid,
                     (unsigned long long)process_start_time(pid));
    rc = file_write_replace(record, text, (size_t)n, 0600, err);
    if (rc < 0) {
        (void)kill(pid, SIGKILL); /* nobody would find it */
        (void)waitpid(pid, NULL, 0);
        return rc;
    }
    (void)cgroup_adopt(rt->cgroups, "conmon", pid, NULL); /* as far as the machine can */
    (void)snprintf(from, sizeof(from), "/proc/%d/ns/pid", (int)pid);
    (void)snprintf(to, sizeof(to), "%s/pid", dir);
    CLEANUP(fd_closep) int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0) {
        return err_sys(err, -errno, "mount the pid namespace");
    }
    return 0;
}

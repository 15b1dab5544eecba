/* SPDX-License-Identifier: Apache-2.0 */
/* Long-running programs that the command line starts and stops; see daemon.h. */
#include "daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define STOP_MS 30000

/* Reads a small file whole; 0-terminated. Returns its length or a negative code. */
static ssize_t read_small(const char *path, char *out, size_t size)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (n < 0) {
        return -errno;
    }
    out[n] = '\0';
    return n;
}

/* Field 22 of /proc/PID/stat; 0 when there is no such process, or only its zombie. */
static uint64_t start_time(pid_t pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (read_small(path, text, sizeof(text)) < 0) {
        return 0;
    }
    char *close_paren = strrchr(text, ')');
    struct str rest = str_of(close_paren ? close_paren + 1 : ""), field = STR_NULL;
    rest = str_trim(rest);
    for (int i = 3; i <= 22; i++) {
        (void)str_cut(rest, ' ', &field, &rest); /* too few fields leave an empty one */
        if (i == 3 && str_is(field, "Z")) {
            return 0;
        }
    }
    uint64_t v = 0;
    return str_u64(field, &v) < 0 ? 0 : v;
}

pid_t daemon_running(const char *pid_file, struct err *err)
{
    char text[64];
    ssize_t n = read_small(pid_file, text, sizeof(text));
    if (n == -ENOENT) {
        return 0;
    }
    if (n < 0) {
        return err_sys(err, (int)n, "read '%s'", pid_file);
    }
    struct str pid_text, time_text;
    uint64_t pid, started;
    (void)str_cut(str_n(text, (size_t)n), ' ', &pid_text, &time_text); /* checked by the numbers */
    (void)str_cut(time_text, '\n', &time_text, &(struct str){0});
    if (str_u64(pid_text, &pid) < 0 || str_u64(time_text, &started) < 0 || pid > INT32_MAX) {
        return err_set(err, -E_INVAL, "'%s' does not hold a pid and a start time; remove it",
                       pid_file);
    }
    return started && start_time((pid_t)pid) == started ? (pid_t)pid : 0;
}

static int write_pid(const char *pid_file, pid_t pid, struct err *err)
{
    char text[64];
    int n =
        snprintf(text, sizeof(text), "%d %llu\n", (int)pid, (unsigned long long)start_time(pid));
    CLEANUP(fd_closep) int fd = open(pid_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, (size_t)n) != n) {
        return err_sys(err, -errno, "write '%s'", pid_file);
    }
    return 0;
}

static _Noreturn void become(const struct daemon *d, int log_fd)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (setsid() < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0) {
        _exit(126);
    }
    (void)execv(d->argv[0], (char *const *)(uintptr_t)d->argv); /* returns only on failure */
    (void)dprintf(STDERR_FILENO, "cannot run %s: %s\n", d->argv[0], strerrordesc_np(errno));
    _exit(126);
}

int daemon_start(const struct daemon *d, bool *ret_started, struct err *err)
{
    pid_t pid = daemon_running(d->pid_file, err);
    if (pid < 0) {
        return pid;
    }
    if (ret_started) {
        *ret_started = pid == 0;
    }
    if (pid > 0) {
        return 0;
    }
    CLEANUP(fd_closep)
    int log_fd = open(d->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (log_fd < 0) {
        return err_sys(err, -errno, "open '%s'", d->log_file);
    }
    pid = fork();
    if (pid < 0) {
        return err_sys(err, -errno, "start %s", d->name);
    }
    if (pid == 0) {
        become(d, log_fd);
    }
    int rc = write_pid(d->pid_file, pid, err);
    if (rc < 0) {
        (void)kill(pid, SIGTERM); /* without a pid file nobody could stop it later */
    }
    return rc;
}

static bool ends_within(int pid_fd, int ms)
{
    struct pollfd p = {.fd = pid_fd, .events = POLLIN};
    int rc;
    do {
        rc = poll(&p, 1, ms);
    } while (rc < 0 && errno == EINTR);
    return rc > 0;
}

int daemon_stop(const char *pid_file, const char *name, struct err *err)
{
    pid_t pid = daemon_running(pid_file, err);
    if (pid < 0) {
        return pid;
    }
    CLEANUP(fd_closep) int pid_fd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -EBADF;
    if (pid_fd >= 0) {
        (void)kill(pid, SIGTERM); /* it may have ended by itself */
        if (!ends_within(pid_fd, STOP_MS)) {
            (void)kill(pid, SIGKILL);
            (void)ends_within(pid_fd, -1);
        }
        (void)waitpid(pid, NULL,
                      WNOHANG); /* it is our child only when `up` stops what it just started */
    } else if (pid && errno != ESRCH) {
        return err_sys(err, -errno, "stop %s", name);
    }
    if (unlink(pid_file) < 0 && errno != ENOENT) {
        return err_sys(err, -errno, "remove '%s'", pid_file);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces of a pod, without a process in them as long as it shares no process numbers. A thread
 * leaves the agent's namespaces (unshare is a thread's own affair for network, IPC and UTS), sets
 * them up and binds /proc/thread-self/ns/X to files:
 *
 *   run_dir/sandboxes/<uid>/{net,ipc,uts}   empty files with a namespace mounted over them
 *   run_dir/sandboxes/<uid>/shm             tmpfs
 *   run_dir/sandboxes/<uid>/{pid,pause}     a shared PID namespace: sandbox_pause.c
 *   run_dir/sandboxes/<uid>/ready           made last: all of the above is complete
 *
 * After kill -9 halfway `ready` is missing: what is there is unmounted and made anew. After a
 * reboot `ready` may be there without mounts (a run_dir on a disk): then mounts are missing, with
 * the same result.
 */
#include "runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/runtime_private.h"
#include "runtime/sandbox_private.h"

#define SHM_BYTES ((int64_t)64 << 20)

struct sandbox_make {
    struct runtime *rt;
    const struct sandbox_config *config;
    char dir[PATH_MAX - 64];
    struct err *err;
};

static void sandbox_dir(const struct runtime *rt, const char *uid, char *out, size_t size)
{
    snprintf(out, size, "%s/sandboxes/%s", rt->run_dir, uid);
}

/* ---- inside the thread ---- */

static int loopback_up(struct err *err)
{
    struct ifreq ifr = {.ifr_name = "lo"};
    CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0) {
        return err_sys(err, -errno, "loopback");
    }
    ifr.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? err_sys(err, -errno, "loopback") : 0;
}

/* "net.ipv4.x" -> /proc/sys/net/ipv4/x; the files show the namespaces of the thread that opens
 * them. */
static int set_sysctl(const struct sandbox_sysctl *s, struct err *err)
{
    char path[256] = "/proc/sys/";
    size_t n = strlen(path);
    for (const char *p = s->name; *p && n + 1 < sizeof(path); p++) {
        path[n++] = *p == '.' ? '/' : *p;
    }
    path[n] = '\0';
    if (strstr(path, "//") || strchr(s->name, '/')) {
        return err_set(err, -E_INVAL, "'%s' is no sysctl", s->name);
    }
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, s->value, strlen(s->value)) < 0) {
        return err_sys(err, -errno, "sysctl %s = %s", s->name, s->value);
    }
    return 0;
}

static bool sysctl_allowed(const struct sandbox_config *c, const char *name)
{
    struct str s = str_of(name);
    bool net = str_starts(s, "net.");
    bool ipc = str_starts(s, "kernel.shm") || str_starts(s, "kernel.msg") ||
               str_is(s, "kernel.sem") || str_starts(s, "fs.mqueue.");
    return (net && !c->host_network) || (ipc && !c->host_ipc);
}

static int pin(const struct sandbox_make *m, const char *name)
{
    char from[64], to[PATH_MAX];
    snprintf(from, sizeof(from), "/proc/thread-self/ns/%s", name);
    snprintf(to, sizeof(to), "%s/%s", m->dir, name);
    CLEANUP(fd_closep) int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_sys(m->err, -errno, "create %s", to);
    }
    return mount(from, to, NULL, MS_BIND, NULL) < 0
               ? err_sys(m->err, -errno, "mount the %s namespace", name)
               : 0;
}

static int set_up(struct sandbox_make *m)
{
    const struct sandbox_config *c = m->config;
    char hostname[65];
    int r = 0;
    snprintf(hostname, sizeof(hostname), "%.63s", c->hostname ? c->hostname : "");
    if (!c->host_network) {
        r = loopback_up(m->err);
        if (r == 0 && sethostname(hostname, strlen(hostname)) < 0) {
            r = err_sys(m->err, -errno, "host name %s", hostname);
        }
    }
    for (size_t i = 0; i < c->sysctls_n && r == 0; i++) {
        r = sysctl_allowed(c, c->sysctls[i].name)
                ? set_sysctl(&c->sysctls[i], m->err)
                : err_set(m->err, -E_ACCESS, "sysctl %s is not of a namespace that the pod has",
                          c->sysctls[i].name);
    }
    if (r == 0 && !c->host_network) {
        r = pin(m, "net");
        r = r == 0 ? pin(m, "uts") : r;
    }
    return r == 0 && !c->host_ipc ? pin(m, "ipc") : r;
}

static int make_namespaces(void *arg)
{
    struct sandbox_make *m = arg;
    int flags = (m->config->host_network ? 0 : CLONE_NEWNET | CLONE_NEWUTS) |
                (m->config->host_ipc ? 0 : CLONE_NEWIPC);
    if (unshare(flags) < 0) {
        return err_sys(m->err, -errno, "new namespaces");
    }
    return set_up(m);
}

/* ---- making ---- */

static int make_shm(struct sandbox_make *m)
{
    char path[PATH_MAX], options[64];
    int64_t size = m->config->shm_bytes > 0 ? m->config->shm_bytes : SHM_BYTES;
    snprintf(path, sizeof(path), "%s/shm", m->dir);
    snprintf(options, sizeof(options), "mode=1777,size=%lld", (long long)size);
    int r = dir_make(path, 0700, m->err);
    if (r == 0 && mount("shm", path, "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, options) < 0) {
        r = err_sys(m->err, -errno, "mount %s", path);
    }
    return r;
}

static bool complete(const char *dir, const struct sandbox_config *c)
{
    static const char *const names[] = {"net", "uts", "ipc", "shm", "pid"};
    char path[PATH_MAX];
    const bool wanted[] = {!c->host_network, !c->host_network, !c->host_ipc, !c->host_ipc,
                           c->share_pid};
    snprintf(path, sizeof(path), "%s/ready", dir);
    if (access(path, F_OK) < 0) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        if (wanted[i] && !fs_is_mount(path)) {
            return false;
        }
    }
    return !c->share_pid || sandbox_pause_alive(dir);
}

static int clear(const char *dir, struct err *err)
{
    sandbox_pause_end(dir);
    int r = fs_unmount_below(dir, err);
    return r == 0 ? fs_remove_tree(AT_FDCWD, dir, err) : r;
}

static int create(void *arg, struct err *err)
{
    struct sandbox_make *m = arg;
    char path[PATH_MAX];
    m->err = err;
    int r = 0;
    if (!complete(m->dir, m->config)) {
        r = clear(m->dir, err);
        r = r == 0 ? dir_make(m->dir, 0700, err) : r;
        r = r == 0 && !m->config->host_ipc ? make_shm(m) : r;
        r = r == 0 ? runtime_in_thread(make_namespaces, m) : r;
        r = r == 0 && m->config->share_pid ? sandbox_pause_start(m->rt, m->dir, err) : r;
        snprintf(path, sizeof(path), "%s/ready", m->dir);
        r = r == 0 ? file_write_replace(path, "", 0, 0600, err) : r;
        if (r < 0) {
            (void)clear(m->dir, /* err= */ NULL); /* the next try clears it otherwise */
        }
    }
    if (r < 0) {
        err_wrap(err, r, "sandbox");
    }
    mem_free(m);
    return r;
}

void sandbox_create(struct runtime *rt, const struct sandbox_config *config, struct runtime_op *op)
{
    struct sandbox_make *m = mem_zalloc(sizeof(*m));
    if (!m) {
        runtime_op_finish(rt, op, -ENOMEM);
        return;
    }
    m->rt = rt;
    m->config = config;
    sandbox_dir(rt, config->pod_uid, m->dir, sizeof(m->dir));
    runtime_work(rt, create, m, op);
}

bool sandbox_exists(struct runtime *rt, const struct sandbox_config *config)
{
    char dir[PATH_MAX - 64];
    sandbox_dir(rt, config->pod_uid, dir, sizeof(dir));
    return complete(dir, config);
}

int sandbox_paths(struct runtime *rt, const struct sandbox_config *c, struct arena *a,
                  struct sandbox_paths *ret)
{
    char dir[PATH_MAX - 64];
    sandbox_dir(rt, c->pod_uid, dir, sizeof(dir));
    struct sandbox_paths p = {
        .net = c->host_network ? arena_strdup(a, "") : fs_join(a, dir, "net"),
        .uts = c->host_network ? arena_strdup(a, "") : fs_join(a, dir, "uts"),
        .ipc = c->host_ipc ? arena_strdup(a, "") : fs_join(a, dir, "ipc"),
        .shm = c->host_ipc ? arena_strdup(a, "/dev/shm") : fs_join(a, dir, "shm"),
        .pid = c->share_pid ? fs_join(a, dir, "pid") : NULL,
    };
    if (!p.net || !p.uts || !p.ipc || !p.shm || (c->share_pid && !p.pid)) {
        return -ENOMEM;
    }
    *ret = p;
    return 0;
}

/* ---- removal ---- */

static int remove_all(void *arg, struct err *err)
{
    int r = clear(arg, err);
    mem_free(arg);
    return r;
}

void sandbox_remove(struct runtime *rt, const char *pod_uid, struct runtime_op *op)
{
    char *dir = mem_printf("%s/sandboxes/%s", rt->run_dir, pod_uid);
    if (!dir) {
        runtime_op_finish(rt, op, -ENOMEM);
        return;
    }
    runtime_work(rt, remove_all, dir, op);
}

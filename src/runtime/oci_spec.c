/* SPDX-License-Identifier: Apache-2.0 */
/* See oci_spec.h. The order of members and the defaults follow containerd 1.7 for Linux. */
#include "runtime/oci_spec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "runtime/fs.h"
#include "runtime/oci_private.h"

static const char *const cap_names[] = {
    [CAP_CHOWN] = "CAP_CHOWN",
    [CAP_DAC_OVERRIDE] = "CAP_DAC_OVERRIDE",
    [CAP_DAC_READ_SEARCH] = "CAP_DAC_READ_SEARCH",
    [CAP_FOWNER] = "CAP_FOWNER",
    [CAP_FSETID] = "CAP_FSETID",
    [CAP_KILL] = "CAP_KILL",
    [CAP_SETGID] = "CAP_SETGID",
    [CAP_SETUID] = "CAP_SETUID",
    [CAP_SETPCAP] = "CAP_SETPCAP",
    [CAP_LINUX_IMMUTABLE] = "CAP_LINUX_IMMUTABLE",
    [CAP_NET_BIND_SERVICE] = "CAP_NET_BIND_SERVICE",
    [CAP_NET_BROADCAST] = "CAP_NET_BROADCAST",
    [CAP_NET_ADMIN] = "CAP_NET_ADMIN",
    [CAP_NET_RAW] = "CAP_NET_RAW",
    [CAP_IPC_LOCK] = "CAP_IPC_LOCK",
    [CAP_IPC_OWNER] = "CAP_IPC_OWNER",
    [CAP_SYS_MODULE] = "CAP_SYS_MODULE",
    [CAP_SYS_RAWIO] = "CAP_SYS_RAWIO",
    [CAP_SYS_CHROOT] = "CAP_SYS_CHROOT",
    [CAP_SYS_PTRACE] = "CAP_SYS_PTRACE",
    [CAP_SYS_PACCT] = "CAP_SYS_PACCT",
    [CAP_SYS_ADMIN] = "CAP_SYS_ADMIN",
    [CAP_SYS_BOOT] = "CAP_SYS_BOOT",
    [CAP_SYS_NICE] = "CAP_SYS_NICE",
    [CAP_SYS_RESOURCE] = "CAP_SYS_RESOURCE",
    [CAP_SYS_TIME] = "CAP_SYS_TIME",
    [CAP_SYS_TTY_CONFIG] = "CAP_SYS_TTY_CONFIG",
    [CAP_MKNOD] = "CAP_MKNOD",
    [CAP_LEASE] = "CAP_LEASE",
    [CAP_AUDIT_WRITE] = "CAP_AUDIT_WRITE",
    [CAP_AUDIT_CONTROL] = "CAP_AUDIT_CONTROL",
    [CAP_SETFCAP] = "CAP_SETFCAP",
    [CAP_MAC_OVERRIDE] = "CAP_MAC_OVERRIDE",
    [CAP_MAC_ADMIN] = "CAP_MAC_ADMIN",
    [CAP_SYSLOG] = "CAP_SYSLOG",
    [CAP_WAKE_ALARM] = "CAP_WAKE_ALARM",
    [CAP_BLOCK_SUSPEND] = "CAP_BLOCK_SUSPEND",
    [CAP_AUDIT_READ] = "CAP_AUDIT_READ",
    [CAP_PERFMON] = "CAP_PERFMON",
    [CAP_BPF] = "CAP_BPF",
    [CAP_CHECKPOINT_RESTORE] = "CAP_CHECKPOINT_RESTORE",
};

static const int default_caps[] = {CAP_CHOWN,       CAP_DAC_OVERRIDE,    CAP_FSETID, CAP_FOWNER,
                                   CAP_MKNOD,       CAP_NET_RAW,         CAP_SETGID, CAP_SETUID,
                                   CAP_SETFCAP,     CAP_SETPCAP,         CAP_KILL,   CAP_SYS_CHROOT,
                                   CAP_AUDIT_WRITE, CAP_NET_BIND_SERVICE};

#define CAP_BIT(c) (UINT64_C(1) << (c))

/* ---- capabilities ---- */

/* "NET_ADMIN", "CAP_NET_ADMIN", "ALL" in any case; 0 for what is unknown. */
static uint64_t cap_parse(const char *name)
{
    if (strcasecmp(name, "ALL") == 0 || strcasecmp(name, "CAP_ALL") == 0) {
        return CAP_BIT(ARRAY_SIZE(cap_names)) - 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(cap_names); i++) {
        if (strcasecmp(name, cap_names[i]) == 0 || strcasecmp(name, cap_names[i] + 4) == 0) {
            return CAP_BIT(i);
        }
    }
    return 0;
}

static int apply_caps(const char *const *names, bool add, uint64_t *set, struct err *err)
{
    for (size_t i = 0; names && names[i]; i++) {
        uint64_t bits = cap_parse(names[i]);
        if (bits == 0) {
            return err_set(err, -E_INVAL, "unknown capability \"%s\"", names[i]);
        }
        *set = add ? *set | bits : *set & ~bits;
    }
    return 0;
}

/* As containerd: "add: ALL" first, then drops, then adds, so that "drop ALL, add X" leaves X. What
 * this process does not have itself cannot be given. */
static int choose_caps(const struct oci_security *sec, uint64_t *ret, struct err *err)
{
    uint64_t set = 0, bounding = 0;
    for (size_t i = 0; i < ARRAY_SIZE(default_caps); i++) {
        set |= CAP_BIT(default_caps[i]);
    }
    for (size_t i = 0; sec->caps_add && sec->caps_add[i]; i++) {
        set |= strcasecmp(sec->caps_add[i], "ALL") == 0 ? cap_parse("ALL") : 0;
    }
    int r = apply_caps(sec->caps_drop, /* add= */ false, &set, err);
    for (size_t i = 0; r == 0 && sec->caps_add && sec->caps_add[i]; i++) {
        if (strcasecmp(sec->caps_add[i], "ALL") != 0) {
            r = apply_caps((const char *const[]){sec->caps_add[i], NULL}, /* add= */ true, &set,
                           err);
        }
    }
    if (r < 0) {
        return r;
    }
    set = sec->privileged ? cap_parse("ALL") : set;
    for (size_t i = 0; i < ARRAY_SIZE(cap_names); i++) {
        bounding |= prctl(PR_CAPBSET_READ, (unsigned long)i, 0, 0, 0) == 1 ? CAP_BIT(i) : 0;
    }
    *ret = set & bounding;
    return 0;
}

static bool has_cap(const void *arg, const char *name)
{
    return (*(const uint64_t *)arg & cap_parse(name)) != 0;
}

static void add_caps(struct json *process, uint64_t caps)
{
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    struct json *c = json_ensure_object(process, "capabilities");
    for (size_t s = 0; s < ARRAY_SIZE(sets); s++) {
        struct json *list = json_ensure_array(c, sets[s]);
        for (size_t i = 0; i < ARRAY_SIZE(cap_names); i++) {
            if (caps & CAP_BIT(i)) {
                json_push(list, json_string(list ? list->arena : NULL, cap_names[i]));
            }
        }
    }
}

/* ---- user ---- */

static int choose_user(const struct oci_spec *s, struct oci_user *u, struct err *err)
{
    const struct oci_security *sec = &s->security;
    char text[64];
    const char *user = sec->user ? sec->user : "";
    if (sec->has_uid && sec->has_gid) {
        snprintf(text, sizeof(text), "%lld:%lld", (long long)sec->uid, (long long)sec->gid);
        user = text;
    } else if (sec->has_uid) {
        snprintf(text, sizeof(text), "%lld", (long long)sec->uid);
        user = text;
    }
    int r = oci_user_resolve(s->rootfs, user, u, err);
    if (r < 0) {
        return r;
    }
    if (sec->has_gid) {
        u->gid = (uint32_t)sec->gid;
    }
    for (size_t i = 0; i < sec->groups_n && u->groups_n < ARRAY_SIZE(u->groups); i++) {
        u->groups[u->groups_n++] = (uint32_t)sec->groups[i];
    }
    if (sec->must_be_non_root && u->uid == 0) {
        return err_set(err, -E_INVAL, "container has runAsNonRoot and image will run as root");
    }
    return 0;
}

static void add_user(struct json *process, const struct oci_user *u)
{
    struct json *j = json_ensure_object(process, "user");
    json_set_int(j, "uid", u->uid);
    json_set_int(j, "gid", u->gid);
    struct json *list = json_ensure_array(j, "additionalGids");
    json_push(list, json_int(list ? list->arena : NULL, u->gid));
    for (size_t i = 0; i < u->groups_n; i++) {
        if (u->groups[i] != u->gid) {
            json_push(list, json_int(list ? list->arena : NULL, u->groups[i]));
        }
    }
}

/* ---- process ---- */

static bool env_has(const char *const *env, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; env && env[i]; i++) {
        if (strncmp(env[i], name, n) == 0 && env[i][n] == '=') {
            return true;
        }
    }
    return false;
}

static void add_env(struct json *process, const struct oci_spec *s)
{
    struct json *list = json_ensure_array(process, "env");
    struct arena *a = list ? list->arena : NULL;
    if (!env_has(s->env, "PATH")) {
        json_push(
            list,
            json_string(a, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    }
    if (s->hostname && !env_has(s->env, "HOSTNAME")) {
        json_push(list, json_printf(a, "HOSTNAME=%s", s->hostname));
    }
    if (s->tty && !env_has(s->env, "TERM")) {
        json_push(list, json_string(a, "TERM=xterm"));
    }
    for (size_t i = 0; s->env && s->env[i]; i++) {
        json_push(list, json_string(a, s->env[i]));
    }
}

static bool may_lower_oom(void)
{
    struct arena a;
    arena_init(&a, 0);
    uint64_t caps = 0;
    char *text = fs_read_text(&a, "/proc/self/status", 64 << 10);
    char *line = text ? strstr(text, "\nCapEff:\t") : NULL;
    for (char *p = line ? line + 9 : NULL; p && *p && *p != '\n'; p++) {
        caps = caps * 16 + (uint64_t)(*p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10);
    }
    arena_fini(&a);
    return (caps & CAP_BIT(CAP_SYS_RESOURCE)) != 0;
}

static int clamp_oom(int wanted)
{
    struct arena a;
    int64_t own = 0;
    if (may_lower_oom()) {
        return wanted;
    }
    arena_init(&a, 0);
    char *text = fs_read_text(&a, "/proc/self/oom_score_adj", 64);
    if (!text || str_i64(str_of(text), &own) < 0) {
        own = 0;
    }
    arena_fini(&a);
    return MAX_OF(wanted, (int)own);
}

static void add_process(struct json *root, const struct oci_spec *s, const struct oci_user *u,
                        uint64_t caps)
{
    struct json *p = json_ensure_object(root, "process");
    struct arena *a = p ? p->arena : NULL;
    if (s->tty) {
        json_set_bool(p, "terminal", true);
    }
    add_user(p, u);
    struct json *args = json_ensure_array(p, "args");
    for (size_t i = 0; s->args[i]; i++) {
        json_push(args, json_string(a, s->args[i]));
    }
    add_env(p, s);
    json_set_str(p, "cwd", s->cwd && s->cwd[0] ? s->cwd : "/");
    add_caps(p, caps);
    if (s->security.no_new_privileges) {
        json_set_bool(p, "noNewPrivileges", true);
    }
    json_set_int(p, "oomScoreAdj", clamp_oom(s->oom_score_adj));
}

/* ---- mounts ---- */

static void add_mount(struct json *mounts, const char *dest, const char *type, const char *source,
                      const char *options)
{
    struct arena *a = mounts ? mounts->arena : NULL;
    struct json *m = json_push(mounts, json_object(a));
    json_set_str(m, "destination", dest);
    json_set_str(m, "type", type);
    json_set_str(m, "source", source);
    struct json *list = json_ensure_array(m, "options");
    struct str rest = str_of(options), word;
    while (rest.n > 0) {
        str_cut(rest, ',', &word, &rest);
        json_push(list, json_string_n(a, word));
    }
}

static void add_standard_mounts(struct json *mounts, const struct oci_spec *s)
{
    const char *mode = s->security.privileged ? "nosuid,noexec,nodev,rw" : "nosuid,noexec,nodev,ro";
    const char *cgroup_mode = s->security.privileged ? "nosuid,noexec,nodev,relatime,rw"
                                                     : "nosuid,noexec,nodev,relatime,ro";
    add_mount(mounts, "/proc", "proc", "proc", "nosuid,noexec,nodev");
    add_mount(mounts, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
    add_mount(mounts, "/dev/pts", "devpts", "devpts",
              "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
    add_mount(mounts, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
    add_mount(mounts, "/sys", "sysfs", "sysfs", mode);
    add_mount(mounts, "/sys/fs/cgroup", "cgroup", "cgroup", cgroup_mode);
    if (!s->shm) {
        add_mount(mounts, "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k");
    } else {
        add_mount(mounts, "/dev/shm", "bind", s->shm, "rbind,rprivate,rw");
    }
}

static int depth_of(const char *path)
{
    int n = 0;
    for (; *path; path++) {
        n += path[0] == '/' && path[1] != '/' && path[1] != '\0';
    }
    return n;
}

/* Shallow destinations first, so that a mount never hides one that was made before. */
static void add_binds(struct json *mounts, const struct oci_spec *s)
{
    char options[64];
    for (int depth = 0, left = (int)s->mounts_n; left > 0 && depth < LIMIT_IMAGE_PATH; depth++) {
        for (size_t i = 0; i < s->mounts_n; i++) {
            const struct oci_mount *m = &s->mounts[i];
            if (depth_of(m->destination) == depth) {
                snprintf(options, sizeof(options), "rbind,%s,%s",
                         m->propagation ? m->propagation : "rprivate", m->read_only ? "ro" : "rw");
                add_mount(mounts, m->destination, "bind", m->source, options);
                left--;
            }
        }
    }
}

static int check_mounts(const struct oci_spec *s, struct err *err)
{
    for (size_t i = 0; i < s->mounts_n; i++) {
        const struct oci_mount *m = &s->mounts[i];
        if (m->destination[0] != '/' || m->source[0] != '/' ||
            strlen(m->destination) > LIMIT_IMAGE_PATH) {
            return err_set(err, -E_INVAL,
                           "mount of '%.100s' at '%.100s': both must be absolute paths", m->source,
                           m->destination);
        }
    }
    return 0;
}

/* ---- devices ---- */

static int add_device(struct json *lin, const char *host, const char *inside, const char *access)
{
    struct stat st;
    struct arena *a = lin ? lin->arena : NULL;
    if (stat(host, &st) < 0) {
        return -errno;
    }
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) {
        return -ENODEV;
    }
    const char *type = S_ISCHR(st.st_mode) ? "c" : "b";
    struct json *d = json_push(json_ensure_array(lin, "devices"), json_object(a));
    json_set_str(d, "path", inside);
    json_set_str(d, "type", type);
    json_set_int(d, "major", major(st.st_rdev));
    json_set_int(d, "minor", minor(st.st_rdev));
    json_set_int(d, "fileMode", st.st_mode & 0777);
    json_set_int(d, "uid", st.st_uid);
    json_set_int(d, "gid", st.st_gid);
    struct json *rules = json_ensure_array(json_ensure_object(lin, "resources"), "devices");
    struct json *rule = json_push(rules, json_object(a));
    json_set_bool(rule, "allow", true);
    json_set_str(rule, "type", type);
    json_set_int(rule, "major", major(st.st_rdev));
    json_set_int(rule, "minor", minor(st.st_rdev));
    json_set_str(rule, "access", access ? access : "rwm");
    return 0;
}

struct dev_walk {
    struct json *lin;
    const char *dir;
    int left;
};

static int add_host_device(void *arg, int dir_fd, const char *name)
{
    struct dev_walk *w = arg;
    char path[512];
    struct stat st;
    /* The runtime makes these itself. */
    static const char *const own[] = {"console", "full", "null",    "ptmx",
                                      "random",  "tty",  "urandom", "zero"};
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        if (cstr_eq(name, own[i]) && cstr_eq(w->dir, "/dev")) {
            return 0;
        }
    }
    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) && w->left-- > 0) {
        (void)add_device(w->lin, path, path, NULL); /* may vanish meanwhile */
    }
    return 0;
}

static int add_devices(struct json *lin, const struct oci_spec *s, struct err *err)
{
    struct json *rules = json_ensure_array(json_ensure_object(lin, "resources"), "devices");
    struct json *rule = json_push(rules, json_object(lin ? lin->arena : NULL));
    json_set_bool(rule, "allow", s->security.privileged);
    json_set_str(rule, "access", "rwm");
    static const char *const dirs[] = {"/dev",         "/dev/net",   "/dev/dri",
                                       "/dev/snd",     "/dev/input", "/dev/mapper",
                                       "/dev/bus/usb", "/dev/vfio",  "/dev/infiniband"};
    for (size_t i = 0; s->security.privileged && i < ARRAY_SIZE(dirs); i++) {
        struct dev_walk w = {.lin = lin, .dir = dirs[i], .left = 512};
        (void)fs_each(AT_FDCWD, dirs[i], add_host_device, &w); /* a machine without such devices */
    }
    for (size_t i = 0; i < s->devices_n; i++) {
        const struct oci_device *d = &s->devices[i];
        int r = add_device(lin, d->path, d->inside ? d->inside : d->path, d->access);
        if (r < 0) {
            return err_sys(err, r, "device %s", d->path);
        }
    }
    return 0;
}

/* ---- linux ---- */

static void add_resources(struct json *lin, const struct oci_resources *res)
{
    struct json *r = json_ensure_object(lin, "resources");
    struct json *memory = json_ensure_object(r, "memory");
    if (res->memory_limit > 0) {
        json_set_int(memory, "limit", res->memory_limit);
    }
    struct json *cpu = json_ensure_object(r, "cpu");
    if (res->cpu_shares > 0) {
        json_set_int(cpu, "shares", res->cpu_shares);
    }
    if (res->cpu_quota_us > 0) {
        json_set_int(cpu, "quota", res->cpu_quota_us);
        json_set_int(cpu, "period", res->cpu_period_us > 0 ? res->cpu_period_us : 100000);
    }
    if (res->pids_limit > 0) {
        json_set_int(json_ensure_object(r, "pids"), "limit", res->pids_limit);
    }
}

static void add_namespace(struct json *list, const char *type, const char *path)
{
    if (path && !path[0]) {
        return; /* the host's */
    }
    struct json *ns = json_push(list, json_object(list ? list->arena : NULL));
    json_set_str(ns, "type", type);
    json_set_str(ns, "path", path);
}

static void add_namespaces(struct json *lin, const struct oci_spec *s)
{
    struct json *list = json_ensure_array(lin, "namespaces");
    add_namespace(list, "pid", s->pid);
    add_namespace(list, "ipc", s->ipc);
    add_namespace(list, "uts", s->uts);
    add_namespace(list, "mount", NULL);
    add_namespace(list, "network", s->net);
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0) {
        add_namespace(list, "cgroup", s->security.privileged ? "" : NULL);
    }
}

static void add_paths(struct json *lin, const char *key, const char *const *paths, size_t n)
{
    struct json *list = json_ensure_array(lin, key);
    for (size_t i = 0; i < n; i++) {
        json_push(list, json_string(list ? list->arena : NULL, paths[i]));
    }
}

static const char *const masked[] = {
    "/proc/asound",     "/proc/acpi",        "/proc/interrupts",
    "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                        "/proc/sysrq-trigger"};

static int add_linux(struct json *root, const struct oci_spec *s, uint64_t caps, struct err *err)
{
    struct json *lin = json_ensure_object(root, "linux");
    int r = add_devices(lin, s, err);
    if (r < 0) {
        return r;
    }
    add_resources(lin, &s->resources);
    json_set_str(lin, "cgroupsPath", s->cgroup_path);
    add_namespaces(lin, s);
    if (s->security.privileged) {
        return 0;
    }
    if (s->security.seccomp_default) {
        json_set(lin, "seccomp", oci_seccomp_default(lin ? lin->arena : NULL, has_cap, &caps));
    }
    if (!s->security.proc_unmasked) {
        add_paths(lin, "maskedPaths", masked, ARRAY_SIZE(masked));
        add_paths(lin, "readonlyPaths", read_only, ARRAY_SIZE(read_only));
    }
    return 0;
}

static bool any_shared(const struct oci_spec *s)
{
    for (size_t i = 0; i < s->mounts_n; i++) {
        if (s->mounts[i].propagation && strcmp(s->mounts[i].propagation, "rprivate") != 0) {
            return true;
        }
    }
    return false;
}

int oci_spec_build(const struct oci_spec *s, struct arena *a, struct json **ret, struct err *err)
{
    struct oci_user user;
    uint64_t caps = 0;
    if (!s->args || !s->args[0]) {
        return err_set(err, -E_INVAL, "no command specified");
    }
    int r = choose_user(s, &user, err);
    r = r == 0 ? choose_caps(&s->security, &caps, err) : r;
    r = r == 0 ? check_mounts(s, err) : r;
    if (r < 0) {
        return r;
    }
    struct json *root = json_object(a);
    json_set_str(root, "ociVersion", "1.0.2-dev");
    add_process(root, s, &user, caps);
    struct json *fs = json_ensure_object(root, "root");
    json_set_str(fs, "path", s->rootfs);
    if (s->security.read_only_root) {
        json_set_bool(fs, "readonly", true);
    }
    if (s->hostname && !s->uts) {
        json_set_str(root, "hostname", s->hostname);
    }
    struct json *mounts = json_ensure_array(root, "mounts");
    add_standard_mounts(mounts, s);
    add_binds(mounts, s);
    r = add_linux(root, s, caps, err);
    if (r == 0 && any_shared(s)) {
        json_set_str(json_ensure_object(root, "linux"), "rootfsPropagation", "rslave");
    }
    if (r == 0 && arena_failed(a)) {
        r = err_set(err, -ENOMEM, "out of memory");
    }
    if (r == 0) {
        *ret = root;
    }
    return r;
}

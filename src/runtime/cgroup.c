/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hierarchies are found in /proc/self/mountinfo. With version 1 the levels above a container are
 * made where a limit can be set (cpu, memory, pids); the OCI runtime makes the rest on its way
 * down. Removal and killing visit every hierarchy.
 */
#include "runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/fs.h"

enum controller { CTL_CPU, CTL_MEMORY, CTL_PIDS, CTL_CPUACCT, CTL_NR };

static const char *const controller_names[CTL_NR] = {"cpu", "memory", "pids", "cpuacct"};

#define HIERARCHIES 24

struct cgroup_root {
    char *parent; /* "" or "/selvedge-n1" */
    char *mounts[HIERARCHIES];
    int n;
    int v1[CTL_NR]; /* index of the hierarchy or -1 */
    int v2;         /* index or -1 */
    bool v2_has[CTL_NR];
    enum cgroup_mode mode;
    struct buf notes;
};

/* ---- detection ---- */

static int add_mount(struct cgroup_root *c, struct str at)
{
    if (c->n == HIERARCHIES) {
        return -1;
    }
    char *text = mem_strndup(at.p, at.n);
    if (!text) {
        return -1;
    }
    c->mounts[c->n] = text;
    return c->n++;
}

static bool has_word(struct str list, const char *word)
{
    struct str item;
    while (list.n > 0) {
        str_cut(list, ',', &item, &list);
        if (str_is(item, word)) {
            return true;
        }
    }
    return false;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - cgroup cgroup rw,memory" */
static void parse_mount(struct cgroup_root *c, struct str line)
{
    struct str f = line, at = STR_NULL, type, source, options;
    for (int i = 0; i < 5; i++) {
        str_cut(f, ' ', &at, &f);
    }
    struct str word;
    do {
        str_cut(f, ' ', &word, &f);
    } while (f.n > 0 && !str_is(word, "-"));
    str_cut(f, ' ', &type, &f);
    str_cut(f, ' ', &source, &options);
    if (str_is(type, "cgroup2") && c->v2 < 0) {
        c->v2 = add_mount(c, at);
    } else if (str_is(type, "cgroup")) {
        int i = add_mount(c, at);
        for (int k = 0; k < CTL_NR && i >= 0; k++) {
            if (c->v1[k] < 0 && has_word(options, controller_names[k])) {
                c->v1[k] = i;
            }
        }
    }
}

static void find_v2_controllers(struct cgroup_root *c)
{
    char path[PATH_MAX];
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    snprintf(path, sizeof(path), "%s/cgroup.controllers", c->mounts[c->v2]);
    if (fs_read_at(AT_FDCWD, path, 4096, &b) < 0) {
        return;
    }
    struct str rest = buf_str(&b), word;
    while (rest.n > 0) {
        str_cut(rest, ' ', &word, &rest);
        word.n -= word.n > 0 && word.p[word.n - 1] == '\n';
        for (int k = 0; k < CTL_NR; k++) {
            c->v2_has[k] |= str_is(word, controller_names[k]);
        }
    }
    c->v2_has[CTL_CPUACCT] = true; /* cpu.stat is always there */
}

static void detect(struct cgroup_root *c)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (fs_read_at(AT_FDCWD, "/proc/self/mountinfo", (size_t)64 << 20, &b) == 0) {
        struct str rest = buf_str(&b), line;
        while (rest.n > 0) {
            str_cut(rest, '\n', &line, &rest);
            parse_mount(c, line);
        }
    }
    bool any_v1 = c->n > (c->v2 >= 0 ? 1 : 0);
    if (c->v2 >= 0) {
        find_v2_controllers(c);
    }
    c->mode = c->v2 >= 0 ? (any_v1 ? CGROUP_HYBRID : CGROUP_V2) : any_v1 ? CGROUP_V1 : CGROUP_NONE;
    if (c->mode == CGROUP_NONE) {
        (void)buf_puts(&c->notes,
                       "no cgroup hierarchy is mounted: limits of pods are not enforced\n");
        return;
    }
    for (int k = 0; k < CTL_CPUACCT; k++) {
        if (c->v1[k] < 0 && !c->v2_has[k]) {
            (void)buf_printf(&c->notes,
                             "the cgroup controller %s is missing: its limits are not enforced\n",
                             controller_names[k]);
        }
    }
}

int cgroup_root_new(const char *parent, struct cgroup_root **ret, struct err *err)
{
    struct cgroup_root *c = mem_zalloc(sizeof(*c));
    if (c) {
        c->v2 = -1;
        for (int k = 0; k < CTL_NR; k++) {
            c->v1[k] = -1;
        }
        c->parent = mem_strdup(parent && !cstr_eq(parent, "/") ? parent : "");
    }
    if (!c || !c->parent) {
        cgroup_root_free(c);
        return err_set(err, -ENOMEM, "out of memory");
    }
    size_t n = strlen(c->parent);
    while (n > 0 && c->parent[n - 1] == '/') {
        c->parent[--n] = '\0';
    }
    detect(c);
    *ret = c;
    return 0;
}

void cgroup_root_free(struct cgroup_root *c)
{
    if (!c) {
        return;
    }
    for (int i = 0; i < c->n; i++) {
        mem_free(c->mounts[i]);
    }
    buf_fini(&c->notes);
    mem_free(c->parent);
    mem_free(c);
}

enum cgroup_mode cgroup_root_mode(const struct cgroup_root *c)
{
    return c->mode;
}

const char *cgroup_root_notes(const struct cgroup_root *c)
{
    return buf_data(&c->notes);
}

/* ---- arithmetic of Kubernetes ---- */

int64_t cgroup_shares(int64_t milli)
{
    int64_t shares = milli * 1024 / 1000;
    return shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
}

int64_t cgroup_quota_us(int64_t milli)
{
    return milli <= 0 ? 0 : MAX_OF(milli * 100, (int64_t)1000);
}

int cgroup_oom_score_adj(enum cgroup_qos qos, int64_t memory_request, int64_t memory_capacity)
{
    if (qos != QOS_BURSTABLE || memory_capacity <= 0) {
        return qos == QOS_GUARANTEED ? -997 : 1000;
    }
    double share = 1000.0 * (double)memory_request / (double)memory_capacity;
    int64_t adj = 1000 - (int64_t)share;
    return (int)(adj < 3 ? 3 : adj > 999 ? 999 : adj);
}

/* ---- paths ---- */

static const char *const qos_folders[QOS_NR] = {
    [QOS_GUARANTEED] = "", [QOS_BURSTABLE] = "/burstable", [QOS_BEST_EFFORT] = "/besteffort"};

char *cgroup_pod_path(const struct cgroup_root *c, struct arena *a, enum cgroup_qos qos,
                      const char *pod_uid)
{
    return arena_printf(a, "%s/kubepods%s/pod%s", c->parent, qos_folders[qos], pod_uid);
}

static void knob_path(char out[PATH_MAX], const struct cgroup_root *c, int i, const char *path,
                      const char *knob)
{
    snprintf(out, PATH_MAX, "%s%s%s%s", c->mounts[i], path, knob ? "/" : "", knob ? knob : "");
}

static int write_knob(const struct cgroup_root *c, int i, const char *path, const char *knob,
                      const char *value)
{
    char full[PATH_MAX];
    knob_path(full, c, i, path, knob);
    CLEANUP(fd_closep) int fd = open(full, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

static int set_number(const struct cgroup_root *c, int i, const char *path, const char *knob,
                      int64_t v, struct err *err)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)v);
    int r = write_knob(c, i, path, knob, text);
    return r < 0 ? err_sys(err, r, "cgroup %s: %s = %s", path, knob, text) : 0;
}

/* ---- making ---- */

/* Makes path level by level in hierarchy i; with version 2 the controllers are handed down first.
 */
static int make_levels(const struct cgroup_root *c, int i, const char *path, struct err *err)
{
    char text[PATH_MAX], full[PATH_MAX];
    if (!cstr_copy(text, sizeof(text), path)) {
        return err_sys(err, -ENAMETOOLONG, "cgroup %s", path);
    }
    for (char *p = text;; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }
        char ch = *p;
        *p = '\0';
        if (p != text) {
            knob_path(full, c, i, text, NULL);
            if (mkdir(full, 0755) < 0 && errno != EEXIST) {
                return err_sys(err, -errno, "mkdir %s", full);
            }
        }
        for (int k = 0; i == c->v2 && ch != '\0' && k < CTL_CPUACCT; k++) {
            char value[16];
            snprintf(value, sizeof(value), "+%s", controller_names[k]);
            if (c->v2_has[k]) {
                (void)write_knob(c, i, text, "cgroup.subtree_control",
                                 value); /* the limit itself will tell */
            }
        }
        *p = ch;
        if (ch == '\0') {
            return 0;
        }
    }
}

static int limit_v1(const struct cgroup_root *c, const char *path, const struct cgroup_limits *l,
                    struct err *err)
{
    int r = 0;
    if (c->v1[CTL_CPU] >= 0 && l->cpu_shares > 0) {
        r = set_number(c, c->v1[CTL_CPU], path, "cpu.shares", l->cpu_shares, err);
    }
    if (r == 0 && c->v1[CTL_CPU] >= 0 && l->cpu_quota_us > 0) {
        r = set_number(c, c->v1[CTL_CPU], path, "cpu.cfs_period_us",
                       l->cpu_period_us > 0 ? l->cpu_period_us : 100000, err);
        r = r == 0 ? set_number(c, c->v1[CTL_CPU], path, "cpu.cfs_quota_us", l->cpu_quota_us, err)
                   : r;
    }
    if (r == 0 && c->v1[CTL_MEMORY] >= 0 && l->memory_limit > 0) {
        r = set_number(c, c->v1[CTL_MEMORY], path, "memory.limit_in_bytes", l->memory_limit, err);
    }
    if (r == 0 && c->v1[CTL_PIDS] >= 0 && l->pids_limit > 0) {
        r = set_number(c, c->v1[CTL_PIDS], path, "pids.max", l->pids_limit, err);
    }
    return r;
}

static int limit_v2(const struct cgroup_root *c, const char *path, const struct cgroup_limits *l,
                    struct err *err)
{
    int r = 0;
    if (c->v2_has[CTL_CPU] && l->cpu_shares > 0) {
        r = set_number(c, c->v2, path, "cpu.weight", 1 + (l->cpu_shares - 2) * 9999 / 262142, err);
    }
    if (r == 0 && c->v2_has[CTL_CPU] && l->cpu_quota_us > 0) {
        char text[64];
        snprintf(text, sizeof(text), "%lld %lld", (long long)l->cpu_quota_us,
                 (long long)(l->cpu_period_us > 0 ? l->cpu_period_us : 100000));
        r = write_knob(c, c->v2, path, "cpu.max", text);
        r = r < 0 ? err_sys(err, r, "cgroup %s: cpu.max = %s", path, text) : 0;
    }
    if (r == 0 && c->v2_has[CTL_MEMORY] && l->memory_limit > 0) {
        r = set_number(c, c->v2, path, "memory.max", l->memory_limit, err);
    }
    if (r == 0 && c->v2_has[CTL_PIDS] && l->pids_limit > 0) {
        r = set_number(c, c->v2, path, "pids.max", l->pids_limit, err);
    }
    return r;
}

int cgroup_make(struct cgroup_root *c, const char *path, const struct cgroup_limits *l,
                struct err *err)
{
    int r = 0;
    for (int k = 0; k < CTL_CPUACCT && r == 0; k++) {
        if (c->v1[k] >= 0) {
            r = make_levels(c, c->v1[k], path, err);
        }
    }
    if (r == 0) {
        r = limit_v1(c, path, l, err);
    }
    if (r == 0 && c->mode == CGROUP_V2) {
        r = make_levels(c, c->v2, path, err);
        r = r == 0 ? limit_v2(c, path, l, err) : r;
    }
    return r;
}

int cgroup_adopt(struct cgroup_root *c, const char *name, pid_t pid, struct err *err)
{
    char path[PATH_MAX], text[16];
    int r = 0;
    snprintf(path, sizeof(path), "%s/%s", c->parent[0] ? c->parent : "/selvedge", name);
    snprintf(text, sizeof(text), "%d", (int)pid);
    for (int i = 0; i < c->n && r == 0; i++) {
        bool wanted = i == c->v2;
        for (int k = 0; k < CTL_NR; k++) {
            wanted |= c->v1[k] == i;
        }
        /* The named hierarchy of systemd tells which unit a process belongs to. */
        wanted |= str_ends(str_of(c->mounts[i]), "/systemd");
        if (wanted) {
            r = make_levels(c, i, path, err);
            r = r == 0 ? write_knob(c, i, path, "cgroup.procs", text) : r;
        }
    }
    return r < 0 ? err_sys(err, r, "cgroup %s: move process %d", path, (int)pid) : 0;
}

/* ---- killing and removing ---- */

typedef int tree_fn(void *arg, const char *dir);

/* Visits every group at and below path in hierarchy i, children first. */
static int each_group(const struct cgroup_root *c, int i, const char *path, tree_fn *fn, void *arg)
{
    char full[PATH_MAX];
    knob_path(full, c, i, path, NULL);
    char *roots[] = {full, NULL};
    if (access(full, F_OK) < 0) {
        return 0;
    }
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!fts) {
        return -errno;
    }
    int r = 0;
    for (FTSENT *f = fts_read(fts); f && r == 0; f = fts_read(fts)) {
        if (f->fts_info == FTS_DP) {
            r = fn(arg, f->fts_path);
        }
    }
    (void)fts_close(fts); /* read-only */
    return r;
}

static int kill_group(void *arg, const char *dir)
{
    int *count = arg;
    char path[PATH_MAX];
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    if (fs_read_at(AT_FDCWD, path, (size_t)16 << 20, &b) < 0) {
        return 0; /* gone meanwhile */
    }
    struct str rest = buf_str(&b), line;
    while (rest.n > 0) {
        uint64_t pid;
        str_cut(rest, '\n', &line, &rest);
        if (str_u64(line, &pid) == 0 && pid > 1) {
            *count += kill((pid_t)pid, SIGKILL) == 0;
        }
    }
    return 0;
}

int cgroup_kill(struct cgroup_root *c, const char *path)
{
    int count = 0;
    for (int i = 0; i < c->n; i++) {
        (void)each_group(c, i, path, kill_group,
                         &count); /* what cannot be read has no processes of ours */
    }
    return count;
}

static int remove_group(void *arg, const char *dir)
{
    return rmdir(dir) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_remove(struct cgroup_root *c, const char *path, struct err *err)
{
    int first = 0;
    if (path[0] != '/' || path[1] == '\0') {
        return err_set(err, -E_INVAL, "'%s' is no group of a pod", path);
    }
    for (int i = 0; i < c->n; i++) {
        int r = each_group(c, i, path, remove_group, NULL);
        first = first < 0 ? first : r;
    }
    if (first == -EBUSY) {
        (void)cgroup_kill(c, path); /* they need a moment to go */
        return err_set(err, -E_BUSY, "cgroup %s still has processes", path);
    }
    return first < 0 ? err_sys(err, first, "remove cgroup %s", path) : 0;
}

void cgroup_root_remove(struct cgroup_root *c)
{
    char path[PATH_MAX];
    static const char *const below[] = {
        "/kubepods/burstable", "/kubepods/besteffort", "/kubepods", "/conmon", "/probe", ""};
    for (int i = 0; i < c->n; i++) {
        for (size_t k = 0; k < ARRAY_SIZE(below); k++) {
            const char *parent = c->parent;
            if (!parent[0] && cstr_eq(below[k], "/conmon")) {
                parent = "/selvedge";
            }
            if (parent[0] || below[k][0]) {
                snprintf(path, sizeof(path), "%s%s%s", c->mounts[i], parent, below[k]);
                (void)rmdir(path); /* not empty: still used */
            }
        }
    }
}

/* ---- reading ---- */

static int64_t read_number(const struct cgroup_root *c, int i, const char *path, const char *knob)
{
    char full[PATH_MAX];
    int64_t v;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    knob_path(full, c, i, path, knob);
    if (fs_read_at(AT_FDCWD, full, 4096, &b) < 0) {
        return -1;
    }
    struct str s = buf_str(&b), line;
    str_cut(s, '\n', &line, &s);
    return str_i64(line, &v) == 0 ? v : -1;
}

/* The number after "key " at the beginning of a line. */
static int64_t read_keyed(const struct cgroup_root *c, int i, const char *path, const char *knob,
                          const char *key)
{
    char full[PATH_MAX];
    int64_t v;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    knob_path(full, c, i, path, knob);
    if (fs_read_at(AT_FDCWD, full, 64 << 10, &b) < 0) {
        return -1;
    }
    struct str rest = buf_str(&b), line, name, value;
    while (rest.n > 0) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, ' ', &name, &value) && str_is(name, key)) {
            return str_i64(value, &v) == 0 ? v : -1;
        }
    }
    return -1;
}

int cgroup_usage(struct cgroup_root *c, const char *path, struct cgroup_usage *ret)
{
    struct cgroup_usage u = {-1, -1, -1, -1, -1, -1, -1};
    int64_t inactive = -1;
    if (c->v1[CTL_CPUACCT] >= 0) {
        int64_t ns = read_number(c, c->v1[CTL_CPUACCT], path, "cpuacct.usage");
        u.cpu_us = ns < 0 ? -1 : ns / 1000;
    } else if (c->v2 >= 0) {
        u.cpu_us = read_keyed(c, c->v2, path, "cpu.stat", "usage_usec");
    }
    if (c->v1[CTL_MEMORY] >= 0) {
        int m = c->v1[CTL_MEMORY];
        u.memory_bytes = read_number(c, m, path, "memory.usage_in_bytes");
        inactive = read_keyed(c, m, path, "memory.stat", "total_inactive_file");
        u.rss_bytes = read_keyed(c, m, path, "memory.stat", "total_rss");
        u.page_faults = read_keyed(c, m, path, "memory.stat", "total_pgfault");
        u.major_page_faults = read_keyed(c, m, path, "memory.stat", "total_pgmajfault");
        u.oom_kills = read_keyed(c, m, path, "memory.oom_control", "oom_kill");
    } else if (c->v2_has[CTL_MEMORY]) {
        u.memory_bytes = read_number(c, c->v2, path, "memory.current");
        inactive = read_keyed(c, c->v2, path, "memory.stat", "inactive_file");
        u.rss_bytes = read_keyed(c, c->v2, path, "memory.stat", "anon");
        u.page_faults = read_keyed(c, c->v2, path, "memory.stat", "pgfault");
        u.major_page_faults = read_keyed(c, c->v2, path, "memory.stat", "pgmajfault");
        u.oom_kills = read_keyed(c, c->v2, path, "memory.events", "oom_kill");
    }
    u.charged_bytes = u.memory_bytes;
    if (u.memory_bytes >= 0 && inactive > 0) {
        u.memory_bytes = MAX_OF(u.memory_bytes - inactive, (int64_t)0);
    }
    if (u.cpu_us < 0 && u.memory_bytes < 0) {
        return -E_NOENT;
    }
    *ret = u;
    return 0;
}

struct pod_list {
    struct arena *a;
    char **uids;
    size_t n;
};

static int add_pod(void *arg, int dir_fd, const char *name)
{
    struct pod_list *l = arg;
    if (!str_starts(str_of(name), "pod")) {
        return 0;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (cstr_eq(l->uids[i], name + 3)) {
            return 0;
        }
    }
    l->uids = arena_grow(l->a, l->uids, l->n * sizeof(char *), (l->n + 1) * sizeof(char *));
    char *text = arena_strdup(l->a, name + 3);
    if (!l->uids || !text) {
        return -ENOMEM;
    }
    l->uids[l->n++] = text;
    return 0;
}

int cgroup_list_pods(struct cgroup_root *c, struct arena *a, char ***ret, size_t *ret_n)
{
    struct pod_list l = {.a = a};
    char path[PATH_MAX];
    int r = 0;
    for (int i = 0; i < c->n && r == 0; i++) {
        for (int q = 0; q < QOS_NR && r == 0; q++) {
            snprintf(path, sizeof(path), "%s%s/kubepods%s", c->mounts[i], c->parent,
                     qos_folders[q]);
            r = fs_each(AT_FDCWD, path, add_pod, &l);
        }
    }
    *ret = l.uids;
    *ret_n = l.n;
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which OCI runtime works here. Names and versions tell little (crun refuses machines whose cgroup
 * hierarchies it does not know), so each candidate is asked to create a container whose program
 * does not exist: one that gets as far as missing the program has set up namespaces, mounts and
 * cgroups.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/oci_spec.h"
#include "runtime/runtime_private.h"

#define PROBE_PROGRAM "/selvedge-probe"

struct probe {
    struct runtime *rt;
    struct arena a;
    char *path; /* of the candidate */
    char *dir, *root;
    char id[32];
};

static int write_bundle(struct probe *p, struct err *err)
{
    struct json *j;
    char *rootfs = fs_join(&p->a, p->dir, "rootfs"),
         *config = fs_join(&p->a, p->dir, "config.json");
    if (!rootfs || !config) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    char *group = cgroup_pod_path(p->rt->cgroups, &p->a, QOS_BEST_EFFORT, p->id);
    const struct oci_spec spec = {.rootfs = rootfs,
                                  .args = (const char *const[]){PROBE_PROGRAM, NULL},
                                  .cgroup_path = group,
                                  .hostname = "probe"};
    int r = dir_make(rootfs, 0755, err);
    r = r == 0 ? oci_spec_build(&spec, &p->a, &j, err) : r;
    r = r == 0 ? fs_write_json(config, j, 0600, err) : r;
    return r;
}

static int create(struct probe *p, struct err *err)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT, gone = BUF_INIT;
    struct err e = {0};
    const char *const argv[] = {p->path,    "--root", p->root, "create",
                                "--bundle", p->dir,   p->id,   NULL};
    const char *const del[] = {p->path, "--root", p->root, "delete", "--force", p->id, NULL};
    int r = runtime_run_sync(argv, 20000, &out, err);
    (void)runtime_run_sync(del, 20000, &gone, &e); /* there is usually nothing */
    if (r < 0) {
        return r;
    }
    char *text = arena_str(&p->a, buf_str(&out));
    if (!text || strstr(text, PROBE_PROGRAM)) {
        return text ? 0 : err_set(err, -ENOMEM, "out of memory");
    }
    text[strcspn(text, "\n")] = '\0';
    return err_set(err, -E_NOTSUP, "%s cannot make containers on this machine: %.400s", p->path,
                   text);
}

static int try_candidate(struct runtime *rt, const char *path, struct err *err)
{
    struct probe p = {.rt = rt, .path = (char *)(uintptr_t)path};
    char suffix[9];
    random_name(suffix, 8);
    snprintf(p.id, sizeof(p.id), "probe-%s", suffix);
    arena_init(&p.a, 0);
    p.dir = arena_printf(&p.a, "%s/%s", rt->run_dir, p.id);
    p.root = arena_printf(&p.a, "%s/oci", rt->run_dir);
    int r = p.dir && p.root ? write_bundle(&p, err) : err_set(err, -ENOMEM, "out of memory");
    r = r == 0 ? create(&p, err) : r;
    if (p.dir) {
        char *group = cgroup_pod_path(rt->cgroups, &p.a, QOS_BEST_EFFORT, p.id);
        (void)fs_unmount_below(p.dir, NULL);         /* of a runtime that died halfway */
        (void)fs_remove_tree(AT_FDCWD, p.dir, NULL); /* a leftover harms nobody */
        (void)(group ? cgroup_remove(rt->cgroups, group, NULL) : 0); /* as above */
    }
    arena_fini(&p.a);
    return r;
}

/* A runtime can fail for a passing reason (its process is killed with those of an earlier agent),
 * and what is decided here holds for the agent's whole life: so it is asked three times. */
static int try_patiently(struct runtime *rt, const char *path, struct err *err)
{
    int r = -E_NOTSUP;
    for (int i = 0; i < 3 && r < 0; i++) {
        r = try_candidate(rt, path, err);
    }
    return r;
}

/* What an agent that was killed while it probed left behind. */
static int sweep_probe(void *arg, int dir_fd, const char *name)
{
    struct runtime *rt = arg;
    struct arena a;
    if (!str_starts(str_of(name), "probe-")) {
        return 0;
    }
    arena_init(&a, 0);
    char *dir = arena_printf(&a, "%s/%s", rt->run_dir, name);
    char *group = cgroup_pod_path(rt->cgroups, &a, QOS_BEST_EFFORT, name);
    if (dir && group) {
        (void)fs_unmount_below(dir, NULL);             /* the next start tries again */
        (void)fs_remove_tree(AT_FDCWD, dir, NULL);     /* as above */
        (void)cgroup_remove(rt->cgroups, group, NULL); /* as above */
    }
    arena_fini(&a);
    return 0;
}

/* "runc version 1.1.5+ds1" -> "runc://1.1.5+ds1" */
static char *read_version(const char *path, const char *name)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    const char *const argv[] = {path, "--version", NULL};
    struct str line, word, rest;
    if (runtime_run_sync(argv, 10000, &out, /* err= */ NULL) != 0) {
        return mem_printf("%s://unknown", name);
    }
    str_cut(buf_str(&out), '\n', &line, &rest);
    if (!str_rcut(str_trim(line), ' ', &rest, &word)) {
        word = STR_LIT("unknown");
    }
    return mem_printf("%s://" STR_FMT, name, STR_ARG(word));
}

static int choose(struct runtime *rt, char *path)
{
    const char *slash = strrchr(path, '/');
    rt->oci_path = path;
    rt->oci_name = mem_strdup(slash ? slash + 1 : path);
    rt->version = rt->oci_name ? read_version(path, rt->oci_name) : NULL;
    return rt->version ? 0 : -ENOMEM;
}

int oci_detect(struct runtime *rt, const char *wanted, struct err *err)
{
    const char *const names[] = {wanted ? wanted : "runc", wanted ? NULL : "crun"};
    struct err first = {0}, e = {0};
    (void)fs_each(AT_FDCWD, rt->run_dir, sweep_probe, rt); /* never stops early */
    for (size_t i = 0; i < ARRAY_SIZE(names) && names[i]; i++) {
        char *path = runtime_find_program(names[i]);
        if (!path) {
            continue;
        }
        if (try_patiently(rt, path, &e) == 0) {
            return choose(rt, path) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
        }
        first = first.text[0] ? first : e;
        mem_free(path);
    }
    rt->problem = first.text[0] ? mem_strdup(first.text)
                                : mem_printf("no OCI runtime (%s) is installed",
                                             wanted ? wanted : "runc or crun");
    return rt->problem ? 0 : err_set(err, -ENOMEM, "out of memory");
}

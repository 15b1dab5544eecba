/* SPDX-License-Identifier: Apache-2.0 */
/* See test_node.h. */
#include "runtime/test_node.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/image_import.h"
#include "runtime/runtime_private.h"

static const char *const applets[] = {
    "cat",      "dd", "echo",  "env",   "false", "head",  "hostname", "id",   "ifconfig",
    "kill",     "ls", "mkdir", "mount", "nc",    "ping",  "printf",   "ps",   "pwd",
    "readlink", "rm", "sed",   "seq",   "sh",    "sleep", "stat",     "stty", "test",
    "touch",    "tr", "trap",  "true",  "tty",   "wc",    "wget",     "yes"};

static const char *busybox(void)
{
    static const char *const paths[] = {"/bin/busybox", "/usr/bin/busybox"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (access(paths[i], X_OK) == 0) {
            return paths[i];
        }
    }
    return NULL;
}

const char *test_node_missing(void)
{
    char *conmon = runtime_find_program("conmon"), *runc = runtime_find_program("runc"),
         *crun = runtime_find_program("crun");
    bool ok = conmon && (runc || crun);
    mem_free(conmon);
    mem_free(runc);
    mem_free(crun);
    if (geteuid() != 0) {
        return "needs root";
    }
    if (!ok) {
        return "needs conmon and runc or crun";
    }
    return busybox() ? NULL : "needs busybox-static";
}

static void die(const char *what, const struct err *err)
{
    fprintf(stderr, "test node: %s: %s\n", what, err->text);
    abort();
}

static void make_image(struct test_node *n)
{
    char path[512], target[512], root[256];
    struct err err = {0};
    CLEANUP(buf_finip) struct buf bin = BUF_INIT;
    snprintf(root, sizeof(root), "%s/root", n->dir);
    static const char *const dirs[] = {"bin", "etc", "tmp", "home/web"};
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, dirs[i]);
        if (dir_make(path, 0755, &err) < 0) {
            die("mkdir", &err);
        }
    }
    snprintf(path, sizeof(path), "%s/bin/busybox", root);
    if (fs_read_at(AT_FDCWD, busybox(), (size_t)64 << 20, &bin) < 0 ||
        file_write_replace(path, buf_data(&bin), buf_len(&bin), 0755, &err) < 0) {
        die("busybox", &err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
        snprintf(path, sizeof(path), "%s/bin/%s", root, applets[i]);
        if (symlink("busybox", path) < 0) {
            die(path, &err);
        }
    }
    static const char passwd[] =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n";
    static const char group[] = "root:x:0:\nweb:x:1000:\nextra:x:2000:web\n";
    snprintf(path, sizeof(path), "%s/etc/passwd", root);
    (void)file_write_replace(path, passwd, sizeof(passwd) - 1, 0644, &err);
    snprintf(path, sizeof(path), "%s/etc/group", root);
    (void)file_write_replace(path, group, sizeof(group) - 1, 0644, &err);
    snprintf(target, sizeof(target), "%s/busy.tar", n->dir);
    const struct image_pack pack = {.dir = root,
                                    .file = target,
                                    .name = "busy:1",
                                    .cmd = (const char *const[]){"/bin/sh", NULL}};
    if (image_pack(&pack, &err) < 0) {
        die("pack", &err);
    }
    const struct image_import in = {.file = target};
    if (image_import(runtime_images(n->rt), &in, &err) < 0 ||
        images_find(runtime_images(n->rt), "busy:1", &n->a, &n->image, &err) < 0) {
        die("import", &err);
    }
}

static void start(struct test_node *n)
{
    struct err err = {0};
    if (loop_new(&n->loop, &err) < 0 || runtime_new(n->loop, &n->config, &n->rt, &err) < 0) {
        die("start", &err);
    }
    if (runtime_problem(n->rt)) {
        fprintf(stderr, "test node: %s\n", runtime_problem(n->rt));
        abort();
    }
}

struct test_node *test_node_new(void)
{
    struct test_node *n = mem_zalloc(sizeof(*n));
    assert(n);
    char id[9];
    random_name(id, 8);
    arena_init(&n->a, 0);
    snprintf(n->dir, sizeof(n->dir), "/tmp/selvedge-runtime-%s", id);
    snprintf(n->state, sizeof(n->state), "%s/state", n->dir);
    snprintf(n->run, sizeof(n->run), "%s/run", n->dir);
    snprintf(n->log, sizeof(n->log), "%s/log", n->dir);
    snprintf(n->parent, sizeof(n->parent), "/selvedge-test-%s", id);
    snprintf(n->bridge, sizeof(n->bridge), "svt%s", id);
    uint8_t octet[2];
    random_bytes(octet, 2);
    snprintf(n->subnet, sizeof(n->subnet), "10.%d.%d.0/24", 200 + octet[0] % 50, octet[1]);
    n->config = (struct runtime_config){.state_dir = n->state,
                                        .run_dir = n->run,
                                        .log_dir = n->log,
                                        .cgroup_parent = n->parent,
                                        .cni_conf_dir = "",
                                        .cni_bridge = n->bridge,
                                        .cni_subnet = n->subnet,
                                        .log_max_bytes = 1 << 20,
                                        .log_max_files = 3};
    n->config.oci_runtime =
        getenv("SELVEDGE_TEST_OCI"); /* "crun"; unset = what the agent would take */
    start(n);
    make_image(n);
    return n;
}

void test_node_restart(struct test_node *n)
{
    runtime_free(n->rt);
    loop_free(n->loop);
    start(n);
}

void test_node_free(struct test_node *n)
{
    struct err err = {0};
    struct test_op t;
    char **pods;
    size_t count;
    if (runtime_pod_list(n->rt, &n->a, &pods, &count, &err) == 0) {
        for (size_t i = 0; i < count; i++) {
            test_op_init(&t);
            sandbox_remove(n->rt, pods[i], &t.op);
            (void)test_op_wait(n, &t);
            test_op_init(&t);
            runtime_pod_remove(n->rt, pods[i], &t.op);
            if (test_op_wait(n, &t) < 0) {
                fprintf(stderr, "test node: remove pod: %s\n", t.op.err.text);
            }
        }
    }
    cgroup_root_remove(runtime_cgroups(n->rt));
    runtime_free(n->rt);
    loop_free(n->loop);
    if (fs_unmount_below(n->dir, &err) < 0 || fs_remove_tree(AT_FDCWD, n->dir, &err) < 0) {
        fprintf(stderr, "test node: %s\n", err.text);
    }
    arena_fini(&n->a);
    mem_free(n);
}

/* ---- operations ---- */

static void on_done(struct runtime_op *op, int code)
{
    struct test_op *t = op->arg;
    t->done = true;
    t->code = code;
}

void test_op_init(struct test_op *t)
{
    *t = (struct test_op){.op = {.done = on_done}};
    t->op.arg = t;
}

int64_t test_now_us(void)
{
    return mono_now().us;
}

static void nudge(void *arg)
{
}

bool test_wait(struct test_node *n, const bool *flag, int ms)
{
    struct io_timer timer = {0};
    int64_t end = test_now_us() + (int64_t)ms * 1000;
    io_timer_init(n->loop, &timer, nudge, NULL);
    io_timer_start(&timer, 20, 20);
    while (!*flag && test_now_us() < end) {
        loop_run_once(n->loop);
    }
    io_timer_stop(&timer);
    return *flag;
}

int test_op_wait(struct test_node *n, struct test_op *t)
{
    if (!test_wait(n, &t->done, 60000)) {
        fprintf(stderr, "test node: an operation did not end\n");
        abort();
    }
    return t->code;
}

/* ---- containers ---- */

struct container *test_container(struct test_node *n, const char *name, int attempt,
                                 const char *script)
{
    struct err err = {0};
    struct container *c;
    const char *const args[] = {"/bin/sh", "-c", script, NULL};
    const struct container_config cfg = {
        .pod_uid = "uid-1",
        .pod_namespace = "default",
        .pod_name = "pod1",
        .name = name,
        .attempt = attempt,
        .image = n->image,
        .image_name = "busy:1",
        .note = "note",
        .spec = {.args = args,
                 .hostname = "pod1",
                 .cgroup_path =
                     cgroup_pod_path(runtime_cgroups(n->rt), &n->a, QOS_BURSTABLE, "uid-1")}};
    if (container_new(n->rt, &cfg, &c, &err) < 0) {
        die("container_new", &err);
    }
    return c;
}

char *test_read_log(struct test_node *n, struct container *c)
{
    char *text = fs_read_text(&n->a, container_status(c)->log_path, 1 << 20);
    return text ? text : arena_strdup(&n->a, "");
}

void test_on_exit(void *arg, struct container *c)
{
    *(bool *)arg = true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes and networks for real: namespaces, bridge, addresses, host ports. Needs root and the
 * CNI plugins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/mem.h"
#include "runtime/cgroup.h"
#include "runtime/cni.h"
#include "runtime/exec.h"
#include "runtime/fs.h"
#include "runtime/test_node.h"

static struct test_node *node;

static int setup(void **state)
{
    node = test_node_new();
    return 0;
}

static int teardown(void **state)
{
    struct test_op t;
    test_op_init(&t);
    cni_remove_network(runtime_cni(node->rt), &t.op);
    int r = test_op_wait(node, &t);
    test_node_free(node);
    return r;
}

static const struct sandbox_config box = {.pod_uid = "uid-1", .hostname = "pod1"};

static int create(const struct sandbox_config *cfg)
{
    struct test_op t;
    test_op_init(&t);
    sandbox_create(node->rt, cfg, &t.op);
    int r = test_op_wait(node, &t);
    if (r < 0) {
        print_message("sandbox: %s\n", t.op.err.text);
    }
    return r;
}

static void destroy(const char *uid)
{
    struct test_op t;
    test_op_init(&t);
    sandbox_remove(node->rt, uid, &t.op);
    assert_int_equal(test_op_wait(node, &t), 0);
}

static int attach(const char *uid, const struct cni_port *ports, size_t n, struct cni_result *ret,
                  struct err *err)
{
    struct test_op t;
    struct sandbox_paths p;
    const struct sandbox_config cfg = {.pod_uid = uid};
    assert_int_equal(sandbox_paths(node->rt, &cfg, &node->a, &p), 0);
    const struct cni_attachment at = {.pod_uid = uid,
                                      .pod_namespace = "default",
                                      .pod_name = "pod1",
                                      .netns = p.net,
                                      .ports = ports,
                                      .ports_n = n};
    test_op_init(&t);
    cni_add(runtime_cni(node->rt), &at, &t.op);
    int r = test_op_wait(node, &t);
    if (r < 0) {
        *err = t.op.err;
        return r;
    }
    return cni_status(runtime_cni(node->rt), uid, ret);
}

static void detach(const char *uid)
{
    struct test_op t;
    test_op_init(&t);
    cni_del(runtime_cni(node->rt), uid, NULL, &t.op);
    int r = test_op_wait(node, &t);
    if (r < 0) {
        print_message("cni_del: %s\n", t.op.err.text);
    }
    assert_int_equal(r, 0);
}

static void a_sandbox_pins_namespaces_and_goes_without_trace(void **state)
{
    struct sandbox_paths p;
    int64_t before = test_now_us();
    assert_int_equal(create(&box), 0);
    print_message("sandbox: %lld us\n", (long long)(test_now_us() - before));
    assert_true(sandbox_exists(node->rt, &box));
    assert_int_equal(sandbox_paths(node->rt, &box, &node->a, &p), 0);
    assert_true(fs_is_mount(p.net) && fs_is_mount(p.ipc) && fs_is_mount(p.uts) &&
                fs_is_mount(p.shm));
    assert_int_equal(create(&box), 0);
    destroy("uid-1");
    assert_false(sandbox_exists(node->rt, &box));
    assert_int_not_equal(access(p.net, F_OK), 0);
    destroy("uid-1");
}

static void a_half_made_sandbox_is_made_anew(void **state)
{
    char path[512];
    struct err err = {0};
    assert_int_equal(create(&box), 0);
    snprintf(path, sizeof(path), "%s/sandboxes/uid-1/net", node->run);
    assert_int_equal(fs_unmount_below(path, &err), 0);
    assert_false(sandbox_exists(node->rt, &box));
    assert_int_equal(create(&box), 0);
    assert_true(sandbox_exists(node->rt, &box));
    destroy("uid-1");
}

static void host_network_needs_no_namespaces(void **state)
{
    const struct sandbox_config host = {.pod_uid = "uid-h", .hostname = "h", .host_network = true};
    struct sandbox_paths p;
    assert_int_equal(create(&host), 0);
    assert_int_equal(sandbox_paths(node->rt, &host, &node->a, &p), 0);
    assert_string_equal(p.net, "");
    assert_string_equal(p.uts, "");
    destroy("uid-h");
}

static void sysctls_of_the_pods_own_namespaces_are_set(void **state)
{
    struct sandbox_sysctl s = {"net.ipv4.ip_unprivileged_port_start", "0"};
    struct sandbox_config cfg = {
        .pod_uid = "uid-s", .hostname = "s", .sysctls = &s, .sysctls_n = 1};
    assert_int_equal(create(&cfg), 0);
    destroy("uid-s");
    s = (struct sandbox_sysctl){"kernel.hostname", "evil"};
    assert_int_equal(create(&cfg), -E_ACCESS);
    destroy("uid-s");
}

static bool connects(const char *ip, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, ip, &in.sin_addr), 1);
    return connect(fd, (const struct sockaddr *)(const void *)&in, sizeof(in)) == 0;
}

static void pods_get_addresses_and_reach_each_other(void **state)
{
    struct cni_result one, two;
    struct err err = {0};
    struct test_op t;
    bool never = false;
    int64_t before = test_now_us();
    assert_int_equal(create(&box), 0);
    int r = attach("uid-1", NULL, 0, &one, &err);
    print_message("sandbox and network: %lld ms %s\n", (long long)(test_now_us() - before) / 1000,
                  err.text);
    assert_int_equal(r, 0);
    assert_int_equal(one.ips_n, 1);
    const struct sandbox_config second = {.pod_uid = "uid-2", .hostname = "pod2"};
    assert_int_equal(create(&second), 0);
    assert_int_equal(attach("uid-2", NULL, 0, &two, &err), 0);
    assert_string_not_equal(one.ips[0], two.ips[0]);

    struct sandbox_paths p;
    struct container *c;
    assert_int_equal(sandbox_paths(node->rt, &box, &node->a, &p), 0);
    char *script = arena_printf(
        &node->a,
        "hostname; ifconfig lo | grep -q UP && echo lo; ping -c 1 -W 2 %s >/dev/null && echo reached; nc -l -p 8080 </dev/null; sleep 100",
        two.ips[0]);
    const char *const args[] = {"/bin/sh", "-c", script, NULL};
    const struct container_config cfg = {
        .pod_uid = "uid-1",
        .pod_namespace = "default",
        .pod_name = "pod1",
        .name = "c",
        .image = node->image,
        .spec = {.args = args,
                 .net = p.net,
                 .ipc = p.ipc,
                 .uts = p.uts,
                 .shm = p.shm,
                 .cgroup_path = cgroup_pod_path(runtime_cgroups(node->rt), &node->a,
                                                QOS_BEST_EFFORT, "uid-1")}};
    assert_int_equal(container_new(node->rt, &cfg, &c, &err), 0);
    test_op_init(&t);
    container_start(c, &t.op);
    assert_int_equal(test_op_wait(node, &t), 0);
    print_message("pod to running: %lld ms\n", (long long)(test_now_us() - before) / 1000);
    for (int i = 0; i < 100 && !strstr(test_read_log(node, c), "reached"); i++) {
        test_wait(node, &never, 50);
    }
    char *log = test_read_log(node, c);
    assert_non_null(strstr(log, "F pod1"));
    assert_non_null(strstr(log, "F lo"));
    assert_non_null(strstr(log, "F reached"));
    bool reached = false;
    for (int i = 0; i < 100 && !reached; i++) {
        reached = connects(one.ips[0], 8080);
        test_wait(node, &never, 20);
    }
    assert_true(reached);
    test_op_init(&t);
    container_remove(c, &t.op);
    assert_int_equal(test_op_wait(node, &t), 0);
    detach("uid-1");
    detach("uid-2");
    assert_int_equal(cni_status(runtime_cni(node->rt), "uid-1", &one), -E_NOENT);
    destroy("uid-1");
    destroy("uid-2");
    detach("uid-1");
}

static void a_host_port_leads_to_the_pod(void **state)
{
    struct cni_result res;
    struct err err = {0};
    const struct cni_port port = {.protocol = "tcp", .host_port = 38080, .container_port = 8080};
    assert_int_equal(create(&box), 0);
    int r = attach("uid-1", &port, 1, &res, &err);
    if (r < 0) { /* no iptables here: then it must say so */
        print_message("%s\n", err.text);
        assert_non_null(strstr(err.text, "portmap"));
    }
    if (r == 0) {
        struct sandbox_paths p;
        struct container *c;
        struct test_op t;
        bool never = false, reached = false;
        assert_int_equal(sandbox_paths(node->rt, &box, &node->a, &p), 0);
        const char *const args[] = {"/bin/sh", "-c", "nc -l -p 8080 </dev/null", NULL};
        const struct container_config cfg = {
            .pod_uid = "uid-1",
            .pod_namespace = "default",
            .pod_name = "pod1",
            .name = "hp",
            .image = node->image,
            .spec = {.args = args,
                     .net = p.net,
                     .ipc = p.ipc,
                     .uts = p.uts,
                     .shm = p.shm,
                     .cgroup_path = cgroup_pod_path(runtime_cgroups(node->rt), &node->a,
                                                    QOS_BEST_EFFORT, "uid-1")}};
        assert_int_equal(container_new(node->rt, &cfg, &c, &err), 0);
        test_op_init(&t);
        container_start(c, &t.op);
        assert_int_equal(test_op_wait(node, &t), 0);
        char gateway[64];
        snprintf(gateway, sizeof(gateway), "%.*s.1", (int)(strrchr(res.ips[0], '.') - res.ips[0]),
                 res.ips[0]);
        for (int i = 0; i < 100 && !reached; i++) {
            reached = connects(gateway, 38080);
            test_wait(node, &never, 20);
        }
        assert_true(reached);
        test_op_init(&t);
        container_remove(c, &t.op);
        assert_int_equal(test_op_wait(node, &t), 0);
    }
    detach("uid-1");
    destroy("uid-1");
}

static void a_missing_plugin_is_named(void **state)
{
    struct err err = {0};
    struct cni_result res;
    assert_int_equal(cni_check(runtime_cni(node->rt), &err), 0);
    runtime_free(node->rt);
    node->config.cni_bin_dirs = "/nowhere";
    assert_int_equal(runtime_new(node->loop, &node->config, &node->rt, &err), 0);
    assert_true(cni_check(runtime_cni(node->rt), &err) < 0);
    assert_non_null(strstr(err.text, "bridge is not in /nowhere"));
    assert_int_equal(create(&box), 0);
    assert_true(attach("uid-1", NULL, 0, &res, &err) < 0);
    assert_non_null(strstr(err.text, "bridge"));
    destroy("uid-1");
    runtime_free(node->rt);
    node->config.cni_bin_dirs = NULL;
    assert_int_equal(runtime_new(node->loop, &node->config, &node->rt, &err), 0);
    detach("uid-1");
}

/* An agent that brings up a pod, in a process of its own, until it is killed. */
static void be_an_agent(void)
{
    struct runtime *rt;
    struct io_loop *loop;
    struct test_op t;
    struct sandbox_paths p;
    struct container *c;
    struct err err = {0};
    if (loop_new(&loop, NULL) < 0 || runtime_new(loop, &node->config, &rt, NULL) < 0) {
        _exit(1);
    }
    node->loop = loop;
    node->rt = rt;
    test_op_init(&t);
    sandbox_create(rt, &box, &t.op);
    (void)test_op_wait(node, &t); /* what matters is what is left */
    const struct cni_port port = {.protocol = "tcp", .host_port = 38081, .container_port = 8080};
    struct cni_result res;
    (void)attach("uid-1", &port, 1, &res, &err); /* as above */
    (void)sandbox_paths(rt, &box, &node->a, &p); /* as above */
    const char *const args[] = {"/bin/sleep", "1000", NULL};
    for (int i = 0; i < 3; i++) {
        const struct container_config cfg = {
            .pod_uid = "uid-1",
            .pod_namespace = "default",
            .pod_name = "pod1",
            .name = "k",
            .attempt = i,
            .image = node->image,
            .spec = {.args = args,
                     .net = p.net,
                     .ipc = p.ipc,
                     .uts = p.uts,
                     .shm = p.shm,
                     .cgroup_path =
                         cgroup_pod_path(runtime_cgroups(rt), &node->a, QOS_BEST_EFFORT, "uid-1")}};
        if (container_new(rt, &cfg, &c, &err) < 0) {
            break;
        }
        test_op_init(&t);
        container_start(c, &t.op);
        (void)test_op_wait(node, &t); /* as above */
    }
    for (;;) {
        pause();
    }
}

static void on_found(void *arg, struct container *c)
{
    struct container **list = arg;
    while (*list) {
        list++;
    }
    *list = c;
}

static int count_ours(void *arg, int dir_fd, const char *name)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    char path[280];
    snprintf(path, sizeof(path), "%s/cmdline", name);
    if (name[0] >= '1' && name[0] <= '9' && fs_read_at(dir_fd, path, 64 << 10, &b) == 0) {
        *(int *)arg += memmem(buf_data(&b), buf_len(&b), node->dir, strlen(node->dir)) != NULL;
    }
    return 0;
}

/* Processes whose command line names this node. */
static int processes_left(void)
{
    int n = 0;
    assert_int_equal(fs_each(AT_FDCWD, "/proc", count_ours, &n), 0);
    return n;
}

static void clean_after_the_dead(void)
{
    struct container *found[16] = {0};
    struct test_op t;
    char **pods;
    size_t n;
    test_node_restart(node);
    test_op_init(&t);
    container_adopt_all(node->rt, on_found, found, &t.op);
    assert_int_equal(test_op_wait(node, &t), 0);
    for (int i = 0; found[i]; i++) {
        test_op_init(&t);
        container_remove(found[i], &t.op);
        assert_int_equal(test_op_wait(node, &t), 0);
    }
    detach("uid-1");
    destroy("uid-1");
    test_op_init(&t);
    runtime_pod_remove(node->rt, "uid-1", &t.op);
    assert_int_equal(test_op_wait(node, &t), 0);
    assert_int_equal(runtime_pod_list(node->rt, &node->a, &pods, &n, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(strstr(pods[i], "probe-")); /* swept by the next start */
    }
}

static void an_agent_killed_at_any_moment_leaves_what_the_next_one_cleans(void **state)
{
    int seen = 0;
    for (int ms = 0; ms < 280; ms += 12) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            be_an_agent();
        }
        usleep((useconds_t)ms * 1000);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        seen++;
        clean_after_the_dead();
        CLEANUP(buf_finip) struct buf mounts = BUF_INIT;
        char below[160];
        snprintf(below, sizeof(below), " %s/", node->dir);
        assert_int_equal(fs_read_at(AT_FDCWD, "/proc/self/mountinfo", 1 << 22, &mounts), 0);
        assert_null(memmem(buf_data(&mounts), buf_len(&mounts), below, strlen(below)));
        /* The dead agent's probe of the OCI runtime ends by itself. */
        for (int i = 0; i < 100 && processes_left() > 0; i++) {
            usleep(20000);
        }
        assert_int_equal(processes_left(), 0);
    }
    print_message("killed %d times\n", seen);
}

static int loopback_up(void)
{
    struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &ifr);
}

int main(void)
{
    const char *missing = test_node_missing();
    missing = missing                                    ? missing
              : access("/usr/lib/cni/bridge", X_OK) == 0 ? NULL
                                                         : "needs containernetworking-plugins";
    if (missing) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    if (unshare(CLONE_NEWNET) < 0 ||
        loopback_up() < 0) { /* bridges and rules go with the namespace */
        perror("network namespace");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sandbox_pins_namespaces_and_goes_without_trace),
        cmocka_unit_test(a_half_made_sandbox_is_made_anew),
        cmocka_unit_test(host_network_needs_no_namespaces),
        cmocka_unit_test(sysctls_of_the_pods_own_namespaces_are_set),
        cmocka_unit_test(pods_get_addresses_and_reach_each_other),
        cmocka_unit_test(a_host_port_leads_to_the_pod),
        cmocka_unit_test(a_missing_plugin_is_named),
        cmocka_unit_test(an_agent_killed_at_any_moment_leaves_what_the_next_one_cleans),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

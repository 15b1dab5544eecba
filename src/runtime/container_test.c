/* SPDX-License-Identifier: Apache-2.0 */
/* Containers for real: runc or crun, conmon, overlayfs, cgroups. Needs root; says why when it is
 * skipped. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "runtime/container_private.h"
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
    test_node_free(node);
    return 0;
}

static int start(struct container *c, struct test_op *t)
{
    test_op_init(t);
    container_start(c, &t->op);
    int r = test_op_wait(node, t);
    if (r < 0) {
        print_message("start: %s\n", t->op.err.text);
    }
    return r;
}

static void stop(struct container *c, int64_t grace_us)
{
    struct test_op t;
    test_op_init(&t);
    container_stop(c, 0, grace_us, &t.op);
    assert_int_equal(test_op_wait(node, &t), 0);
}

static void remove_it(struct container *c)
{
    struct test_op t;
    test_op_init(&t);
    container_remove(c, &t.op);
    int r = test_op_wait(node, &t);
    if (r < 0) {
        print_message("remove: %s\n", t.op.err.text);
    }
    assert_int_equal(r, 0);
}

static void a_container_runs_and_its_end_is_told(void **state)
{
    struct test_op t;
    bool gone = false;
    struct container *c = test_container(node, "c", 0, "echo hello; echo oops >&2; exit 7");
    container_on_exit(c, test_on_exit, &gone);
    int64_t before = test_now_us();
    assert_int_equal(start(c, &t), 0);
    print_message("create and start: %lld ms\n", (long long)(test_now_us() - before) / 1000);
    assert_true(test_wait(node, &gone, 10000));
    const struct container_status *s = container_status(c);
    assert_int_equal(s->state, CONTAINER_EXITED);
    assert_int_equal(s->exit_code, 7);
    assert_string_equal(s->reason, "Error");
    assert_true(s->started);
    assert_true(s->finished_at.us >= s->started_at.us - 1000000);
    char *log = test_read_log(node, c);
    assert_non_null(strstr(log, " stdout F hello"));
    assert_non_null(strstr(log, " stderr F oops"));
    test_op_init(&t);
    container_release(c, &t.op);
    assert_int_equal(test_op_wait(node, &t), 0);
    assert_int_equal(s->state, CONTAINER_RELEASED);
    assert_int_equal(s->exit_code, 7);
    remove_it(c);
}

static void a_program_that_is_missing_fails_with_a_sentence(void **state)
{
    struct test_op t;
    struct err err = {0};
    struct container *c;
    const char *const args[] = {"/bin/nothing-here", NULL};
    const struct container_config cfg = {
        .pod_uid = "uid-1",
        .pod_namespace = "default",
        .pod_name = "pod1",
        .name = "m",
        .image = node->image,
        .spec = {.args = args,
                 .cgroup_path =
                     cgroup_pod_path(runtime_cgroups(node->rt), &node->a, QOS_BURSTABLE, "uid-1")}};
    assert_int_equal(container_new(node->rt, &cfg, &c, &err), 0);
    test_op_init(&t);
    container_start(c, &t.op);
    assert_true(test_op_wait(node, &t) < 0);
    assert_non_null(strstr(t.op.err.text, "/bin/nothing-here"));
    assert_null(strstr(t.op.err.text, "level="));
    assert_int_equal(container_status(c)->state, CONTAINER_EXITED);
    assert_int_equal(container_status(c)->exit_code, 128);
    assert_false(container_status(c)->started);
    remove_it(c);
}

static void an_unknown_user_is_refused_before_anything_runs(void **state)
{
    struct err err = {0};
    struct container *c;
    const char *const args[] = {"/bin/true", NULL};
    struct image image = *node->image;
    image.user = "nobody-knows";
    const struct container_config cfg = {.pod_uid = "uid-1",
                                         .pod_namespace = "default",
                                         .pod_name = "pod1",
                                         .name = "u",
                                         .image = &image,
                                         .spec = {.args = args, .cgroup_path = "/x"}};
    assert_int_equal(container_new(node->rt, &cfg, &c, &err), -E_INVAL);
    assert_non_null(strstr(err.text, "nobody-knows"));
    char path[512];
    snprintf(path, sizeof(path), "%s/pods/uid-1/containers/u/0", node->state);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* Until the program says that it is ready for signals. */
static void await_ready(struct container *c)
{
    while (!strstr(test_read_log(node, c), "ready")) {
        bool never = false;
        test_wait(node, &never, 20);
    }
}

static void stop_asks_first_and_kills_after_the_grace(void **state)
{
    struct test_op t;
    bool gone = false;
    struct container *c = test_container(
        node, "p", 0, "trap 'echo bye; exit 3' TERM; echo ready; while true; do sleep 0.05; done");
    container_on_exit(c, test_on_exit, &gone);
    assert_int_equal(start(c, &t), 0);
    await_ready(c);
    stop(c, 10000000);
    assert_true(gone);
    assert_int_equal(container_status(c)->exit_code, 3);
    remove_it(c);

    c = test_container(node, "p", 1, "trap '' TERM; echo ready; while true; do sleep 1; done");
    assert_int_equal(start(c, &t), 0);
    await_ready(c);
    int64_t before = test_now_us();
    stop(c, 300000);
    const struct container_status *st = container_status(c);
    if (st->exit_code != 137 || test_now_us() - before < 200000) {
        print_message("code %d %s %s\n", st->exit_code, st->reason, test_read_log(node, c));
    }
    assert_in_range((test_now_us() - before) / 1000, 200, 5000);
    assert_int_equal(container_status(c)->exit_code, 137);
    stop(c, 0);
    remove_it(c);
}

static void a_second_stop_shortens_the_first(void **state)
{
    struct test_op t, one, two;
    struct container *c =
        test_container(node, "s", 0, "trap '' TERM; echo ready; while true; do sleep 1; done");
    assert_int_equal(start(c, &t), 0);
    await_ready(c);
    test_op_init(&one);
    test_op_init(&two);
    container_stop(c, 0, 60000000, &one.op);
    container_stop(c, 0, 100000, &two.op);
    int64_t before = test_now_us();
    assert_int_equal(test_op_wait(node, &one), 0);
    assert_int_equal(test_op_wait(node, &two), 0);
    assert_true(test_now_us() - before < 10000000);
    remove_it(c);
}

/* Zombies do not count: orphans are reaped by others, whenever they like. */
static bool alive(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    char *text = fs_read_text(&node->a, path, 4096);
    char *state = text ? strrchr(text, ')') : NULL;
    return state && state[1] && state[2] != 'Z' && state[2] != 'X';
}

static void removing_a_running_container_ends_it(void **state)
{
    struct test_op t;
    struct container *c = test_container(node, "r", 0, "while true; do sleep 1; done");
    assert_int_equal(start(c, &t), 0);
    pid_t pid = container_status(c)->pid;
    assert_true(alive(pid));
    char *bundle = arena_strdup(&node->a, container_bundle(c));
    remove_it(c);
    assert_int_not_equal(access(bundle, F_OK), 0);
    assert_false(alive(pid));
}

struct found {
    struct container *list[16];
    int n;
};

static void on_found(void *arg, struct container *c)
{
    struct found *f = arg;
    assert_true(f->n < 16);
    f->list[f->n++] = c;
}

static void adopt(struct found *f)
{
    struct test_op t;
    f->n = 0;
    test_op_init(&t);
    container_adopt_all(node->rt, on_found, f, &t.op);
    assert_int_equal(test_op_wait(node, &t), 0);
}

static void the_next_agent_adopts_what_runs(void **state)
{
    struct test_op t;
    struct found f;
    bool gone = false;
    struct container *c = test_container(node, "a", 0, "echo up; sleep 1000 & wait");
    struct container *d = test_container(node, "a", 1, "sleep 0.3; exit 5");
    struct container *e = test_container(node, "b", 0, "true");
    assert_int_equal(start(c, &t), 0);
    assert_int_equal(start(d, &t), 0);
    pid_t pid = container_status(c)->pid;
    char id[65];
    assert_true(cstr_copy(id, sizeof(id), container_status(c)->id));
    container_detach(c);
    container_detach(d);
    container_detach(e);
    usleep(600000);
    test_node_restart(node);
    adopt(&f);
    assert_int_equal(f.n, 3);
    c = f.list[0];
    assert_string_equal(container_status(c)->id, id);
    assert_int_equal(container_status(c)->pid, pid);
    assert_int_equal(container_status(c)->state, CONTAINER_RUNNING);
    assert_string_equal(container_note(c), "note");
    assert_int_equal(container_status(f.list[1])->state, CONTAINER_EXITED);
    assert_int_equal(container_status(f.list[1])->exit_code, 5);
    assert_int_equal(container_status(f.list[2])->state, CONTAINER_EXITED);
    assert_false(container_status(f.list[2])->started);
    container_on_exit(c, test_on_exit, &gone);
    assert_int_equal(container_signal(c, SIGKILL), 0);
    assert_true(test_wait(node, &gone, 10000));
    assert_int_equal(container_status(c)->exit_code, 137);
    for (int i = 0; i < f.n; i++) {
        remove_it(f.list[i]);
    }
}

static void an_agent_killed_during_a_start_leaves_what_can_be_cleaned(void **state)
{
    struct found f;
    /* The start is abandoned after more and more ticks of the loop. */
    for (int ticks = 0; ticks < 24; ticks += 2) {
        struct test_op t;
        struct container *c = test_container(node, "k", ticks, "sleep 1000");
        test_op_init(&t);
        container_start(c, &t.op);
        for (int i = 0; i < ticks && !t.done; i++) {
            loop_run_once(node->loop);
            usleep(3000);
        }
        pid_t pid = conmon_read_pid(c, "pid");
        container_detach(c);
        test_node_restart(node);
        adopt(&f);
        assert_int_equal(f.n, 1);
        enum container_state s = container_status(f.list[0])->state;
        assert_true(s == CONTAINER_EXITED || s == CONTAINER_RUNNING);
        remove_it(f.list[0]);
        assert_true(pid == 0 || !alive(pid));
    }
}

static void a_container_whose_monitor_is_killed_is_still_watched(void **state)
{
    struct test_op t;
    bool gone = false;
    struct container *c = test_container(node, "w", 0, "sleep 1000");
    container_on_exit(c, test_on_exit, &gone);
    assert_int_equal(start(c, &t), 0);
    assert_int_equal(kill(c->conmon_pid, SIGKILL), 0);
    assert_false(test_wait(node, &gone, 300));
    assert_int_equal(container_status(c)->state, CONTAINER_RUNNING);
    stop(c, 0);
    assert_true(gone);
    assert_string_equal(container_status(c)->reason, "Unknown");
    remove_it(c);
}

static void memory_over_the_limit_is_told_as_such(void **state)
{
    struct test_op t;
    struct err err = {0};
    bool gone = false;
    struct container *c;
    const char *const args[] = {"/bin/sh", "-c", "x=a; while true; do x=$x$x; done", NULL};
    const struct container_config cfg = {
        .pod_uid = "uid-1",
        .pod_namespace = "default",
        .pod_name = "pod1",
        .name = "o",
        .image = node->image,
        .spec = {.args = args,
                 .resources = {.memory_limit = 16 << 20},
                 .cgroup_path =
                     cgroup_pod_path(runtime_cgroups(node->rt), &node->a, QOS_BURSTABLE, "uid-1")}};
    assert_int_equal(container_new(node->rt, &cfg, &c, &err), 0);
    container_on_exit(c, test_on_exit, &gone);
    assert_int_equal(start(c, &t), 0);
    assert_true(test_wait(node, &gone, 20000));
    assert_int_equal(container_status(c)->exit_code, 137);
    assert_true(container_status(c)->oom_killed);
    assert_string_equal(container_status(c)->reason, "OOMKilled");
    remove_it(c);
}

static void a_full_log_is_rotated_and_old_ones_go(void **state)
{
    struct test_op t;
    bool never = false;
    struct container *c = test_container(
        node, "l", 0,
        "i=0; while true; do yes 0123456789012345678901234567890123456789 | head -n 4000; sleep 0.02; done");
    assert_int_equal(start(c, &t), 0);
    int rotations = 0;
    char *path = arena_strdup(&node->a, container_status(c)->log_path);
    for (int i = 0; i < 400 && rotations < 3; i++) {
        char *before = fs_read_text(&node->a, path, 64 << 20);
        test_wait(node, &never, 20);
        container_rotate_log(c);
        test_wait(node, &never, 20);
        char *after = fs_read_text(&node->a, path, 64 << 20);
        if (before && after && strlen(after) < strlen(before)) {
            rotations++;
            sleep(1); /* names have seconds */
        }
    }
    assert_int_equal(rotations, 3);
    remove_it(c);
}

int main(void)
{
    const char *missing = test_node_missing();
    if (missing) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_container_runs_and_its_end_is_told),
        cmocka_unit_test(a_program_that_is_missing_fails_with_a_sentence),
        cmocka_unit_test(an_unknown_user_is_refused_before_anything_runs),
        cmocka_unit_test(stop_asks_first_and_kills_after_the_grace),
        cmocka_unit_test(a_second_stop_shortens_the_first),
        cmocka_unit_test(removing_a_running_container_ends_it),
        cmocka_unit_test(the_next_agent_adopts_what_runs),
        cmocka_unit_test(an_agent_killed_during_a_start_leaves_what_can_be_cleaned),
        cmocka_unit_test(a_container_whose_monitor_is_killed_is_still_watched),
        cmocka_unit_test(memory_over_the_limit_is_told_as_such),
        cmocka_unit_test(a_full_log_is_rotated_and_old_ones_go),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
